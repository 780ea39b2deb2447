/*
 * core/host/paths.h: where the program's own Lua files are.
 *
 * `../share/tunnelhost/lua` beside an installed program, `../../lua` beside
 * one in its build directory.
 */
#ifndef TUNNELHOST_HOST_PATHS_H
#define TUNNELHOST_HOST_PATHS_H

#include "core/base/err.h"

#define PATHS_CAP 4096

/* The lua/ directory. 0 or ERR_NOT_FOUND with what was looked for. */
int paths_find_lua(char out[PATHS_CAP], struct error *error);

#endif
