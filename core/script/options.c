#include "core/script/options.h"

#include <math.h>
#include <string.h>

static const struct script_option *find(const struct script_option *options,
					size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(options[i].name, name) == 0)
			return &options[i];
	return NULL;
}

static int refuse(lua_State *L, const char *name,
		  const struct script_option *options, size_t count)
{
	luaL_Buffer known;

	luaL_buffinit(L, &known);
	for (size_t i = 0; i < count; i++) {
		if (i)
			luaL_addstring(&known, ", ");
		luaL_addstring(&known, options[i].name);
	}
	luaL_pushresult(&known);
	return luaL_error(L, "unknown option '%s' (there are: %s)", name,
			  lua_tostring(L, -1));
}

static int wrong(lua_State *L, const struct script_option *option,
		 const char *wanted)
{
	return luaL_error(L, "option '%s' must be %s, not %s", option->name,
			  wanted, luaL_typename(L, -1));
}

uint64_t script_deadline(lua_State *L, double seconds)
{
	uint64_t now = loop_now_us(script_of(L)->config.loop);

	if (isnan(seconds) || seconds < 0)
		luaL_error(L, "a time must be 0 or more seconds");
	if (seconds > 1e9)
		return DEADLINE_NONE;
	return now + (uint64_t)(seconds * 1e6);
}

uint64_t script_deadline_default(lua_State *L, unsigned seconds)
{
	return loop_now_us(script_of(L)->config.loop) + seconds * US_PER_S;
}

static void read_size(lua_State *L, const struct script_option *option)
{
	lua_Integer value;
	int ok;

	value = lua_tointegerx(L, -1, &ok);
	if (!ok || value < 1)
		wrong(L, option, "a positive integer");
	*(size_t *)option->out = (size_t)value;
}

/* The value is on top; true when it must stay there. */
static bool read_value(lua_State *L, const struct script_option *option)
{
	switch (option->kind) {
	case SCRIPT_OPTION_TIMEOUT:
		if (lua_type(L, -1) != LUA_TNUMBER)
			wrong(L, option, "a number of seconds");
		*(uint64_t *)option->out =
			script_deadline(L, lua_tonumber(L, -1));
		return false;
	case SCRIPT_OPTION_SIZE:
		read_size(L, option);
		return false;
	case SCRIPT_OPTION_INTEGER:
		if (!lua_isinteger(L, -1))
			wrong(L, option, "an integer");
		*(lua_Integer *)option->out = lua_tointeger(L, -1);
		return false;
	case SCRIPT_OPTION_BOOLEAN:
		if (!lua_isboolean(L, -1))
			wrong(L, option, "a boolean");
		*(bool *)option->out = lua_toboolean(L, -1);
		return false;
	case SCRIPT_OPTION_STRING:
		if (lua_type(L, -1) != LUA_TSTRING)
			wrong(L, option, "a string");
		*(const char **)option->out = lua_tostring(L, -1);
		return false;
	case SCRIPT_OPTION_VALUE:
		*(int *)option->out = lua_gettop(L);
		return true;
	}
	return false;
}

void script_options(lua_State *L, int index,
		    const struct script_option *options, size_t count)
{
	if (lua_isnoneornil(L, index))
		return;
	luaL_checktype(L, index, LUA_TTABLE);
	luaL_checkstack(L, 16, "options");
	lua_pushnil(L);
	while (lua_next(L, index)) {
		lua_pop(L, 1);
		if (lua_type(L, -1) != LUA_TSTRING)
			luaL_error(L, "options are named, this key is a %s",
				   luaL_typename(L, -1));
		if (!find(options, count, lua_tostring(L, -1)))
			refuse(L, lua_tostring(L, -1), options, count);
	}
	for (size_t i = 0; i < count; i++) {
		bool keep = false;

		lua_pushstring(L, options[i].name);
		if (lua_rawget(L, index) != LUA_TNIL)
			keep = read_value(L, &options[i]);
		if (!keep)
			lua_pop(L, 1);
	}
}
