/*
 * core/script/std.h: our part of the standard library.
 */
#ifndef TUNNELHOST_SCRIPT_STD_H
#define TUNNELHOST_SCRIPT_STD_H

#include "core/script/state.h"

/* Budgeted string.find, match, gmatch, gsub, rep; no string.dump. */
void script_open_strings(lua_State *L);
/* table.sort, move, concat, insert and remove with limits. */
void script_open_tables(lua_State *L);
/* io.* and print on the process's own streams. */
void script_open_io(lua_State *L);
/* require, along the script's own directory and lua/. */
void script_open_require(lua_State *L);
/* Compiles the text file at `path`; pushes the chunk, or raises. */
void script_load_file(lua_State *L, const char *path);
/* Compiles text; a first line that starts with '#' is skipped. */
void script_load_text(lua_State *L, const char *source, size_t len,
		      const char *name);

/* The streams behind io.* and tunnel.stdio(). */
int script_std_open(struct script *script);
void script_std_close(struct script *script);
/* Pushes the stream of tunnel.stdio(), or nil, err. */
int script_push_stdio(lua_State *L);

#endif
