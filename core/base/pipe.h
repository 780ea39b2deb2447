/*
 * core/base/pipe.h: two connected streams in memory.
 *
 * For tests, and wherever two parts of the process talk by streams. What is
 * written to one end is read from the other; each direction is bounded.
 */
#ifndef TUNNELHOST_BASE_PIPE_H
#define TUNNELHOST_BASE_PIPE_H

#include "core/base/loop.h"
#include "core/base/stream.h"

/* 0 or ERR_NOMEM; the caller owns both ends. */
int pipe_new(struct loop *loop, size_t cap, struct stream *out[2]);

#endif
