/*
 * core/script/handle.h: the registry of live objects.
 *
 * A handle reaches Lua as a userdata {index, generation}; the object itself
 * is C's. A stale handle is a clean argument error. Every handle belongs to
 * the tree of the task that made it and is closed with the tree, by close()
 * or <close>, or when it is collected unused.
 */
#ifndef TUNNELHOST_SCRIPT_HANDLE_H
#define TUNNELHOST_SCRIPT_HANDLE_H

#include "core/script/state.h"

struct script_handle_type {
	const char *name;		/* "stream", for messages */
	const char *metatable;		/* "tunnel.stream" */
	/* Ends the object and frees it, or later once nobody uses it. */
	void (*close)(void *object);
	const luaL_Reg *methods;	/* beside close and __close */
	lua_CFunction index;		/* __index beyond the methods, or NULL */
	lua_CFunction tostring;		/* or NULL: "stream #3" */
	lua_CFunction close_method;	/* or NULL: the usual one */
	bool lasting;			/* its tree's end does not close it */
};

/*
 * Pushes a handle that is still closed (metatable first), with
 * `user_values` user values. Raises `limit` when there are too many.
 */
void script_handle_new(lua_State *L, const struct script_handle_type *type,
		       int user_values);
/* Gives the new handle its object; cannot fail. */
void script_handle_set(lua_State *L, int index, void *object);
/* The object of argument `index`; raises for a wrong type or once closed. */
void *script_handle_check(lua_State *L, int index,
			  const struct script_handle_type *type);
/* The same, NULL once closed; raises for a wrong type. */
void *script_handle_peek(lua_State *L, int index,
			 const struct script_handle_type *type);
/* NULL also for a wrong type. */
void *script_handle_test(lua_State *L, int index,
			 const struct script_handle_type *type);
/* Closes it if it is open. */
void script_handle_close(lua_State *L, int index,
			 const struct script_handle_type *type);
uint32_t script_handle_index(lua_State *L, int index);
/* Closes all that belong to `tree`. */
void script_handles_end(struct script *script, enum script_tree tree);
void script_handles_clear(struct script *script);

#endif
