#include "core/script/bindings.h"

/*
 * log.debug/info/warn/error(message, fields): "message key=value …", keys in
 * order, so that the same call always gives the same line.
 */
#define FIELD_CAP 32

/* The line is at index 4, the key on top, which it pops. */
static void add_field(lua_State *L)
{
	lua_pushvalue(L, -1);
	lua_gettable(L, 2);
	luaL_tolstring(L, -1, NULL);
	lua_pushfstring(L, "%s %s=%s", lua_tostring(L, 4),
			lua_tostring(L, 5), lua_tostring(L, -1));
	lua_replace(L, 4);
	lua_settop(L, 4);
}

/* Pushes a sorted list of the keys. */
static int sorted_keys(lua_State *L, int fields)
{
	int count = 0;

	lua_newtable(L);
	lua_pushnil(L);
	while (lua_next(L, fields)) {
		lua_pop(L, 1);
		if (lua_type(L, -1) == LUA_TSTRING && count < FIELD_CAP) {
			lua_pushvalue(L, -1);
			lua_rawseti(L, -3, ++count);
		}
	}
	lua_pushvalue(L, lua_upvalueindex(2));
	lua_pushvalue(L, -2);
	lua_call(L, 1, 0);
	return count;
}

static int write_line(lua_State *L)
{
	enum log_level level =
		(enum log_level)lua_tointeger(L, lua_upvalueindex(1));
	int count = 0;

	luaL_checkany(L, 1);
	lua_settop(L, 2);
	if (!lua_isnil(L, 2)) {
		luaL_checktype(L, 2, LUA_TTABLE);
		count = sorted_keys(L, 2);
	} else {
		lua_newtable(L);
	}
	luaL_tolstring(L, 1, NULL);
	for (int i = 1; i <= count; i++) {
		lua_rawgeti(L, 3, i);
		add_field(L);
	}
	log_at(script_of(L)->config.log, level, "app", "%s",
	       lua_tostring(L, 4));
	return 0;
}

static void add_level(lua_State *L, const char *name, enum log_level level)
{
	lua_pushinteger(L, (lua_Integer)level);
	lua_getglobal(L, LUA_TABLIBNAME);
	lua_getfield(L, -1, "sort");
	lua_remove(L, -2);
	lua_pushcclosure(L, write_line, 2);
	lua_setfield(L, -2, name);
}

void script_add_log(lua_State *L)
{
	lua_newtable(L);
	add_level(L, "debug", LOG_DEBUG);
	add_level(L, "info", LOG_INFO);
	add_level(L, "warn", LOG_WARN);
	add_level(L, "error", LOG_ERROR);
	lua_setfield(L, -2, "log");
}
