/*
 * core/base/buf.h: a byte queue with a bound.
 *
 * Bytes are appended at the end and consumed at the front; storage grows by
 * doubling up to `limit` and never beyond. Appending past the limit fails
 * and changes nothing. A zeroed struct with a limit is a valid empty queue.
 */
#ifndef TUNNELHOST_BASE_BUF_H
#define TUNNELHOST_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *storage;
	size_t start;		/* first unread byte */
	size_t len;		/* unread bytes */
	size_t cap;
	size_t limit;		/* most unread bytes */
};

void buf_init(struct buf *buf, size_t limit);
void buf_clear(struct buf *buf);	/* frees the storage, keeps the limit */

static inline uint8_t *buf_data(const struct buf *buf)
{
	return buf->storage ? buf->storage + buf->start : NULL;
}

/* 0, ERR_LIMIT or ERR_NOMEM. */
int buf_append(struct buf *buf, const void *data, size_t len);
int buf_printf(struct buf *buf, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/*
 * Room for `len` more bytes at *out, to be filled by the caller and counted
 * with buf_commit(). 0, ERR_LIMIT or ERR_NOMEM.
 */
int buf_reserve(struct buf *buf, size_t len, uint8_t **out);
void buf_commit(struct buf *buf, size_t len);
/* Drops `len` (at most buf->len) bytes at the front; empties free storage. */
void buf_consume(struct buf *buf, size_t len);
/* How many more bytes fit. */
static inline size_t buf_room(const struct buf *buf)
{
	return buf->limit - buf->len;
}

#endif
