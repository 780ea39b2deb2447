#include "core/script/task.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/script/failure.h"
#include "core/script/handle.h"

#define UNHEARD_US (1 * US_PER_S)	/* time to come and wait */

enum script_tree script_current_tree(const struct script *script)
{
	return script->current ? script->current->tree : SCRIPT_TREE_LOAD;
}

bool script_scheduled(const struct script *script, const lua_State *L)
{
	const struct script_task *task = script->current;

	return task && task->depth && task->frames[task->depth - 1].L == L;
}

void script_task_ref(struct script_task *task)
{
	task->users++;
}

void script_task_unref(struct script_task *task)
{
	if (--task->users)
		return;
	list_remove(&task->unheard);
	luaL_unref(task->script->L, LUA_REGISTRYINDEX, task->thread_ref);
	free(task->traceback);
	free(task);
}

/* Keeps the traceback of the first error that nothing catches. */
static int keep_traceback(lua_State *L)
{
	struct script_task *task = script_of(L)->current;
	const char *text;

	if (!task || task->traceback || script_is_error(L, 1))
		return 1;
	luaL_traceback(L, L, NULL, 1);
	text = lua_tostring(L, -1);
	task->traceback = strdup(text ? text : "");
	lua_settop(L, 1);
	return 1;
}

static int body_k(lua_State *L, int status, lua_KContext ctx)
{
	(void)ctx;
	lua_pushboolean(L, status == LUA_OK || status == LUA_YIELD);
	if (!lua_toboolean(L, -1)) {
		lua_insert(L, -2);
		return 2;
	}
	lua_replace(L, 1);
	return lua_gettop(L);
}

/* Every task runs in a protected call, so that <close> variables may wait. */
static int task_body(lua_State *L)
{
	lua_pushcfunction(L, keep_traceback);
	lua_insert(L, 1);
	return body_k(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0,
				    body_k), 0);
}

static void deadline_reached(struct timer *timer);

static struct script_task *alloc_task(struct script *script,
				      enum script_tree tree)
{
	struct script_task *task = calloc(1, sizeof(*task));

	if (!task)
		return NULL;
	task->script = script;
	task->tree = tree;
	task->timer = (struct timer){ .fire = deadline_reached, .user = task };
	task->users = 1;
	task->thread_ref = LUA_NOREF;
	task->grace_us = SCRIPT_GRACE_US;
	list_init(&task->waiters);
	return task;
}

struct script_task *script_task_new(lua_State *L, enum script_tree tree,
				    int arguments)
{
	struct script *script = script_of(L);
	struct script_task *task;
	lua_State *thread;
	int ref;

	if (script->task_count >= script->config.task_cap)
		script_raise(L, ERR_LIMIT, "too many tasks (%u)",
			     script->task_count);
	thread = lua_newthread(L);
	if (!lua_checkstack(thread, arguments + 2))
		luaL_error(L, "too many arguments");
	ref = luaL_ref(L, LUA_REGISTRYINDEX);
	task = alloc_task(script, tree);
	if (!task) {
		luaL_unref(L, LUA_REGISTRYINDEX, ref);
		script_raise(L, ERR_LIMIT, "no memory for a task");
	}
	task->thread = thread;
	task->thread_ref = ref;
	task->arguments = arguments + 1;
	lua_pushcfunction(thread, task_body);
	lua_xmove(L, thread, arguments + 1);
	if (script->config.cpu_us != DEADLINE_NONE)
		lua_sethook(thread, script_hook, LUA_MASKCOUNT, 1000);
	list_add_tail(script_tree_tasks(script, tree), &task->link);
	script->task_count++;
	script_schedule(script, task);
	return task;
}

struct start {
	lua_CFunction body;
	void *arg;
	enum script_tree tree;
	struct script_task *task;
};

static int start_task(lua_State *L)
{
	struct start *start = lua_touserdata(L, 1);

	lua_pushcfunction(L, start->body);
	lua_pushlightuserdata(L, start->arg);
	start->task = script_task_new(L, start->tree, 1);
	return 0;
}

int script_task_start(struct script *script, enum script_tree tree,
		      lua_CFunction body, void *arg,
		      void (*on_end)(struct script_task *, void *), void *user,
		      struct script_task **out)
{
	struct start start = { .body = body, .arg = arg, .tree = tree };
	int err = script_protected(script, start_task, &start, NULL);

	if (err < 0)
		return err;
	start.task->on_end = on_end;
	start.task->user = user;
	if (out)
		*out = start.task;
	return 0;
}

static void wake(struct script_task *task, int how)
{
	struct script *script = task->script;

	list_remove(&task->waiting);
	timer_stop(script->config.loop, &task->timer);
	task->wake = how;
	if (task->blocked)
		*task->blocked = true;
	else
		script_schedule(script, task);
}

static void deadline_reached(struct timer *timer)
{
	wake(timer->user, ERR_TIMEOUT);
}

void script_wake_one(struct script *script, struct list *on)
{
	(void)script;
	if (!list_empty(on))
		wake(container_of(on->next, struct script_task, waiting), 0);
}

void script_wake_all(struct script *script, struct list *on)
{
	while (!list_empty(on))
		script_wake_one(script, on);
}

/* Whether a cancelled task is in a <close> variable and has time left. */
static bool may_wind_down(lua_State *L, const struct script_task *task)
{
	lua_Debug ar;

	if (task->grace_us == 0)
		return false;
	if (task->unwinding)
		return true;
	for (int level = 1; lua_getstack(L, level, &ar); level++) {
		lua_getinfo(L, "n", &ar);
		if (ar.name && strcmp(ar.name, "close") == 0 &&
		    strcmp(ar.namewhat, "metamethod") == 0)
			return true;
	}
	return false;
}

static int raise_canceled(lua_State *L, struct script_task *task)
{
	task->unwinding = true;
	task->unwind_at = task->protections;
	return script_raise(L, ERR_CANCELED, "the task was cancelled");
}

static void check_place(lua_State *L, struct script *script, const char *what)
{
	bool scheduled = script_scheduled(script, L);

	if (scheduled ? script->nested || !lua_isyieldable(L)
		      : !script->run_until)
		luaL_error(L, "`%s` waits: not allowed here", what);
	if (scheduled && script->current->canceled &&
	    !may_wind_down(L, script->current))
		raise_canceled(L, script->current);
}

void script_may_wait(lua_State *L, const char *what)
{
	struct script *script = script_of(L);

	check_place(L, script, what);
	if (!script_scheduled(script, L))
		return;
	script->current->cpu_ns = 0;
	script->slice_ticks++;
	script_budget_begin(script);
}

/* Plain lua5.4 on its main thread: the loop runs in here. */
static int block(lua_State *L, const struct script_wait *wait, lua_KContext ctx,
		 lua_KFunction k)
{
	struct script *script = script_of(L);
	struct script_task *outer = script->current;
	lua_State *from = script->from;
	bool woken = false;
	struct script_task self = {
		.script = script,
		.timer = { .fire = deadline_reached, .user = &self },
		.blocked = &woken,
	};

	if (wait->on)
		list_add_tail(wait->on, &self.waiting);
	if (wait->deadline_us != DEADLINE_NONE)
		timer_set(script->config.loop, &self.timer, wait->deadline_us);
	script->from = L;
	script->run_until(script->run_user, &woken);
	script->from = from;
	script->current = outer;
	list_remove(&self.waiting);
	timer_stop(script->config.loop, &self.timer);
	if (!woken) {
		if (wait->abandon)
			wait->abandon(wait->arg);
		return luaL_error(L, "`%s` would wait for ever", wait->what);
	}
	script->wake = self.wake;
	return k(L, LUA_YIELD, ctx);
}

int script_wait(lua_State *L, const struct script_wait *wait, lua_KContext ctx,
		lua_KFunction k)
{
	struct script *script = script_of(L);
	struct script_task *task = script->current;
	uint64_t now = loop_now_us(script->config.loop);
	uint64_t deadline = wait->deadline_us;

	check_place(L, script, wait->what);
	if (!script_scheduled(script, L))
		return block(L, wait, ctx, k);
	if (task->canceled)
		deadline = deadline_min(deadline, now + task->grace_us);
	task->wait_began_us = now;
	task->abandon = wait->abandon;
	task->abandon_arg = wait->arg;
	task->state = SCRIPT_TASK_WAITING;
	if (wait->on)
		list_add_tail(wait->on, &task->waiting);
	if (deadline != DEADLINE_NONE)
		timer_set(script->config.loop, &task->timer, deadline);
	script->yield = SCRIPT_YIELD_WAIT;
	return lua_yieldk(L, 0, ctx, k);
}

static void spend_grace(struct script_task *task)
{
	uint64_t now = loop_now_us(task->script->config.loop);
	uint64_t spent = now - task->wait_began_us;

	task->grace_us -= spent < task->grace_us ? spent : task->grace_us;
}

int script_woken(lua_State *L)
{
	struct script *script = script_of(L);
	struct script_task *task = script->current;
	void (*abandon)(void *arg);

	if (!script_scheduled(script, L))
		return script->wake;
	abandon = task->abandon;
	task->abandon = NULL;
	if (task->canceled && task->wake != ERR_CANCELED) {
		spend_grace(task);
		if (task->grace_us == 0)
			task->wake = ERR_CANCELED;
	}
	if (task->wake != ERR_CANCELED)
		return task->wake;
	if (abandon)
		abandon(task->abandon_arg);
	return raise_canceled(L, task);
}

void script_task_cancel(struct script_task *task)
{
	if (task->canceled || task->state == SCRIPT_TASK_DONE)
		return;
	task->canceled = true;
	if (task->state == SCRIPT_TASK_WAITING)
		wake(task, ERR_CANCELED);
}

static void push_failure(lua_State *L, struct script_task *task)
{
	if (task->killed && task->traceback)
		script_push_error(L, ERR_LIMIT, "killed: %llu ms of CPU "
				  "without a wait", (unsigned long long)
				  task->script->config.cpu_us / US_PER_MS);
	else if (task->killed)
		script_push_error(L, ERR_CANCELED, "the task was ended");
	else if (lua_gettop(task->thread) > 0) {
		lua_pushvalue(task->thread, -1);
		lua_xmove(task->thread, L, 1);
		script_to_error(L, -1);
		lua_remove(L, -2);
	} else
		script_push_error(L, ERR_INTERNAL, "the task failed");
	if (!task->traceback)
		return;
	lua_pushstring(L, task->traceback);
	lua_setfield(L, -2, "traceback");
}

int script_task_results(lua_State *L, struct script_task *task)
{
	int count = task->arguments;
	int first = lua_gettop(task->thread) - count + 1;

	assert(task->state == SCRIPT_TASK_DONE);
	if (!task->ok) {
		lua_pushnil(L);
		push_failure(L, task);
		return 2;
	}
	luaL_checkstack(L, count, "too many results");
	for (int i = 1; i < count; i++) {
		lua_pushvalue(task->thread, first + i);
		lua_xmove(task->thread, L, 1);
	}
	return count - 1;
}

static void log_lines(struct log *log, const char *text)
{
	while (text && *text) {
		size_t len = strcspn(text, "\n");

		log_error(log, "script", "%.*s", (int)len, text);
		text += len + (text[len] == '\n');
	}
}

static int describe(lua_State *L)
{
	struct script_task *task = lua_touserdata(L, 1);
	struct error error;

	script_task_results(L, task);
	script_read_error(L, -1, &error);
	log_error(task->script->config.log, "script", "a task failed: %s",
		  error.message);
	log_lines(task->script->config.log, task->traceback);
	return 0;
}

void script_report_unheard(struct script *script)
{
	while (!list_empty(&script->unheard)) {
		struct script_task *task =
			container_of(list_pop(&script->unheard),
				     struct script_task, unheard);

		if (!task->heard)
			script_protected(script, describe, task, NULL);
		script_task_unref(task);
	}
}

static void report(struct timer *timer)
{
	script_report_unheard(timer->user);
}

void script_unheard(struct script_task *task)
{
	struct script *script = task->script;

	if (task->canceled)
		return;
	script_task_ref(task);
	list_add_tail(&script->unheard, &task->unheard);
	script->report.fire = report;
	script->report.user = script;
	if (!timer_active(&script->report))
		timer_set(script->config.loop, &script->report,
			  loop_now_us(script->config.loop) + UNHEARD_US);
}
