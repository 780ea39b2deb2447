/*
 * core/conn/sshc.h: the SSH client that talks to an agent (port 1).
 *
 * libssh on a socketpair, pumped to a `struct stream` (core/base/stream.h) by
 * the loop; nothing blocks. Owns its stream. It follows RFC 4252 (method
 * "none") and RFC 4254 (session channels).
 *
 * There is no authentication and the host key is not checked: the WireGuard
 * tunnel below has already proved that the other end is the agent (its key
 * came from the coordinator) and that we may talk to it. An agent makes a
 * new host key at each start, so that a check could only be wrong.
 *
 * There are no time-outs here: an agent that stays silent is waited for, and
 * the caller closes what has taken too long.
 *
 * All callbacks come from the loop, never from inside a call, and never after
 * sshc_close() (or, for a channel, sshc_channel_close()). A callback may
 * close its channel or the whole session.
 */
#ifndef TUNNELHOST_CONN_SSHC_H
#define TUNNELHOST_CONN_SSHC_H

#include <stddef.h>

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/loop.h"
#include "core/base/stream.h"

/* Open channels of one session. */
#define SSHC_CHANNELS_CAP 256
#define SSHC_ENV_CAP 128

struct sshc;
struct sshc_channel;

struct sshc_events {
	void (*on_ready)(void *user);
	/* The session failed or ended; channels have failed before. Once. */
	void (*on_end)(void *user, const struct error *error);
};

/*
 * Takes `stream`, also on failure. Channels may be opened at once; they wait
 * for the session. 0 or a negative enum err.
 */
int sshc_open(struct loop *loop, struct stream *stream, struct log *log,
	      const struct sshc_events *events, void *user, struct sshc **out);
/* Closes all channels too: their pointers are dead afterwards. */
void sshc_close(struct sshc *sshc);

struct sshc_pty {
	const char *term;
	int rows;
	int columns;
};

struct sshc_env {
	const char *name;
	const char *value;
};

enum sshc_kind {
	SSHC_EXEC,
	SSHC_SHELL,
	SSHC_SUBSYSTEM,
	SSHC_FORWARD,		/* TCP from the agent's host (direct-tcpip) */
};

/* Copied by sshc_channel_open(). */
struct sshc_request {
	enum sshc_kind kind;
	const char *command;		/* or the subsystem's name, or host */
	int port;			/* of a forward; else unused */
	const struct sshc_env *env;	/* refused ones are dropped silently */
	size_t env_count;
	const struct sshc_pty *pty;	/* NULL: none */
};

/* Any may be NULL. */
struct sshc_channel_events {
	void (*on_open)(void *user);	/* the request was accepted */
	/*
	 * Refused before on_open, or lost with its session later. Once, and
	 * then never on_exit. Received bytes can still be read.
	 */
	void (*on_failed)(void *user, const struct error *error);
	/*
	 * The channel has ended: both streams have got their end of stream
	 * (received bytes may still wait in them). signal "" unless killed
	 * by one; status -1 if the agent named none (a
	 * forward never has one).
	 */
	void (*on_exit)(void *user, int status, const char *signal);
};

/* 0, ERR_CLOSED after the session's end, ERR_LIMIT, ERR_MISUSE, ERR_NOMEM. */
int sshc_channel_open(struct sshc *sshc, const struct sshc_request *request,
		      const struct sshc_channel_events *events, void *user,
		      struct sshc_channel **out);
/*
 * stdin and stdout, usable at once: what is written before on_open waits.
 * Owned by the channel: never stream_close() them. Each takes 256 KiB ahead
 * of the agent, and one that is not read holds about two SSH windows (2.6
 * MB) at most, then the agent must wait. stderr is read-only (write:
 * ERR_CLOSED). Both share one window: while one of them stays unread the
 * other stops too, and if the agent goes on to fill the unread one (4 MiB)
 * all channels of the session wait.
 */
struct stream *sshc_channel_stream(struct sshc_channel *channel);
struct stream *sshc_channel_stderr(struct sshc_channel *channel);
/* Name without "SIG". 0, or ERR_CLOSED unless open. */
int sshc_channel_signal(struct sshc_channel *channel, const char *name);
int sshc_channel_resize(struct sshc_channel *channel, int rows, int columns);
/* In any state; the pointer is dead afterwards. */
void sshc_channel_close(struct sshc_channel *channel);

#endif
