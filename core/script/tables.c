#include "core/script/failure.h"
#include "core/script/std.h"
#include "core/script/task.h"

/*
 * table.* with limits: lengths and ranges that no table in the script's
 * memory can have are refused, and a long sort sees the budget.
 */
#define RANGE_CAP ((lua_Integer)1 << 24)
#define COMPARISONS_PER_LOOK 1024

static int forward(lua_State *L)
{
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
	return lua_gettop(L);
}

static void check_range(lua_State *L, lua_Integer from, lua_Integer to)
{
	if (to >= from && (lua_Unsigned)to - (lua_Unsigned)from >=
				  (lua_Unsigned)RANGE_CAP)
		script_raise(L, ERR_LIMIT, "a range of more than %lld items",
			     (long long)RANGE_CAP);
	if (to > from)
		script_charge(script_of(L), (size_t)(to - from) * 8);
}

static int table_move(lua_State *L)
{
	check_range(L, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3));
	return forward(L);
}

static int table_concat(lua_State *L)
{
	lua_Integer from = luaL_optinteger(L, 3, 1);

	check_range(L, from, lua_isnoneornil(L, 4) ? luaL_len(L, 1)
						   : luaL_checkinteger(L, 4));
	return forward(L);
}

/* insert, remove: what moves is at most the length. */
static int table_shift(lua_State *L)
{
	if (luaL_getmetafield(L, 1, "__len") != LUA_TNIL) {
		lua_pop(L, 1);
		check_range(L, 1, luaL_len(L, 1));
	} else if (lua_gettop(L) > 1 && lua_istable(L, 1)) {
		script_charge(script_of(L), lua_rawlen(L, 1));
	}
	return forward(L);
}

static int compare(lua_State *L)
{
	size_t *count = lua_touserdata(L, lua_upvalueindex(1));
	struct script *script;

	if (++*count % COMPARISONS_PER_LOOK == 0) {
		script = script_of(L);
		if (script_overspent(script)) {
			script_kill(L, script);
			return luaL_error(L, "killed: too long a sort");
		}
	}
	lua_pushboolean(L, lua_compare(L, 1, 2, LUA_OPLT));
	return 1;
}

static int table_sort(lua_State *L)
{
	size_t *count;

	luaL_checkany(L, 1);
	check_range(L, 1, luaL_len(L, 1));
	if (!lua_isnoneornil(L, 2))
		return forward(L);
	lua_settop(L, 1);
	count = lua_newuserdatauv(L, sizeof(*count), 0);
	*count = 0;
	lua_pushcclosure(L, compare, 1);
	return forward(L);
}

void script_open_tables(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "move", table_move },
		{ "concat", table_concat },
		{ "insert", table_shift },
		{ "remove", table_shift },
		{ "sort", table_sort },
		{ NULL, NULL },
	};

	lua_getglobal(L, LUA_TABLIBNAME);
	for (const luaL_Reg *at = functions; at->name; at++) {
		lua_getfield(L, -1, at->name);
		lua_pushcclosure(L, at->func, 1);
		lua_setfield(L, -2, at->name);
	}
	lua_pop(L, 1);
}
