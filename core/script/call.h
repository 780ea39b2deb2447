/*
 * core/script/call.h: one call of the host's into a script.
 *
 * The call runs as a task; its C body finds the call as argument 1, does
 * what is to be done and fills `result`. When the task has ended, `done` is
 * posted to the loop, so that it may free the script.
 */
#ifndef TUNNELHOST_SCRIPT_CALL_H
#define TUNNELHOST_SCRIPT_CALL_H

#include "core/script/state.h"

struct script_call {
	struct list link;		/* in script->calls */
	struct script *script;
	struct task post;
	script_done *done;
	void *user;
	struct script_result result;
	char *traceback;
	char *text;			/* owned; result.text */
	bool unreadable;		/* a failure now means status 78 */
	/* Arguments, copied. */
	char *name;
	char *source;
	size_t source_len;
	char **argv;
	int argc;
	struct script_conn *conn;
	struct script_workspace *workspace;
	unsigned attempt;
	struct script_reason reason;
	char *kind;
	char *message;
	const char *hook;		/* a static string */
	struct script_guest *guest;	/* whose application; NULL: our own */
	void (*clear)(void *user);	/* last of all, always; or NULL */
	/* Before done, whatever happened to the task; or NULL. */
	void (*at_end)(struct script_call *call);
	uint32_t handle;		/* for at_end: a slot */
};

struct script_call *script_call_new(struct script *script, script_done *done,
				    void *user);
/* Takes `call`, also when it fails: 0, ERR_NOMEM or ERR_LIMIT. */
int script_call_run(struct script_call *call, enum script_tree tree,
		    lua_CFunction body);
/* Done with ok, without running anything. */
void script_call_finish(struct script_call *call);
void script_calls_clear(struct script *script);

/*
 * In a body: reads the results above `base` of start, run and their kin
 * into call->result.
 */
void script_call_read(lua_State *L, struct script_call *call, int base);
/* Fills a result from the error object at `index`. */
void script_result_failed(lua_State *L, int index,
			  struct script_result *result);
/* Adds a piece of text of the call's own; raises when there is no memory. */
void script_call_text(lua_State *L, struct script_call *call, int index);

#endif
