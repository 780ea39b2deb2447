#include "core/script/bindings.h"
#include "core/script/failure.h"
#include "core/script/options.h"
#include "core/script/task.h"

static int slept(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	script_woken(L);
	lua_pushboolean(L, 1);
	return 1;
}

static int timing_sleep(lua_State *L)
{
	struct script_wait wait = {
		.what = "sleep",
		.deadline_us = script_deadline(L, luaL_checknumber(L, 1)),
	};

	return script_wait(L, &wait, 0, slept);
}

static int timing_now(lua_State *L)
{
	uint64_t now = loop_now_us(script_of(L)->config.loop);

	lua_pushnumber(L, (lua_Number)now / 1e6);
	return 1;
}

/*
 * with_timeout(s, fn, …) runs fn as a task of its own. Stack: 1 the
 * seconds, 2 its handle.
 */
static void give_up(void *arg)
{
	script_task_cancel(arg);
}

static int wait_for_it(lua_State *L, struct script_task *task,
		       uint64_t deadline, lua_KContext late);

static int ended(lua_State *L, int status, lua_KContext late)
{
	struct script_task *task = script_task_check(L, 2);
	int woken = script_woken(L);
	int count;

	(void)status;
	if (task->state != SCRIPT_TASK_DONE && woken == ERR_TIMEOUT) {
		script_task_cancel(task);
		return wait_for_it(L, task, DEADLINE_NONE, 1);
	}
	if (late)
		return script_fail(L, ERR_TIMEOUT, "took longer than %g s",
				   lua_tonumber(L, 1));
	count = script_task_results(L, task);
	return task->ok ? count : lua_error(L);
}

static int wait_for_it(lua_State *L, struct script_task *task,
		       uint64_t deadline, lua_KContext late)
{
	struct script_wait wait = {
		.what = "with_timeout",
		.on = &task->waiters,
		.deadline_us = deadline,
		.abandon = give_up,
		.arg = task,
	};

	return script_wait(L, &wait, late, ended);
}

static int timing_with_timeout(lua_State *L)
{
	uint64_t deadline = script_deadline(L, luaL_checknumber(L, 1));
	struct script_task *task;

	luaL_checktype(L, 2, LUA_TFUNCTION);
	script_may_wait(L, "with_timeout");
	task = script_task_new(L, script_current_tree(script_of(L)),
			       lua_gettop(L) - 2);
	script_task_push(L, task);
	task->heard = true;
	return wait_for_it(L, task, deadline, 0);
}

void script_add_timing(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "sleep", timing_sleep },
		{ "now", timing_now },
		{ "with_timeout", timing_with_timeout },
		{ NULL, NULL },
	};

	luaL_setfuncs(L, functions, 0);
}
