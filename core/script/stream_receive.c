#include "core/script/lua_stream.h"

#include <string.h>

#include "core/script/failure.h"
#include "core/script/options.h"
#include "core/script/task.h"

/*
 * Theory of operation. A receive gathers into `in` until it has what it
 * wants; only one task is inside per direction, so what is wanted stands in
 * the object. While a task waits inside, the object stays, even when another
 * task closes the handle: the continuation finds it by a light userdata on
 * top of its stack and disposes of it on the way out.
 */

static void push_partial(lua_State *L, struct script_stream *self)
{
	lua_pushlstring(L, self->in.len ? (char *)buf_data(&self->in) : "",
			self->in.len);
	buf_consume(&self->in, self->in.len);
}

/* How much of what is there is wanted; *done when that completes it. */
static int portion(const struct script_stream *self, const uint8_t *data,
		   size_t got, size_t *take, bool *done)
{
	size_t room = self->want_len - self->in.len;
	const uint8_t *end;

	switch (self->want) {
	case SCRIPT_RECEIVE_COUNT:
		*take = got < room ? got : room;
		*done = *take == room;
		return 0;
	case SCRIPT_RECEIVE_ANY:
		*take = got < room ? got : room;
		*done = true;
		return 0;
	case SCRIPT_RECEIVE_LINE:
	case SCRIPT_RECEIVE_FULL_LINE:
		end = memchr(data, '\n', got);
		*done = end != NULL;
		*take = end ? (size_t)(end - data) + 1 : got;
		return *take - *done > room ? ERR_TOO_LARGE : 0;
	case SCRIPT_RECEIVE_ALL:
		*take = got;
		return got > room ? ERR_TOO_LARGE : 0;
	}
	return ERR_INTERNAL;
}

/*
 * Takes what is there. 1: complete; 0: end of stream; ERR_AGAIN; or the
 * failure.
 */
static int gather(struct script_stream *self)
{
	bool done = false;

	while (!done) {
		const uint8_t *data;
		ssize_t got = stream_peek(self->stream, &data);
		size_t take;
		int err;

		if (got <= 0)
			return (int)got;
		err = portion(self, data, (size_t)got, &take, &done);
		if (err < 0)
			return err;
		if (buf_append(&self->in, data, take) < 0)
			return ERR_NOMEM;
		stream_consume(self->stream, take);
	}
	return 1;
}

static int push_received(lua_State *L, struct script_stream *self)
{
	size_t len = self->in.len;
	const char *data = len ? (const char *)buf_data(&self->in) : "";

	if (self->want == SCRIPT_RECEIVE_LINE && len && data[len - 1] == '\n')
		lua_pushlstring(L, data, len - 1);
	else
		lua_pushlstring(L, data, len);
	buf_consume(&self->in, len);
	return 1;
}

static int failed(lua_State *L, struct script_stream *self, int err)
{
	switch (err) {
	case ERR_TIMEOUT:
		script_fail(L, err, "nothing came in time");
		break;
	case ERR_CLOSED:
		script_fail(L, err, "end of stream");
		break;
	case ERR_TOO_LARGE:
		script_fail(L, err, "more than %zu bytes", self->want_len);
		break;
	default:
		script_fail(L, err, "the stream has failed (%s)",
			    err_name(err));
	}
	push_partial(L, self);
	return 3;
}

static void abandon_read(void *arg)
{
	struct script_stream *self = arg;

	self->reading = false;
	buf_consume(&self->in, self->in.len);
	script_stream_leave(self);
}

static int receive_k(lua_State *L, int status, lua_KContext ctx);

static int receive_again(lua_State *L, struct script_stream *self, int woken)
{
	struct script_wait wait = {
		.what = "receive",
		.on = &self->readers,
		.deadline_us = self->read_deadline_us,
		.abandon = abandon_read,
		.arg = self,
	};
	int got = self->receive_ended ? 0 : gather(self);

	if (got > 0)
		return push_received(L, self);
	if (got == 0 && self->want == SCRIPT_RECEIVE_ALL)
		return push_received(L, self);
	if (got == 0)
		return failed(L, self, ERR_CLOSED);
	if (got != ERR_AGAIN)
		return failed(L, self, got);
	if (woken == ERR_TIMEOUT)
		return failed(L, self, ERR_TIMEOUT);
	self->reading = true;
	lua_pushlightuserdata(L, self);
	return script_wait(L, &wait, 0, receive_k);
}

static int receive_k(lua_State *L, int status, lua_KContext ctx)
{
	int woken = script_woken(L);
	struct script_stream *self = lua_touserdata(L, -1);

	(void)status;
	(void)ctx;
	lua_pop(L, 1);
	self->reading = false;
	if (!self->closed)
		return receive_again(L, self, woken);
	script_fail(L, ERR_CLOSED, "the stream was closed");
	push_partial(L, self);
	script_stream_leave(self);
	return 3;
}

int script_stream_receive(lua_State *L, struct script_stream *self,
			  enum script_receive want, size_t len,
			  uint64_t deadline_us)
{
	if (self->reading)
		return luaL_error(L, "another task is receiving from it");
	script_may_wait(L, "receive");
	self->want = want;
	self->want_len = len;
	self->read_deadline_us = deadline_us;
	if (want == SCRIPT_RECEIVE_COUNT && len == 0)
		return push_received(L, self);
	return receive_again(L, self, 0);
}

static enum script_receive check_form(lua_State *L, int index, size_t *len)
{
	const char *form;
	lua_Integer count;

	if (lua_type(L, index) == LUA_TNUMBER) {
		count = luaL_checkinteger(L, index);
		luaL_argcheck(L, count >= 0 &&
			      (size_t)count <= SCRIPT_MEMORY_CAP, index,
			      "must be from 0 to 67108864");
		*len = (size_t)count;
		return SCRIPT_RECEIVE_COUNT;
	}
	form = luaL_checkstring(L, index);
	form += *form == '*';
	if (strcmp(form, "l") == 0) {
		*len = SCRIPT_LINE_CAP;
		return SCRIPT_RECEIVE_LINE;
	}
	luaL_argcheck(L, strcmp(form, "a") == 0, index,
		      "must be a number, \"l\" or \"a\"");
	*len = SCRIPT_ALL_CAP;
	return SCRIPT_RECEIVE_ALL;
}

/* receive(n | "l" | "a", {timeout=, max=}) */
int script_stream_method_receive(lua_State *L)
{
	struct script_stream *self = script_stream_check(L, 1);
	uint64_t deadline = DEADLINE_NONE;
	size_t len = SCRIPT_LINE_CAP;
	size_t most = 0;
	enum script_receive want = SCRIPT_RECEIVE_LINE;
	const struct script_option options[] = {
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
		{ "max", SCRIPT_OPTION_SIZE, &most },
	};

	if (!lua_isnoneornil(L, 2))
		want = check_form(L, 2, &len);
	script_options(L, 3, options, 2);
	if (most && want != SCRIPT_RECEIVE_COUNT)
		len = most;
	return script_stream_receive(L, self, want, len, deadline);
}

/* receive_any(max, {timeout=}) */
int script_stream_method_receive_any(lua_State *L)
{
	struct script_stream *self = script_stream_check(L, 1);
	lua_Integer most = luaL_optinteger(L, 2, SCRIPT_LINE_CAP);
	uint64_t deadline = DEADLINE_NONE;
	const struct script_option options[] = {
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};

	luaL_argcheck(L, most > 0, 2, "must be positive");
	script_options(L, 3, options, 1);
	return script_stream_receive(L, self, SCRIPT_RECEIVE_ANY, (size_t)most,
				     deadline);
}

static int line_received(lua_State *L, int status, lua_KContext ctx)
{
	size_t len;

	(void)status;
	(void)ctx;
	if (!lua_isnil(L, 1))
		return 1;
	if (script_error_code(L, 2) != ERR_CLOSED) {
		lua_settop(L, 2);
		return lua_error(L);
	}
	lua_tolstring(L, 3, &len);	/* a last line without its end */
	lua_settop(L, 3);
	if (len == 0)
		lua_pushnil(L);
	return 1;
}

static int next_line(lua_State *L)
{
	lua_settop(L, 0);
	lua_pushcfunction(L, script_stream_method_receive);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushliteral(L, "l");
	lua_callk(L, 2, LUA_MULTRET, 0, line_received);
	return line_received(L, LUA_OK, 0);
}

int script_stream_method_lines(lua_State *L)
{
	script_stream_check(L, 1);
	lua_settop(L, 1);
	lua_pushcclosure(L, next_line, 1);
	return 1;
}
