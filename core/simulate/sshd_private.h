/*
 * core/simulate/sshd_private.h: what sshd.c and sshd_channel.c share.
 */
#ifndef TUNNELHOST_SIMULATE_SSHD_PRIVATE_H
#define TUNNELHOST_SIMULATE_SSHD_PRIVATE_H

#include <libssh/server.h>

#include "core/conn/ssh_lane.h"
#include "core/conn/ssh_link.h"
#include "core/simulate/sshd.h"

#define SSHD_SIGNALS_CAP 8	/* not yet handed on; more: dropped */

struct sshd {
	struct loop *loop;
	struct log *log;
	const struct sshd_handler *handler;
	ssh_bind bind;
	struct list connections;
	size_t connection_count;
};

struct sshd_connection {
	struct list entry;	/* in sshd->connections */
	struct sshd *sshd;
	struct ssh_link link;
	struct ssh_server_callbacks_struct callbacks;
	struct list channels;
	size_t channel_count;
	char user[SSHD_NAME_CAP];
	struct task reap;
};

struct sshd_channel {
	struct list entry;	/* in connection->channels */
	struct sshd_connection *connection;
	struct ssh_lane lane;
	struct ssh_channel_callbacks_struct callbacks;
	struct sshd_request request;
	char *command;
	char *env[SSHD_ENV_CAP];
	char term[SSHD_NAME_CAP];
	bool requested;		/* start is due or done */
	bool started;		/* `run` is valid */
	bool resized;
	char signals[SSHD_SIGNALS_CAP][SSHD_NAME_CAP];
	size_t signal_count;
	void *run;
	struct task work;
};

/* NULL: no memory, or too many. Its libssh channel is in lane.channel. */
struct sshd_channel *sshd_channel_new(struct sshd_connection *connection);
/* Calls on_close if it was started. */
void sshd_channel_free(struct sshd_channel *channel);

#endif
