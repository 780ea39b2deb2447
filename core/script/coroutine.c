#include "core/script/task.h"

/*
 * The script's own coroutines. As Lua's, but resumed by the scheduler, so
 * that a wait inside one suspends the task (see schedule.c).
 */

static lua_State *check_thread(lua_State *L)
{
	lua_State *co = lua_tothread(L, 1);

	luaL_argexpected(L, co, 1, "coroutine");
	return co;
}

static const char *status_of(lua_State *L, lua_State *co)
{
	lua_Debug ar;

	if (co == L)
		return "running";
	if (*script_home(co)) {
		struct script_task *task = script_of(L)->current;

		return *script_home(co) == task ? "normal" : "dead";
	}
	if (lua_status(co) == LUA_YIELD)
		return "suspended";
	if (lua_status(co) != LUA_OK)
		return "dead";
	if (lua_getstack(co, 0, &ar))
		return "normal";
	return lua_gettop(co) == 0 ? "dead" : "suspended";
}

static int co_create(lua_State *L)
{
	lua_State *co;

	luaL_checktype(L, 1, LUA_TFUNCTION);
	co = lua_newthread(L);
	lua_pushvalue(L, 1);
	lua_xmove(L, co, 1);
	return 1;
}

/* Where Lua cannot yield: run it on the C stack. */
static int resume_here(lua_State *L, lua_State *co, int count)
{
	int results = 0;
	bool ok = false;

	if (!script_drive_nested(L, co, count, &ok, &results))
		return luaL_error(L, "killed: too much CPU without a wait");
	if (!lua_checkstack(L, results + 1)) {
		lua_pop(co, results);
		return luaL_error(L, "too many results to resume");
	}
	lua_pushboolean(L, ok);
	lua_xmove(co, L, results);
	return results + 1;
}

/*
 * Runs `co` with the arguments above index `base`; `k` finds above `base` a
 * boolean and the values. A coroutine that cannot be resumed is no error.
 */
static int resume(lua_State *L, lua_State *co, int base, lua_KFunction k)
{
	struct script *script = script_of(L);
	int count = lua_gettop(L) - base;
	const char *status = status_of(L, co);

	if (status[0] != 's' || !lua_checkstack(co, count)) {
		lua_settop(L, base);
		lua_pushboolean(L, 0);
		lua_pushfstring(L, "cannot resume %s coroutine",
				status[0] == 'd' ? "dead" : "non-suspended");
		return k(L, LUA_OK, base);
	}
	lua_xmove(L, co, count);
	if (!lua_isyieldable(L)) {
		resume_here(L, co, count);
		return k(L, LUA_OK, base);
	}
	script->yield = SCRIPT_YIELD_RESUME;
	script->resumed = co;
	script->resumed_args = count;
	return lua_yieldk(L, 0, base, k);
}

static int resume_k(lua_State *L, int status, lua_KContext base)
{
	(void)status;
	return lua_gettop(L) - (int)base;
}

static int co_resume(lua_State *L)
{
	return resume(L, check_thread(L), 1, resume_k);
}

static int wrap_k(lua_State *L, int status, lua_KContext base)
{
	lua_State *co = lua_tothread(L, lua_upvalueindex(1));

	(void)status;
	if (lua_toboolean(L, (int)base + 1))
		return lua_gettop(L) - (int)base - 1;
	if (lua_status(co) > LUA_YIELD && lua_resetthread(co) != LUA_OK) {
		lua_xmove(co, L, 1);
	}
	if (lua_type(L, -1) == LUA_TSTRING) {
		luaL_where(L, 1);
		lua_insert(L, -2);
		lua_concat(L, 2);
	}
	return lua_error(L);
}

static int wrapped(lua_State *L)
{
	return resume(L, lua_tothread(L, lua_upvalueindex(1)), 0, wrap_k);
}

static int co_wrap(lua_State *L)
{
	co_create(L);
	lua_pushcclosure(L, wrapped, 1);
	return 1;
}

static int co_yield(lua_State *L)
{
	struct script *script = script_of(L);

	if (!script->current || script->current->depth < 2)
		return luaL_error(L,
				  "attempt to yield from outside a coroutine");
	script->yield = SCRIPT_YIELD_VALUES;
	return lua_yield(L, lua_gettop(L));
}

static int co_status(lua_State *L)
{
	lua_pushstring(L, status_of(L, check_thread(L)));
	return 1;
}

static int co_running(lua_State *L)
{
	lua_pushthread(L);
	lua_pushboolean(L, script_of(L)->current->depth < 2);
	return 2;
}

static int co_isyieldable(lua_State *L)
{
	lua_pushboolean(L, lua_isyieldable(L) &&
			   script_of(L)->current->depth > 1);
	return 1;
}

static int co_close(lua_State *L)
{
	lua_State *co = check_thread(L);
	const char *status = status_of(L, co);
	int result;

	if (*script_home(co) || (status[0] != 's' && status[0] != 'd'))
		return luaL_error(L, "cannot close a %s coroutine", status);
	result = lua_resetthread(co);
	lua_pushboolean(L, result == LUA_OK);
	if (result == LUA_OK)
		return 1;
	lua_xmove(co, L, 1);
	return 2;
}

int script_open_coroutine(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "create", co_create },
		{ "resume", co_resume },
		{ "wrap", co_wrap },
		{ "yield", co_yield },
		{ "status", co_status },
		{ "running", co_running },
		{ "isyieldable", co_isyieldable },
		{ "close", co_close },
		{ NULL, NULL },
	};

	luaL_newlib(L, functions);
	return 1;
}
