#include "core/base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

#define BUF_FIRST 256

void buf_init(struct buf *buf, size_t limit)
{
	*buf = (struct buf){ .limit = limit };
}

void buf_clear(struct buf *buf)
{
	free(buf->storage);
	buf_init(buf, buf->limit);
}

static void slide_to_front(struct buf *buf)
{
	if (buf->start == 0)
		return;
	memmove(buf->storage, buf->storage + buf->start, buf->len);
	buf->start = 0;
}

static int grow(struct buf *buf, size_t need)
{
	size_t cap = buf->cap ? buf->cap : BUF_FIRST;
	uint8_t *storage;

	while (cap < need)
		cap *= 2;
	storage = realloc(buf->storage, cap);
	if (!storage)
		return ERR_NOMEM;
	buf->storage = storage;
	buf->cap = cap;
	return 0;
}

int buf_reserve(struct buf *buf, size_t len, uint8_t **out)
{
	if (len > buf_room(buf))
		return ERR_LIMIT;
	if (buf->start + buf->len + len > buf->cap)
		slide_to_front(buf);
	if (buf->len + len > buf->cap && grow(buf, buf->len + len) < 0)
		return ERR_NOMEM;
	*out = buf->storage + buf->start + buf->len;
	return 0;
}

void buf_commit(struct buf *buf, size_t len)
{
	assert(buf->start + buf->len + len <= buf->cap);
	buf->len += len;
}

int buf_append(struct buf *buf, const void *data, size_t len)
{
	uint8_t *out;
	int err;

	if (len == 0)
		return 0;
	err = buf_reserve(buf, len, &out);
	if (err < 0)
		return err;
	memcpy(out, data, len);
	buf_commit(buf, len);
	return 0;
}

int buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args, again;
	uint8_t *out;
	int len, err;

	va_start(args, format);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	err = buf_reserve(buf, (size_t)len + 1, &out);
	if (err == 0) {
		vsnprintf((char *)out, (size_t)len + 1, format, again);
		buf_commit(buf, (size_t)len);
	}
	va_end(again);
	return err;
}

void buf_consume(struct buf *buf, size_t len)
{
	assert(len <= buf->len);
	buf->start += len;
	buf->len -= len;
	if (buf->len == 0)
		buf_clear(buf);
}
