/*
 * core/io/outq.h: what a channel still has to send.
 *
 * As messages, one chunk each, or as a stream, where small pieces are filled
 * into chunks of OUTQ_STREAM_CHUNK so that the socket gets big writes. Each
 * chunk has the headroom that libwebsockets writes its frame header into.
 */
#ifndef TUNNELHOST_IO_OUTQ_H
#define TUNNELHOST_IO_OUTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTQ_STREAM_CHUNK 32768

struct outq_chunk {
	struct outq_chunk *next;
	size_t len;
	size_t cap;
	uint8_t storage[];		/* LWS_PRE bytes, then the data */
};

struct outq {
	struct outq_chunk *first;
	struct outq_chunk *last;
	size_t len;			/* bytes of data in all chunks */
	size_t limit;
	bool stream;
};

/* 0, ERR_LIMIT or ERR_NOMEM; all or nothing. */
int outq_push(struct outq *q, const void *data, size_t len);
uint8_t *outq_data(struct outq_chunk *chunk);
void outq_pop(struct outq *q);
void outq_clear(struct outq *q);

#endif
