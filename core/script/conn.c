#include <stdlib.h>
#include <string.h>

#include "core/script/app.h"
#include "core/script/conn.h"
#include "core/script/failure.h"
#include "core/script/lua_stream.h"
#include "core/script/options.h"
#include "core/script/task.h"

/*
 * `conn`, the connection to the workspace's agent, and `conn.tunnel`. When
 * the tunnel is gone the handles stay and answer `closed`.
 */
#define DIAL_S 10

static void conn_release(void *object)
{
	struct script_conn_object *self = object;

	if (--self->users)
		return;
	list_remove(&self->link);
	list_each(at, next, &self->pendings)
		list_remove(at);
	free(self);
}

static int conn_index(lua_State *L);
static int conn_dial(lua_State *L);
static int conn_close(lua_State *L);
static int conn_stats(lua_State *L);
static int tunnel_shutdown(lua_State *L);
static int tunnel_state(lua_State *L);

static const luaL_Reg conn_methods[] = {
	{ "dial", conn_dial },
	{ "ping", script_conn_ping },
	{ "await_reachable", script_conn_await_reachable },
	{ "stats", conn_stats },
	{ "ssh", script_conn_ssh },
	{ "speedtest", script_conn_speedtest },
	{ NULL, NULL },
};

static const struct script_handle_type conn_type = {
	.name = "conn",
	.metatable = "tunnel.conn",
	.close = conn_release,
	.methods = conn_methods,
	.index = conn_index,
	.close_method = conn_close,
	.lasting = true,
};

static const luaL_Reg tunnel_methods[] = {
	{ "shutdown", tunnel_shutdown },
	{ "state", tunnel_state },
	{ NULL, NULL },
};

static const struct script_handle_type tunnel_type = {
	.name = "tunnel",
	.metatable = "tunnel.tunnel",
	.close = conn_release,
	.methods = tunnel_methods,
	.close_method = tunnel_shutdown,
	.lasting = true,
};

struct script_conn_object *script_conn_check(lua_State *L, int index)
{
	return script_handle_check(L, index, &conn_type);
}

int script_conn_closed(lua_State *L)
{
	return script_fail(L, ERR_CLOSED, "the tunnel is gone");
}

static void copy_text(char out[SCRIPT_CONN_TEXT_CAP], const char *text)
{
	strncpy(out, text ? text : "", SCRIPT_CONN_TEXT_CAP - 1);
}

static struct script_conn_object *new_object(lua_State *L,
					     struct script_conn *conn)
{
	struct script_conn_object *self = calloc(1, sizeof(*self));
	struct script *script = script_of(L);

	if (!self)
		script_raise(L, ERR_LIMIT, "no memory for a connection");
	self->script = script;
	self->conn = conn;
	self->users = 1;
	list_init(&self->pendings);
	uuid_to_text(&conn->agent_id, self->agent_id);
	copy_text(self->agent_name, conn->agent_name);
	copy_text(self->address, conn->address);
	list_add_tail(&script->conns, &self->link);
	return self;
}

void script_push_conn(lua_State *L, struct script_conn *conn)
{
	struct script_conn_object *self;

	if (!conn) {
		lua_pushnil(L);
		return;
	}
	script_handle_new(L, &conn_type, 1);
	self = new_object(L, conn);
	script_handle_set(L, -1, self);
	script_handle_new(L, &tunnel_type, 0);
	script_handle_set(L, -1, self);
	self->users++;
	lua_setiuservalue(L, -2, 1);
}

static void end_pending(struct script_pending *pending)
{
	struct error error = { ERR_CLOSED, "the tunnel is gone" };

	list_remove(&pending->link);
	if (pending->op)
		pending->cancel(pending);
	script_pending_done(pending, &error);
}

void script_conn_end(struct script *script, struct script_conn *conn)
{
	list_each(at, next, &script->conns) {
		struct script_conn_object *self =
			container_of(at, struct script_conn_object, link);

		if (self->conn != conn)
			continue;
		while (!list_empty(&self->pendings))
			end_pending(container_of(self->pendings.next,
						 struct script_pending, link));
		self->conn = NULL;
	}
}

static int conn_index(lua_State *L)
{
	struct script_conn_object *self = script_conn_check(L, 1);
	const char *name = luaL_checkstring(L, 2);

	if (strcmp(name, "tunnel") == 0)
		lua_getiuservalue(L, 1, 1);
	else if (strcmp(name, "agent_id") == 0)
		lua_pushstring(L, self->agent_id);
	else if (strcmp(name, "agent_name") == 0)
		lua_pushstring(L, self->agent_name);
	else if (strcmp(name, "address") == 0)
		lua_pushstring(L, self->address);
	else
		lua_pushnil(L);
	return 1;
}

static void cancel_op(struct script_pending *pending)
{
	struct script_conn_object *self = pending->owner;

	if (self->conn)
		self->conn->ops->cancel(self->conn, pending->op);
	pending->op = NULL;
}

void script_conn_own(struct script_pending *pending,
		struct script_conn_object *self)
{
	pending->owner = self;
	pending->cancel = cancel_op;
	list_add_tail(&self->pendings, &pending->link);
}

/* What is left until a deadline, for the host's own time-outs. */
uint64_t script_conn_left(const struct script *script, uint64_t deadline_us)
{
	uint64_t now = loop_now_us(script->config.loop);

	if (deadline_us == DEADLINE_NONE)
		return DEADLINE_NONE;
	return deadline_us > now ? deadline_us - now : 0;
}

bool script_conn_dial(lua_State *L, struct script_conn_object *self,
		      uint16_t port, uint64_t deadline_us)
{
	struct script_pending *pending;
	int err;

	if (!self->conn) {
		script_conn_closed(L);
		return false;
	}
	pending = script_pending_new(L, sizeof(*pending));
	err = self->conn->ops->dial(self->conn, port,
				    script_conn_left(self->script,
						     deadline_us),
				    script_pending_connected, pending,
				    &pending->op);
	if (err == 0) {
		script_conn_own(pending, self);
		return true;
	}
	script_fail(L, err, "cannot dial port %d (%s)", port, err_name(err));
	return false;
}

static int dial_k(lua_State *L, int status, lua_KContext ctx)
{
	struct script_pending *pending = lua_touserdata(L, -1);

	(void)status;
	(void)ctx;
	script_woken(L);
	list_remove(&pending->link);
	if (!script_pending_answer(L, pending, "dial"))
		return 2;
	script_stream_push(L, pending->stream);
	pending->stream = NULL;
	return 1;
}

static int dial_udp(lua_State *L, struct script_conn_object *self,
		    uint16_t port)
{
	struct script_datagram *datagram;
	int err;

	if (!self->conn)
		return script_conn_closed(L);
	err = self->conn->ops->dial_udp(self->conn, port, &datagram);
	if (err < 0)
		return script_fail(L, err, "cannot open port %d (%s)", port,
				   err_name(err));
	script_datagram_push(L, datagram);
	return 1;
}

/* dial("tcp" | "udp", port, {timeout=}) */
static int conn_dial(lua_State *L)
{
	static const char *const kinds[] = { "tcp", "udp", NULL };
	struct script_conn_object *self = script_conn_check(L, 1);
	int kind = luaL_checkoption(L, 2, NULL, kinds);
	lua_Integer port = luaL_checkinteger(L, 3);
	uint64_t deadline = script_deadline_default(L, DIAL_S);
	const struct script_option options[] = {
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};

	luaL_argcheck(L, port > 0 && port < 65536, 3, "no such port");
	script_options(L, 4, options, 1);
	script_may_wait(L, "dial");
	if (kind == 1)
		return dial_udp(L, self, (uint16_t)port);
	if (!script_conn_dial(L, self, (uint16_t)port, deadline))
		return 2;
	return script_pending_wait(L, lua_touserdata(L, -1), "dial", deadline,
				   0, dial_k);
}

/* Its path, phases, candidates and network: a snapshot. */
static int conn_stats(lua_State *L)
{
	struct script_conn_object *self = script_conn_check(L, 1);

	if (!self->conn)
		return script_conn_closed(L);
	self->conn->ops->push_stats(self->conn, L);
	return 1;
}

/* The connection ends with its tunnel, not with a handle. */
static int conn_close(lua_State *L)
{
	script_conn_check(L, 1);
	lua_pushboolean(L, 1);
	return 1;
}

/* shutdown{status=}: begins; the tunnel winds down around the caller. */
static int tunnel_shutdown(lua_State *L)
{
	struct script_conn_object *self =
		script_handle_check(L, 1, &tunnel_type);
	lua_Integer status = -1;
	uint64_t deadline = DEADLINE_NONE;
	const struct script_option options[] = {
		{ "status", SCRIPT_OPTION_INTEGER, &status },
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};

	if (lua_istable(L, 2))
		script_options(L, 2, options, 2);
	luaL_argcheck(L, status >= -1 && status < 256, 2,
		      "status must be from 0 to 255");
	if (!self->conn)
		return script_conn_closed(L);
	self->conn->ops->shutdown(self->conn, (int)status);
	lua_pushboolean(L, 1);
	return 1;
}

static int tunnel_state(lua_State *L)
{
	struct script_conn_object *self =
		script_handle_check(L, 1, &tunnel_type);

	lua_pushstring(L, self->conn ? self->conn->ops->state(self->conn)
				     : "exit");
	return 1;
}
