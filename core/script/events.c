#include <stdlib.h>
#include <string.h>

#include "core/script/app.h"
#include "core/script/failure.h"
#include "core/script/task.h"

/*
 * on_state, on_log, on_path: a bounded queue, and a task that empties it in
 * order. A slow handler loses the oldest events, never delays anybody.
 */
#define QUEUE_CAP 256

struct event {
	const char *hook;
	char *texts[2];
};

struct script_queue {
	struct event events[QUEUE_CAP];
	unsigned first;
	unsigned count;
	bool running;
	uint64_t dropped;
};

static void clear_event(struct event *event)
{
	free(event->texts[0]);
	free(event->texts[1]);
	*event = (struct event){ 0 };
}

static bool take(struct script_queue *queue, struct event *out)
{
	if (queue->count == 0)
		return false;
	*out = queue->events[queue->first];
	queue->events[queue->first] = (struct event){ 0 };
	queue->first = (queue->first + 1) % QUEUE_CAP;
	queue->count--;
	return true;
}

void script_events_clear(struct script *script)
{
	struct event event;

	if (!script->queue)
		return;
	while (take(script->queue, &event))
		clear_event(&event);
	free(script->queue);
	script->queue = NULL;
}

uint64_t script_events_dropped(const struct script *script)
{
	return script->queue ? script->queue->dropped : 0;
}

static int handle_next(lua_State *L);

static int handled(lua_State *L, int status, lua_KContext ctx)
{
	(void)ctx;
	if (status != LUA_OK && status != LUA_YIELD) {
		struct error error;

		script_read_error(L, -1, &error);
		log_error(script_of(L)->config.log, "script",
			  "a handler failed: %s", error.message);
		if (error.code == ERR_CANCELED)
			return lua_error(L);
	}
	lua_settop(L, 1);
	return handle_next(L);
}

static int push_event(lua_State *L)
{
	struct event *event = lua_touserdata(L, 1);

	lua_pushstring(L, event->texts[0]);
	lua_pushstring(L, event->texts[1]);
	return 2;
}

/* Pushes the handler and its arguments; false when the queue is empty. */
static bool push_next(lua_State *L, struct script_queue *queue)
{
	struct event event;
	int err;

	if (!take(queue, &event))
		return false;
	script_push_hook(L, event.hook);
	lua_pushcfunction(L, push_event);
	lua_pushlightuserdata(L, &event);
	err = lua_pcall(L, 1, 2, 0);
	clear_event(&event);
	if (err != LUA_OK)
		lua_error(L);
	return true;
}

static int handle_next(lua_State *L)
{
	struct script_queue *queue = script_of(L)->queue;

	while (push_next(L, queue)) {
		int status;

		if (!lua_isfunction(L, 2)) {
			lua_settop(L, 1);
			continue;
		}
		status = lua_pcallk(L, 2, 0, 0, 0, handled);
		if (status != LUA_OK)
			return handled(L, status, 0);
		lua_settop(L, 1);
	}
	queue->running = false;
	return 0;
}

static void ended(struct script_task *task, void *user)
{
	struct script *script = user;

	(void)task;
	if (script->queue)
		script->queue->running = false;
}

static void post(struct script *script, const char *hook, const char *a,
		 const char *b)
{
	struct script_queue *queue = script->queue;
	struct event old;

	if (!queue)
		queue = script->queue = calloc(1, sizeof(*queue));
	if (!queue || !script_has(script, hook))
		return;
	if (queue->count == QUEUE_CAP && take(queue, &old)) {
		clear_event(&old);
		queue->dropped++;
	}
	queue->events[(queue->first + queue->count) % QUEUE_CAP] =
		(struct event){ .hook = hook, .texts = { strdup(a),
							 b ? strdup(b)
							   : NULL } };
	queue->count++;
	if (queue->running)
		return;
	queue->running = script_task_start(script, SCRIPT_TREE_LOAD,
					   handle_next, NULL, ended, script,
					   NULL) == 0;
}

void script_post_state(struct script *script, const char *from,
		       const char *to)
{
	post(script, "on_state", from, to);
}

void script_post_log(struct script *script, const char *source,
		     const char *line)
{
	post(script, "on_log", source, line);
}

void script_post_path(struct script *script, const char *path)
{
	post(script, "on_path", path, NULL);
}
