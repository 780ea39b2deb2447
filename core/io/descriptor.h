/*
 * core/io/descriptor.h: standard descriptors without blocking.
 *
 * They are shared with the shell and other processes, so O_NONBLOCK must not
 * stay on them. A terminal or pipe is opened anew through /proc/self/fd,
 * which gives flags of our own. Else the descriptor is used as it is: a
 * socket with MSG_DONTWAIT, a pipe in pieces that fit after a poll, a file
 * without waiting.
 */
#ifndef TUNNELHOST_IO_DESCRIPTOR_H
#define TUNNELHOST_IO_DESCRIPTOR_H

#include "core/io/internal.h"

struct descriptor {
	int fd;
	bool own;			/* opened anew, to be closed */
	bool socket;
	bool pollable;			/* a file is not */
	bool polling;
	uv_poll_t *poll;
	void (*ready)(void *user);
	void *user;
};

int descriptor_open(struct io *io, int number, bool to_write,
		    void (*ready)(void *user), void *user,
		    struct descriptor *out);
void descriptor_close(struct descriptor *d);
/* One readiness wanted, for the direction that it was opened for. */
void descriptor_want(struct descriptor *d, bool wanted, bool to_write);
/* As read() and write(); -1 with EAGAIN when it would block. */
ssize_t descriptor_read(struct descriptor *d, void *data, size_t len);
ssize_t descriptor_write(struct descriptor *d, const void *data, size_t len);

#endif
