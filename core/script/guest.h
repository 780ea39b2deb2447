/*
 * core/script/guest.h: an application inside somebody else's state.
 *
 * `tunnel.open{app = table or path}` runs an application in the state of the
 * script that opens it, with its own table, arguments, tasks and handles: a
 * tree that ends with the tunnel. The calls are those of script.h, with the
 * same rules for `done`; tables and arguments stand in the registry.
 */
#ifndef TUNNELHOST_SCRIPT_GUEST_H
#define TUNNELHOST_SCRIPT_GUEST_H

#include "core/script/state.h"

struct script_guest;
struct script_queue;

/*
 * The table or path at `app`, with the words of the list at `args` (0: none).
 * Raises for anything else, or without memory. The caller's until
 * script_guest_free().
 */
struct script_guest *script_guest_new(lua_State *L, int app, int args);
/* Forgets it; its tasks are cancelled, its handles closed. May be NULL. */
void script_guest_free(struct script_guest *guest);

int script_guest_load(struct script_guest *guest, script_done *done,
		      void *user);
int script_guest_parse_args(struct script_guest *guest, script_done *done,
			    void *user);
int script_guest_init(struct script_guest *guest, script_done *done,
		      void *user);
bool script_guest_is_job(struct script_guest *guest);
int script_guest_start(struct script_guest *guest, struct script_conn *conn,
		       unsigned attempt, script_done *done, void *user);
int script_guest_close(struct script_guest *guest,
		       const struct script_reason *reason, script_done *done,
		       void *user);
void script_guest_post_state(struct script_guest *guest, const char *from,
			     const char *to);
int script_guest_end_tasks(struct script_guest *guest, script_done *done,
			   void *user);

/* A call is over. May be NULL. */
void script_guest_unref(struct script_guest *guest);

/* For app.c and events.c. Each takes or leaves one value on the stack. */
bool script_guest_push(lua_State *L, const struct script_guest *guest);
void script_guest_set_app(lua_State *L, struct script_guest *guest);
void script_guest_set_args(lua_State *L, struct script_guest *guest);
void script_guest_args(lua_State *L, const struct script_guest *guest);
bool script_guest_hook(lua_State *L, const struct script_guest *guest,
		       const char *field);
bool script_guest_has(struct script_guest *guest, const char *field);
enum script_tree script_guest_tree(const struct script_guest *guest);
struct script_queue **script_guest_queue(struct script_guest *guest);

#endif
