#include "core/script/ssh.h"

#include <stdlib.h>

#include "core/script/bindings.h"
#include "core/script/failure.h"
#include "core/script/options.h"
#include "core/script/task.h"

/*
 * conn:ssh() dials port 1 and hands the stream to core/conn. A session that
 * has ended takes its channels with it: their objects stay for whoever
 * holds a handle, and say `closed`.
 */
#define SSH_PORT 1
#define SSH_S 10

static void free_if_unused(struct script_ssh *self)
{
	if (self->released && !self->opening && list_empty(&self->channels))
		free(self);
}

static void lose_channels(struct script_ssh *self)
{
	list_each(at, next, &self->channels) {
		struct script_channel *channel =
			container_of(at, struct script_channel, link);

		if (channel->failure.code == 0 && !channel->exited)
			channel->failure = (struct error){
				ERR_CLOSED, "the SSH session was closed" };
		channel->channel = NULL;
		if (channel->base.stream)
			script_stream_detach(&channel->base);
		if (channel->err && channel->err->base.stream)
			script_stream_detach(&channel->err->base);
		script_wake_all(self->script, &channel->waiters);
	}
}

static void ssh_release(void *object)
{
	struct script_ssh *self = object;

	if (self->sshc) {
		lose_channels(self);
		sshc_close(self->sshc);
	}
	self->sshc = NULL;
	self->released = true;
	if (self->end.code == 0)
		self->end = (struct error){ ERR_CLOSED,
					    "the SSH session was closed" };
	script_wake_all(self->script, &self->waiters);
	free_if_unused(self);
}

static int ssh_open(lua_State *L);
static int ssh_shell(lua_State *L);
static int ssh_forward(lua_State *L);

static const luaL_Reg methods[] = {
	{ "exec", script_ssh_exec },
	{ "open", ssh_open },
	{ "shell", ssh_shell },
	{ "forward", ssh_forward },
	{ NULL, NULL },
};

const struct script_handle_type script_ssh_type = {
	.name = "ssh",
	.metatable = "tunnel.ssh",
	.close = ssh_release,
	.methods = methods,
};

int script_ssh_gone(lua_State *L, const struct script_ssh *self)
{
	return script_fail_with(L, &self->end);
}

static void on_ready(void *user)
{
	struct script_ssh *self = user;

	self->ready = true;
	script_wake_all(self->script, &self->waiters);
}

static void on_end(void *user, const struct error *error)
{
	struct script_ssh *self = user;

	self->end = *error;
	if (self->end.code == 0)
		self->end.code = ERR_CLOSED;
	script_wake_all(self->script, &self->waiters);
}

static const struct sshc_events events = { on_ready, on_end };

static void abandon(void *arg)
{
	struct script_ssh *self = arg;

	self->opening = false;
	free_if_unused(self);
}

static int ready_k(lua_State *L, int status, lua_KContext ctx);

/* Stack: …, the handle; the context is the deadline. */
static int wait_ready(lua_State *L, struct script_ssh *self,
		      uint64_t deadline_us)
{
	struct script_wait wait = {
		.what = "ssh",
		.on = &self->waiters,
		.deadline_us = deadline_us,
		.abandon = abandon,
		.arg = self,
	};

	self->opening = true;
	lua_pushlightuserdata(L, self);
	return script_wait(L, &wait, (lua_KContext)deadline_us, ready_k);
}

static int ready_k(lua_State *L, int status, lua_KContext ctx)
{
	int woken = script_woken(L);
	struct script_ssh *self = lua_touserdata(L, -1);
	struct error error = self->end;

	(void)status;
	lua_pop(L, 1);
	self->opening = false;
	if (self->ready && error.code == 0)
		return 1;
	if (error.code == 0 && woken == 0)
		return wait_ready(L, self, (uint64_t)ctx);
	if (error.code == 0)
		error_set(&error, ERR_TIMEOUT, "ssh took too long");
	if (self->released)
		free_if_unused(self);
	else
		script_handle_close(L, -1, &script_ssh_type);
	return script_fail_with(L, &error);
}

static struct script_ssh *new_session(lua_State *L)
{
	struct script_ssh *self;

	script_handle_new(L, &script_ssh_type, 0);
	self = calloc(1, sizeof(*self));
	if (!self)
		script_raise(L, ERR_LIMIT, "no memory for a session");
	self->script = script_of(L);
	list_init(&self->waiters);
	list_init(&self->channels);
	script_handle_set(L, -1, self);
	return self;
}

static int dialed_k(lua_State *L, int status, lua_KContext ctx)
{
	struct script_pending *pending = lua_touserdata(L, -1);
	struct script *script = script_of(L);
	struct script_ssh *self;
	struct stream *stream;
	int err;

	(void)status;
	script_woken(L);
	list_remove(&pending->link);
	if (!script_pending_answer(L, pending, "ssh"))
		return 2;
	self = new_session(L);
	stream = pending->stream;
	pending->stream = NULL;
	err = sshc_open(script->config.loop, stream, script->config.log,
			&events, self, &self->sshc);
	if (err == 0)
		return wait_ready(L, self, (uint64_t)ctx);
	script_handle_close(L, -1, &script_ssh_type);
	return script_fail(L, err, "cannot begin SSH (%s)", err_name(err));
}

/* conn:ssh{timeout=} */
int script_conn_ssh(lua_State *L)
{
	struct script_conn_object *conn = script_conn_check(L, 1);
	uint64_t deadline = script_deadline_default(L, SSH_S);
	const struct script_option options[] = {
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};

	script_options(L, 2, options, 1);
	script_may_wait(L, "ssh");
	if (!script_conn_dial(L, conn, SSH_PORT, deadline))
		return 2;
	return script_pending_wait(L, lua_touserdata(L, -1), "ssh", deadline,
				   (lua_KContext)deadline, dialed_k);
}

static int opened_k(lua_State *L, int status, lua_KContext ctx);

/* The channel's handle is on top, a light userdata above while it waits. */
static int wait_opened(lua_State *L, struct script_channel *self,
		       uint64_t deadline_us)
{
	struct script_wait wait = {
		.what = "open",
		.on = &self->waiters,
		.deadline_us = deadline_us,
	};

	return script_wait(L, &wait, (lua_KContext)deadline_us, opened_k);
}

static int opened_k(lua_State *L, int status, lua_KContext ctx)
{
	int woken = script_woken(L);
	struct script_channel *self =
		script_handle_peek(L, -1, &script_channel_type);
	struct error error = { ERR_CLOSED, "the channel was closed" };

	(void)status;
	if (!self)
		return script_fail_with(L, &error);
	if (self->opened && self->failure.code == 0)
		return 1;
	error = self->failure;
	if (error.code == 0 && woken == 0)
		return wait_opened(L, self, (uint64_t)ctx);
	if (error.code == 0)
		error_set(&error, ERR_TIMEOUT, "the channel took too long");
	script_handle_close(L, -1, &script_channel_type);
	return script_fail_with(L, &error);
}

static int open_channel(lua_State *L, const struct sshc_request *request,
			uint64_t deadline)
{
	script_may_wait(L, "open");
	if (!script_channel_open(L, request))
		return 2;
	return wait_opened(L, script_handle_check(L, -1, &script_channel_type),
			   deadline);
}

/* Options of open and shell, at `index`. */
static uint64_t read_options(lua_State *L, int index,
			     struct script_request *out)
{
	uint64_t deadline = script_deadline_default(L, SSH_S);
	int env = 0;
	int pty = 0;
	const struct script_option options[] = {
		{ "env", SCRIPT_OPTION_VALUE, &env },
		{ "pty", SCRIPT_OPTION_VALUE, &pty },
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};

	script_options(L, index, options, 3);
	script_request_read(L, out, env, pty);
	return deadline;
}

/* ssh:open(command, {env=, pty=, timeout=}) */
static int ssh_open(lua_State *L)
{
	struct script_request out = { .request = { .kind = SSHC_EXEC } };
	uint64_t deadline;

	script_handle_check(L, 1, &script_ssh_type);
	deadline = read_options(L, 3, &out);
	out.request.command = script_request_command(L, 2);
	return open_channel(L, &out.request, deadline);
}

/* ssh:shell{env=, pty=, timeout=}, with a terminal unless pty is false */
static int ssh_shell(lua_State *L)
{
	struct script_request out = {
		.request = { .kind = SSHC_SHELL },
		.pty = { "xterm-256color", 24, 80 },
	};
	uint64_t deadline;

	script_handle_check(L, 1, &script_ssh_type);
	out.request.pty = &out.pty;
	if (lua_istable(L, 2)) {
		if (lua_getfield(L, 2, "pty") != LUA_TNIL)
			out.request.pty = NULL;
		lua_pop(L, 1);
	}
	deadline = read_options(L, 2, &out);
	return open_channel(L, &out.request, deadline);
}

/* ssh:forward(host, port, {timeout=}) */
static int ssh_forward(lua_State *L)
{
	uint64_t deadline = script_deadline_default(L, SSH_S);
	struct sshc_request request = { .kind = SSHC_FORWARD };
	lua_Integer port = luaL_checkinteger(L, 3);
	const struct script_option options[] = {
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};

	script_handle_check(L, 1, &script_ssh_type);
	luaL_argcheck(L, port > 0 && port < 65536, 3, "no such port");
	script_options(L, 4, options, 1);
	request.command = luaL_checkstring(L, 2);
	request.port = (int)port;
	return open_channel(L, &request, deadline);
}
