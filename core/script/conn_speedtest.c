#include <string.h>

#include "core/conn/speedtest.h"
#include "core/script/conn.h"
#include "core/script/failure.h"
#include "core/script/options.h"
#include "core/script/task.h"

/*
 * conn:speedtest{direction=, duration=, timeout=}: dials port 3 and hands the
 * stream to core/conn. Stack while it waits: 1 conn, 2 options, 3 duration in
 * us, 4 whether up, then the pending.
 */
#define DURATION_S 5.0
#define DIAL_S 10

struct measurement {
	struct script_pending pending;
	struct speedtest_result result;
};

static void measured(void *user, const struct speedtest_result *result,
		     const struct error *error)
{
	struct measurement *measurement = user;

	measurement->result = *result;
	script_pending_done(&measurement->pending, error);
}

static void cancel(struct script_pending *pending)
{
	speedtest_cancel(pending->op);
	pending->op = NULL;
}

static void push_sample(lua_State *L, const struct speedtest_sample *sample)
{
	lua_createtable(L, 0, 3);
	lua_pushnumber(L, (lua_Number)sample->start_us / 1e6);
	lua_setfield(L, -2, "from");
	lua_pushnumber(L, (lua_Number)sample->end_us / 1e6);
	lua_setfield(L, -2, "to");
	lua_pushinteger(L, (lua_Integer)sample->bytes);
	lua_setfield(L, -2, "bytes");
}

static void push_result(lua_State *L, const struct speedtest_result *result)
{
	lua_createtable(L, 0, 3);
	lua_pushinteger(L, (lua_Integer)result->bytes);
	lua_setfield(L, -2, "bytes");
	lua_pushnumber(L, (lua_Number)result->duration_us / 1e6);
	lua_setfield(L, -2, "seconds");
	lua_createtable(L, (int)result->sample_count, 0);
	for (size_t i = 0; i < result->sample_count; i++) {
		push_sample(L, &result->samples[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_setfield(L, -2, "samples");
}

static int measured_k(lua_State *L, int status, lua_KContext ctx)
{
	struct measurement *measurement = lua_touserdata(L, -1);

	(void)status;
	(void)ctx;
	script_woken(L);
	list_remove(&measurement->pending.link);
	if (!script_pending_answer(L, &measurement->pending, "speedtest"))
		return 2;
	push_result(L, &measurement->result);
	return 1;
}

static int measure(lua_State *L, struct stream *stream)
{
	struct measurement *measurement =
		script_pending_new(L, sizeof(*measurement));
	const struct speedtest_config config = {
		.loop = measurement->pending.script->config.loop,
		.upload = lua_toboolean(L, 4),
		.duration_us = (uint64_t)lua_tointeger(L, 3),
		.done = measured,
		.user = measurement,
	};
	struct speedtest *test = NULL;
	int err = speedtest_start(&config, stream, &test);

	if (err < 0)
		return script_fail(L, err, "cannot measure (%s)",
				   err_name(err));
	measurement->pending.op = test;
	measurement->pending.cancel = cancel;
	return script_pending_wait(L, &measurement->pending, "speedtest",
				   DEADLINE_NONE, 0, measured_k);
}

static int dialed_k(lua_State *L, int status, lua_KContext ctx)
{
	struct script_pending *pending = lua_touserdata(L, -1);
	struct stream *stream;

	(void)status;
	(void)ctx;
	script_woken(L);
	list_remove(&pending->link);
	if (!script_pending_answer(L, pending, "speedtest"))
		return 2;
	stream = pending->stream;
	pending->stream = NULL;
	return measure(L, stream);
}

static bool is_upload(lua_State *L, const char *direction)
{
	if (strcmp(direction, "up") == 0)
		return true;
	luaL_argcheck(L, strcmp(direction, "down") == 0, 2,
		      "direction must be \"down\" or \"up\"");
	return false;
}

static uint64_t duration_us(lua_State *L, int index)
{
	lua_Number seconds = index ? luaL_checknumber(L, index) : DURATION_S;

	luaL_argcheck(L, seconds > 0 && seconds <= SPEEDTEST_SECONDS_MAX, 2,
		      "duration must be more than 0 and at most 60 seconds");
	return (uint64_t)(seconds * 1e6);
}

int script_conn_speedtest(lua_State *L)
{
	struct script_conn_object *self = script_conn_check(L, 1);
	uint64_t deadline = script_deadline_default(L, DIAL_S);
	const char *direction = "down";
	int duration = 0;
	const struct script_option options[] = {
		{ "direction", SCRIPT_OPTION_STRING, &direction },
		{ "duration", SCRIPT_OPTION_VALUE, &duration },
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};
	uint64_t length_us;
	bool upload;

	script_options(L, 2, options, 3);
	script_may_wait(L, "speedtest");
	upload = is_upload(L, direction);
	length_us = duration_us(L, duration);
	lua_settop(L, 2);
	lua_pushinteger(L, (lua_Integer)length_us);
	lua_pushboolean(L, upload);
	if (!script_conn_dial(L, self, SPEEDTEST_PORT, deadline))
		return 2;
	return script_pending_wait(L, lua_touserdata(L, -1), "speedtest",
				   deadline, 0, dialed_k);
}
