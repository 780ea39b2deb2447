#include "core/tailnet/coordinate/arena.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct arena_chunk {
	struct arena_chunk *next;
	size_t used;
	size_t cap;
	max_align_t data[];
};

static struct arena_chunk *chunk_new(struct arena *arena, size_t need)
{
	size_t cap = need > ARENA_CHUNK ? need : ARENA_CHUNK;
	struct arena_chunk *chunk;

	if (cap > arena->left)
		cap = need;
	if (cap > arena->left) {
		arena->exceeded = true;
		return NULL;
	}
	chunk = malloc(sizeof(*chunk) + cap);
	if (!chunk)
		return NULL;
	arena->left -= cap;
	*chunk = (struct arena_chunk){ .next = arena->chunks, .cap = cap };
	arena->chunks = chunk;
	return chunk;
}

static void *arena_alloc(void *data, size_t size)
{
	struct arena *arena = data;
	struct arena_chunk *chunk = arena->chunks;
	size_t align = sizeof(max_align_t);
	uint8_t *at;

	if (size > arena->left + ARENA_CHUNK) {
		arena->exceeded = true;
		return NULL;
	}
	size = (size + align - 1) / align * align;
	if (!chunk || chunk->cap - chunk->used < size)
		chunk = chunk_new(arena, size);
	if (!chunk)
		return NULL;
	at = (uint8_t *)chunk->data + chunk->used;
	chunk->used += size;
	return at;
}

/* All of it goes at once, in arena_clear(). */
static void arena_free(void *data, void *pointer)
{
	(void)data;
	(void)pointer;
}

void arena_init(struct arena *arena, size_t cap)
{
	*arena = (struct arena){ .left = cap };
	arena->allocator.alloc = arena_alloc;
	arena->allocator.free = arena_free;
	arena->allocator.allocator_data = arena;
}

void arena_clear(struct arena *arena)
{
	while (arena->chunks) {
		struct arena_chunk *chunk = arena->chunks;

		arena->chunks = chunk->next;
		free(chunk);
	}
}

void *arena_take(struct arena *arena, size_t count, size_t size)
{
	void *at = arena_alloc(arena, count * size);

	if (at)
		memset(at, 0, count * size);
	return at;
}

int arena_decode(struct arena *arena,
		 const ProtobufCMessageDescriptor *descriptor,
		 const void *data, size_t len, const char *what,
		 ProtobufCMessage **out, struct error *error)
{
	ProtobufCMessage *message = protobuf_c_message_unpack(
		descriptor, &arena->allocator, len, data ? data : "");

	if (message) {
		*out = message;
		return 0;
	}
	if (arena->exceeded)
		return error_set(error, ERR_TOO_LARGE,
				 "%s of %zu bytes needs too much memory", what,
				 len);
	return error_set(error, ERR_PROTOCOL,
			 "%s of %zu bytes is no such protobuf", what, len);
}

int message_append(const ProtobufCMessage *message, struct buf *out)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	uint8_t *at;
	int err;

	if (len == 0)
		return 0;
	err = buf_reserve(out, len, &at);
	if (err < 0)
		return err;
	buf_commit(out, protobuf_c_message_pack(message, at));
	return 0;
}
