#include "core/base/pipe.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/buf.h"

struct pipe_pair;

struct pipe_end {
	struct stream stream;
	struct buf in;		/* written by the other end */
	bool in_ended;
	bool closed;
	bool out_ended;
	struct task notify;
	struct pipe_pair *pair;
};

struct pipe_pair {
	struct loop *loop;
	struct pipe_end ends[2];
	int failed;		/* ERR_RESET after an abort */
};

static struct pipe_end *self(const struct stream *stream)
{
	return container_of(stream, struct pipe_end, stream);
}

static struct pipe_end *other(struct pipe_end *end)
{
	return &end->pair->ends[end == &end->pair->ends[0]];
}

static void notify(struct pipe_end *end)
{
	if (!end->closed)
		task_post(end->pair->loop, &end->notify);
}

static void run_notify(struct task *task)
{
	struct pipe_end *end = task->user;

	if (end->stream.on_change)
		end->stream.on_change(&end->stream, end->stream.user);
}

static ssize_t end_peek(struct stream *stream, const uint8_t **data)
{
	struct pipe_end *end = self(stream);

	if (end->in.len) {
		*data = buf_data(&end->in);
		return (ssize_t)end->in.len;
	}
	if (end->pair->failed)
		return end->pair->failed;
	return end->in_ended ? 0 : ERR_AGAIN;
}

static void end_consume(struct stream *stream, size_t len)
{
	struct pipe_end *end = self(stream);

	buf_consume(&end->in, len);
	notify(other(end));
}

static ssize_t end_write(struct stream *stream, const void *data, size_t len)
{
	struct pipe_end *end = self(stream);
	struct pipe_end *to = other(end);
	size_t room = buf_room(&to->in);

	if (end->pair->failed)
		return end->pair->failed;
	if (end->out_ended || to->closed)
		return ERR_CLOSED;
	if (len == 0)
		return 0;
	if (room == 0)
		return ERR_AGAIN;
	if (len > room)
		len = room;
	if (buf_append(&to->in, data, len) < 0)
		return ERR_NOMEM;
	notify(to);
	return (ssize_t)len;
}

static size_t end_unsent(const struct stream *stream)
{
	struct pipe_end *end = self(stream);

	return end->pair->failed ? 0 : other(end)->in.len;
}

static int end_shutdown(struct stream *stream)
{
	struct pipe_end *end = self(stream);

	end->out_ended = true;
	other(end)->in_ended = true;
	notify(other(end));
	return 0;
}

static void end_close(struct stream *stream, bool abort)
{
	struct pipe_end *end = self(stream);
	struct pipe_pair *pair = end->pair;

	if (abort)
		pair->failed = ERR_RESET;
	end_shutdown(stream);
	end->closed = true;
	task_cancel(&end->notify);
	buf_clear(&end->in);
	if (!other(end)->closed)
		return;
	buf_clear(&other(end)->in);
	free(pair);
}

static void end_address(const struct stream *stream, bool peer,
			char out[STREAM_ADDRESS_CAP])
{
	(void)stream;
	(void)peer;
	snprintf(out, STREAM_ADDRESS_CAP, "pipe");
}

static const struct stream_ops ops = {
	.peek = end_peek,
	.consume = end_consume,
	.write = end_write,
	.unsent = end_unsent,
	.shutdown = end_shutdown,
	.close = end_close,
	.address = end_address,
};

int pipe_new(struct loop *loop, size_t cap, struct stream *out[2])
{
	struct pipe_pair *pair = calloc(1, sizeof(*pair));

	if (!pair)
		return ERR_NOMEM;
	pair->loop = loop;
	for (int i = 0; i < 2; i++) {
		struct pipe_end *end = &pair->ends[i];

		end->stream.ops = &ops;
		end->pair = pair;
		end->notify = (struct task){ .run = run_notify, .user = end };
		buf_init(&end->in, cap);
		out[i] = &end->stream;
	}
	return 0;
}
