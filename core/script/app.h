/*
 * core/script/app.h: the application's hooks, inside the room.
 */
#ifndef TUNNELHOST_SCRIPT_APP_H
#define TUNNELHOST_SCRIPT_APP_H

#include "core/script/state.h"

/* Forgets what is under way, without callbacks. */
void script_app_clear(struct script *script);
/* Pushes app[field], or nil; whether it is a function. */
bool script_push_hook(lua_State *L, const char *field);
/* Pushes the parsed arguments, or nil. */
void script_push_args(lua_State *L);
/* Pushes the connection's handle (nil for NULL). */
void script_push_conn(lua_State *L, struct script_conn *conn);

/* For guest.c: the bodies of calls, which look at call->guest. */
struct script_call;
int script_body_load(lua_State *L);
int script_body_args(lua_State *L);
int script_body_init(lua_State *L);
int script_body_start(lua_State *L);
int script_body_close(lua_State *L);
struct script_call *script_call_reason(struct script *script,
				       const struct script_reason *reason,
				       script_done *done, void *user);
struct script_call *script_call_args(struct script *script,
				     const char *program, int argc,
				     char *const *argv, script_done *done,
				     void *user);

/* events.c */
struct script_queue;
struct script_guest;
void script_queue_post(struct script *script, struct script_guest *guest,
		       const char *hook, const char *a, const char *b);
void script_queue_free(struct script_queue *queue);
void script_events_clear(struct script *script);
uint64_t script_events_dropped(const struct script *script);

/* cancel.c: a task of `tree` has ended. */
void script_tree_changed(struct script *script, enum script_tree tree);
void script_cancellations_clear(struct script *script);

#endif
