/*
 * core/base/loop.h on libuv.
 *
 * One turn: libuv polls and calls back; then `check` and, before the next
 * sleep, `prepare` fire what is due and run what is posted. `prepare` sets
 * the one uv_timer to the next deadline, or keeps `busy` going when there is
 * still something to run. Time is read on the first look after each sleep.
 */
#include <stdlib.h>
#include <time.h>

#include "core/io/internal.h"

static struct io *self(struct loop *loop)
{
	return container_of(loop, struct io, loop);
}

static uint64_t read_clock(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * US_PER_S + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t real_now(struct loop *loop)
{
	struct io *io = self(loop);

	if (!io->now_known) {
		io->now_us = read_clock(CLOCK_BOOTTIME);
		io->now_known = true;
	}
	return io->now_us;
}

static int64_t real_wall(struct loop *loop)
{
	(void)loop;
	return (int64_t)read_clock(CLOCK_REALTIME);
}

struct poll {
	struct list link;
	uv_poll_t uv;
	struct watcher *watcher;
};

static void poll_freed(uv_handle_t *handle)
{
	free(handle->data);
}

/* An error is for the owner to find by reading or writing. */
static void poll_ready(uv_poll_t *uv, int status, int events)
{
	struct poll *poll = uv->data;
	unsigned ready = 0;

	if (status < 0)
		ready = WATCH_READ | WATCH_WRITE;
	if (events & (UV_READABLE | UV_DISCONNECT))
		ready |= WATCH_READ;
	if (events & UV_WRITABLE)
		ready |= WATCH_WRITE;
	if (ready)
		poll->watcher->ready(poll->watcher, ready);
}

static int poll_new(struct io *io, struct watcher *watcher)
{
	struct poll *poll = calloc(1, sizeof(*poll));
	int status;

	if (!poll)
		return ERR_NOMEM;
	status = uv_poll_init(&io->uv, &poll->uv, watcher->fd);
	if (status < 0) {
		free(poll);
		return io_err_from_uv(status);
	}
	poll->uv.data = poll;
	poll->watcher = watcher;
	list_add_tail(&io->polls, &poll->link);
	watcher->backend = poll;
	return 0;
}

static int real_watch(struct loop *loop, struct watcher *watcher,
		      unsigned events)
{
	struct poll *poll;
	int wanted = 0;

	if (!watcher->backend) {
		int err = poll_new(self(loop), watcher);

		if (err < 0)
			return err;
	}
	poll = watcher->backend;
	if (events & WATCH_READ)
		wanted |= UV_READABLE;
	if (events & WATCH_WRITE)
		wanted |= UV_WRITABLE;
	return io_err_from_uv(uv_poll_start(&poll->uv, wanted, poll_ready));
}

static void real_unwatch(struct loop *loop, struct watcher *watcher)
{
	struct poll *poll = watcher->backend;

	(void)loop;
	watcher->backend = NULL;
	list_remove(&poll->link);
	uv_close((uv_handle_t *)&poll->uv, poll_freed);
}

/* `prepare` looks before every sleep; there is no other thread. */
static void real_wake(struct loop *loop)
{
	(void)loop;
}

static const struct loop_ops ops = {
	.now_us = real_now,
	.wall_us = real_wall,
	.watch = real_watch,
	.unwatch = real_unwatch,
	.wake = real_wake,
};

static void on_wakeup(uv_timer_t *timer)
{
	(void)timer;
}

static void on_busy(uv_idle_t *idle)
{
	(void)idle;
}

static bool finished(const struct io *io)
{
	return io->stopped || (io->done && *io->done);
}

static void plan_sleep(struct io *io, uint64_t next_us)
{
	uint64_t now_us = read_clock(CLOCK_BOOTTIME);

	if (finished(io) || next_us <= now_us || !list_empty(&io->loop.tasks)) {
		uv_idle_start(&io->busy, on_busy);
		return;
	}
	uv_idle_stop(&io->busy);
	if (next_us == DEADLINE_NONE)
		uv_timer_stop(&io->wakeup);
	else
		uv_timer_start(&io->wakeup, on_wakeup,
			       (next_us - now_us + US_PER_MS - 1) / US_PER_MS,
			       0);
}

static void on_prepare(uv_prepare_t *prepare)
{
	struct io *io = prepare->data;

	loop_run_due(&io->loop);
	/* The last round may have set timers that its answer left out. */
	plan_sleep(io, heap_next_deadline(&io->loop.timers));
	io->now_known = false;
}

static void on_check(uv_check_t *check)
{
	struct io *io = check->data;

	loop_run_due(&io->loop);
}

int io_loop_init(struct io *io)
{
	int status = uv_loop_init(&io->uv);

	if (status < 0)
		return io_err_from_uv(status);
	loop_init(&io->loop, &ops);
	list_init(&io->polls);
	uv_timer_init(&io->uv, &io->wakeup);
	uv_prepare_init(&io->uv, &io->prepare);
	uv_check_init(&io->uv, &io->check);
	uv_idle_init(&io->uv, &io->busy);
	io->prepare.data = io;
	io->check.data = io;
	uv_prepare_start(&io->prepare, on_prepare);
	uv_check_start(&io->check, on_check);
	return 0;
}

/* A watcher that its owner forgot would keep io_free() waiting. */
static void stop_watchers(struct io *io)
{
	list_each(at, safe, &io->polls) {
		struct poll *poll = container_of(at, struct poll, link);

		real_unwatch(&io->loop, poll->watcher);
	}
}

void io_loop_close(struct io *io)
{
	stop_watchers(io);
	uv_close((uv_handle_t *)&io->wakeup, NULL);
	uv_close((uv_handle_t *)&io->prepare, NULL);
	uv_close((uv_handle_t *)&io->check, NULL);
	uv_close((uv_handle_t *)&io->busy, NULL);
}

struct loop *io_loop(struct io *io)
{
	return &io->loop;
}

int io_run(struct io *io, const bool *done)
{
	io->done = done;
	io->stopped = false;
	io->now_known = false;
	while (!finished(io))
		uv_run(&io->uv, UV_RUN_ONCE);
	io->done = NULL;
	return 0;
}

void io_stop(struct io *io)
{
	io->stopped = true;
}

int io_err_from_uv(int status)
{
	if (status >= 0)
		return 0;
	if (status == UV_EAI_AGAIN)
		return ERR_UNREACHABLE;
	if (status <= UV_EAI_BADFLAGS && status >= UV_EAI_SOCKTYPE)
		return ERR_NOT_FOUND;
	return err_from_errno(-status);
}
