/*
 * core/script/state.h: one script's insides, for this room's files alone.
 *
 * Functions that take `lua_State *L` first may longjmp; all others never do.
 */
#ifndef TUNNELHOST_SCRIPT_STATE_H
#define TUNNELHOST_SCRIPT_STATE_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "core/base/list.h"
#include "core/base/time.h"
#include "core/script/script.h"

#define SCRIPT_MEMORY_CAP ((size_t)64 << 20)
#define SCRIPT_SOURCE_CAP ((size_t)1 << 20)
#define SCRIPT_CPU_US (100 * US_PER_MS)
#define SCRIPT_TASK_CAP 10000u
#define SCRIPT_HANDLE_CAP 4096u
#define SCRIPT_GRACE_US (2 * US_PER_S)	/* for <close> after a cancel */

struct script_task;
struct script_slot;

/* Why a coroutine has yielded to the scheduler. */
enum script_yield {
	SCRIPT_YIELD_VALUES,	/* coroutine.yield */
	SCRIPT_YIELD_RESUME,	/* coroutine.resume: run `resumed` */
	SCRIPT_YIELD_WAIT,	/* the task waits */
	SCRIPT_YIELD_PREEMPT,	/* the hook lets others run */
	SCRIPT_YIELD_KILLED,	/* the budget is spent: never resume it */
};

struct script {
	lua_State *L;		/* the main thread */
	bool closing;		/* script_free() is under way */
	bool owned;		/* ours, or a plain lua5.4's */
	struct script_config config;
	char *lua_path;
	char *directory;	/* of the application, for require */

	size_t memory;
	size_t memory_peak;
	unsigned in_host;	/* host code may use the reserve */
	size_t charge;		/* work of C functions since the last look */

	struct script_tree_tasks **trees;	/* by number; NULL: unused */
	unsigned tree_count;
	unsigned task_count;
	struct list ready;
	struct task work;
	struct timer again;	/* the turn after I/O had its share */
	struct list unheard;	/* failures that nobody has waited on */
	struct timer report;
	struct script_task *current;
	lua_State *from;	/* whose C stack the scheduler runs on */
	unsigned nested;	/* drive() inside a C function: no waits */
	enum script_yield yield;
	lua_State *resumed;
	int resumed_args;
	int wake;		/* how the last wait ended */
	uint64_t slice_mono_ns;
	uint64_t slice_cpu_ns;
	unsigned slice_ticks;

	struct script_slot *slots;
	uint32_t slot_count;
	uint32_t slot_free;
	unsigned handle_count;

	/* Runs the loop until *done: plain lua5.4 and its main thread. */
	void (*run_until)(void *user, const bool *done);
	void *run_user;
	/* Opens stdio on its first use, or NULL; the caller's to close. */
	int (*open_stdio)(void *user, struct stream **out);

	struct list calls;
	struct list cancellations;
	struct list conns;
	struct script_queue *queue;	/* on_state, on_log, on_path */
	struct script_std *std;
};

struct script *script_of(lua_State *L);
/* The host's own Lua work; 0, or ERR_NOMEM/ERR_INTERNAL with *error. */
int script_protected(struct script *script, lua_CFunction function, void *arg,
		     struct error *error);

/* A script over somebody else's state (plain lua5.4): no caps, no sandbox. */
int script_attach(lua_State *L, const struct script_config *config,
		  struct script **out);

/*
 * tree.c: trees beside the two of script.h, for what lives and ends on its
 * own in the same state: an opened tunnel's application, a simulation's
 * handlers.
 */
#define SCRIPT_TREE_CAP 4096u
struct script_tree_tasks {
	struct list tasks;
	struct script *script;
	enum script_tree tree;
};
/* 0, ERR_NOMEM or ERR_LIMIT. */
int script_tree_new(struct script *script, enum script_tree *out);
/*
 * Closes its handles, cancels its tasks; the number is free once they have
 * ended.
 */
void script_tree_end(struct script *script, enum script_tree tree);
struct list *script_tree_tasks(struct script *script, enum script_tree tree);
int script_trees_init(struct script *script);
void script_trees_clear(struct script *script);

/* sandbox.c: the safe standard library; the host's functions. */
int script_open_sandbox(lua_State *L);
/* core.c: pushes the table behind require "tunnel.core". */
int script_open_core(lua_State *L);

#endif
