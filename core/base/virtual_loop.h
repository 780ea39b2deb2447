/*
 * core/base/virtual_loop.h: a loop whose clock is a number.
 *
 * For tests and simulations. Time moves to the next deadline whenever
 * nothing is runnable. Watched descriptors are polled without waiting
 * before time moves, so that socketpairs inside one process work.
 */
#ifndef TUNNELHOST_BASE_VIRTUAL_LOOP_H
#define TUNNELHOST_BASE_VIRTUAL_LOOP_H

#include "core/base/loop.h"

struct virtual_loop {
	struct loop loop;
	uint64_t now_us;
	int64_t wall_us;	/* wall time at now_us == 0 */
	struct watcher **watchers;
	size_t watcher_count;
	size_t watcher_cap;
};

void virtual_loop_init(struct virtual_loop *v);
void virtual_loop_clear(struct virtual_loop *v);
/* Runs until `*done`, or until virtual time reaches `until_us`. */
void virtual_loop_run(struct virtual_loop *v, uint64_t until_us,
		      const bool *done);

#endif
