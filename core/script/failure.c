#include "core/script/failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char metatable[] = "tunnel.error";

static int error_tostring(lua_State *L)
{
	lua_getfield(L, 1, "message");
	if (lua_getfield(L, 1, "cause") == LUA_TNIL) {
		lua_pop(L, 1);
		return 1;
	}
	lua_pushliteral(L, ": ");
	luaL_tolstring(L, -2, NULL);
	lua_remove(L, -3);
	lua_concat(L, 3);
	return 1;
}

static int error_concat(lua_State *L)
{
	luaL_tolstring(L, 1, NULL);
	luaL_tolstring(L, 2, NULL);
	lua_concat(L, 2);
	return 1;
}

static void set_metatable(lua_State *L)
{
	if (luaL_newmetatable(L, metatable)) {
		lua_pushcfunction(L, error_tostring);
		lua_setfield(L, -2, "__tostring");
		lua_pushcfunction(L, error_concat);
		lua_setfield(L, -2, "__concat");
		lua_pushliteral(L, "error");
		lua_setfield(L, -2, "__metatable");
	}
	lua_setmetatable(L, -2);
}

/* Codes that stay inside the core have no name out here. */
static int outer(int code)
{
	return code > ERR_TIMEOUT && code != ERR_NOMEM ? ERR_INTERNAL : code;
}

static void push(lua_State *L, int code, const char *message)
{
	lua_createtable(L, 0, 3);
	lua_pushstring(L, err_name(outer(code)));
	lua_setfield(L, -2, "code");
	lua_pushstring(L, message);
	lua_setfield(L, -2, "message");
	set_metatable(L);
}

static void push_formatted(lua_State *L, int code, const char *format,
			   va_list args)
{
	char message[ERROR_MESSAGE_CAP];

	vsnprintf(message, sizeof(message), format, args);
	push(L, code, message);
}

void script_push_error(lua_State *L, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	push_formatted(L, code, format, args);
	va_end(args);
}

int script_fail(lua_State *L, int code, const char *format, ...)
{
	va_list args;

	lua_pushnil(L);
	va_start(args, format);
	push_formatted(L, code, format, args);
	va_end(args);
	return 2;
}

int script_fail_with(lua_State *L, const struct error *error)
{
	if (error->code == ERR_MISUSE)
		return luaL_error(L, "%s", error->message);
	lua_pushnil(L);
	push(L, error->code, error->message);
	return 2;
}

int script_raise(lua_State *L, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	push_formatted(L, code, format, args);
	va_end(args);
	lua_error(L);
	abort();	/* lua_error() is not declared noreturn */
}

bool script_is_error(lua_State *L, int index)
{
	bool equal;

	if (!lua_istable(L, index) || !lua_getmetatable(L, index))
		return false;
	luaL_getmetatable(L, metatable);
	equal = lua_rawequal(L, -1, -2);
	lua_pop(L, 2);
	return equal;
}

static bool out_of_memory(lua_State *L, int index)
{
	return lua_type(L, index) == LUA_TSTRING &&
	       strcmp(lua_tostring(L, index), "not enough memory") == 0;
}

void script_to_error(lua_State *L, int index)
{
	index = lua_absindex(L, index);
	if (script_is_error(L, index)) {
		lua_pushvalue(L, index);
		return;
	}
	push(L, out_of_memory(L, index) ? ERR_LIMIT : ERR_INTERNAL, "");
	luaL_tolstring(L, index, NULL);
	lua_setfield(L, -2, "message");
	if (lua_type(L, index) == LUA_TSTRING)
		return;
	lua_pushvalue(L, index);
	lua_setfield(L, -2, "cause");
}

int script_error_code(lua_State *L, int index)
{
	const char *name;
	int code = ERR_INTERNAL;

	if (out_of_memory(L, index))
		return ERR_LIMIT;
	if (!script_is_error(L, index))
		return ERR_INTERNAL;
	index = lua_absindex(L, index);
	lua_pushliteral(L, "code");
	lua_rawget(L, index);
	name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
	for (int at = ERR_TIMEOUT; at >= ERR_MIN; at--)
		if (strcmp(name, err_name(at)) == 0)
			code = at;
	lua_pop(L, 1);
	return code;
}

void script_read_error(lua_State *L, int index, struct error *out)
{
	int code = script_error_code(L, index);

	error_set(out, code, "%s", luaL_tolstring(L, index, NULL));
	lua_pop(L, 1);
}
