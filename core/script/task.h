/*
 * core/script/task.h: tasks, and how a binding waits.
 *
 * A task is a stack of coroutines: its own, and those that the script has
 * made and resumed. Resuming and yielding go through the scheduler, which
 * holds the only lua_resume() of the program; so a wait in a script's own
 * coroutine suspends the task as a whole, and the kill of a task drops all
 * its coroutines without running any of them again.
 *
 * A binding waits so:
 *
 *	static int receive_k(lua_State *L, int status, lua_KContext ctx)
 *	{
 *		int woken = script_woken(L);	// may raise `canceled`
 *		…look again; not there and woken == 0: wait again…
 *	}
 *	return script_wait(L, &wait, ctx, receive_k);
 *
 * On the main thread of a plain lua5.4 the same call runs the loop instead.
 */
#ifndef TUNNELHOST_SCRIPT_TASK_H
#define TUNNELHOST_SCRIPT_TASK_H

#include "core/script/state.h"

enum script_task_state {
	SCRIPT_TASK_READY,
	SCRIPT_TASK_RUNNING,
	SCRIPT_TASK_WAITING,
	SCRIPT_TASK_DONE,
};

/* One coroutine that a task is in. */
struct script_frame {
	lua_State *L;
	unsigned protections;	/* pcalls under way when it was entered */
};

struct script_task {
	struct script *script;
	struct list link;	/* in its tree */
	struct list queued;	/* in script->ready */
	struct list waiting;	/* in what it waits on */
	struct list unheard;	/* in script->unheard */
	struct list waiters;	/* tasks that wait for its end */
	struct timer timer;
	enum script_tree tree;
	enum script_task_state state;
	lua_State *thread;	/* after the end: holds the results */
	int thread_ref;
	int arguments;		/* on the thread, before the first slice */
	struct script_frame *frames;
	unsigned depth;
	unsigned frame_cap;
	unsigned users;		/* the scheduler and the handle */
	bool ok;		/* of a task that is done */
	bool heard;		/* somebody has waited, or will not */
	bool canceled;
	bool unwinding;		/* `canceled` runs through <close> variables */
	bool killed;
	int wake;
	unsigned protections;	/* pcalls under way */
	unsigned unwind_at;	/* the pcall that will catch it */
	uint64_t grace_us;	/* that <close> variables may still wait */
	uint64_t wait_began_us;
	uint64_t cpu_ns;	/* since the last wait */
	void (*abandon)(void *arg);
	void *abandon_arg;
	bool *blocked;		/* of a main thread that runs the loop */
	char *traceback;
	/* From the scheduler, once, unless the script is freed first. */
	void (*on_end)(struct script_task *task, void *user);
	void *user;
};

struct script_wait {
	const char *what;	/* for "`receive` waits: not allowed here" */
	struct list *on;	/* script_wake() finds it there; may be NULL */
	uint64_t deadline_us;
	/* The task will not look again: canceled, killed or dropped. */
	void (*abandon)(void *arg);
	void *arg;
};

/* Suspends the task; `k` runs when it is woken or the deadline is there. */
int script_wait(lua_State *L, const struct script_wait *wait, lua_KContext ctx,
		lua_KFunction k);
/*
 * First thing in a continuation: 0, or ERR_TIMEOUT. Raises `canceled`,
 * after `abandon`.
 */
int script_woken(lua_State *L);
/*
 * For calls that may find their answer without waiting: a place where a
 * cancelled task stops and the CPU budget begins anew. Raises where
 * waiting is not allowed.
 */
void script_may_wait(lua_State *L, const char *what);
/* Wakes the first, or all. */
void script_wake_one(struct script *script, struct list *on);
void script_wake_all(struct script *script, struct list *on);

/*
 * New task of `tree` for the function and its `arguments` on top of the
 * stack of L, which are popped. Raises `limit`.
 */
struct script_task *script_task_new(lua_State *L, enum script_tree tree,
				    int arguments);
/* Pushes the handle. */
void script_task_push(lua_State *L, struct script_task *task);
struct script_task *script_task_check(lua_State *L, int index);
void script_task_cancel(struct script_task *task);
void script_task_ref(struct script_task *task);
void script_task_unref(struct script_task *task);
/* Ends it without running it again. */
void script_task_drop(struct script_task *task);
/* Pushes its results, or nil and an error with traceback; how many. */
int script_task_results(lua_State *L, struct script_task *task);
/*
 * Starts `body`, a C function, as a task of the host's; it finds `arg` as
 * argument 1. 0, ERR_NOMEM or ERR_LIMIT.
 */
int script_task_start(struct script *script, enum script_tree tree,
		      lua_CFunction body, void *arg,
		      void (*on_end)(struct script_task *, void *), void *user,
		      struct script_task **out);
/* The tree of what is made now. */
enum script_tree script_current_tree(const struct script *script);

/* schedule.c */
#define SCRIPT_COROUTINE_DEPTH 128u	/* coroutines inside each other */
void script_schedule(struct script *script, struct script_task *task);
void script_run_ready(struct task *work);
bool script_frame_push(struct script_task *task, lua_State *L);
bool script_drive_nested(lua_State *L, lua_State *co, int count, bool *ok,
			 int *results);
/*
 * Where a coroutine is at home: the task that it runs in, or last ran in if
 * it may never be resumed by a script (a task's own, a killed one's).
 */
static inline struct script_task **script_home(lua_State *L)
{
	return lua_getextraspace(L);
}
/* Whether L is the coroutine that the scheduler is running. */
bool script_scheduled(const struct script *script, const lua_State *L);
/* A failed task that nobody waits on: logged if that stays so for a while. */
void script_unheard(struct script_task *task);
void script_report_unheard(struct script *script);

/* budget.c */
void script_hook(lua_State *L, lua_Debug *ar);
void script_budget_begin(struct script *script);	/* of a slice */
void script_budget_end(struct script *script, struct script_task *task);
/* A C function has done work worth `amount` bytes. */
void script_charge(struct script *script, size_t amount);
/* Whether the budget is spent; then the task is killed at the next chance. */
bool script_overspent(struct script *script);
void script_kill(lua_State *L, struct script *script);

/* Coroutines as the scheduler sees them (coroutine.c). */
int script_open_coroutine(lua_State *L);

#endif
