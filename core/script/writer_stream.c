#include <stdio.h>
#include <stdlib.h>

#include "core/base/list.h"
#include "core/io/io.h"
#include "core/script/local_io.h"

/*
 * The writer has no event for new room, so a writer that found none looks
 * again after a while.
 */
#define RETRY_US 20000

struct writer_stream {
	struct stream stream;
	struct loop *loop;
	struct io_writer *writer;
	struct timer retry;
	const char *name;
};

static struct writer_stream *self_of(const struct stream *stream)
{
	return container_of(stream, struct writer_stream, stream);
}

static void retry(struct timer *timer)
{
	struct writer_stream *self = timer->user;

	if (self->stream.on_change)
		self->stream.on_change(&self->stream, self->stream.user);
}

static ssize_t writer_peek(struct stream *stream, const uint8_t **data)
{
	(void)stream;
	*data = NULL;
	return 0;
}

static void writer_consume(struct stream *stream, size_t len)
{
	(void)stream;
	(void)len;
}

static ssize_t writer_write(struct stream *stream, const void *data,
			    size_t len)
{
	struct writer_stream *self = self_of(stream);
	size_t room = io_writer_room(self->writer);
	int err;

	if (len == 0)
		return 0;
	if (room == 0) {
		timer_set(self->loop, &self->retry,
			  loop_now_us(self->loop) + RETRY_US);
		return ERR_AGAIN;
	}
	if (len > room)
		len = room;
	err = io_writer_write(self->writer, data, len);
	return err < 0 ? err : (ssize_t)len;
}

static size_t writer_unsent(const struct stream *stream)
{
	(void)stream;
	return 0;
}

static int writer_shutdown(struct stream *stream)
{
	(void)stream;
	return 0;
}

static void writer_close(struct stream *stream, bool abort)
{
	struct writer_stream *self = self_of(stream);

	(void)abort;
	timer_stop(self->loop, &self->retry);
	free(self);
}

static void writer_address(const struct stream *stream, bool peer,
			   char out[STREAM_ADDRESS_CAP])
{
	(void)peer;
	snprintf(out, STREAM_ADDRESS_CAP, "%s", self_of(stream)->name);
}

static const struct stream_ops ops = {
	.peek = writer_peek,
	.consume = writer_consume,
	.write = writer_write,
	.unsent = writer_unsent,
	.shutdown = writer_shutdown,
	.close = writer_close,
	.address = writer_address,
};

int script_writer_stream(struct loop *loop, struct io_writer *writer,
			 const char *name, struct stream **out)
{
	struct writer_stream *self = calloc(1, sizeof(*self));

	if (!self)
		return ERR_NOMEM;
	self->stream.ops = &ops;
	self->loop = loop;
	self->writer = writer;
	self->name = name;
	self->retry = (struct timer){ .fire = retry, .user = self };
	*out = &self->stream;
	return 0;
}
