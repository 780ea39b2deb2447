#include <stdlib.h>
#include <string.h>

#include "core/script/bindings.h"
#include "core/script/failure.h"
#include "core/script/options.h"
#include "core/script/ssh.h"
#include "core/script/task.h"

/*
 * ssh:exec(command, {stdin=, env=, pty=, max=, timeout=}): the channel is
 * pumped from the loop; Lua sees it when all is over. The state is a
 * userdata on the task's stack, with the channel's handle in user value 1
 * and stdin in user value 2.
 */
struct exec {
	struct script *script;
	struct script_channel *channel;	/* NULL: over */
	const char *input;
	size_t input_len;
	size_t written;
	bool input_ended;
	bool out_ended;
	bool err_ended;
	size_t max;			/* of each output */
	struct buf out;
	struct buf err;
	int failure;
};

static void stop(struct exec *exec)
{
	if (exec->channel)
		script_channel_end(exec->channel);
	exec->channel = NULL;
	buf_clear(&exec->out);
	buf_clear(&exec->err);
}

static int exec_gc(lua_State *L)
{
	stop(lua_touserdata(L, 1));
	return 0;
}

static void abandon(void *arg)
{
	stop(arg);
}

/* Takes what is there; *ended at the end of the stream. 0 or the failure. */
static int drain(struct stream *stream, struct buf *into, bool *ended)
{
	while (!*ended) {
		const uint8_t *data;
		ssize_t got = stream_peek(stream, &data);
		int err;

		if (got == ERR_AGAIN)
			return 0;
		if (got <= 0) {
			*ended = true;
			return (int)got;
		}
		err = buf_append(into, data, (size_t)got);
		if (err < 0)
			return err == ERR_LIMIT ? ERR_TOO_LARGE : err;
		stream_consume(stream, (size_t)got);
	}
	return 0;
}

/* Input that the command no longer wants is no failure. */
static void feed(struct exec *exec, struct stream *stream)
{
	while (!exec->input_ended) {
		size_t left = exec->input_len - exec->written;
		ssize_t put = left ? stream_write(stream, exec->input +
						  exec->written, left) : 0;

		if (put == ERR_AGAIN)
			return;
		if (put > 0) {
			exec->written += (size_t)put;
			continue;
		}
		exec->input_ended = true;
		if (put == 0)
			stream_shutdown(stream);
	}
}

static void pump(struct exec *exec)
{
	struct script_channel *channel = exec->channel;
	int out;
	int err;

	if (!channel->channel)	/* the session has gone */
		return;
	feed(exec, channel->base.stream);
	out = drain(channel->base.stream, &exec->out, &exec->out_ended);
	err = drain(channel->err->base.stream, &exec->err, &exec->err_ended);
	if (exec->failure == 0)
		exec->failure = out < 0 ? out : err;
}

static void changed(struct stream *stream, void *user)
{
	struct exec *exec = user;

	(void)stream;
	pump(exec);
	script_wake_all(exec->script, &exec->channel->waiters);
}

static struct exec *new_exec(lua_State *L, size_t max)
{
	struct exec *exec = lua_newuserdatauv(L, sizeof(*exec), 2);

	*exec = (struct exec){ .script = script_of(L), .max = max };
	buf_init(&exec->out, max);
	buf_init(&exec->err, max);
	if (luaL_newmetatable(L, "tunnel.exec")) {
		lua_pushcfunction(L, exec_gc);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	return exec;
}

static void set_bytes(lua_State *L, const char *name, const struct buf *buf)
{
	lua_pushlstring(L, buf->len ? (const char *)buf_data(buf) : "",
			buf->len);
	lua_setfield(L, -2, name);
}

/* Pushes {stdout, stderr, status, signal} and ends it. */
static int push_result(lua_State *L, struct exec *exec)
{
	const struct script_channel *channel = exec->channel;

	lua_createtable(L, 0, 4);
	set_bytes(L, "stdout", &exec->out);
	set_bytes(L, "stderr", &exec->err);
	lua_pushinteger(L, channel->status);
	lua_setfield(L, -2, "status");
	if (channel->signal[0]) {
		lua_pushstring(L, channel->signal);
		lua_setfield(L, -2, "signal");
	}
	stop(exec);
	return 1;
}

/* nil, err, and what had come of stdout. */
static int fail_exec(lua_State *L, struct exec *exec,
		     const struct error *error)
{
	script_fail_with(L, error);
	lua_pushlstring(L, exec->out.len ? (char *)buf_data(&exec->out) : "",
			exec->out.len);
	stop(exec);
	return 3;
}

static int exec_k(lua_State *L, int status, lua_KContext ctx);

/* The exec is on top. */
static int look(lua_State *L, int woken, uint64_t deadline)
{
	struct exec *exec = lua_touserdata(L, -1);
	struct script_channel *channel = exec->channel;
	struct error error = channel->failure;

	if (channel->channel)
		pump(exec);
	if (exec->failure == ERR_TOO_LARGE)
		error_set(&error, ERR_TOO_LARGE, "more than %zu bytes of "
			  "output", exec->max);
	else if (error.code == 0 && channel->exited)
		return push_result(L, exec);
	else if (error.code == 0 && exec->failure)
		error_set(&error, exec->failure, "the channel has failed");
	else if (error.code == 0 && woken == ERR_TIMEOUT)
		error_set(&error, ERR_TIMEOUT, "the command took too long");
	if (error.code)
		return fail_exec(L, exec, &error);
	return script_wait(L, &(struct script_wait){
		.what = "exec",
		.on = &channel->waiters,
		.deadline_us = deadline,
		.abandon = abandon,
		.arg = exec,
	}, (lua_KContext)deadline, exec_k);
}

static int exec_k(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	return look(L, script_woken(L), (uint64_t)ctx);
}

static void attach(struct exec *exec, struct script_channel *channel)
{
	struct stream *streams[2] = { channel->base.stream,
				      channel->err->base.stream };

	exec->channel = channel;
	for (int i = 0; i < 2; i++) {
		streams[i]->on_change = changed;
		streams[i]->user = exec;
	}
}

/* Stack from `top` on: the channel's handle, the exec. */
static int begin(lua_State *L, const struct sshc_request *request,
		 const char *input, size_t input_len, size_t max,
		 uint64_t deadline)
{
	struct exec *exec;

	if (!script_channel_open(L, request))
		return 2;
	exec = new_exec(L, max);
	lua_pushvalue(L, -2);
	lua_setiuservalue(L, -2, 1);
	exec->input = input;
	exec->input_len = input_len;
	attach(exec, script_handle_check(L, -2, &script_channel_type));
	return look(L, 0, deadline);
}

int script_ssh_exec(lua_State *L)
{
	struct script_request out = { .request = { .kind = SSHC_EXEC } };
	uint64_t deadline = DEADLINE_NONE;
	size_t max = SCRIPT_ALL_CAP;
	size_t input_len = 0;
	const char *input = "";
	int standard_input = 0;
	int env = 0;
	int pty = 0;
	const struct script_option options[] = {
		{ "stdin", SCRIPT_OPTION_VALUE, &standard_input },
		{ "env", SCRIPT_OPTION_VALUE, &env },
		{ "pty", SCRIPT_OPTION_VALUE, &pty },
		{ "max", SCRIPT_OPTION_SIZE, &max },
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};

	script_handle_check(L, 1, &script_ssh_type);
	script_options(L, 3, options, 5);
	if (standard_input && lua_type(L, standard_input) != LUA_TSTRING)
		return luaL_error(L, "option 'stdin' must be a string");
	if (standard_input)
		input = lua_tolstring(L, standard_input, &input_len);
	script_request_read(L, &out, env, pty);
	out.request.command = script_request_command(L, 2);
	script_may_wait(L, "exec");
	return begin(L, &out.request, input, input_len, max, deadline);
}
