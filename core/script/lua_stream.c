#include "core/script/lua_stream.h"

#include <stdlib.h>
#include <string.h>

#include "core/script/failure.h"
#include "core/script/task.h"

static void dispose_default(struct script_stream *self)
{
	free(self);
}

void script_stream_leave(struct script_stream *self)
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
	if (stream && stream->user == self)
		stream->on_change = NULL;	/* it may outlive us */
	if (self->give_back)
		self->give_back(self);
	else if (stream)
		stream_close(stream, false);
	self->released = true;
	script_stream_leave(self);
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
	{ "send", script_stream_method_send },
	{ "flush", script_stream_method_flush },
	{ "receive", script_stream_method_receive },
	{ "receive_any", script_stream_method_receive_any },
	{ "lines", script_stream_method_lines },
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
