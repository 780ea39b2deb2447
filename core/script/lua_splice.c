#include "core/base/copy.h"
#include "core/script/bindings.h"
#include "core/script/failure.h"
#include "core/script/lua_stream.h"
#include "core/script/options.h"
#include "core/script/task.h"

/*
 * splice(a, b): the bytes never come near Lua. While it runs it is the one
 * waiter of both directions of both streams. The state is a userdata on the
 * task's stack.
 */
struct script_splice {
	struct script *script;
	struct copy *copy;		/* NULL once it has ended */
	struct script_stream *ends[2];
	struct copy_result result;
	struct list waiter;
};

static void detach(struct script_splice *splice)
{
	for (int i = 0; i < 2; i++) {
		struct script_stream *end = splice->ends[i];

		if (!end)
			continue;
		end->splice = NULL;
		end->reading = end->writing = false;
		if (end->stream)
			script_stream_watch(end);
		splice->ends[i] = NULL;
	}
}

static void stop(struct script_splice *splice, int err)
{
	if (!splice->copy)
		return;
	copy_cancel(splice->copy);
	splice->copy = NULL;
	splice->result.err = err;
	detach(splice);
}

void script_splice_stop(struct script_splice *splice)
{
	stop(splice, ERR_CLOSED);
	script_wake_all(splice->script, &splice->waiter);
}

static void copied(void *user, const struct copy_result *result)
{
	struct script_splice *splice = user;

	splice->copy = NULL;
	splice->result = *result;
	detach(splice);
	script_wake_all(splice->script, &splice->waiter);
}

static void abandon(void *arg)
{
	stop(arg, ERR_CANCELED);
}

static int splice_gc(lua_State *L)
{
	stop(lua_touserdata(L, 1), ERR_CANCELED);
	return 0;
}

static struct script_splice *new_splice(lua_State *L)
{
	struct script_splice *splice =
		lua_newuserdatauv(L, sizeof(*splice), 0);

	*splice = (struct script_splice){ .script = script_of(L) };
	list_init(&splice->waiter);
	if (luaL_newmetatable(L, "tunnel.splice")) {
		lua_pushcfunction(L, splice_gc);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	return splice;
}

/* Stack: a, b, …, the splice on top. */
static int splice_k(lua_State *L, int status, lua_KContext ctx)
{
	int woken = script_woken(L);
	struct script_splice *splice = lua_touserdata(L, -1);
	int failure = 0;

	(void)status;
	(void)ctx;
	if (woken == ERR_TIMEOUT)
		stop(splice, ERR_TIMEOUT);
	if (splice->result.err < 0)
		failure = script_fail(L, splice->result.err,
				      "a stream has failed (%s)",
				      err_name(splice->result.err));
	lua_pushinteger(L, (lua_Integer)splice->result.bytes[0]);
	lua_pushinteger(L, (lua_Integer)splice->result.bytes[1]);
	return failure + 2;
}

/* splice(a, b, {timeout=}) → bytes from a to b, bytes from b to a */
static int splice(lua_State *L)
{
	struct script_stream *a = script_stream_check(L, 1);
	struct script_stream *b = script_stream_check(L, 2);
	struct script_wait wait = { .what = "splice", .abandon = abandon,
				    .deadline_us = DEADLINE_NONE };
	const struct script_option options[] = {
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &wait.deadline_us },
	};
	struct script_splice *self;

	luaL_argcheck(L, a != b, 2, "the same stream twice");
	script_options(L, 3, options, 1);
	if (a->reading || a->writing || b->reading || b->writing)
		return luaL_error(L, "another task waits on one of them");
	script_may_wait(L, "splice");
	self = new_splice(L);
	if (copy_start(self->script->config.loop, a->stream, b->stream, copied,
		       self, &self->copy) < 0)
		return script_fail(L, ERR_LIMIT, "no memory to splice");
	self->ends[0] = a;
	self->ends[1] = b;
	a->splice = b->splice = self;
	a->reading = a->writing = b->reading = b->writing = true;
	wait.on = &self->waiter;
	wait.arg = self;
	return script_wait(L, &wait, 0, splice_k);
}

void script_add_splice(lua_State *L)
{
	lua_pushcfunction(L, splice);
	lua_setfield(L, -2, "splice");
}
