#include <stdlib.h>
#include <string.h>

#include "core/script/app.h"
#include "core/script/failure.h"
#include "core/script/guest.h"
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
	struct script *script;
	struct script_guest *guest;	/* whose; NULL: our own application's */
	struct event events[QUEUE_CAP];
	unsigned first;
	unsigned count;
	bool running;
	bool orphaned;			/* its owner is gone */
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

/* While its task is there, the task's end frees it. */
void script_queue_free(struct script_queue *queue)
{
	struct event event;

	if (!queue)
		return;
	while (take(queue, &event))
		clear_event(&event);
	queue->orphaned = true;
	if (!queue->running)
		free(queue);
}

void script_events_clear(struct script *script)
{
	script_queue_free(script->queue);
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
	if (queue->guest)
		script_guest_hook(L, queue->guest, event.hook);
	else
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
	struct script_queue *queue = lua_touserdata(L, 1);

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
	return 0;
}

static bool has_hook(const struct script_queue *queue, const char *hook)
{
	return queue->guest ? script_guest_has(queue->guest, hook)
			    : script_has(queue->script, hook);
}

static void run(struct script_queue *queue);

static void ended(struct script_task *task, void *user)
{
	struct script_queue *queue = user;

	(void)task;
	queue->running = false;
	if (queue->orphaned)
		free(queue);
	else if (queue->count && !queue->script->closing)
		run(queue);
}

static void run(struct script_queue *queue)
{
	queue->running = script_task_start(queue->script,
					   queue->guest ?
					   script_guest_tree(queue->guest) :
					   SCRIPT_TREE_LOAD, handle_next,
					   queue, ended, queue, NULL) == 0;
}

static struct script_queue **queue_of(struct script *script,
				      struct script_guest *guest)
{
	struct script_queue **at = guest ? script_guest_queue(guest)
					 : &script->queue;

	if (!*at && (*at = calloc(1, sizeof(**at))) != NULL) {
		(*at)->script = script;
		(*at)->guest = guest;
	}
	return at;
}

void script_queue_post(struct script *script, struct script_guest *guest,
		       const char *hook, const char *a, const char *b)
{
	struct script_queue *queue = *queue_of(script, guest);
	struct event old;

	if (!queue || !has_hook(queue, hook))
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
	if (!queue->running)
		run(queue);
}

void script_post_state(struct script *script, const char *from,
		       const char *to)
{
	script_queue_post(script, NULL, "on_state", from, to);
}

void script_post_log(struct script *script, const char *source,
		     const char *line)
{
	script_queue_post(script, NULL, "on_log", source, line);
}

void script_post_path(struct script *script, const char *path)
{
	script_queue_post(script, NULL, "on_path", path, NULL);
}
