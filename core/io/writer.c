#include "core/io/writer.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/io/descriptor.h"

struct io_writer {
	struct io *io;
	struct descriptor out;
	struct buf queue;
	int failed;
	uint64_t dropped;
	struct task task;
	void (*changed)(void *user);
	void *changed_user;
};

static void pump(struct io_writer *w)
{
	while (w->queue.len && !w->failed) {
		ssize_t n = descriptor_write(&w->out, buf_data(&w->queue),
					     w->queue.len);

		if (n > 0)
			buf_consume(&w->queue, (size_t)n);
		else if (n < 0 && errno == EAGAIN)
			break;
		else if (n < 0 && errno != EINTR)
			w->failed = ERR_CLOSED;
	}
	if (w->failed)
		buf_clear(&w->queue);
	descriptor_want(&w->out, w->queue.len > 0, true);
}

static void on_ready(void *user)
{
	struct io_writer *w = user;

	pump(w);
	if (w->changed)
		w->changed(w->changed_user);
}

static void on_task(struct task *task)
{
	on_ready(task->user);
}

static struct io_writer *writer_get(struct io *io, int number)
{
	struct io_writer **slot = &io->writers[number - 1];
	struct io_writer *w;

	if (*slot)
		return *slot;
	w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->io = io;
	w->task = (struct task){ .run = on_task, .user = w };
	buf_init(&w->queue, IO_WRITER_CAP);
	w->failed = descriptor_open(io, number, true, on_ready, w, &w->out);
	*slot = w;
	return w;
}

struct io_writer *io_stdout(struct io *io)
{
	return writer_get(io, STDOUT_FILENO);
}

struct io_writer *io_stderr(struct io *io)
{
	return writer_get(io, STDERR_FILENO);
}

void io_writers_free(struct io *io)
{
	for (int i = 0; i < 2; i++) {
		struct io_writer *w = io->writers[i];

		if (!w)
			continue;
		task_cancel(&w->task);
		descriptor_close(&w->out);
		buf_clear(&w->queue);
		free(w);
		io->writers[i] = NULL;
	}
}

/* Written in a task: what a turn says goes out in one piece. */
int io_writer_write(struct io_writer *w, const void *data, size_t len)
{
	int err;

	if (w->failed)
		return ERR_CLOSED;
	err = buf_append(&w->queue, data, len);
	if (err < 0)
		w->dropped += len;
	else
		task_post(&w->io->loop, &w->task);
	return err;
}

size_t io_writer_room(const struct io_writer *w)
{
	return w->failed ? 0 : buf_room(&w->queue);
}

uint64_t io_writer_dropped(const struct io_writer *w)
{
	return w->dropped;
}

size_t io_writer_queued(const struct io_writer *w)
{
	return w->queue.len;
}

void io_writer_listen(struct io_writer *w, void (*changed)(void *user),
		      void *user)
{
	w->changed = changed;
	w->changed_user = user;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void io_writer_flush(struct io_writer *w, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	for (;;) {
		struct pollfd p = { .fd = w->out.fd, .events = POLLOUT };
		int64_t left = deadline - now_ms();

		pump(w);
		if (!w->queue.len || left <= 0)
			return;
		if (poll(&p, 1, (int)left) <= 0)
			return;
	}
}
