#include <string.h>

#include "core/fsm/fsm.h"
#include "core/script/bindings.h"
#include "core/script/failure.h"

/*
 * fsm.states and fsm.events, lists of names; fsm.step(state, config, event)
 * gives the next state and the list of actions. A state is a name, or a
 * table {state=, starter=, agent_id=} and then comes back as one; an event
 * is written as for `tunnelhost replay`: {build_update = {transition = …}}.
 */
static int refuse(lua_State *L, const char *what, const char *value)
{
	return luaL_error(L, "unknown %s '%s'", what, value);
}

static void read_uuid(lua_State *L, int index, const char *field,
		      struct uuid *out)
{
	lua_getfield(L, index, field);
	if (uuid_from_text(luaL_checkstring(L, -1), out) < 0)
		luaL_error(L, "'%s' is no UUID", field);
	lua_pop(L, 1);
}

static void read_machine(lua_State *L, struct fsm *fsm)
{
	const char *name;

	if (lua_istable(L, 1)) {
		lua_getfield(L, 1, "starter");
		fsm->starter = lua_toboolean(L, -1);
		if (lua_getfield(L, 1, "agent_id") != LUA_TNIL) {
			read_uuid(L, 1, "agent_id", &fsm->agent_id);
			fsm->has_agent = true;
		}
		lua_getfield(L, 1, "state");
		lua_replace(L, -3);
		lua_pop(L, 1);
	} else {
		lua_pushvalue(L, 1);
	}
	name = luaL_optstring(L, -1, "init");
	if (!fsm_state_from_name(name, &fsm->state))
		refuse(L, "state", name);
	lua_pop(L, 1);
}

static bool read_flag(lua_State *L, int index, const char *field)
{
	bool flag;

	lua_getfield(L, index, field);
	flag = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return flag;
}

static void read_build(lua_State *L, struct fsm_event *event)
{
	lua_getfield(L, 5, "transition");
	if (!fsm_transition_from_name(luaL_checkstring(L, -1),
				      &event->build.transition))
		event->build.transition = FSM_TRANSITION_UNKNOWN;
	lua_getfield(L, 5, "job_status");
	if (!fsm_job_status_from_name(luaL_checkstring(L, -1),
				      &event->build.job_status))
		event->build.job_status = FSM_JOB_UNKNOWN;
}

static void read_agent(lua_State *L, struct fsm_event *event)
{
	lua_getfield(L, 5, "lifecycle");
	if (!fsm_lifecycle_from_name(luaL_checkstring(L, -1),
				     &event->agent.lifecycle))
		event->agent.lifecycle = FSM_LIFECYCLE_UNKNOWN;
	read_uuid(L, 5, "id", &event->agent.id);
}

static bool has_error(lua_State *L)
{
	size_t len = 0;
	bool has = lua_getfield(L, 5, "error") != LUA_TNIL;

	if (lua_type(L, -1) == LUA_TSTRING)
		lua_tolstring(L, -1, &len);
	else
		len = has;
	lua_pop(L, 1);
	return len > 0;
}

/* Stack: 3 the event; 4 its kind, 5 its body. */
static void read_event(lua_State *L, struct fsm_event *event)
{
	luaL_checktype(L, 3, LUA_TTABLE);
	lua_pushnil(L);
	if (!lua_next(L, 3) || lua_type(L, 4) != LUA_TSTRING)
		luaL_argerror(L, 3, "an event is {kind = {…}}");
	if (!fsm_event_from_name(lua_tostring(L, 4), &event->kind))
		refuse(L, "event", lua_tostring(L, 4));
	luaL_argcheck(L, lua_istable(L, 5), 3, "an event is {kind = {…}}");
	switch (event->kind) {
	case FSM_BUILD_UPDATE:
		read_build(L, event);
		break;
	case FSM_AGENT_UPDATE:
		read_agent(L, event);
		break;
	case FSM_STARTER_UPDATE:
		event->starter.failed = has_error(L);
		break;
	case FSM_TAILNET_UPDATE:
		event->tailnet.up = read_flag(L, 5, "up") && !has_error(L);
		break;
	case FSM_APP_UPDATE:
		event->app.up = read_flag(L, 5, "up") && !has_error(L);
		break;
	case FSM_SHUTDOWN_SIGNAL:
	case FSM_ABORT:
	case FSM_EVENT_COUNT:
		break;
	}
}

static void push_machine(lua_State *L, const struct fsm *fsm)
{
	char text[UUID_TEXT_CAP];

	lua_pushstring(L, fsm_state_name(fsm->state));
	if (!lua_istable(L, 1))
		return;
	lua_createtable(L, 0, 3);
	lua_insert(L, -2);
	lua_setfield(L, -2, "state");
	lua_pushboolean(L, fsm->starter);
	lua_setfield(L, -2, "starter");
	if (!fsm->has_agent)
		return;
	uuid_to_text(&fsm->agent_id, text);
	lua_pushstring(L, text);
	lua_setfield(L, -2, "agent_id");
}

static int step(lua_State *L)
{
	struct fsm fsm = { 0 };
	struct fsm_config config = { 0 };
	struct fsm_event event = { 0 };
	struct fsm_step out;

	lua_settop(L, 3);
	read_machine(L, &fsm);
	if (!lua_isnil(L, 2)) {
		luaL_checktype(L, 2, LUA_TTABLE);
		config.no_autostart = read_flag(L, 2, "no_autostart");
		config.no_wait_for_scripts =
			read_flag(L, 2, "no_wait_for_scripts");
	}
	read_event(L, &event);
	fsm_step(&fsm, &config, &event, &out);
	push_machine(L, &fsm);
	lua_createtable(L, (int)out.action_count, 0);
	for (size_t i = 0; i < out.action_count; i++) {
		lua_pushstring(L, fsm_action_name(out.actions[i]));
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 2;
}

void script_add_fsm(lua_State *L)
{
	lua_newtable(L);
	lua_newtable(L);
	for (int i = 0; i < FSM_STATE_COUNT; i++) {
		lua_pushstring(L, fsm_state_name((enum fsm_state)i));
		lua_rawseti(L, -2, i + 1);
	}
	lua_setfield(L, -2, "states");
	lua_newtable(L);
	for (int i = 0; i < FSM_EVENT_COUNT; i++) {
		lua_pushstring(L, fsm_event_name((enum fsm_event_kind)i));
		lua_rawseti(L, -2, i + 1);
	}
	lua_setfield(L, -2, "events");
	lua_pushcfunction(L, step);
	lua_setfield(L, -2, "step");
	lua_setfield(L, -2, "fsm");
}
