#include "core/script/bindings.h"
#include "core/script/failure.h"

/*
 * The table behind `require "tunnel.core"`; lua/tunnel/init.lua adds to it
 * what reads better in Lua, and is what `require "tunnel"` gives.
 */
static const char core_key;

static void build(lua_State *L)
{
	lua_newtable(L);
	script_add_task(L);
	script_add_group(L);
	script_add_timing(L);
	script_add_channel(L);
	script_add_mutex(L);
	script_add_local(L);
	script_add_splice(L);
	script_add_log(L);
	script_add_json(L);
	script_add_misc(L);
	script_add_fsm(L);
}

int script_open_core(lua_State *L)
{
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &core_key) == LUA_TTABLE)
		return 1;
	lua_pop(L, 1);
	build(L);
	lua_pushvalue(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &core_key);
	return 1;
}

struct registration {
	const struct luaL_Reg *functions;
	void *user;
};

static int register_functions(lua_State *L)
{
	struct registration *registration = lua_touserdata(L, 1);

	script_open_core(L);
	lua_pushlightuserdata(L, registration->user);
	luaL_setfuncs(L, registration->functions, 1);
	return 0;
}

int script_register(struct script *script, const struct luaL_Reg *functions,
		    void *user)
{
	struct registration registration = { functions, user };

	return script_protected(script, register_functions, &registration,
				NULL);
}
