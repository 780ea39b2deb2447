#include "core/io/outq.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

uint8_t *outq_data(struct outq_chunk *chunk)
{
	return chunk->storage + LWS_PRE;
}

static struct outq_chunk *add_chunk(struct outq *q, size_t cap)
{
	struct outq_chunk *chunk = malloc(sizeof(*chunk) + LWS_PRE + cap);

	if (!chunk)
		return NULL;
	chunk->next = NULL;
	chunk->len = 0;
	chunk->cap = cap;
	if (q->last)
		q->last->next = chunk;
	else
		q->first = chunk;
	q->last = chunk;
	return chunk;
}

static size_t fill(struct outq_chunk *chunk, const uint8_t *data, size_t len)
{
	size_t room = chunk->cap - chunk->len;
	size_t part = len < room ? len : room;

	if (part)
		memcpy(outq_data(chunk) + chunk->len, data, part);
	chunk->len += part;
	return part;
}

static int push_message(struct outq *q, const uint8_t *data, size_t len)
{
	struct outq_chunk *chunk = add_chunk(q, len);

	if (!chunk)
		return ERR_NOMEM;
	fill(chunk, data, len);
	return 0;
}

/* The new chunk takes all that the last one cannot, so that nothing is left
 * half done without memory. */
static int push_stream(struct outq *q, const uint8_t *data, size_t len)
{
	struct outq_chunk *last = q->last;
	size_t room = last ? last->cap - last->len : 0;

	if (len > room) {
		size_t rest = len - room;
		struct outq_chunk *added = add_chunk(
			q, rest > OUTQ_STREAM_CHUNK ? rest : OUTQ_STREAM_CHUNK);

		if (!added)
			return ERR_NOMEM;
		fill(added, data + room, rest);
		len = room;
	}
	if (last)
		fill(last, data, len);
	return 0;
}

int outq_push(struct outq *q, const void *data, size_t len)
{
	int err;

	if (len > q->limit - q->len)
		return ERR_LIMIT;
	if (q->stream)
		err = len ? push_stream(q, data, len) : 0;
	else
		err = push_message(q, data, len);
	if (err == 0)
		q->len += len;
	return err;
}

void outq_pop(struct outq *q)
{
	struct outq_chunk *chunk = q->first;

	q->first = chunk->next;
	if (!q->first)
		q->last = NULL;
	q->len -= chunk->len;
	free(chunk);
}

void outq_clear(struct outq *q)
{
	while (q->first)
		outq_pop(q);
}
