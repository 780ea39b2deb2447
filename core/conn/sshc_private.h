/*
 * core/conn/sshc_private.h: what sshc.c and sshc_channel.c share.
 */
#ifndef TUNNELHOST_CONN_SSHC_PRIVATE_H
#define TUNNELHOST_CONN_SSHC_PRIVATE_H

#include "core/conn/ssh_lane.h"
#include "core/conn/ssh_link.h"
#include "core/conn/sshc.h"

/* In order; each is left when libssh has the answer of the agent. */
enum sshc_phase {
	SSHC_WAITING,		/* for the session */
	SSHC_OPENING,
	SSHC_SETTING_ENV,
	SSHC_GETTING_PTY,
	SSHC_REQUESTING,
	SSHC_RUNNING,
	SSHC_ENDED,		/* failed or exited; buffers may be read */
};

struct sshc_channel {
	struct ssh_lane lane;
	struct list entry;	/* in sshc->channels */
	struct sshc *sshc;
	enum sshc_phase phase;
	/* Closed by the caller while opening: ends with the answer. */
	bool abandoned;

	enum sshc_kind kind;
	char *command;
	int port;
	char **env;		/* name, value, name, value … */
	size_t env_len;
	size_t env_next;
	char *term;		/* NULL: no pty */
	int rows;
	int columns;

	const struct sshc_channel_events *events;
	void *user;
	struct task tell;
	bool opened_untold;
	bool end_untold;
	struct error failure;	/* code 0: exited */
};

enum sshc_state {
	SSHC_CONNECTING,
	SSHC_AUTHENTICATING,
	SSHC_READY,
};

struct sshc {
	struct ssh_link link;
	struct log *log;
	struct list channels;
	size_t channel_count;
	enum sshc_state state;
	const struct sshc_events *events;
	void *user;
	struct task tell;
	bool ready_untold;
	bool end_untold;
};

/* One step of a channel in a turn; whether it did anything. May free it. */
bool sshc_channel_step(struct sshc_channel *channel);
/* The session is over. */
void sshc_channel_lose(struct sshc_channel *channel,
		       const struct error *error);
void sshc_channel_free(struct sshc_channel *channel);

#endif
