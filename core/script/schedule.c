#include <assert.h>
#include <stdlib.h>

#include "core/script/app.h"
#include "core/script/failure.h"
#include "core/script/task.h"

/*
 * Theory of operation. drive() runs a task until it waits, is preempted or
 * ends. A coroutine asks for what it wants by yielding with script->yield
 * set: to run another coroutine, to give values to the one that resumed it,
 * or to let the task wait. So resuming never nests on the C stack, but in
 * one case: coroutine.resume where Lua cannot yield (inside sort, gsub or a
 * metamethod called by C) drives the new coroutine on the spot, and nothing
 * in it may wait.
 */

static void run_again(struct timer *timer)
{
	struct script *script = timer->user;

	task_post(script->config.loop, &script->work);
}

void script_schedule(struct script *script, struct script_task *task)
{
	task->state = SCRIPT_TASK_READY;
	list_remove(&task->queued);
	list_add_tail(&script->ready, &task->queued);
	task_post(script->config.loop, &script->work);
}

static lua_State *top(const struct script_task *task)
{
	return task->frames[task->depth - 1].L;
}

bool script_frame_push(struct script_task *task, lua_State *L)
{
	if (task->depth == task->frame_cap) {
		unsigned cap = task->frame_cap ? task->frame_cap * 2 : 2;
		struct script_frame *frames;

		if (cap > SCRIPT_COROUTINE_DEPTH)
			return false;
		frames = realloc(task->frames, cap * sizeof(*frames));
		if (!frames)
			return false;
		task->frames = frames;
		task->frame_cap = cap;
	}
	*script_home(L) = task;
	task->frames[task->depth++] = (struct script_frame){
		.L = L,
		.protections = task->protections,
	};
	return true;
}

/* A coroutine has left: what it had under way is over with it. */
static void frame_pop(struct script_task *task, bool failed)
{
	struct script_frame *frame = &task->frames[--task->depth];

	if (task->depth)
		*script_home(frame->L) = NULL;
	if (failed && task->unwinding && task->unwind_at >= frame->protections)
		task->unwinding = false;
	if (failed)
		task->protections = frame->protections;
}

/* Moves `count` values and says first whether it went well. */
static int give(lua_State *to, bool ok, lua_State *from, int count)
{
	if (!lua_checkstack(to, count + 1)) {
		lua_pop(from, count);
		lua_pushboolean(to, 0);
		return 1;
	}
	lua_pushboolean(to, ok);
	lua_xmove(from, to, count);
	return count + 1;
}

/* The asked-for coroutine becomes the top; its arguments are there already. */
static int enter(struct script *script, struct script_task *task)
{
	lua_State *co = script->resumed;
	lua_State *parent = top(task);

	if (script_frame_push(task, co))
		return script->resumed_args;
	lua_pop(co, script->resumed_args);
	script->in_host++;
	lua_checkstack(parent, 2);
	lua_pushboolean(parent, 0);
	lua_pushliteral(parent, "too many coroutines inside each other");
	script->in_host--;
	return 2;
}

enum slice { SLICE_OUT, SLICE_ENDED, SLICE_KILLED };

/* Runs until the task leaves, or until only `base` coroutines are left. */
static enum slice drive(struct script *script, struct script_task *task,
			unsigned base, int count)
{
	for (;;) {
		lua_State *L = top(task);
		bool first = task->depth == base + 1;
		int results = 0;
		int status;

		script->yield = SCRIPT_YIELD_VALUES;
		status = lua_resume(L, script->from, count, &results);
		if (status == LUA_YIELD) {
			switch (script->yield) {
			case SCRIPT_YIELD_WAIT:
			case SCRIPT_YIELD_PREEMPT:
				return SLICE_OUT;
			case SCRIPT_YIELD_KILLED:
				return SLICE_KILLED;
			case SCRIPT_YIELD_RESUME:
				count = enter(script, task);
				continue;
			case SCRIPT_YIELD_VALUES:
				break;
			}
		}
		if (task->killed)
			return SLICE_KILLED;
		if (status != LUA_OK && status != LUA_YIELD)
			results = 1;
		if (first)
			task->ok = status == LUA_OK || status == LUA_YIELD;
		task->arguments = results;
		frame_pop(task, status != LUA_OK && status != LUA_YIELD);
		if (first)
			return SLICE_ENDED;
		count = give(top(task), status == LUA_OK || status == LUA_YIELD,
			     L, results);
	}
}

/* See above; leaves the results on `co`. False: the task is killed. */
bool script_drive_nested(lua_State *L, lua_State *co, int count, bool *ok,
			 int *results)
{
	struct script *script = script_of(L);
	struct script_task *task = script->current;
	lua_State *from = script->from;
	bool task_ok = task->ok;
	enum slice slice;
	unsigned base = task->depth;

	if (!script_frame_push(task, co))
		return luaL_error(L, "too many coroutines inside each other");
	script->from = L;
	script->nested++;
	slice = drive(script, task, base, count);
	script->nested--;
	script->from = from;
	*ok = task->ok;
	task->ok = task_ok;
	if (slice == SLICE_KILLED) {
		task->depth = base;
		return false;
	}
	*results = task->arguments;
	return true;
}

static void finish(struct script *script, struct script_task *task)
{
	task->state = SCRIPT_TASK_DONE;
	list_remove(&task->link);
	script->task_count--;
	free(task->frames);
	task->frames = NULL;
	task->depth = task->frame_cap = 0;
	if (!list_empty(&task->waiters))
		task->heard = true;
	script_wake_all(script, &task->waiters);
	if (!task->ok && !task->heard && !task->on_end)
		script_unheard(task);
	if (task->on_end)
		task->on_end(task, task->user);
	script_tree_changed(script, task->tree);
	script_task_unref(task);
}

void script_task_drop(struct script_task *task)
{
	struct script *script = task->script;

	list_remove(&task->queued);
	list_remove(&task->waiting);
	timer_stop(script->config.loop, &task->timer);
	if (task->abandon)
		task->abandon(task->abandon_arg);
	task->abandon = NULL;
	task->ok = false;
	if (task->depth)
		task->killed = true;
	task->arguments = 0;
	finish(script, task);
}

static void run_slice(struct script *script, struct script_task *task)
{
	int count = task->depth ? 0 : task->arguments;
	enum slice slice;

	if (!task->depth && !script_frame_push(task, task->thread)) {
		script_task_drop(task);
		return;
	}
	task->state = SCRIPT_TASK_RUNNING;
	script->current = task;
	script->wake = task->wake;
	script->slice_ticks = 0;
	script_budget_begin(script);
	slice = drive(script, task, 0, count);
	script_budget_end(script, task);
	script->current = NULL;
	switch (slice) {
	case SLICE_OUT:
		task->cpu_ns = script->yield == SCRIPT_YIELD_WAIT
				       ? 0 : task->cpu_ns;
		if (script->yield == SCRIPT_YIELD_PREEMPT) {
			task->state = SCRIPT_TASK_READY;
			list_add_tail(&script->ready, &task->queued);
		}
		return;
	case SLICE_ENDED:
		/* The body returned normally: its first result says how. */
		if (task->ok)
			task->ok = lua_toboolean(task->thread,
						 -task->arguments);
		finish(script, task);
		return;
	case SLICE_KILLED:
		script_task_drop(task);
		return;
	}
}

/*
 * One slice for each that is ready. What is ready again by then runs after
 * the loop has looked at its descriptors: a busy script delays no tunnel.
 */
void script_run_ready(struct task *work)
{
	struct script *script = work->user;
	struct script_task *outer = script->current;
	lua_State *from = script->from;
	struct list *end = script->ready.prev;
	struct list *at;

	if (!script->from)
		script->from = script->L;
	while (!list_empty(&script->ready)) {
		at = list_pop(&script->ready);
		run_slice(script, container_of(at, struct script_task, queued));
		if (at == end)
			break;
	}
	script->from = from;
	script->current = outer;
	if (list_empty(&script->ready))
		return;
	script->again.fire = run_again;
	script->again.user = script;
	timer_set(script->config.loop, &script->again,
		  loop_now_us(script->config.loop) + 1);
}
