#include "core/script/conn.h"
#include "core/script/failure.h"
#include "core/script/options.h"
#include "core/script/task.h"

#define PING_S 10
#define REACHABLE_TRY_US (2 * US_PER_S)
#define REACHABLE_PAUSE_US (500 * US_PER_MS)

struct ping {
	struct script_pending pending;
	struct script_ping answer;
};

static void pinged(void *user, const struct script_ping *answer,
		   const struct error *error)
{
	struct ping *ping = user;

	if (answer)
		ping->answer = *answer;
	script_pending_done(&ping->pending, error);
}

/* Pushes the pending; false: nil, err has been pushed. */
static bool begin_ping(lua_State *L, struct script_conn_object *self,
		       uint64_t deadline_us)
{
	struct ping *ping;
	int err;

	if (!self->conn) {
		script_conn_closed(L);
		return false;
	}
	ping = script_pending_new(L, sizeof(*ping));
	err = self->conn->ops->ping(self->conn, script_conn_left(self->script,
						     deadline_us),
				    pinged, ping, &ping->pending.op);
	if (err == 0) {
		script_conn_own(&ping->pending, self);
		return true;
	}
	script_fail(L, err, "cannot ping (%s)", err_name(err));
	return false;
}

static void push_ping(lua_State *L, const struct script_ping *ping)
{
	lua_createtable(L, 0, 4);
	lua_pushnumber(L, (lua_Number)ping->latency_us / 1e6);
	lua_setfield(L, -2, "latency");
	lua_pushboolean(L, ping->direct);
	lua_setfield(L, -2, "direct");
	if (ping->endpoint[0]) {
		lua_pushstring(L, ping->endpoint);
		lua_setfield(L, -2, "endpoint");
	}
	if (ping->derp_region[0]) {
		lua_pushstring(L, ping->derp_region);
		lua_setfield(L, -2, "derp_region");
	}
}

static int ping_k(lua_State *L, int status, lua_KContext ctx)
{
	struct ping *ping = lua_touserdata(L, -1);

	(void)status;
	(void)ctx;
	script_woken(L);
	list_remove(&ping->pending.link);
	if (!script_pending_answer(L, &ping->pending, "ping"))
		return 2;
	push_ping(L, &ping->answer);
	return 1;
}

int script_conn_ping(lua_State *L)
{
	struct script_conn_object *self = script_conn_check(L, 1);
	uint64_t deadline = script_deadline_default(L, PING_S);
	const struct script_option options[] = {
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};

	script_options(L, 2, options, 1);
	script_may_wait(L, "ping");
	if (!begin_ping(L, self, deadline))
		return 2;
	return script_pending_wait(L, lua_touserdata(L, -1), "ping", deadline,
				   0, ping_k);
}

/*
 * await_reachable: pings until one is answered. Stack: 1 conn, 2 the
 * deadline, and while a ping is under way, 3 the pending.
 */
static int try_again(lua_State *L);

static int paused_k(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	script_woken(L);
	return try_again(L);
}

static int tried_k(lua_State *L, int status, lua_KContext ctx)
{
	struct ping *ping = lua_touserdata(L, 3);
	struct script *script = script_of(L);
	struct script_wait wait = { .what = "await_reachable" };
	uint64_t deadline = (uint64_t)lua_tointeger(L, 2);

	(void)status;
	(void)ctx;
	script_woken(L);
	list_remove(&ping->pending.link);
	if (script_pending_answer(L, &ping->pending, "await_reachable")) {
		lua_pushboolean(L, 1);
		return 1;
	}
	wait.deadline_us = loop_now_us(script->config.loop) +
			   REACHABLE_PAUSE_US;
	if (wait.deadline_us >= deadline ||
	    script_error_code(L, -1) == ERR_CLOSED)
		return 2;
	lua_settop(L, 2);
	return script_wait(L, &wait, 0, paused_k);
}

static int try_again(lua_State *L)
{
	struct script_conn_object *self = script_conn_check(L, 1);
	uint64_t deadline = deadline_min(
		(uint64_t)lua_tointeger(L, 2),
		loop_now_us(self->script->config.loop) + REACHABLE_TRY_US);

	if (!begin_ping(L, self, deadline))
		return 2;
	return script_pending_wait(L, lua_touserdata(L, 3), "await_reachable",
				   deadline, 0, tried_k);
}

int script_conn_await_reachable(lua_State *L)
{
	uint64_t deadline = script_deadline_default(L, PING_S);
	const struct script_option options[] = {
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};

	script_conn_check(L, 1);
	script_options(L, 2, options, 1);
	script_may_wait(L, "await_reachable");
	lua_settop(L, 1);
	lua_pushinteger(L, (lua_Integer)deadline);
	return try_again(L);
}
