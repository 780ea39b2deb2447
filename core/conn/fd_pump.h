/*
 * core/conn/fd_pump.h: joins a `struct stream` to descriptors.
 *
 * What the stream receives is written to `out_fd`, what `in_fd` gives is
 * written to the stream; either waits when the other side is full. It knows
 * nothing of what flows. Used between a tunnel's stream and libssh, and
 * between an SSH channel and a child process.
 *
 * The end of the stream half-closes `out_fd`: shutdown() when it is also
 * `in_fd` (a terminal stays open), close() otherwise. Bytes for a reader
 * that has gone are dropped.
 */
#ifndef TUNNELHOST_CONN_FD_PUMP_H
#define TUNNELHOST_CONN_FD_PUMP_H

#include <stdbool.h>

#include "core/base/loop.h"
#include "core/base/stream.h"

struct fd_pump;

/*
 * Takes the descriptors (made non-blocking; -1: none), also on failure, and
 * on_change of the stream, which stays the caller's to close. `on_end`
 * (may be NULL) is called once, from the loop: `in_fd` has ended and the
 * stream has taken all of it. A stream that takes no more (it failed, or
 * its peer has gone) does not stop `in_fd`: its bytes are dropped, since
 * what the stream still has to give may explain why. 0 or a negative enum
 * err.
 */
int fd_pump_new(struct loop *loop, struct stream *stream, int in_fd,
		int out_fd, void (*on_end)(void *user), void *user,
		struct fd_pump **out);
/* Closes the descriptors and lets go of the stream. NULL is allowed. */
void fd_pump_free(struct fd_pump *pump);

/* While paused nothing is taken from the stream. */
void fd_pump_pause(struct fd_pump *pump, bool paused);
/* Passes on at once what `in_fd` has now, as far as the stream takes it. */
void fd_pump_drain(struct fd_pump *pump);
/* The failure that reading the stream gave, or 0. */
int fd_pump_failure(const struct fd_pump *pump);

#endif
