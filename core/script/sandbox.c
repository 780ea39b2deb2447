#include <string.h>

#include "core/script/failure.h"
#include "core/script/std.h"
#include "core/script/task.h"

/*
 * The safe standard library. What is here replaces Lua's own where that
 * could wait, swallow a kill, load binary code or work for long.
 */

static int protection_ended(lua_State *L, int status, lua_KContext ctx)
{
	struct script_task *task = script_of(L)->current;
	unsigned before = (unsigned)(ctx >> 2);
	int skip = (int)(ctx & 3);

	task->protections = before;
	if (status == LUA_OK || status == LUA_YIELD)
		return lua_gettop(L) - skip;
	if (task->killed)
		return lua_error(L);
	if (task->unwinding && task->unwind_at > before)
		task->unwinding = false;
	lua_pushboolean(L, 0);
	lua_insert(L, -2);
	return 2;
}

static lua_KContext protect(lua_State *L, int skip)
{
	struct script_task *task = script_of(L)->current;
	unsigned before = task->protections++;

	return (lua_KContext)before << 2 | skip;
}

static int base_pcall(lua_State *L)
{
	lua_KContext ctx;

	luaL_checkany(L, 1);
	lua_pushboolean(L, 1);
	lua_insert(L, 1);
	ctx = protect(L, 0);
	return protection_ended(L, lua_pcallk(L, lua_gettop(L) - 2,
					      LUA_MULTRET, 0, ctx,
					      protection_ended), ctx);
}

/*
 * The kill raises inside the hook, where no hook reaches any more: then the
 * script's own handler must not run. Upvalue 1: that handler.
 */
static int guarded_handler(lua_State *L)
{
	const struct script_task *task = script_of(L)->current;

	if (task && task->killed)
		return 1;
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, 1);
	return 1;
}

static int base_xpcall(lua_State *L)
{
	int count = lua_gettop(L);
	lua_KContext ctx;

	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_pushvalue(L, 2);
	lua_pushcclosure(L, guarded_handler, 1);
	lua_replace(L, 2);
	lua_pushboolean(L, 1);
	lua_pushvalue(L, 1);
	lua_rotate(L, 3, 2);
	ctx = protect(L, 2);
	return protection_ended(L, lua_pcallk(L, count - 2, LUA_MULTRET, 2,
					      ctx, protection_ended), ctx);
}

static int base_setmetatable(lua_State *L)
{
	if (lua_istable(L, 2)) {
		lua_pushliteral(L, "__gc");
		if (lua_rawget(L, 2) != LUA_TNIL)
			return luaL_error(L, "__gc is refused to scripts: use "
					  "<close> variables");
		lua_pop(L, 1);
	}
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
	return lua_gettop(L);
}

/* load(chunk, name, mode, env), for text alone. */
static int base_load(lua_State *L)
{
	size_t len;

	if (lua_type(L, 1) == LUA_TSTRING) {
		lua_tolstring(L, 1, &len);
		if (len > script_of(L)->config.source_cap)
			return script_fail(L, ERR_TOO_LARGE,
					   "source of %zu bytes", len);
		script_charge(script_of(L), len * 16);
	}
	if (!strchr(luaL_optstring(L, 3, "t"), 't'))
		return luaL_error(L, "only text can be loaded");
	if (lua_gettop(L) < 3)
		lua_settop(L, 3);
	lua_pushliteral(L, "t");
	lua_replace(L, 3);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
	return lua_gettop(L);
}

static int base_collectgarbage(lua_State *L)
{
	struct script *script = script_of(L);

	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
	script_charge(script, script->memory);
	return lua_gettop(L);
}

static int os_time(lua_State *L)
{
	if (lua_isnoneornil(L, 1)) {
		int64_t now = loop_wall_us(script_of(L)->config.loop);

		lua_pushinteger(L, now / (int64_t)US_PER_S);
		return 1;
	}
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, 1);
	return 1;
}

static int os_date(lua_State *L)
{
	lua_settop(L, 2);
	if (lua_isnil(L, 2)) {
		int64_t now = loop_wall_us(script_of(L)->config.loop);

		lua_pushinteger(L, now / (int64_t)US_PER_S);
		lua_replace(L, 2);
	}
	if (lua_isnil(L, 1)) {
		lua_pushliteral(L, "%c");
		lua_replace(L, 1);
	}
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, 2, 1);
	return 1;
}

/* In the table on top: `name` becomes `function` with the old as upvalue. */
static void wrap(lua_State *L, const char *name, lua_CFunction function)
{
	lua_getfield(L, -1, name);
	lua_pushcclosure(L, function, 1);
	lua_setfield(L, -2, name);
}

static void drop(lua_State *L, const char *const *names)
{
	for (; *names; names++) {
		lua_pushnil(L);
		lua_setfield(L, -2, *names);
	}
}

static void open_base(lua_State *L, bool trusted)
{
	static const luaL_Reg protections[] = {
		{ "pcall", base_pcall },
		{ "xpcall", base_xpcall },
		{ NULL, NULL },
	};
	static const char *const refused[] = { "dofile", "loadfile", NULL };

	luaL_requiref(L, LUA_GNAME, luaopen_base, 1);
	luaL_setfuncs(L, protections, 0);
	if (!trusted) {
		wrap(L, "setmetatable", base_setmetatable);
		wrap(L, "load", base_load);
		wrap(L, "collectgarbage", base_collectgarbage);
		drop(L, refused);
	}
	lua_pop(L, 1);
}

static void open_os(lua_State *L)
{
	static const char *const kept[] = { "clock", "date", "difftime",
					    "time", NULL };

	lua_pushcfunction(L, luaopen_os);
	lua_call(L, 0, 1);
	lua_newtable(L);
	for (const char *const *name = kept; *name; name++) {
		lua_getfield(L, -2, *name);
		lua_setfield(L, -2, *name);
	}
	lua_remove(L, -2);
	wrap(L, "time", os_time);
	wrap(L, "date", os_date);
	lua_setglobal(L, LUA_OSLIBNAME);
}

static void seed_math(lua_State *L)
{
	struct rng *rng = script_of(L)->config.rng;

	lua_getglobal(L, LUA_MATHLIBNAME);
	lua_getfield(L, -1, "randomseed");
	lua_pushinteger(L, (lua_Integer)rng_u64(rng));
	lua_pushinteger(L, (lua_Integer)rng_u64(rng));
	lua_call(L, 2, 0);
	lua_pop(L, 1);
}

static void open_libraries(lua_State *L)
{
	static const luaL_Reg safe[] = {
		{ LUA_STRLIBNAME, luaopen_string },
		{ LUA_TABLIBNAME, luaopen_table },
		{ LUA_MATHLIBNAME, luaopen_math },
		{ LUA_UTF8LIBNAME, luaopen_utf8 },
		{ LUA_COLIBNAME, script_open_coroutine },
		{ NULL, NULL },
	};

	for (const luaL_Reg *library = safe; library->name; library++) {
		luaL_requiref(L, library->name, library->func, 1);
		lua_pop(L, 1);
	}
}

int script_open_sandbox(lua_State *L)
{
	struct script *script = script_of(L);
	bool trusted = script->config.trusted;

	if (trusted)
		luaL_openlibs(L);
	open_base(L, trusted);
	open_libraries(L);
	seed_math(L);
	if (!trusted) {
		open_os(L);
		script_open_strings(L);
		script_open_tables(L);
		script_open_io(L);
	}
	script_open_require(L);
	return 0;
}
