#include "core/script/bindings.h"
#include "core/script/failure.h"
#include "core/script/options.h"
#include "core/script/task.h"

static void task_release(void *object)
{
	script_task_unref(object);
}

static int task_cancel_method(lua_State *L);
static int task_wait(lua_State *L);
static int task_close(lua_State *L);
static int task_tostring(lua_State *L);

static const luaL_Reg methods[] = {
	{ "wait", task_wait },
	{ "cancel", task_cancel_method },
	{ NULL, NULL },
};

static const struct script_handle_type type = {
	.name = "task",
	.metatable = "tunnel.task",
	.close = task_release,
	.methods = methods,
	.tostring = task_tostring,
	.close_method = task_close,
	.lasting = true,
};

void script_task_push(lua_State *L, struct script_task *task)
{
	script_handle_new(L, &type, 0);
	script_handle_set(L, -1, task);
	script_task_ref(task);
}

struct script_task *script_task_check(lua_State *L, int index)
{
	return script_handle_check(L, index, &type);
}

static int task_tostring(lua_State *L)
{
	static const char *const states[] = {
		[SCRIPT_TASK_READY] = "ready",
		[SCRIPT_TASK_RUNNING] = "running",
		[SCRIPT_TASK_WAITING] = "waiting",
		[SCRIPT_TASK_DONE] = "done",
	};
	struct script_task *task = script_task_check(L, 1);

	lua_pushfstring(L, "task #%d (%s)", (int)script_handle_index(L, 1),
			task->state == SCRIPT_TASK_DONE && !task->ok
				? "failed" : states[task->state]);
	return 1;
}

static int task_cancel_method(lua_State *L)
{
	struct script_task *task = script_task_check(L, 1);

	task->heard = true;
	script_task_cancel(task);
	lua_pushboolean(L, 1);
	return 1;
}

static int wait_k(lua_State *L, int status, lua_KContext ctx)
{
	struct script_task *task = script_task_check(L, 1);
	int woken = script_woken(L);

	(void)status;
	(void)ctx;
	if (task->state == SCRIPT_TASK_DONE)
		return script_task_results(L, task);
	return script_fail(L, woken, "the task is still running");
}

/* Waits for the task at index 1. */
static int wait_until(lua_State *L, uint64_t deadline, lua_KContext ctx,
		      lua_KFunction k)
{
	struct script_task *task = script_task_check(L, 1);
	struct script_wait wait = {
		.what = "wait",
		.on = &task->waiters,
		.deadline_us = deadline,
	};

	if (task == script_of(L)->current)
		return luaL_error(L, "a task cannot wait for itself");
	script_may_wait(L, "wait");
	task->heard = true;
	return script_wait(L, &wait, ctx, k);
}

static int task_wait(lua_State *L)
{
	struct script_task *task = script_task_check(L, 1);
	uint64_t deadline = DEADLINE_NONE;
	const struct script_option options[] = {
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};

	script_options(L, 2, options, 1);
	if (task->state != SCRIPT_TASK_DONE)
		return wait_until(L, deadline, 0, wait_k);
	script_may_wait(L, "wait");
	task->heard = true;
	return script_task_results(L, task);
}

static int close_k(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	script_woken(L);
	lua_pushboolean(L, 1);
	return 1;
}

/* Cancels and waits until the task has wound down. */
static int task_close(lua_State *L)
{
	struct script_task *task = script_task_check(L, 1);

	task->heard = true;
	script_task_cancel(task);
	if (task->state != SCRIPT_TASK_DONE &&
	    task != script_of(L)->current)
		return wait_until(L, DEADLINE_NONE, 0, close_k);
	lua_pushboolean(L, 1);
	return 1;
}

static int spawn(lua_State *L)
{
	struct script_task *task;

	luaL_checktype(L, 1, LUA_TFUNCTION);
	task = script_task_new(L, script_current_tree(script_of(L)),
			       lua_gettop(L) - 1);
	script_task_push(L, task);
	return 1;
}

void script_add_task(lua_State *L)
{
	lua_pushcfunction(L, spawn);
	lua_setfield(L, -2, "spawn");
}
