#include <stdlib.h>
#include <string.h>

#include "core/host/lua_parts.h"
#include "core/host/lua_stats.h"
#include "core/script/app.h"
#include "core/script/failure.h"
#include "core/script/options.h"
#include "core/script/task.h"
#include "core/tunnel/tunnel.h"

/*
 * The handle of tunnel.open. While the tunnel has not exited it stands in
 * the registry: an open tunnel is not collected.
 */
#define WAIT_S 600

static int unref(lua_State *L)
{
	luaL_unref(L, LUA_REGISTRYINDEX, *(int *)lua_touserdata(L, 1));
	return 0;
}

static void let_go(struct lua_tunnel *self)
{
	int ref = self->ref;

	self->ref = LUA_NOREF;
	if (ref != LUA_NOREF)
		script_protected(self->script, unref, &ref, NULL);
}

static void release(void *object)
{
	struct lua_tunnel *self = object;

	script_wake_all(self->script, &self->waiters);
	list_remove(&self->link);
	session_free(self->session);
	script_guest_free(self->guest);
	let_go(self);
	free(self);
}

/* After the exit anything may collect the handle: nothing comes after. */
void lua_tunnel_changed(void *user)
{
	struct lua_tunnel *self = user;

	script_wake_all(self->script, &self->waiters);
	if (!session_reason(self->session))
		return;
	list_remove(&self->link);
	let_go(self);
}

struct lua_tunnel *lua_tunnel_push(lua_State *L)
{
	struct lua_tunnel *self;

	script_handle_new(L, &lua_tunnel_type, 0);
	self = calloc(1, sizeof(*self));
	if (!self)
		script_raise(L, ERR_LIMIT, "no memory for a tunnel");
	self->script = script_of(L);
	list_init(&self->link);
	list_init(&self->waiters);
	self->ref = LUA_NOREF;
	script_handle_set(L, -1, self);
	return self;
}

void lua_tunnel_keep(lua_State *L, struct lua_tunnel *self)
{
	lua_pushvalue(L, -1);
	self->ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

static struct lua_tunnel *check(lua_State *L)
{
	return script_handle_check(L, 1, &lua_tunnel_type);
}

/* In a continuation: NULL when it was closed meanwhile. */
static struct lua_tunnel *look(lua_State *L)
{
	return script_handle_peek(L, 1, &lua_tunnel_type);
}

static int wait_on(lua_State *L, struct lua_tunnel *self, const char *what,
		   uint64_t deadline, lua_KFunction k)
{
	return script_wait(L, &(struct script_wait){
		.what = what,
		.on = &self->waiters,
		.deadline_us = deadline,
	}, (lua_KContext)deadline, k);
}

static int was_closed(lua_State *L)
{
	return script_fail(L, ERR_CLOSED, "the tunnel was closed");
}

/* nil, err: it has exited, and why. */
static int push_end(lua_State *L, const struct reason *reason)
{
	if (reason->error.code && reason->error.code != ERR_MISUSE)
		return script_fail_with(L, &reason->error);
	if (reason->error.message[0])
		return script_fail(L, ERR_INTERNAL, "%s",
				   reason->error.message);
	return script_fail(L, ERR_CLOSED, "the tunnel has ended (%s)",
			   reason_name(reason->kind));
}

/* {status, reason = {kind, message, code}} */
static int push_exit(lua_State *L, const struct reason *reason)
{
	lua_createtable(L, 0, 2);
	lua_pushinteger(L, reason->status);
	lua_setfield(L, -2, "status");
	lua_createtable(L, 0, 3);
	lua_pushstring(L, reason_name(reason->kind));
	lua_setfield(L, -2, "kind");
	lua_pushstring(L, reason->error.message);
	lua_setfield(L, -2, "message");
	if (reason->error.code) {
		lua_pushstring(L, err_name(reason->error.code));
		lua_setfield(L, -2, "code");
	}
	lua_setfield(L, -2, "reason");
	return 1;
}

/* --- wait{state=, timeout=} ----------------------------------------------- */

static int wait_k(lua_State *L, int status, lua_KContext ctx);

/* Stack: 1 the tunnel, 2 the state's name. */
static int wait_again(lua_State *L, int woken, uint64_t deadline)
{
	struct lua_tunnel *self = look(L);
	const struct reason *reason;
	enum fsm_state state;

	if (!self)
		return was_closed(L);
	if (!fsm_state_from_name(lua_tostring(L, 2), &state))
		return luaL_error(L, "there is no state '%s'",
				  lua_tostring(L, 2));
	reason = session_reason(self->session);
	if (state == FSM_EXIT && reason)
		return push_exit(L, reason);
	if (state != FSM_EXIT && session_reached(self->session, state)) {
		lua_pushboolean(L, 1);
		return 1;
	}
	if (reason)
		return push_end(L, reason);
	if (woken == ERR_TIMEOUT)
		return script_fail(L, ERR_TIMEOUT, "the tunnel is still in "
				   "state %s", session_state(self->session));
	return wait_on(L, self, "wait", deadline, wait_k);
}

static int wait_k(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	return wait_again(L, script_woken(L), (uint64_t)ctx);
}

static int tunnel_wait(lua_State *L)
{
	const char *state = fsm_state_name(FSM_APPLICATION_UP);
	uint64_t deadline = script_deadline_default(L, WAIT_S);
	const struct script_option options[] = {
		{ "state", SCRIPT_OPTION_STRING, &state },
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};

	check(L);
	script_options(L, 2, options, 2);
	lua_settop(L, 2);
	lua_pushstring(L, state);
	lua_replace(L, 2);
	script_may_wait(L, "wait");
	return wait_again(L, 0, deadline);
}

/* --- conn{timeout=}: once the agent answers ------------------------------- */

static int conn_k(lua_State *L, int status, lua_KContext ctx);

static int conn_again(lua_State *L, int woken, uint64_t deadline)
{
	struct lua_tunnel *self = look(L);
	struct script_conn *conn = self ? session_conn(self->session) : NULL;

	if (!self)
		return was_closed(L);
	if (conn && session_reached(self->session, FSM_TAILNET_UP)) {
		script_push_conn(L, conn);
		return 1;
	}
	if (session_reason(self->session))
		return push_end(L, session_reason(self->session));
	if (session_reached(self->session, FSM_SHUTDOWN_TAILNET))
		return script_fail(L, ERR_CLOSED, "the tunnel is going down");
	if (woken == ERR_TIMEOUT)
		return script_fail(L, ERR_TIMEOUT, "the tunnel is still in "
				   "state %s", session_state(self->session));
	return wait_on(L, self, "conn", deadline, conn_k);
}

static int conn_k(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	return conn_again(L, script_woken(L), (uint64_t)ctx);
}

static int tunnel_conn(lua_State *L)
{
	uint64_t deadline = script_deadline_default(L, WAIT_S);
	const struct script_option options[] = {
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};

	check(L);
	script_options(L, 2, options, 1);
	lua_settop(L, 1);
	script_may_wait(L, "conn");
	return conn_again(L, 0, deadline);
}

/* --- shutdown{timeout=, status=} and close() ------------------------------ */

static int shutdown_k(lua_State *L, int status, lua_KContext ctx);

static int shutdown_again(lua_State *L, int woken, uint64_t deadline)
{
	struct lua_tunnel *self = look(L);

	if (!self || session_reason(self->session)) {
		lua_pushboolean(L, 1);
		return 1;
	}
	if (woken == ERR_TIMEOUT)
		return script_fail(L, ERR_TIMEOUT, "the tunnel is still in "
				   "state %s", session_state(self->session));
	return wait_on(L, self, "shutdown", deadline, shutdown_k);
}

static int shutdown_k(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	return shutdown_again(L, script_woken(L), (uint64_t)ctx);
}

static int tunnel_shutdown(lua_State *L)
{
	struct lua_tunnel *self = check(L);
	lua_Integer status = 0;
	uint64_t deadline = DEADLINE_NONE;
	const struct script_option options[] = {
		{ "status", SCRIPT_OPTION_INTEGER, &status },
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};

	script_options(L, 2, options, 2);
	luaL_argcheck(L, status >= 0 && status < 256, 2,
		      "status must be from 0 to 255");
	lua_settop(L, 1);
	script_may_wait(L, "shutdown");
	session_shutdown(self->session, (int)status);
	return shutdown_again(L, 0, deadline);
}

static int close_k(lua_State *L, int status, lua_KContext ctx);

/* The budget of winding down ends this wait. */
static int close_again(lua_State *L)
{
	struct lua_tunnel *self = look(L);

	if (self && !session_reason(self->session))
		return wait_on(L, self, "close", DEADLINE_NONE, close_k);
	if (self)
		script_handle_close(L, 1, &lua_tunnel_type);
	lua_pushboolean(L, 1);
	return 1;
}

static int close_k(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	script_woken(L);
	return close_again(L);
}

/* Graceful, and waits for the end; twice is harmless. */
static int tunnel_close_method(lua_State *L)
{
	struct lua_tunnel *self = look(L);

	lua_settop(L, 1);
	if (self)
		session_shutdown(self->session, 0);
	return close_again(L);
}

/* --- what there is to see ------------------------------------------------- */

static int tunnel_state(lua_State *L)
{
	lua_pushstring(L, session_state(check(L)->session));
	return 1;
}

static int tunnel_timeline_method(lua_State *L)
{
	lua_push_timeline(L, session_timeline(check(L)->session));
	return 1;
}

/* As conn:stats(), and {state=}; before there is a tunnel nothing else. */
static int tunnel_stats(lua_State *L)
{
	struct session *session = check(L)->session;
	struct tunnel *tunnel = session_tunnel(session);

	if (tunnel)
		lua_push_stats(L, tunnel);
	else
		lua_createtable(L, 0, 1);
	lua_pushstring(L, session_state(session));
	lua_setfield(L, -2, "state");
	return 1;
}

static const luaL_Reg methods[] = {
	{ "wait", tunnel_wait },
	{ "conn", tunnel_conn },
	{ "shutdown", tunnel_shutdown },
	{ "state", tunnel_state },
	{ "timeline", tunnel_timeline_method },
	{ "stats", tunnel_stats },
	{ NULL, NULL },
};

const struct script_handle_type lua_tunnel_type = {
	.name = "tunnel",
	.metatable = "tunnel.opened",
	.close = release,
	.methods = methods,
	.close_method = tunnel_close_method,
};
