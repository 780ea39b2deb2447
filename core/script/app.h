/*
 * core/script/app.h: the application's hooks, inside the room.
 */
#ifndef TUNNELHOST_SCRIPT_APP_H
#define TUNNELHOST_SCRIPT_APP_H

#include "core/script/state.h"

/* Forgets what is under way, without callbacks. */
void script_app_clear(struct script *script);
/* Pushes app[field]; whether it is a function. */
bool script_push_hook(lua_State *L, const char *field);
/* Pushes the parsed arguments, or nil. */
void script_push_args(lua_State *L);
/* Pushes the connection's handle (nil for NULL). */
void script_push_conn(lua_State *L, struct script_conn *conn);

/* events.c */
void script_events_clear(struct script *script);
uint64_t script_events_dropped(const struct script *script);

/* cancel.c: a task of `tree` has ended. */
void script_tree_changed(struct script *script, enum script_tree tree);
void script_cancellations_clear(struct script *script);

#endif
