#include "core/script/lua_stream.h"

#include <stdlib.h>
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

static void dispose_default(struct script_stream *self)
{
	free(self);
}

static void leave(struct script_stream *self)
{
	if (self->released && !self->reading && !self->writing) {
		buf_clear(&self->in);
		self->dispose(self);
	}
}

static void changed(struct stream *stream, void *user)
{
	struct script_stream *self = user;

	(void)stream;
	script_wake_all(self->script, &self->readers);
	script_wake_all(self->script, &self->writers);
}

void script_stream_watch(struct script_stream *self)
{
	self->stream->on_change = changed;
	self->stream->user = self;
}

void script_stream_init(struct script_stream *self, struct script *script,
			struct stream *stream)
{
	self->script = script;
	self->stream = stream;
	self->dispose = self->dispose ? self->dispose : dispose_default;
	list_init(&self->readers);
	list_init(&self->writers);
	buf_init(&self->in, SIZE_MAX / 4);
	script_stream_watch(self);
}

void script_stream_detach(struct script_stream *self)
{
	if (self->splice)
		script_splice_stop(self->splice);
	self->closed = true;
	self->stream = NULL;
	script_wake_all(self->script, &self->readers);
	script_wake_all(self->script, &self->writers);
}

void script_stream_release(void *object)
{
	struct script_stream *self = object;
	struct stream *stream = self->stream;

	script_stream_detach(self);
	if (self->give_back)
		self->give_back(self);
	else if (stream)
		stream_close(stream, false);
	self->released = true;
	leave(self);
}

void script_stream_push(lua_State *L, struct stream *stream)
{
	struct script_stream *self;

	script_handle_new(L, &script_stream_type, 1);
	self = calloc(1, sizeof(*self));
	if (!self)
		script_raise(L, ERR_LIMIT, "no memory for a stream");
	script_stream_init(self, script_of(L), stream);
	script_handle_set(L, -1, self);
}

/* The types that are streams; their names stand behind the dot. */
static const char *const stream_types[] = {
	"tunnel.stream",
	"tunnel.ssh_channel",
	"tunnel.file",
};

struct script_stream *script_stream_check(lua_State *L, int index)
{
	struct script_handle_type type = { .name = NULL };
	struct script_stream *self;

	for (size_t i = 0; i < 3 && !type.name; i++) {
		if (!luaL_testudata(L, index, stream_types[i]))
			continue;
		type.metatable = stream_types[i];
		type.name = strchr(stream_types[i], '.') + 1;
	}
	if (!type.name)
		luaL_typeerror(L, index, "stream");
	self = script_handle_check(L, index, &type);
	if (!self->stream)
		luaL_error(L, "the %s is closed", type.name);
	return self;
}

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
	leave(self);
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
	leave(self);
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
static int stream_receive(lua_State *L)
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
static int stream_receive_any(lua_State *L)
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
	lua_pushcfunction(L, stream_receive);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushliteral(L, "l");
	lua_callk(L, 2, LUA_MULTRET, 0, line_received);
	return line_received(L, LUA_OK, 0);
}

static int stream_lines(lua_State *L)
{
	script_stream_check(L, 1);
	lua_settop(L, 1);
	lua_pushcclosure(L, next_line, 1);
	return 1;
}

static void abandon_write(void *arg)
{
	struct script_stream *self = arg;

	self->writing = false;
	leave(self);
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
	if (!self->closed)
		return send_again(L, self, woken);
	fail_send(L, self, ERR_CLOSED, "the stream was closed");
	leave(self);
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
static int stream_send(lua_State *L)
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
	leave(self);
	return script_fail(L, ERR_CLOSED, "the stream was closed");
}

/* flush{timeout=} */
static int stream_flush(lua_State *L)
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

static int stream_shutdown_method(lua_State *L)
{
	static const char *const ways[] = { "send", "both", NULL };
	struct script_stream *self = script_stream_check(L, 1);
	int way = luaL_checkoption(L, 2, NULL, ways);
	int err = stream_shutdown(self->stream);

	if (err < 0)
		return script_fail(L, err, "the stream has failed");
	if (way == 1) {
		self->receive_ended = true;
		script_wake_all(self->script, &self->readers);
	}
	lua_pushboolean(L, 1);
	return 1;
}

static int push_address(lua_State *L, bool peer)
{
	struct script_stream *self = script_stream_check(L, 1);
	char text[STREAM_ADDRESS_CAP];

	stream_address(self->stream, peer, text);
	lua_pushstring(L, text);
	return 1;
}

static int stream_local_address(lua_State *L)
{
	return push_address(L, false);
}

static int stream_peer_address(lua_State *L)
{
	return push_address(L, true);
}

int script_stream_tostring(lua_State *L)
{
	const struct script_handle_type *type =
		lua_touserdata(L, lua_upvalueindex(1));
	struct script_stream *self = script_handle_peek(L, 1, type);
	char text[STREAM_ADDRESS_CAP] = "closed";

	if (self && self->stream)
		stream_address(self->stream, true, text);
	lua_pushfstring(L, "%s #%d (%s)", type->name,
			(int)script_handle_index(L, 1), text);
	return 1;
}

const luaL_Reg script_stream_methods[] = {
	{ "send", stream_send },
	{ "flush", stream_flush },
	{ "receive", stream_receive },
	{ "receive_any", stream_receive_any },
	{ "lines", stream_lines },
	{ "shutdown", stream_shutdown_method },
	{ "local_address", stream_local_address },
	{ "peer_address", stream_peer_address },
	{ NULL, NULL },
};

const struct script_handle_type script_stream_type = {
	.name = "stream",
	.metatable = "tunnel.stream",
	.close = script_stream_release,
	.methods = script_stream_methods,
	.tostring = script_stream_tostring,
};
