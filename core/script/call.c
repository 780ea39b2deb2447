#include "core/script/call.h"

#include <stdlib.h>
#include <string.h>

#include "core/script/failure.h"
#include "core/script/guest.h"
#include "core/script/task.h"

struct script_call *script_call_new(struct script *script, script_done *done,
				    void *user)
{
	struct script_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->script = script;
	call->done = done;
	call->user = user;
	call->result.ok = true;
	list_add_tail(&script->calls, &call->link);
	return call;
}

static void free_call(struct script_call *call)
{
	list_remove(&call->link);
	task_cancel(&call->post);
	script_guest_unref(call->guest);
	for (int i = 0; i < call->argc; i++)
		free(call->argv[i]);
	free(call->argv);
	free(call->traceback);
	free(call->text);
	free(call->name);
	free(call->source);
	free(call->kind);
	free(call->message);
	if (call->clear)
		call->clear(call->user);
	free(call);
}

void script_calls_clear(struct script *script)
{
	while (!list_empty(&script->calls))
		free_call(container_of(script->calls.next, struct script_call,
				       link));
}

/* `done` may free the script, so the call leaves it first. */
static void deliver(struct task *post)
{
	struct script_call *call = post->user;

	list_remove(&call->link);
	call->result.traceback = call->traceback;
	call->result.text = call->text;
	if (call->done)
		call->done(call->user, &call->result);
	free_call(call);
}

void script_call_finish(struct script_call *call)
{
	call->post = (struct task){ .run = deliver, .user = call };
	task_post(call->script->config.loop, &call->post);
}

static int status_of(int code)
{
	switch (code) {
	case ERR_UNAUTHORIZED:
	case ERR_DENIED:
		return SCRIPT_STATUS_DENIED;
	case ERR_UNREACHABLE:
	case ERR_REFUSED:
	case ERR_RESET:
	case ERR_CLOSED:
	case ERR_NOT_FOUND:
		return SCRIPT_STATUS_UNREACHABLE;
	case ERR_TIMEOUT:
		return SCRIPT_STATUS_TIMEOUT;
	default:
		return 1;
	}
}

void script_result_failed(lua_State *L, int index,
			  struct script_result *result)
{
	result->ok = false;
	script_read_error(L, index, &result->error);
	result->status = status_of(result->error.code);
}

/* An uncaught error; the task's end is being looked at. */
static void read_failure(lua_State *L, struct script_call *call,
			 struct script_task *task)
{
	struct script_result *result = &call->result;
	bool plain = task->killed;

	if (!task->killed && lua_gettop(task->thread) > 0)
		plain = !script_is_error(task->thread, -1) &&
			script_error_code(task->thread, -1) != ERR_LIMIT;
	script_task_results(L, task);
	script_result_failed(L, -1, result);
	if (plain && task->traceback) {
		result->status = SCRIPT_STATUS_FAILED;
		call->traceback = strdup(task->traceback);
	}
	if (call->unreadable)
		result->status = SCRIPT_STATUS_UNREADABLE;
}

struct ending {
	struct script_call *call;
	struct script_task *task;
};

static int look_at_end(lua_State *L)
{
	struct ending *ending = lua_touserdata(L, 1);

	read_failure(L, ending->call, ending->task);
	return 0;
}

static void call_ended(struct script_task *task, void *user)
{
	struct script_call *call = user;
	struct ending ending = { call, task };

	if (call->at_end)
		call->at_end(call);
	if (call->script->closing)
		return;
	if (!task->ok && script_protected(call->script, look_at_end, &ending,
					  &call->result.error) < 0) {
		call->result.ok = false;
		call->result.status = 1;
	}
	script_call_finish(call);
}

int script_call_run(struct script_call *call, enum script_tree tree,
		    lua_CFunction body)
{
	int err = script_task_start(call->script, tree, body, call, call_ended,
				    call, NULL);

	if (err < 0)
		free_call(call);
	return err;
}

void script_call_read(lua_State *L, struct script_call *call, int base)
{
	struct script_result *result = &call->result;

	if (lua_gettop(L) <= base)
		return;
	lua_settop(L, base + 2);
	if (lua_isnil(L, base + 1) && lua_isnil(L, base + 2))
		return;
	if (lua_isinteger(L, base + 1)) {
		result->status = (int)(lua_tointeger(L, base + 1) & 0xff);
		return;
	}
	if (lua_isboolean(L, base + 1) && lua_toboolean(L, base + 1))
		return;
	result->ok = false;
	result->status = 1;
	if (!lua_toboolean(L, base + 1) && !lua_isnil(L, base + 2))
		script_result_failed(L, base + 2, result);
	else
		error_set(&result->error, ERR_INTERNAL, "it returned a %s",
			  luaL_typename(L, base + 1));
}

void script_call_text(lua_State *L, struct script_call *call, int index)
{
	free(call->text);
	call->text = strdup(luaL_tolstring(L, index, NULL));
	lua_pop(L, 1);
	if (!call->text)
		script_raise(L, ERR_LIMIT, "no memory for a text");
}
