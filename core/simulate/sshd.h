/*
 * core/simulate/sshd.h: the SSH server of the embedded deployment's agents.
 *
 * libssh on a socketpair, pumped to a `struct stream` by the loop
 * (core/conn/ssh_link.h); nothing blocks. Like a real agent it asks nobody
 * for authentication (RFC 4252 "none"). It opens session channels (RFC
 * 4254) and knows no command itself: each request goes to a `struct
 * sshd_handler` (core/simulate/exec.h runs child processes). Forwarding,
 * X11 and agent channels are refused.
 *
 * Handlers are called from the loop, never from inside an sshd_* call
 * except where said below. They may write to the channel and end it, but
 * must not free the server or disconnect from within.
 */
#ifndef TUNNELHOST_SIMULATE_SSHD_H
#define TUNNELHOST_SIMULATE_SSHD_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/loop.h"
#include "core/base/stream.h"

#define SSHD_CHANNELS_CAP 256	/* of one connection */
#define SSHD_ENV_CAP 128	/* variables of one channel; more: refused */
#define SSHD_NAME_CAP 64	/* user, TERM and signal names; longer: cut */

struct sshd;
struct sshd_channel;

enum sshd_kind {
	SSHD_EXEC,
	SSHD_SHELL,
	SSHD_SUBSYSTEM,
};

/* Borrowed, but lives as long as its channel. */
struct sshd_request {
	enum sshd_kind kind;
	const char *user;
	const char *command;		/* or the subsystem's name; "" */
	const char *const *env;		/* "NAME=value" … */
	size_t env_count;
	bool pty;
	const char *term;
	int rows;			/* kept up to date */
	int columns;
};

struct sshd_handler {
	/* Whether a request of this kind and name can be served at all. A
	 * question only: may not touch the server. NULL: all but subsystems. */
	bool (*accepts)(void *context, enum sshd_kind kind, const char *name);
	/*
	 * Starts what was requested. *run comes back in the calls below.
	 * Negative: the channel exits with status 126, and on_close is not
	 * called.
	 */
	int (*start)(void *context, struct sshd_channel *channel,
		     const struct sshd_request *request, void **run);
	void (*on_signal)(void *run, const char *name);	/* may be NULL */
	void (*on_resize)(void *run, int rows, int columns); /* may be NULL */
	/*
	 * Last: the channel has gone (after its exit, or before), and the
	 * pointer is dead after this call. Lets go of its streams.
	 */
	void (*on_close)(void *run);
	void *context;
};

/* Borrows `handler`. Makes an ed25519 host key. 0 or a negative enum err. */
int sshd_new(struct loop *loop, struct log *log,
	     const struct sshd_handler *handler, struct sshd **out);
/* Closes all connections; on_close is called from within. */
void sshd_free(struct sshd *sshd);

/* Takes `stream`, also on failure. 0 or a negative enum err. */
int sshd_accept(struct sshd *sshd, struct stream *stream);
size_t sshd_connection_count(const struct sshd *sshd);
/* Ends them as a stopping agent does; on_close is called from within. */
void sshd_disconnect_all(struct sshd *sshd);

/* stdin and stdout, stderr (write only). Owned by the channel. */
struct stream *sshd_channel_stream(struct sshd_channel *channel);
struct stream *sshd_channel_stderr(struct sshd_channel *channel);
/*
 * Ends the channel once all written bytes have left. `name` without "SIG".
 * The streams take no more.
 */
void sshd_channel_exit(struct sshd_channel *channel, int status);
void sshd_channel_exit_signal(struct sshd_channel *channel, const char *name);

#endif
