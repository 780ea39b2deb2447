/*
 * core/script/failure.h: the one error value of scripts.
 *
 * A table {code, message, cause} with a metatable, so that it works in
 * tostring, `..` and assert. What the world does is returned as nil, err;
 * misuse is raised with luaL_error() and its kin, at the caller's position.
 */
#ifndef TUNNELHOST_SCRIPT_FAILURE_H
#define TUNNELHOST_SCRIPT_FAILURE_H

#include <stdbool.h>

#include "core/base/err.h"
#include "core/script/state.h"

/* Pushes an error value. */
void script_push_error(lua_State *L, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Pushes nil and an error value; returns 2. */
int script_fail(lua_State *L, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Raises for ERR_MISUSE. */
int script_fail_with(lua_State *L, const struct error *error);
/* Never returns; an int so that a binding may say `return`. */
int script_raise(lua_State *L, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4), noreturn));
/* Pushes `value` as an error value, wrapping what is none. */
void script_to_error(lua_State *L, int index);
bool script_is_error(lua_State *L, int index);
/* The enum err of an error value; ERR_INTERNAL for anything else. */
int script_error_code(lua_State *L, int index);
/* Fills `out` from any error object. */
void script_read_error(lua_State *L, int index, struct error *out);

#endif
