/*
 * core/conn/ssh_link.h: one libssh session on a `struct stream`.
 *
 * What client (sshc.h) and embedded server (core/simulate/sshd.h) share:
 * libssh sits on one end of a socketpair, a pump joins the other end to the
 * stream, and the loop turns libssh whenever the descriptor or the owner
 * has something for it. It never calls a user: owners set flags in their
 * hooks and post tasks.
 *
 * libssh 0.10: a session may only be given bytes to send when its socket has
 * taken the last ones (ssh_link_may_send), else it queues without bound.
 */
#ifndef TUNNELHOST_CONN_SSH_LINK_H
#define TUNNELHOST_CONN_SSH_LINK_H

#include <libssh/libssh.h>

#include "core/base/err.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/loop.h"
#include "core/base/stream.h"
#include "core/conn/fd_pump.h"

/* Offered in this order; x/crypto/ssh, OpenSSH and libssh know them all. */
#define SSH_LINK_CIPHERS                                          \
	"aes128-gcm@openssh.com,chacha20-poly1305@openssh.com,"   \
	"aes256-gcm@openssh.com,aes128-ctr,aes256-ctr"
#define SSH_LINK_KEX                                              \
	"curve25519-sha256,curve25519-sha256@libssh.org,"         \
	"ecdh-sha2-nistp256"

struct ssh_link {
	struct loop *loop;
	struct stream *stream;
	struct list lanes;	/* struct ssh_lane */
	ssh_session session;
	ssh_event event;
	struct fd_pump *pump;
	struct watcher watcher;	/* on a copy of libssh's descriptor */
	struct task work;
	int session_fd;		/* libssh's once it was handed over */
	bool settled;		/* the descriptor stays non-blocking now */
	bool over;
	struct error error;	/* why it is over */
	/* The owner's part of a turn; whether it did anything. May be NULL. */
	bool (*step)(struct ssh_link *link);
	/* Once; sets flags and posts tasks, frees nothing. */
	void (*ended)(struct ssh_link *link);
	void *user;
};

/* Takes the stream, also on failure. 0 or a negative enum err. */
int ssh_link_init(struct ssh_link *link, struct loop *loop,
		  struct stream *stream);
/* After libssh has got session_fd and has made its first step. */
int ssh_link_start(struct ssh_link *link);
/*
 * Frees session and stream; libssh's channels die with it. What libssh has
 * already written still goes out.
 */
void ssh_link_clear(struct ssh_link *link);

/* Lets libssh run soon. */
void ssh_link_wake(struct ssh_link *link);
bool ssh_link_may_send(const struct ssh_link *link);
/* Ends it from inside a step. */
void ssh_link_fail(struct ssh_link *link, int code, const char *message);

#endif
