/*
 * core/io/probe.h: why could no TCP connection be made?
 *
 * libwebsockets swallows the errno of a failed connect. So after a failure,
 * and only then, the same address is tried once more, just to hear why.
 */
#ifndef TUNNELHOST_IO_PROBE_H
#define TUNNELHOST_IO_PROBE_H

#include <sys/socket.h>

#include "core/base/loop.h"

struct probe {
	struct loop *loop;
	struct watcher watcher;
	struct task task;
	int number;			/* errno of connect(); 0: it worked */
	void (*done)(void *user, int number);
	void *user;
};

/* `done` comes once from the loop, unless it is stopped. */
void probe_start(struct probe *probe, struct loop *loop,
		 const struct sockaddr *address,
		 void (*done)(void *user, int number), void *user);
void probe_stop(struct probe *probe);

#endif
