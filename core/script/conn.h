/*
 * core/script/conn.h: the object behind a connection's handles.
 */
#ifndef TUNNELHOST_SCRIPT_CONN_H
#define TUNNELHOST_SCRIPT_CONN_H

#include "core/script/bindings.h"

#define SCRIPT_CONN_TEXT_CAP 128

struct script_conn_object {
	struct list link;		/* in script->conns */
	struct script *script;
	struct script_conn *conn;	/* NULL: the tunnel is gone */
	struct list pendings;
	unsigned users;			/* its handle and its tunnel's */
	char agent_id[UUID_TEXT_CAP];
	char agent_name[SCRIPT_CONN_TEXT_CAP];
	char address[SCRIPT_CONN_TEXT_CAP];
};

/* An operation that ends with the connection. */
void script_conn_own(struct script_pending *pending,
		     struct script_conn_object *self);
/* What is left until a deadline, for the host's own time-outs. */
uint64_t script_conn_left(const struct script *script, uint64_t deadline_us);

/* conn_ping.c */
int script_conn_ping(lua_State *L);
int script_conn_await_reachable(lua_State *L);

/* conn_speedtest.c */
int script_conn_speedtest(lua_State *L);

#endif
