#include <stdlib.h>
#include <string.h>

#include "core/script/bindings.h"
#include "core/script/failure.h"
#include "core/script/options.h"
#include "core/script/ssh.h"
#include "core/script/task.h"

/* A channel: a stream, its stderr, and how it ended. */

static void stderr_dispose(struct script_stream *base)
{
	struct script_ssh_stderr *self = (struct script_ssh_stderr *)base;

	if (self->channel)
		self->channel->err = NULL;
	free(self);
}

/* sshc owns both streams: they end with the channel. */
static void stderr_give_back(struct script_stream *base)
{
	(void)base;
}

void script_channel_end(struct script_channel *self)
{
	struct sshc_channel *channel = self->channel;

	self->channel = NULL;
	if (self->base.stream)
		script_stream_detach(&self->base);
	if (self->err && self->err->base.stream)
		script_stream_detach(&self->err->base);
	if (channel)
		sshc_channel_close(channel);
	script_wake_all(self->base.script, &self->waiters);
}

static void channel_give_back(struct script_stream *base)
{
	script_channel_end((struct script_channel *)base);
}

static void channel_dispose(struct script_stream *base)
{
	struct script_channel *self = (struct script_channel *)base;
	struct script_ssh *ssh = self->ssh;

	if (self->err)
		self->err->channel = NULL;
	list_remove(&self->link);
	if (ssh->released && !ssh->opening && list_empty(&ssh->channels))
		free(ssh);
	free(self);
}

static int channel_wait(lua_State *L);
static int channel_signal(lua_State *L);
static int channel_resize(lua_State *L);

/* stderr, and the methods of streams. */
static int channel_index(lua_State *L)
{
	const char *name = luaL_checkstring(L, 2);

	if (strcmp(name, "stderr") == 0) {
		lua_getiuservalue(L, 1, 1);
		return 1;
	}
	for (const luaL_Reg *at = script_stream_methods; at->name; at++) {
		if (strcmp(name, at->name) != 0)
			continue;
		lua_pushcfunction(L, at->func);
		return 1;
	}
	lua_pushnil(L);
	return 1;
}

static const luaL_Reg methods[] = {
	{ "wait", channel_wait },
	{ "signal", channel_signal },
	{ "resize", channel_resize },
	{ NULL, NULL },
};

const struct script_handle_type script_channel_type = {
	.name = "ssh_channel",
	.metatable = "tunnel.ssh_channel",
	.close = script_stream_release,
	.methods = methods,
	.index = channel_index,
	.tostring = script_stream_tostring,
};

static void on_open(void *user)
{
	struct script_channel *self = user;

	self->opened = true;
	script_wake_all(self->base.script, &self->waiters);
}

static void on_failed(void *user, const struct error *error)
{
	struct script_channel *self = user;

	self->failure = *error;
	script_wake_all(self->base.script, &self->waiters);
}

static void on_exit_(void *user, int status, const char *signal)
{
	struct script_channel *self = user;

	self->exited = true;
	self->status = status;
	strncpy(self->signal, signal, sizeof(self->signal) - 1);
	script_wake_all(self->base.script, &self->waiters);
}

static const struct sshc_channel_events events = {
	.on_open = on_open,
	.on_failed = on_failed,
	.on_exit = on_exit_,
};

/* The object behind stderr; pushes its handle. */
static struct script_ssh_stderr *new_stderr(lua_State *L)
{
	struct script_ssh_stderr *self;

	script_handle_new(L, &script_stream_type, 0);
	self = calloc(1, sizeof(*self));
	if (!self)
		script_raise(L, ERR_LIMIT, "no memory for a channel");
	self->base.give_back = stderr_give_back;
	self->base.dispose = stderr_dispose;
	return self;
}

static struct script_channel *new_channel(lua_State *L,
					  struct script_ssh *ssh)
{
	struct script_channel *self = calloc(1, sizeof(*self));

	if (!self)
		return NULL;
	self->base.script = script_of(L);
	self->base.give_back = channel_give_back;
	self->base.dispose = channel_dispose;
	self->ssh = ssh;
	list_init(&self->waiters);
	return self;
}

/* Both objects get their streams and their handles; nothing can fail. */
static void join(lua_State *L, struct script_channel *self,
		 struct script_ssh_stderr *err)
{
	struct script *script = script_of(L);

	script_stream_init(&self->base, script,
			   sshc_channel_stream(self->channel));
	script_stream_init(&err->base, script,
			   sshc_channel_stderr(self->channel));
	self->err = err;
	err->channel = self;
	list_add_tail(&self->ssh->channels, &self->link);
	script_handle_set(L, -1, err);
	script_handle_set(L, -2, self);
	lua_setiuservalue(L, -2, 1);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 2);
}

bool script_channel_open(lua_State *L, const struct sshc_request *request)
{
	struct script_ssh *ssh = script_handle_check(L, 1, &script_ssh_type);
	struct script_channel *self;
	struct script_ssh_stderr *err;
	int failure;

	luaL_checkstack(L, 20, "open");
	if (!ssh->sshc || ssh->end.code) {
		script_ssh_gone(L, ssh);
		return false;
	}
	script_handle_new(L, &script_channel_type, 2);
	err = new_stderr(L);
	self = new_channel(L, ssh);
	failure = self ? sshc_channel_open(ssh->sshc, request, &events, self,
					   &self->channel)
		       : ERR_NOMEM;
	if (failure == 0) {
		join(L, self, err);
		return true;
	}
	free(self);
	free(err);
	script_fail(L, failure, "cannot open a channel (%s)",
		    err_name(failure));
	return false;
}

static int exit_k(lua_State *L, int status, lua_KContext ctx);

static int wait_again(lua_State *L, int woken, uint64_t deadline)
{
	struct script_channel *self =
		script_handle_peek(L, 1, &script_channel_type);

	if (!self)
		return script_fail(L, ERR_CLOSED, "the channel was closed");
	if (self->exited) {
		lua_createtable(L, 0, 2);
		lua_pushinteger(L, self->status);
		lua_setfield(L, -2, "status");
		if (self->signal[0]) {
			lua_pushstring(L, self->signal);
			lua_setfield(L, -2, "signal");
		}
		return 1;
	}
	if (self->failure.code)
		return script_fail_with(L, &self->failure);
	if (woken == ERR_TIMEOUT)
		return script_fail(L, woken, "the command is still running");
	return script_wait(L, &(struct script_wait){
		.what = "wait",
		.on = &self->waiters,
		.deadline_us = deadline,
	}, (lua_KContext)deadline, exit_k);
}

static int exit_k(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	return wait_again(L, script_woken(L), (uint64_t)ctx);
}

/* channel:wait{timeout=} → {status, signal} */
static int channel_wait(lua_State *L)
{
	uint64_t deadline = DEADLINE_NONE;
	const struct script_option options[] = {
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};

	script_handle_check(L, 1, &script_channel_type);
	script_options(L, 2, options, 1);
	script_may_wait(L, "wait");
	return wait_again(L, 0, deadline);
}

static int sent(lua_State *L, int err, const char *what)
{
	if (err < 0)
		return script_fail(L, err, "cannot send %s (%s)", what,
				   err_name(err));
	lua_pushboolean(L, 1);
	return 1;
}

static int channel_signal(lua_State *L)
{
	struct script_channel *self =
		script_handle_check(L, 1, &script_channel_type);
	const char *name = luaL_checkstring(L, 2);

	if (strncmp(name, "SIG", 3) == 0)
		name += 3;
	return sent(L, self->channel
		    ? sshc_channel_signal(self->channel, name) : ERR_CLOSED,
		    "the signal");
}

static int channel_resize(lua_State *L)
{
	struct script_channel *self =
		script_handle_check(L, 1, &script_channel_type);
	lua_Integer rows = luaL_checkinteger(L, 2);
	lua_Integer columns = luaL_checkinteger(L, 3);

	luaL_argcheck(L, rows > 0 && rows <= 10000, 2, "from 1 to 10000");
	luaL_argcheck(L, columns > 0 && columns <= 10000, 3,
		      "from 1 to 10000");
	return sent(L, self->channel
		    ? sshc_channel_resize(self->channel, (int)rows,
					  (int)columns) : ERR_CLOSED,
		    "the size");
}
