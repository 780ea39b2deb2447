/*
 * core/io/proxy_ask.h: why does a proxy not let us through?
 *
 * libwebsockets tells a refusal from no other failure. So after one, and only
 * then, the proxy is asked once more by a connection of our own, just to
 * hear its answer (as probe.h does).
 */
#ifndef TUNNELHOST_IO_PROXY_ASK_H
#define TUNNELHOST_IO_PROXY_ASK_H

#include <sys/socket.h>

#include "core/base/loop.h"
#include "core/io/proxy.h"

#define PROXY_REQUEST_CAP 512
#define PROXY_ANSWER_CAP 256

struct proxy_ask {
	struct loop *loop;
	struct watcher watcher;
	struct timer timer;
	struct task task;
	char request[PROXY_REQUEST_CAP];
	size_t request_len;
	size_t sent;
	char answer[PROXY_ANSWER_CAP];
	size_t answer_len;
	struct error error;
	void (*done)(void *user, const struct error *error);
	void *user;
};

/* `done` comes once from the loop, unless it is stopped. */
void proxy_ask_start(struct proxy_ask *ask, struct loop *loop,
		     const struct sockaddr *address,
		     const struct proxy *proxy, const struct io_url *target,
		     void (*done)(void *user, const struct error *error),
		     void *user);
/* May be called at any time after `loop` and `watcher.fd` are set. */
void proxy_ask_stop(struct proxy_ask *ask);

#endif
