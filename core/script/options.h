/*
 * core/script/options.h: the trailing table of options.
 *
 * Values are read into C; an unknown key or a wrong type raises at the
 * caller's position and names what would have been right.
 */
#ifndef TUNNELHOST_SCRIPT_OPTIONS_H
#define TUNNELHOST_SCRIPT_OPTIONS_H

#include "core/script/state.h"

enum script_option_kind {
	SCRIPT_OPTION_TIMEOUT,	/* uint64_t *: a deadline */
	SCRIPT_OPTION_SIZE,	/* size_t *, at least 1 */
	SCRIPT_OPTION_INTEGER,	/* lua_Integer * */
	SCRIPT_OPTION_BOOLEAN,	/* bool * */
	SCRIPT_OPTION_STRING,	/* const char **, borrowed from the table */
	SCRIPT_OPTION_VALUE,	/* int *: pushed; its stack index, else 0 */
};

struct script_option {
	const char *name;
	enum script_option_kind kind;
	void *out;
};

/* Reads the table at `index` (nil or none: nothing). */
void script_options(lua_State *L, int index,
		    const struct script_option *options, size_t count);
/* now + seconds; math.huge gives DEADLINE_NONE. Raises for nonsense. */
uint64_t script_deadline(lua_State *L, double seconds);
/* The deadline of a default in seconds. */
uint64_t script_deadline_default(lua_State *L, unsigned seconds);

#endif
