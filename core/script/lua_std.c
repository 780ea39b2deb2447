#include <stdlib.h>
#include <string.h>

#include "core/script/failure.h"
#include "core/script/lua_stream.h"
#include "core/script/std.h"
#include "core/script/task.h"

/*
 * io.* and print, on the process's own streams. They are as asynchronous as
 * any stream: a full pipe suspends the task, not the program. io.stdin and
 * io.stdout are one stream, of which each uses a side; its owner is the host.
 */
struct script_std {
	struct script_stream in_out;
	struct script_stream diagnostics;
};

static void keep(struct script_stream *self)
{
	(void)self;
}

static void open_one(struct script_stream *self, struct script *script,
		     struct stream *stream)
{
	self->give_back = keep;
	self->dispose = keep;
	if (stream)
		script_stream_init(self, script, stream);
}

int script_std_open(struct script *script)
{
	struct script_std *std = calloc(1, sizeof(*std));

	if (!std)
		return ERR_NOMEM;
	open_one(&std->in_out, script, script->config.stdio);
	open_one(&std->diagnostics, script, script->config.diagnostics);
	script->std = std;
	return 0;
}

static void close_one(struct script_stream *self)
{
	if (!self->stream)
		return;
	self->stream->on_change = NULL;
	self->stream->user = NULL;
	buf_clear(&self->in);
}

void script_std_close(struct script *script)
{
	if (!script->std)
		return;
	close_one(&script->std->in_out);
	close_one(&script->std->diagnostics);
	free(script->std);
	script->std = NULL;
}

enum file { FILE_IN, FILE_OUT, FILE_ERR };

static struct script_stream *stream_of(lua_State *L, enum file file)
{
	struct script_std *std = script_of(L)->std;
	struct script_stream *self = file == FILE_ERR ? &std->diagnostics
						      : &std->in_out;

	return self->stream ? self : NULL;
}

/* Files are full userdata with their number; they cannot be closed. */
static enum file check_file(lua_State *L, int index)
{
	return *(enum file *)luaL_checkudata(L, index, "tunnel.std");
}

static void push_file(lua_State *L, enum file file)
{
	static const char *const names[] = { "stdin", "stdout", "stderr" };

	lua_getfield(L, LUA_REGISTRYINDEX, names[file]);
}

/* Stack: 1 the file, 2 the bytes. */
static int written(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	if (lua_isnil(L, 3))
		return lua_gettop(L) - 2;
	lua_settop(L, 1);
	return 1;
}

/* A call of its own, so that whatever it leaves is its result. */
static int send_bytes(lua_State *L)
{
	enum file file = check_file(L, 1);
	struct script_stream *self = stream_of(L, file);

	if (!self)
		return script_fail(L, ERR_CLOSED, "there is no such stream");
	return script_stream_send(L, self, DEADLINE_NONE);
}

static int write_string(lua_State *L)
{
	lua_pushcfunction(L, send_bytes);
	lua_pushvalue(L, 1);
	lua_pushvalue(L, 2);
	lua_callk(L, 2, LUA_MULTRET, 0, written);
	return written(L, LUA_OK, 0);
}

static int file_write(lua_State *L)
{
	int count = lua_gettop(L);
	luaL_Buffer text;

	check_file(L, 1);
	luaL_buffinit(L, &text);
	for (int i = 2; i <= count; i++) {
		luaL_checkstring(L, i);
		lua_pushvalue(L, i);
		luaL_addvalue(&text);
	}
	luaL_pushresult(&text);
	lua_replace(L, 2);
	lua_settop(L, 2);
	if (count < 2) {
		lua_pushliteral(L, "");
		lua_replace(L, 2);
	}
	return write_string(L);
}

static int io_write(lua_State *L)
{
	push_file(L, FILE_OUT);
	lua_insert(L, 1);
	return file_write(L);
}

static int base_print(lua_State *L)
{
	int count = lua_gettop(L);
	luaL_Buffer text;

	luaL_buffinit(L, &text);
	for (int i = 1; i <= count; i++) {
		if (i > 1)
			luaL_addchar(&text, '\t');
		luaL_tolstring(L, i, NULL);
		luaL_addvalue(&text);
	}
	luaL_addchar(&text, '\n');
	luaL_pushresult(&text);
	lua_insert(L, 1);
	lua_settop(L, 1);
	push_file(L, FILE_OUT);
	lua_insert(L, 1);
	return write_string(L);
}

static int receive_bytes(lua_State *L)
{
	struct script_stream *self = stream_of(L, check_file(L, 1));
	enum script_receive want = SCRIPT_RECEIVE_LINE;
	size_t len = SCRIPT_LINE_CAP;
	const char *form;

	if (!self)
		return script_fail(L, ERR_CLOSED, "there is no such stream");
	if (lua_type(L, 2) == LUA_TNUMBER) {
		lua_Integer count = luaL_checkinteger(L, 2);

		luaL_argcheck(L, count >= 0, 2, "must not be negative");
		return script_stream_receive(L, self, SCRIPT_RECEIVE_COUNT,
					     (size_t)count, DEADLINE_NONE);
	}
	form = luaL_optstring(L, 2, "l");
	form += *form == '*';
	if (*form == 'a') {
		want = SCRIPT_RECEIVE_ALL;
		len = SCRIPT_ALL_CAP;
	} else if (*form == 'L') {
		want = SCRIPT_RECEIVE_FULL_LINE;
	} else if (*form != 'l' && *form != 'n') {
		luaL_argerror(L, 2, "invalid format");
	}
	return script_stream_receive(L, self, want, len, DEADLINE_NONE);
}

/* ctx: the place of the format whose result is on top; stack 1: the file. */
static int read_next(lua_State *L, int status, lua_KContext ctx);

/* At the end of stdin a partial piece counts, nothing is nil. */
static bool settle(lua_State *L, int base, int format)
{
	size_t len;

	lua_settop(L, base + 3);
	if (lua_isnil(L, base + 1)) {
		if (script_error_code(L, base + 2) != ERR_CLOSED)
			return false;
		lua_tolstring(L, base + 3, &len);
		lua_pushvalue(L, base + 3);
		lua_replace(L, base + 1);
		if (len == 0) {
			lua_pushnil(L);
			lua_replace(L, base + 1);
		}
	}
	lua_settop(L, base + 1);
	if (lua_type(L, format) == LUA_TSTRING &&
	    strchr(lua_tostring(L, format), 'n') && !lua_isnil(L, -1)) {
		if (!lua_stringtonumber(L, lua_tostring(L, -1)))
			lua_pushnil(L);
		lua_replace(L, base + 1);
	}
	return true;
}

/*
 * Stack: 1 the file, then the formats, then their results. The context is
 * the number of formats, times 256, plus how many are done.
 */
static int read_on(lua_State *L, int formats, int done)
{
	while (done < formats) {
		lua_pushcfunction(L, receive_bytes);
		lua_pushvalue(L, 1);
		lua_pushvalue(L, 2 + done);
		lua_callk(L, 2, LUA_MULTRET, formats * 256 + done, read_next);
		if (!settle(L, 1 + formats + done, 2 + done))
			return 2;
		done++;
		if (lua_isnil(L, -1))
			break;
	}
	return done;
}

static int read_next(lua_State *L, int status, lua_KContext ctx)
{
	int formats = (int)ctx / 256;
	int done = (int)ctx % 256;

	(void)status;
	if (!settle(L, 1 + formats + done, 2 + done))
		return 2;
	if (lua_isnil(L, -1))
		return done + 1;
	return read_on(L, formats, done + 1);
}

static int file_read(lua_State *L)
{
	check_file(L, 1);
	if (lua_gettop(L) == 1)
		lua_pushliteral(L, "l");
	luaL_argcheck(L, lua_gettop(L) < 200, 200, "too many formats");
	return read_on(L, lua_gettop(L) - 1, 0);
}

static int io_read(lua_State *L)
{
	push_file(L, FILE_IN);
	lua_insert(L, 1);
	return file_read(L);
}

static int next_line(lua_State *L)
{
	lua_settop(L, 0);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushvalue(L, lua_upvalueindex(2));
	return file_read(L);
}

static int file_lines(lua_State *L)
{
	check_file(L, 1);
	lua_settop(L, 2);
	if (lua_isnil(L, 2)) {
		lua_pushliteral(L, "l");
		lua_replace(L, 2);
	}
	lua_pushcclosure(L, next_line, 2);
	return 1;
}

static int io_lines(lua_State *L)
{
	luaL_argcheck(L, lua_isnoneornil(L, 1), 1,
		      "files need --allow=fs; only stdin can be read");
	lua_settop(L, 2);
	push_file(L, FILE_IN);
	lua_replace(L, 1);
	return file_lines(L);
}

/* What was accepted is on its way: nothing to do, as in any async writer. */
static int file_same(lua_State *L)
{
	check_file(L, 1);
	lua_settop(L, 1);
	return 1;
}

static int file_tostring(lua_State *L)
{
	static const char *const names[] = { "stdin", "stdout", "stderr" };

	lua_pushfstring(L, "file (%s)", names[check_file(L, 1)]);
	return 1;
}

static void new_file(lua_State *L, enum file file, const char *name)
{
	static const luaL_Reg methods[] = {
		{ "write", file_write },
		{ "read", file_read },
		{ "lines", file_lines },
		{ "flush", file_same },
		{ "setvbuf", file_same },
		{ "close", file_same },
		{ NULL, NULL },
	};
	enum file *self = lua_newuserdatauv(L, sizeof(*self), 0);

	*self = file;
	if (luaL_newmetatable(L, "tunnel.std")) {
		luaL_newlib(L, methods);
		lua_setfield(L, -2, "__index");
		lua_pushcfunction(L, file_tostring);
		lua_setfield(L, -2, "__tostring");
		lua_pushliteral(L, "file");
		lua_setfield(L, -2, "__metatable");
	}
	lua_setmetatable(L, -2);
	lua_pushvalue(L, -1);
	lua_setfield(L, LUA_REGISTRYINDEX, name);
	lua_setfield(L, -2, name);
}

void script_open_io(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "write", io_write },
		{ "read", io_read },
		{ "lines", io_lines },
		{ NULL, NULL },
	};

	luaL_newlib(L, functions);
	new_file(L, FILE_IN, "stdin");
	new_file(L, FILE_OUT, "stdout");
	new_file(L, FILE_ERR, "stderr");
	lua_setglobal(L, LUA_IOLIBNAME);
	lua_pushcfunction(L, base_print);
	lua_setglobal(L, "print");
}

/* stdio(): the process's stdin and stdout as one stream. */
static void shared_release(void *object)
{
	(void)object;
}

static const struct script_handle_type stdio_type = {
	.name = "file",
	.metatable = "tunnel.file",
	.close = shared_release,
	.methods = script_stream_methods,
	.tostring = script_stream_tostring,
	.lasting = true,
};

int script_push_stdio(lua_State *L)
{
	struct script_stream *self = &script_of(L)->std->in_out;

	if (!self->stream)
		return script_fail(L, ERR_CLOSED, "there is no stdio");
	script_handle_new(L, &stdio_type, 0);
	script_handle_set(L, -1, self);
	return 1;
}
