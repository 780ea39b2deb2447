#include "core/script/lua_stream.h"

#include "core/script/failure.h"
#include "core/script/options.h"
#include "core/script/task.h"

/* As receiving (stream_receive.c), with the task's own string as the source. */

static void abandon_write(void *arg)
{
	struct script_stream *self = arg;

	self->writing = false;
	script_wake_all(self->script, &self->writers);
	script_stream_leave(self);
}

static int fail_send(lua_State *L, struct script_stream *self, int err,
		     const char *message)
{
	script_fail(L, err, "%s", message);
	lua_pushinteger(L, (lua_Integer)self->sent);
	return 3;
}

/* Writes what fits; 1 all is accepted, ERR_AGAIN, or the failure. */
static int put(struct script_stream *self, const char *data, size_t len)
{
	while (self->sent < len) {
		size_t unsent = stream_unsent(self->stream);
		size_t room = unsent < SCRIPT_SEND_CAP
				      ? SCRIPT_SEND_CAP - unsent : 0;
		size_t left = len - self->sent;
		ssize_t got;

		if (room == 0)
			return ERR_AGAIN;
		got = stream_write(self->stream, data + self->sent,
				   left < room ? left : room);
		if (got < 0)
			return (int)got;
		self->sent += (size_t)got;
	}
	return 1;
}

static int wait_to_write(lua_State *L, struct script_stream *self,
			 const char *what, lua_KFunction k)
{
	struct script_wait wait = {
		.what = what,
		.on = &self->writers,
		.deadline_us = self->write_deadline_us,
		.abandon = abandon_write,
		.arg = self,
	};

	self->writing = true;
	lua_pushlightuserdata(L, self);
	return script_wait(L, &wait, 0, k);
}

static int send_k(lua_State *L, int status, lua_KContext ctx);

/* The string is at index 2. */
static int send_again(lua_State *L, struct script_stream *self, int woken)
{
	size_t len;
	const char *data = lua_tolstring(L, 2, &len);
	int err = put(self, data, len);

	if (err > 0) {
		lua_pushinteger(L, (lua_Integer)len);
		return 1;
	}
	if (err == ERR_CLOSED)
		return fail_send(L, self, err, "no more can be sent");
	if (err != ERR_AGAIN)
		return fail_send(L, self, err, "the stream has failed");
	if (woken == ERR_TIMEOUT)
		return fail_send(L, self, ERR_TIMEOUT, "no room in time");
	return wait_to_write(L, self, "send", send_k);
}

static int send_k(lua_State *L, int status, lua_KContext ctx)
{
	int woken = script_woken(L);
	struct script_stream *self = lua_touserdata(L, -1);

	(void)status;
	(void)ctx;
	lua_pop(L, 1);
	self->writing = false;
	script_wake_all(self->script, &self->writers);	/* who is next */
	if (!self->closed)
		return send_again(L, self, woken);
	fail_send(L, self, ERR_CLOSED, "the stream was closed");
	script_stream_leave(self);
	return 3;
}

int script_stream_send(lua_State *L, struct script_stream *self,
		       uint64_t deadline_us)
{
	if (self->writing)
		return luaL_error(L, "another task is sending on it");
	script_may_wait(L, "send");
	self->sent = 0;
	self->write_deadline_us = deadline_us;
	return send_again(L, self, 0);
}

/* send(s, {timeout=}) */
int script_stream_method_send(lua_State *L)
{
	struct script_stream *self = script_stream_check(L, 1);
	uint64_t deadline = DEADLINE_NONE;
	const struct script_option options[] = {
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};

	luaL_checkstring(L, 2);
	script_options(L, 3, options, 1);
	return script_stream_send(L, self, deadline);
}

static int flush_k(lua_State *L, int status, lua_KContext ctx);

static int flush_again(lua_State *L, struct script_stream *self, int woken)
{
	ssize_t err = stream_write(self->stream, "", 0);

	if (err < 0 && err != ERR_AGAIN && err != ERR_CLOSED)
		return script_fail(L, (int)err, "the stream has failed");
	if (stream_unsent(self->stream) == 0) {
		lua_pushboolean(L, 1);
		return 1;
	}
	if (woken == ERR_TIMEOUT)
		return script_fail(L, woken, "not acknowledged in time");
	return wait_to_write(L, self, "flush", flush_k);
}

static int flush_k(lua_State *L, int status, lua_KContext ctx)
{
	int woken = script_woken(L);
	struct script_stream *self = lua_touserdata(L, -1);

	(void)status;
	(void)ctx;
	lua_pop(L, 1);
	self->writing = false;
	if (!self->closed)
		return flush_again(L, self, woken);
	script_stream_leave(self);
	return script_fail(L, ERR_CLOSED, "the stream was closed");
}

/* flush{timeout=} */
int script_stream_method_flush(lua_State *L)
{
	struct script_stream *self = script_stream_check(L, 1);
	uint64_t deadline = DEADLINE_NONE;
	const struct script_option options[] = {
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};

	script_options(L, 2, options, 1);
	if (self->writing)
		return luaL_error(L, "another task is sending on it");
	script_may_wait(L, "flush");
	self->write_deadline_us = deadline;
	return flush_again(L, self, 0);
}
