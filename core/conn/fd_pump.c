#include "core/conn/fd_pump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/buf.h"

#define PUMP_CHUNK (64u * 1024)
/* A turn moves this many chunks each way, so that others get theirs. */
#define PUMP_CHUNKS_PER_TURN 8

struct fd_pump {
	struct loop *loop;
	struct stream *stream;
	int in_fd;
	int out_fd;
	struct watcher in_watcher;	/* both directions if one descriptor */
	struct watcher out_watcher;
	struct task work;
	struct buf rest;	/* read from in_fd, not yet in the stream */
	bool in_ended;
	bool dropping;		/* the stream takes no more */
	bool out_ended;		/* the stream's bytes are dropped */
	bool out_full;
	bool stream_ended;
	bool paused;
	bool told;
	int failure;
	void (*on_end)(void *user);
	void *user;
};

static bool one_descriptor(const struct fd_pump *pump)
{
	return pump->in_fd == pump->out_fd;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void end_out(struct fd_pump *pump)
{
	if (pump->out_ended)
		return;
	pump->out_ended = true;
	pump->out_full = false;
	if (one_descriptor(pump)) {
		shutdown(pump->out_fd, SHUT_WR);
		return;
	}
	watcher_stop(pump->loop, &pump->out_watcher);
	close_fd(&pump->out_fd);
}

/* A pipe has no flags; a socket must not raise SIGPIPE. */
static ssize_t put(int fd, const void *data, size_t len)
{
	ssize_t sent = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	return sent < 0 && errno == ENOTSOCK ? write(fd, data, len) : sent;
}

/* How many bytes of the stream are done with; 0 when out_fd is full. */
static size_t put_or_drop(struct fd_pump *pump, const uint8_t *data,
			  size_t len)
{
	ssize_t sent;

	if (pump->out_ended)
		return len;
	sent = put(pump->out_fd, data, len < PUMP_CHUNK ? len : PUMP_CHUNK);
	if (sent >= 0)
		return (size_t)sent;
	if (errno == EAGAIN || errno == EINTR) {
		pump->out_full = true;
		return 0;
	}
	end_out(pump);
	return len;
}

static void move_out(struct fd_pump *pump)
{
	for (int i = 0; i < PUMP_CHUNKS_PER_TURN; i++) {
		const uint8_t *data;
		ssize_t got;
		size_t done;

		if (pump->stream_ended || pump->out_full || pump->paused)
			return;
		got = stream_peek(pump->stream, &data);
		if (got == ERR_AGAIN)
			return;
		if (got <= 0) {
			pump->stream_ended = true;
			if (got < 0)
				pump->failure = (int)got;
			end_out(pump);
			return;
		}
		done = put_or_drop(pump, data, (size_t)got);
		if (done)
			stream_consume(pump->stream, done);
	}
	task_post(pump->loop, &pump->work);
}

/*
 * How many bytes are done with, which is fewer than `len` when the stream
 * has no room.
 */
static size_t give(struct fd_pump *pump, const uint8_t *data, size_t len)
{
	size_t done = 0;

	while (done < len && !pump->dropping) {
		ssize_t sent = stream_write(pump->stream, data + done,
					    len - done);

		if (sent == ERR_AGAIN)
			return done;
		if (sent < 0)
			pump->dropping = true;
		else
			done += (size_t)sent;
	}
	return len;
}

/* Whether in_fd may be read again. */
static bool give_rest(struct fd_pump *pump)
{
	if (pump->rest.len)
		buf_consume(&pump->rest, give(pump, buf_data(&pump->rest),
					      pump->rest.len));
	return !pump->rest.len && !pump->in_ended;
}

/*
 * Whether anything was read. What the stream has no room for is kept. A
 * terminal whose last user has gone gives EIO: that is its end.
 */
static bool read_and_give(struct fd_pump *pump)
{
	uint8_t chunk[PUMP_CHUNK];
	ssize_t got = read(pump->in_fd, chunk, sizeof(chunk));
	size_t done;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (got <= 0) {
		pump->in_ended = true;
		return false;
	}
	done = give(pump, chunk, (size_t)got);
	if (buf_append(&pump->rest, chunk + done, (size_t)got - done) < 0)
		pump->dropping = true;
	return true;
}

static void move_in(struct fd_pump *pump)
{
	for (int i = 0; i < PUMP_CHUNKS_PER_TURN; i++)
		if (!give_rest(pump) || !read_and_give(pump))
			return;
}

static void watch(struct fd_pump *pump, struct watcher *watcher, int fd,
		  unsigned events)
{
	watcher->fd = fd;
	if (fd < 0 || !events)
		watcher_stop(pump->loop, watcher);
	else if (watcher_set(pump->loop, watcher, events) < 0)
		pump->in_ended = pump->out_ended = true;
}

static void watch_both(struct fd_pump *pump)
{
	unsigned in = !pump->in_ended && !pump->rest.len ? WATCH_READ : 0;
	unsigned out = pump->out_full ? WATCH_WRITE : 0;

	if (one_descriptor(pump)) {
		watch(pump, &pump->in_watcher, pump->in_fd, in | out);
		return;
	}
	watch(pump, &pump->in_watcher, pump->in_fd, in);
	watch(pump, &pump->out_watcher, pump->out_fd, out);
}

/* Last, because the owner may free the pump. */
static void tell_end(struct fd_pump *pump)
{
	if (!pump->in_ended || pump->rest.len || pump->told)
		return;
	pump->told = true;
	if (pump->on_end)
		pump->on_end(pump->user);
}

static void turn(struct fd_pump *pump)
{
	move_out(pump);
	move_in(pump);
	watch_both(pump);
	tell_end(pump);
}

static void run_work(struct task *task)
{
	turn(task->user);
}

static void ready(struct watcher *watcher, unsigned events)
{
	struct fd_pump *pump = watcher->user;

	if (events & WATCH_WRITE)
		pump->out_full = false;
	turn(pump);
}

static void stream_changed(struct stream *stream, void *user)
{
	struct fd_pump *pump = user;

	(void)stream;
	task_post(pump->loop, &pump->work);
}

static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (fd < 0)
		return 0;
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_from_errno(errno);
	return 0;
}

int fd_pump_new(struct loop *loop, struct stream *stream, int in_fd,
		int out_fd, void (*on_end)(void *user), void *user,
		struct fd_pump **out)
{
	struct fd_pump *pump = calloc(1, sizeof(*pump));
	int err = pump ? 0 : ERR_NOMEM;

	if (err == 0)
		err = set_nonblocking(in_fd);
	if (err == 0)
		err = set_nonblocking(out_fd);
	if (err < 0) {
		if (in_fd != out_fd)
			close_fd(&out_fd);
		close_fd(&in_fd);
		free(pump);
		return err;
	}
	*pump = (struct fd_pump){
		.loop = loop,
		.stream = stream,
		.in_fd = in_fd,
		.out_fd = out_fd,
		.in_watcher = { .ready = ready, .user = pump },
		.out_watcher = { .ready = ready, .user = pump },
		.work = { .run = run_work, .user = pump },
		.rest = { .limit = PUMP_CHUNK },
		.in_ended = in_fd < 0,
		.out_ended = out_fd < 0,
		.on_end = on_end,
		.user = user,
	};
	stream->on_change = stream_changed;
	stream->user = pump;
	task_post(loop, &pump->work);
	*out = pump;
	return 0;
}

void fd_pump_free(struct fd_pump *pump)
{
	if (!pump)
		return;
	pump->stream->on_change = NULL;
	pump->stream->user = NULL;
	watcher_stop(pump->loop, &pump->in_watcher);
	watcher_stop(pump->loop, &pump->out_watcher);
	task_cancel(&pump->work);
	if (!one_descriptor(pump))
		close_fd(&pump->out_fd);
	close_fd(&pump->in_fd);
	buf_clear(&pump->rest);
	free(pump);
}

void fd_pump_pause(struct fd_pump *pump, bool paused)
{
	if (pump->paused == paused)
		return;
	pump->paused = paused;
	task_post(pump->loop, &pump->work);
}

void fd_pump_drain(struct fd_pump *pump)
{
	while (give_rest(pump) && read_and_give(pump))
		;
}

int fd_pump_failure(const struct fd_pump *pump)
{
	return pump->failure;
}
