#include <string.h>

#include "core/script/bindings.h"
#include "core/script/failure.h"
#include "core/script/task.h"

static void stop(struct script_pending *pending)
{
	if (pending->op)
		pending->cancel(pending);
	pending->op = NULL;
	if (pending->stream)
		stream_close(pending->stream, true);
	pending->stream = NULL;
	if (pending->clear)
		pending->clear(pending);
	pending->clear = NULL;
	list_remove(&pending->link);
}

static void abandon(void *arg)
{
	stop(arg);
}

static int pending_gc(lua_State *L)
{
	stop(lua_touserdata(L, 1));
	return 0;
}

void *script_pending_new(lua_State *L, size_t size)
{
	struct script_pending *pending = lua_newuserdatauv(L, size, 0);

	memset(pending, 0, size);
	pending->script = script_of(L);
	list_init(&pending->waiter);
	if (luaL_newmetatable(L, "tunnel.pending")) {
		lua_pushcfunction(L, pending_gc);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	return pending;
}

void script_pending_done(struct script_pending *pending,
			 const struct error *error)
{
	pending->op = NULL;
	pending->done = true;
	if (error)
		pending->error = *error;
	script_wake_all(pending->script, &pending->waiter);
}

void script_pending_connected(void *user, struct stream *stream,
			      const struct error *error)
{
	struct script_pending *pending = user;

	pending->stream = stream;
	script_pending_done(pending, error);
}

int script_pending_wait(lua_State *L, struct script_pending *pending,
			const char *what, uint64_t deadline_us,
			lua_KContext ctx, lua_KFunction k)
{
	struct script_wait wait = {
		.what = what,
		.on = &pending->waiter,
		.deadline_us = deadline_us,
		.abandon = abandon,
		.arg = pending,
	};

	return script_wait(L, &wait, ctx, k);
}

bool script_pending_answer(lua_State *L, struct script_pending *pending,
			   const char *what)
{
	if (!pending->done) {
		stop(pending);
		script_fail(L, ERR_TIMEOUT, "%s took too long", what);
		return false;
	}
	if (pending->error.code == 0)
		return true;
	script_fail_with(L, &pending->error);
	return false;
}
