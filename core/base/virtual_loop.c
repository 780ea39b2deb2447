#include "core/base/virtual_loop.h"

#include <poll.h>
#include <stdlib.h>

#include "core/base/err.h"

static struct virtual_loop *self(struct loop *loop)
{
	return container_of(loop, struct virtual_loop, loop);
}

static uint64_t virtual_now(struct loop *loop)
{
	return self(loop)->now_us;
}

static int64_t virtual_wall(struct loop *loop)
{
	return self(loop)->wall_us + (int64_t)self(loop)->now_us;
}

/* watcher->backend holds the events, so that NULL means stopped. */
static int virtual_watch(struct loop *loop, struct watcher *watcher,
			 unsigned events)
{
	struct virtual_loop *v = self(loop);

	if (!watcher->backend) {
		if (v->watcher_count == v->watcher_cap) {
			size_t cap = v->watcher_cap ? 2 * v->watcher_cap : 8;
			struct watcher **grown = realloc(
				v->watchers, cap * sizeof(struct watcher *));

			if (!grown)
				return ERR_NOMEM;
			v->watchers = grown;
			v->watcher_cap = cap;
		}
		v->watchers[v->watcher_count++] = watcher;
	}
	watcher->backend = (void *)(uintptr_t)events;
	return 0;
}

static void virtual_unwatch(struct loop *loop, struct watcher *watcher)
{
	struct virtual_loop *v = self(loop);

	watcher->backend = NULL;
	for (size_t i = 0; i < v->watcher_count; i++)
		if (v->watchers[i] == watcher)
			v->watchers[i] = NULL;
}

static void virtual_wake(struct loop *loop)
{
	(void)loop;
}

static const struct loop_ops ops = {
	.now_us = virtual_now,
	.wall_us = virtual_wall,
	.watch = virtual_watch,
	.unwatch = virtual_unwatch,
	.wake = virtual_wake,
};

void virtual_loop_init(struct virtual_loop *v)
{
	*v = (struct virtual_loop){ .wall_us = 1700000000000000 };
	loop_init(&v->loop, &ops);
}

void virtual_loop_clear(struct virtual_loop *v)
{
	loop_clear(&v->loop);
	free(v->watchers);
}

static void forget_stopped(struct virtual_loop *v)
{
	size_t kept = 0;

	for (size_t i = 0; i < v->watcher_count; i++)
		if (v->watchers[i])
			v->watchers[kept++] = v->watchers[i];
	v->watcher_count = kept;
}

static unsigned poll_one(const struct watcher *watcher)
{
	unsigned wanted = (unsigned)(uintptr_t)watcher->backend;
	struct pollfd p = {
		.fd = watcher->fd,
		.events = (short)((wanted & WATCH_READ ? POLLIN : 0) |
				  (wanted & WATCH_WRITE ? POLLOUT : 0)),
	};

	if (poll(&p, 1, 0) <= 0)
		return 0;
	if (p.revents & (POLLERR | POLLHUP))
		return wanted;
	return (p.revents & POLLIN ? WATCH_READ : 0u) |
	       (p.revents & POLLOUT ? WATCH_WRITE : 0u);
}

static bool poll_watchers(struct virtual_loop *v)
{
	bool any = false;

	for (size_t i = 0; i < v->watcher_count; i++) {
		struct watcher *watcher = v->watchers[i];
		unsigned events = watcher ? poll_one(watcher) : 0;

		if (events) {
			any = true;
			watcher->ready(watcher, events);
		}
	}
	forget_stopped(v);
	return any;
}

void virtual_loop_run(struct virtual_loop *v, uint64_t until_us,
		      const bool *done)
{
	while (!done || !*done) {
		uint64_t next = loop_run_due(&v->loop);

		if (done && *done)
			return;
		if (poll_watchers(v) || next <= v->now_us ||
		    !list_empty(&v->loop.tasks))
			continue;
		next = heap_next_deadline(&v->loop.timers);
		if (next == DEADLINE_NONE || next > until_us) {
			if (until_us != DEADLINE_NONE)
				v->now_us = until_us;
			return;
		}
		v->now_us = next > v->now_us ? next : v->now_us;
	}
}
