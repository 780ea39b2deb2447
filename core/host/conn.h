/*
 * core/host/conn.h: a tunnel as scripts use it (core/script's script_conn).
 */
#ifndef TUNNELHOST_HOST_CONN_H
#define TUNNELHOST_HOST_CONN_H

#include "core/base/list.h"
#include "core/host/timeline.h"
#include "core/script/script.h"
#include "core/tunnel/tunnel.h"

struct conn {
	struct script_conn script;	/* first: what scripts are given */
	struct tunnel *tunnel;
	char agent_name[64];
	struct list operations;
	struct list datagrams;
	void (*on_shutdown)(void *user, int status);
	const char *(*on_state)(void *user);
	const struct timeline *(*on_timeline)(void *user);
	void *user;
};

void conn_init(struct conn *conn, struct tunnel *tunnel,
	       const struct uuid *agent_id, const char *agent_name);
/* What is under way is dropped silently; before tunnel_free(). */
void conn_clear(struct conn *conn);

#endif
