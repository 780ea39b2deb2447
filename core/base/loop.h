/*
 * core/base/loop.h: the event loop as rooms see it.
 *
 * An interface with two implementations: core/io on libuv, and a virtual one
 * (core/base/virtual_loop.h) whose time moves only when nothing is runnable.
 * Everything runs on one thread. A callback may set, stop or free any timer,
 * task or watcher, its own included. Objects are embedded in their owner,
 * zeroed before first use, and stopped by their owner before it dies.
 */
#ifndef TUNNELHOST_BASE_LOOP_H
#define TUNNELHOST_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/heap.h"
#include "core/base/list.h"

struct loop;

/* Fires once at its deadline, then is stopped. */
struct timer {
	struct heap_node node;
	void (*fire)(struct timer *timer);
	void *user;
};

/* Runs once, after the current callback and before the loop sleeps. */
struct task {
	struct list link;
	void (*run)(struct task *task);
	void *user;
};

enum watch_events {
	WATCH_READ = 1,
	WATCH_WRITE = 2,
};

/* A descriptor that must be polled (libssh, a terminal). */
struct watcher {
	int fd;
	void (*ready)(struct watcher *watcher, unsigned events);
	void *user;
	void *backend;		/* the loop's own; NULL when stopped */
};

struct loop_ops {
	uint64_t (*now_us)(struct loop *loop);
	int64_t (*wall_us)(struct loop *loop);
	int (*watch)(struct loop *loop, struct watcher *watcher,
		     unsigned events);
	void (*unwatch)(struct loop *loop, struct watcher *watcher);
	/* A timer or task came first in its queue: look again. */
	void (*wake)(struct loop *loop);
};

struct loop {
	const struct loop_ops *ops;
	struct heap timers;
	struct list tasks;
};

void loop_init(struct loop *loop, const struct loop_ops *ops);
void loop_clear(struct loop *loop);

/* Monotonic, counts in sleep; the same value within one turn. */
uint64_t loop_now_us(struct loop *loop);
/* Microseconds since 1970; may jump. */
int64_t loop_wall_us(struct loop *loop);

/* Sets or moves; DEADLINE_NONE stops. Past deadlines fire in this turn. */
void timer_set(struct loop *loop, struct timer *timer, uint64_t deadline_us);
void timer_stop(struct loop *loop, struct timer *timer);
static inline bool timer_active(const struct timer *timer)
{
	return timer->node.slot != 0;
}

/* Queues once, however often it is called before it runs. */
void task_post(struct loop *loop, struct task *task);
void task_cancel(struct task *task);

/* Starts watching or changes the events; 0 or a negative enum err. */
int watcher_set(struct loop *loop, struct watcher *watcher, unsigned events);
void watcher_stop(struct loop *loop, struct watcher *watcher);

/*
 * For implementations: fires what is due and runs what is posted, in order,
 * until nothing is left to run now. Returns the next deadline.
 */
uint64_t loop_run_due(struct loop *loop);

#endif
