/*
 * core/base/copy.h: joins two streams (Lua's tunnel.splice).
 *
 * Moves bytes both ways until both directions have ended; the end of one
 * direction is passed on as a half-close. A failure of either stream ends
 * both directions.
 */
#ifndef TUNNELHOST_BASE_COPY_H
#define TUNNELHOST_BASE_COPY_H

#include "core/base/loop.h"
#include "core/base/stream.h"

struct copy_result {
	int err;		/* 0, or the failure of either stream */
	uint64_t bytes[2];	/* [0] a to b, [1] b to a */
};

struct copy;
typedef void copy_done(void *user, const struct copy_result *result);

/*
 * Takes over on_change of both streams until done; the streams stay the
 * caller's to close. `done` is called once, from the loop. 0 or ERR_NOMEM.
 */
int copy_start(struct loop *loop, struct stream *a, struct stream *b,
	       copy_done *done, void *user, struct copy **out);
/* Ends it early, without `done`. Not after `done`. */
void copy_cancel(struct copy *copy);

#endif
