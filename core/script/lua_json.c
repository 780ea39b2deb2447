#include <string.h>

#include "core/script/bindings.h"
#include "core/script/failure.h"
#include "core/script/options.h"
#include "core/script/task.h"

/*
 * json.decode(s, {max=}) and json.encode(value, {max=}), by lua-cjson, which
 * the host loads from the system's path. What cannot be decoded is nil, err
 * (`protocol`); what cannot be encoded is misuse and raises.
 */
#define DEPTH_CAP 100

static size_t read_max(lua_State *L)
{
	size_t max = SCRIPT_JSON_CAP;
	const struct script_option options[] = {
		{ "max", SCRIPT_OPTION_SIZE, &max },
	};

	script_options(L, 2, options, 1);
	return max;
}

static int json_decode(lua_State *L)
{
	size_t max = read_max(L);
	size_t len;

	luaL_checklstring(L, 1, &len);
	if (len > max)
		return script_fail(L, ERR_TOO_LARGE, "JSON of %zu bytes (max "
				   "is %zu)", len, max);
	script_charge(script_of(L), len * 8);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushvalue(L, 1);
	if (lua_pcall(L, 1, 1, 0) == LUA_OK)
		return 1;
	if (strcmp(luaL_tolstring(L, -1, NULL), "not enough memory") == 0)
		return lua_error(L);
	return script_fail(L, ERR_PROTOCOL, "%s", lua_tostring(L, -1));
}

static int json_encode(lua_State *L)
{
	size_t max = read_max(L);
	size_t len;

	luaL_checkany(L, 1);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushvalue(L, 1);
	if (lua_pcall(L, 1, 1, 0) != LUA_OK)
		return luaL_error(L, "%s", luaL_tolstring(L, -1, NULL));
	lua_tolstring(L, -1, &len);
	script_charge(script_of(L), len * 8);
	if (len > max)
		return script_fail(L, ERR_TOO_LARGE, "JSON of %zu bytes (max "
				   "is %zu)", len, max);
	return 1;
}

/* Pushes a fresh cjson instance; the package library stays hidden. */
static void push_cjson(lua_State *L)
{
	if (!script_of(L)->owned) {
		lua_getglobal(L, "require");
	} else {
		lua_pushcfunction(L, luaopen_package);
		lua_getglobal(L, "require");
		lua_insert(L, -2);
		lua_call(L, 0, 0);
		lua_getglobal(L, "require");
		lua_insert(L, -2);
		lua_setglobal(L, "require");
		lua_pushnil(L);
		lua_setglobal(L, LUA_LOADLIBNAME);
	}
	lua_pushliteral(L, "cjson");
	lua_call(L, 1, 1);
	lua_getfield(L, -1, "new");
	lua_call(L, 0, 1);
	lua_remove(L, -2);
}

static void configure(lua_State *L, const char *name, int value)
{
	lua_getfield(L, -1, name);
	if (value >= 0)
		lua_pushinteger(L, value);
	else
		lua_pushboolean(L, 0);
	lua_call(L, 1, 0);
}

static void add(lua_State *L, const char *name, lua_CFunction function)
{
	/* Stack: …, cjson, json. */
	lua_getfield(L, -2, name);
	lua_pushcclosure(L, function, 1);
	lua_setfield(L, -2, name);
}

void script_add_json(lua_State *L)
{
	push_cjson(L);
	configure(L, "encode_max_depth", DEPTH_CAP);
	configure(L, "decode_max_depth", DEPTH_CAP);
	configure(L, "decode_invalid_numbers", -1);
	configure(L, "encode_keep_buffer", -1);
	lua_newtable(L);
	add(L, "decode", json_decode);
	add(L, "encode", json_encode);
	lua_getfield(L, -2, "null");
	lua_setfield(L, -2, "null");
	lua_remove(L, -2);
	lua_setfield(L, -2, "json");
}
