/* Standard input and output as one stream: a reader here, a writer there. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/io/descriptor.h"
#include "core/io/writer.h"

#define READ_SIZE 65536u

struct stdio_stream {
	struct stream stream;
	struct io_object object;
	struct io *io;
	struct descriptor input;
	struct buf in;
	bool in_ended;
	bool out_ended;
	int failed;
	struct task read_task;		/* for a file, which cannot be polled */
	struct task notify;
	struct io_writer *writer;
};

static struct stdio_stream *self(const struct stream *stream)
{
	return container_of(stream, struct stdio_stream, stream);
}

static void on_notify(struct task *task)
{
	struct stdio_stream *s = task->user;

	if (s->stream.on_change)
		s->stream.on_change(&s->stream, s->stream.user);
}

static void on_changed(void *user)
{
	struct stdio_stream *s = user;

	task_post(&s->io->loop, &s->notify);
}

static void want_input(struct stdio_stream *s)
{
	bool wanted = !s->in_ended && !s->failed && buf_room(&s->in);

	if (s->input.poll)
		descriptor_want(&s->input, wanted, false);
	else if (wanted)
		task_post(&s->io->loop, &s->read_task);
}

static void on_input(void *user)
{
	struct stdio_stream *s = user;
	size_t room = buf_room(&s->in);
	uint8_t *at;
	ssize_t n;

	if (room > READ_SIZE)
		room = READ_SIZE;
	if (room == 0 || buf_reserve(&s->in, room, &at) < 0)
		return;
	n = descriptor_read(&s->input, at, room);
	if (n > 0)
		buf_commit(&s->in, (size_t)n);
	else if (n == 0 || errno == EIO)	/* EIO: a terminal hung up */
		s->in_ended = true;
	else if (errno != EAGAIN && errno != EINTR)
		s->failed = err_from_errno(errno);
	want_input(s);
	on_changed(s);
}

static void on_read_task(struct task *task)
{
	on_input(task->user);
}

static ssize_t std_peek(struct stream *stream, const uint8_t **data)
{
	struct stdio_stream *s = self(stream);

	if (s->in.len) {
		*data = buf_data(&s->in);
		return (ssize_t)s->in.len;
	}
	if (s->failed)
		return s->failed;
	return s->in_ended ? 0 : ERR_AGAIN;
}

static void std_consume(struct stream *stream, size_t len)
{
	struct stdio_stream *s = self(stream);

	buf_consume(&s->in, len);
	want_input(s);
}

static ssize_t std_write(struct stream *stream, const void *data, size_t len)
{
	struct stdio_stream *s = self(stream);
	size_t queued = io_writer_queued(s->writer);
	int err;

	if (s->out_ended)
		return ERR_CLOSED;
	if (len == 0)
		return 0;
	if (queued >= IO_STREAM_BUFFER)
		return ERR_AGAIN;
	if (len > IO_STREAM_BUFFER - queued)
		len = IO_STREAM_BUFFER - queued;
	err = io_writer_write(s->writer, data, len);
	if (err == ERR_LIMIT)
		return ERR_AGAIN;
	return err < 0 ? err : (ssize_t)len;
}

static size_t std_unsent(const struct stream *stream)
{
	return io_writer_queued(self(stream)->writer);
}

/* The end of output is the end of the process: the descriptor is shared. */
static int std_shutdown(struct stream *stream)
{
	self(stream)->out_ended = true;
	return 0;
}

static void end(struct stdio_stream *s)
{
	if (s->writer)
		io_writer_listen(s->writer, NULL, NULL);
	task_cancel(&s->notify);
	task_cancel(&s->read_task);
	io_object_remove(&s->object);
	descriptor_close(&s->input);
	buf_clear(&s->in);
	free(s);
}

static void std_close(struct stream *stream, bool abort)
{
	(void)abort;
	end(self(stream));
}

static void destroy(struct io_object *object)
{
	end(container_of(object, struct stdio_stream, object));
}

static void std_address(const struct stream *stream, bool peer,
			char out[STREAM_ADDRESS_CAP])
{
	(void)stream;
	snprintf(out, STREAM_ADDRESS_CAP, "%s", peer ? "stdin" : "stdout");
}

static const struct stream_ops ops = {
	.peek = std_peek,
	.consume = std_consume,
	.write = std_write,
	.unsent = std_unsent,
	.shutdown = std_shutdown,
	.close = std_close,
	.address = std_address,
};

int io_stdio(struct io *io, struct stream **out, struct error *error)
{
	struct stdio_stream *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return error_set(error, ERR_NOMEM, "out of memory");
	s->stream.ops = &ops;
	s->io = io;
	s->notify = (struct task){ .run = on_notify, .user = s };
	s->read_task = (struct task){ .run = on_read_task, .user = s };
	buf_init(&s->in, IO_STREAM_BUFFER);
	io_object_add(io, &s->object, destroy);
	err = descriptor_open(io, STDIN_FILENO, false, on_input, s, &s->input);
	s->writer = io_stdout(io);
	if (err < 0 || !s->writer) {
		end(s);
		return error_set(error, err < 0 ? err : ERR_NOMEM,
				 "standard input cannot be used");
	}
	io_writer_listen(s->writer, on_changed, s);
	want_input(s);
	*out = &s->stream;
	return 0;
}
