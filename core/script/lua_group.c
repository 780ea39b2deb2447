#include <stdlib.h>

#include "core/script/bindings.h"
#include "core/script/failure.h"
#include "core/script/options.h"
#include "core/script/task.h"

/*
 * group{limit=n}: tasks that end together. The first failure cancels the
 * others; wait() gives true, or nil and that failure, once all have ended.
 * Leaving a <close> group cancels what still runs and waits for it.
 */
struct group {
	struct script *script;
	lua_Integer limit;	/* running at once; 0: no limit */
	lua_Integer running;
	struct script_task *failed;	/* the first, or NULL */
	bool canceled;
	bool released;		/* the handle is gone, tasks still run */
	struct list members;
	struct list waiters;	/* for any end */
};

struct member {
	struct list link;
	struct group *group;
	struct script_task *task;
};

static void free_if_unused(struct group *group)
{
	if (!group->released || !list_empty(&group->members))
		return;
	if (group->failed)
		script_task_unref(group->failed);
	free(group);
}

static void cancel_members(struct group *group)
{
	group->canceled = true;
	list_each(at, next, &group->members)
		script_task_cancel(container_of(at, struct member,
						link)->task);
}

static void group_release(void *object)
{
	struct group *group = object;

	group->released = true;
	cancel_members(group);
	script_wake_all(group->script, &group->waiters);
	free_if_unused(group);
}

static int group_spawn(lua_State *L);
static int group_wait(lua_State *L);
static int group_close(lua_State *L);

static const luaL_Reg methods[] = {
	{ "spawn", group_spawn },
	{ "wait", group_wait },
	{ NULL, NULL },
};

static const struct script_handle_type type = {
	.name = "group",
	.metatable = "tunnel.group",
	.close = group_release,
	.methods = methods,
	.close_method = group_close,
	.lasting = true,
};

static void member_ended(struct script_task *task, void *user)
{
	struct member *member = user;
	struct group *group = member->group;

	list_remove(&member->link);
	free(member);
	group->running--;
	if (!task->ok && !group->canceled) {
		script_task_ref(task);
		group->failed = task;
		cancel_members(group);
	}
	script_wake_all(group->script, &group->waiters);
	free_if_unused(group);
}

static struct member *new_member(lua_State *L, struct group *group)
{
	struct member *member = calloc(1, sizeof(*member));

	if (!member)
		script_raise(L, ERR_LIMIT, "no memory for a task");
	member->group = group;
	return member;
}

/* Stack: 1 group, 2 fn, its arguments. */
static int start_member(lua_State *L, struct group *group)
{
	struct script *script = group->script;
	struct script_task *task;
	struct member *member;

	task = script_task_new(L, script_current_tree(script),
			       lua_gettop(L) - 2);
	task->heard = true;
	script_task_push(L, task);
	member = new_member(L, group);
	member->task = task;
	task->on_end = member_ended;
	task->user = member;
	list_add_tail(&group->members, &member->link);
	group->running++;
	return 1;
}

static int spawn_k(lua_State *L, int status, lua_KContext ctx);

static int spawn_again(lua_State *L)
{
	struct group *group = script_handle_check(L, 1, &type);
	struct script_wait wait = {
		.what = "spawn",
		.on = &group->waiters,
		.deadline_us = DEADLINE_NONE,
	};

	if (group->canceled)
		return script_fail(L, ERR_CANCELED, "the group has ended");
	if (!group->limit || group->running < group->limit)
		return start_member(L, group);
	return script_wait(L, &wait, 0, spawn_k);
}

static int spawn_k(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	script_woken(L);
	return spawn_again(L);
}

static int group_spawn(lua_State *L)
{
	script_handle_check(L, 1, &type);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	return spawn_again(L);
}

static int wait_k(lua_State *L, int status, lua_KContext ctx);

/* Stack: 1 group, 2 deadline, 3 whether it is being closed. */
static int wait_again(lua_State *L, int woken)
{
	struct group *group = script_handle_check(L, 1, &type);
	struct script_wait wait = {
		.what = "wait",
		.on = &group->waiters,
		.deadline_us = (uint64_t)lua_tointeger(L, 2),
	};

	if (group->running) {
		if (woken == ERR_TIMEOUT)
			return script_fail(L, ERR_TIMEOUT,
					   "%d tasks are still running",
					   (int)group->running);
		return script_wait(L, &wait, 0, wait_k);
	}
	if (group->failed && !lua_toboolean(L, 3))
		return script_task_results(L, group->failed);
	lua_pushboolean(L, 1);
	return 1;
}

static int wait_k(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	return wait_again(L, script_woken(L));
}

static int group_wait(lua_State *L)
{
	uint64_t deadline = DEADLINE_NONE;
	const struct script_option options[] = {
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};

	script_handle_check(L, 1, &type);
	script_options(L, 2, options, 1);
	script_may_wait(L, "wait");
	lua_settop(L, 1);
	lua_pushinteger(L, (lua_Integer)deadline);
	lua_pushboolean(L, 0);
	return wait_again(L, 0);
}

static int group_close(lua_State *L)
{
	struct group *group = script_handle_check(L, 1, &type);

	cancel_members(group);
	lua_settop(L, 1);
	lua_pushinteger(L, (lua_Integer)DEADLINE_NONE);
	lua_pushboolean(L, 1);
	return wait_again(L, 0);
}

static int new_group(lua_State *L)
{
	lua_Integer limit = 0;
	const struct script_option options[] = {
		{ "limit", SCRIPT_OPTION_INTEGER, &limit },
	};
	struct group *group;

	script_options(L, 1, options, 1);
	luaL_argcheck(L, limit >= 0, 1, "limit must be positive");
	script_handle_new(L, &type, 0);
	group = calloc(1, sizeof(*group));
	if (!group)
		return script_raise(L, ERR_LIMIT, "no memory for a group");
	group->script = script_of(L);
	group->limit = limit;
	list_init(&group->members);
	list_init(&group->waiters);
	script_handle_set(L, -1, group);
	return 1;
}

void script_add_group(lua_State *L)
{
	lua_pushcfunction(L, new_group);
	lua_setfield(L, -2, "group");
}
