/*
 * core/base/stream.h: a two-way flow of bytes, whatever carries it.
 *
 * Tunnel TCP, local TCP, Unix sockets, stdio and SSH channels all look like
 * this to core/conn and core/script. Nothing blocks and nothing is copied
 * twice: the reader looks at received bytes in place and consumes them; the
 * writer copies into the stream's bounded send buffer.
 *
 * The owner sets `on_change`, which is called from the loop, never from
 * inside a stream_* call, when any answer of peek, write or unsent may have
 * changed for the better or worse: data arrived, end of stream, room again,
 * everything acknowledged, failure. The owner then looks. It may be called
 * without reason. stream_close() ends the owner's part: no more callbacks.
 */
#ifndef TUNNELHOST_BASE_STREAM_H
#define TUNNELHOST_BASE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/err.h"

#define STREAM_ADDRESS_CAP 128

struct stream;

struct stream_ops {
	ssize_t (*peek)(struct stream *stream, const uint8_t **data);
	void (*consume)(struct stream *stream, size_t len);
	ssize_t (*write)(struct stream *stream, const void *data, size_t len);
	size_t (*unsent)(const struct stream *stream);
	int (*shutdown)(struct stream *stream);
	void (*close)(struct stream *stream, bool abort);
	void (*address)(const struct stream *stream, bool peer,
			char out[STREAM_ADDRESS_CAP]);
};

struct stream {
	const struct stream_ops *ops;
	void (*on_change)(struct stream *stream, void *user);
	void *user;
};

/*
 * Received bytes at *data, borrowed until consume, write, close or the next
 * turn of the loop. > 0: how many there are in one piece; 0: end of stream,
 * all was consumed; ERR_AGAIN: none yet; else the stream has failed
 * (ERR_RESET, ERR_TIMEOUT, …). Bytes received before a failure come first.
 */
static inline ssize_t stream_peek(struct stream *stream, const uint8_t **data)
{
	return stream->ops->peek(stream, data);
}

static inline void stream_consume(struct stream *stream, size_t len)
{
	stream->ops->consume(stream, len);
}

/*
 * Accepts up to `len` bytes (copied). How many were accepted (> 0), 0 only
 * for len 0, ERR_AGAIN when there is no room, ERR_CLOSED after shutdown,
 * else the failure.
 */
static inline ssize_t stream_write(struct stream *stream, const void *data,
				   size_t len)
{
	return stream->ops->write(stream, data, len);
}

/* Accepted bytes that the other side has not acknowledged (0 once failed). */
static inline size_t stream_unsent(const struct stream *stream)
{
	return stream->ops->unsent(stream);
}

/* No more writes; what was accepted still goes out, then end of stream. */
static inline int stream_shutdown(struct stream *stream)
{
	return stream->ops->shutdown(stream);
}

/*
 * Gives the stream up. Accepted bytes still go out and the stream ends in
 * order, unless `abort` (then a reset). The pointer is dead afterwards.
 */
static inline void stream_close(struct stream *stream, bool abort)
{
	stream->ops->close(stream, abort);
}

/* "[fd7a::1]:80", "127.0.0.1:5", "unix:/path", "stdin"; "" if unknown. */
static inline void stream_address(const struct stream *stream, bool peer,
				  char out[STREAM_ADDRESS_CAP])
{
	stream->ops->address(stream, peer, out);
}

#endif
