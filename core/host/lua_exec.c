#include <stdlib.h>
#include <string.h>

#include "core/host/lua_parts.h"
#include "core/script/call.h"
#include "core/script/failure.h"
#include "core/script/lua_stream.h"
#include "core/script/task.h"

/*
 * on_exec: SSH requests answered by a function. Either side may go first:
 * what the call works on (a job) and what the SSH server works on (an exec)
 * know each other only while both are there.
 */

/* The SSH server's: freed by its on_close. */
struct lua_exec {
	struct lua_job *job;
	struct sshd_channel *channel;
	const struct sshd_request *request;
	struct exec_stream *streams[2];	/* stdin and stdout, stderr */
};

struct exec_stream {
	struct script_stream base;
	struct lua_exec *exec;		/* NULL: the channel is gone */
	int which;
};

/* --- what a stream is once its channel has gone ---------------------------------- */

static ssize_t dead_peek(struct stream *stream, const uint8_t **data)
{
	(void)stream;
	*data = NULL;
	return ERR_CLOSED;
}

static void dead_consume(struct stream *stream, size_t len)
{
	(void)stream;
	(void)len;
}

static ssize_t dead_write(struct stream *stream, const void *data, size_t len)
{
	(void)stream;
	(void)data;
	(void)len;
	return ERR_CLOSED;
}

static size_t dead_unsent(const struct stream *stream)
{
	(void)stream;
	return 0;
}

static int dead_shutdown(struct stream *stream)
{
	(void)stream;
	return ERR_CLOSED;
}

static void dead_close(struct stream *stream, bool abort)
{
	(void)stream;
	(void)abort;
}

static void dead_address(const struct stream *stream, bool peer,
			 char out[STREAM_ADDRESS_CAP])
{
	(void)stream;
	(void)peer;
	*out = '\0';
}

static const struct stream_ops dead_ops = {
	.peek = dead_peek,
	.consume = dead_consume,
	.write = dead_write,
	.unsent = dead_unsent,
	.shutdown = dead_shutdown,
	.close = dead_close,
	.address = dead_address,
};

/* All of them are this one: it has no state and calls nobody. */
static struct stream dead = { .ops = &dead_ops };

/* --- the channel's streams ----------------------------------------------------------- */

static struct stream *stream_of(const struct lua_exec *exec, int which)
{
	return which ? sshd_channel_stderr(exec->channel) :
		       sshd_channel_stream(exec->channel);
}

/* The channel owns it: closing the handle only ends the sending. */
static void give_back(struct script_stream *base)
{
	struct exec_stream *self = container_of(base, struct exec_stream, base);
	struct lua_exec *exec = self->exec;

	if (!exec)
		return;
	self->exec = NULL;
	exec->streams[self->which] = NULL;
	(void)stream_shutdown(stream_of(exec, self->which));
}

static void dispose(struct script_stream *base)
{
	free(container_of(base, struct exec_stream, base));
}

static void push_stream(lua_State *L, struct lua_exec *exec, int which)
{
	struct exec_stream *self;

	script_handle_new(L, &script_stream_type, 0);
	self = calloc(1, sizeof(*self));
	if (!self)
		script_raise(L, ERR_LIMIT, "no memory for a channel");
	self->base.give_back = give_back;
	self->base.dispose = dispose;
	self->exec = exec;
	self->which = which;
	exec->streams[which] = self;
	script_stream_init(&self->base, script_of(L), stream_of(exec, which));
	script_handle_set(L, -1, self);
}

/* --- the call -------------------------------------------------------------- */

static void push_env(lua_State *L, const struct sshd_request *request)
{
	lua_createtable(L, 0, (int)request->env_count);
	for (size_t i = 0; i < request->env_count; i++) {
		const char *equals = strchr(request->env[i], '=');

		lua_pushlstring(L, request->env[i],
				(size_t)(equals - request->env[i]));
		lua_pushstring(L, equals + 1);
		lua_rawset(L, -3);
	}
}

/* {kind=, user=, env=, stderr=, and of a terminal: term=, rows=, columns=} */
static void push_request(lua_State *L, struct lua_exec *exec)
{
	static const char *const kinds[] = { "exec", "shell", "subsystem" };
	const struct sshd_request *request = exec->request;

	lua_createtable(L, 0, 7);
	lua_pushstring(L, kinds[request->kind]);
	lua_setfield(L, -2, "kind");
	lua_pushstring(L, request->user);
	lua_setfield(L, -2, "user");
	push_env(L, request);
	lua_setfield(L, -2, "env");
	push_stream(L, exec, 1);
	lua_setfield(L, -2, "stderr");
	if (!request->pty)
		return;
	lua_pushstring(L, request->term);
	lua_setfield(L, -2, "term");
	lua_pushinteger(L, request->rows);
	lua_setfield(L, -2, "rows");
	lua_pushinteger(L, request->columns);
	lua_setfield(L, -2, "columns");
}

/* Stack: 1 the call, 2 the channel, 3 the request, then the results. */
static int exec_returned(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	script_call_read(L, lua_touserdata(L, 1), 3);
	return 0;
}

static int exec_body(lua_State *L)
{
	struct lua_job *job = lua_job_of(L);
	struct lua_exec *exec = job->exec;

	if (!exec || job->function == LUA_NOREF)
		return 0;
	luaL_checkstack(L, 20, "on_exec");
	push_stream(L, exec, 0);
	push_request(L, exec);
	lua_rawgeti(L, LUA_REGISTRYINDEX, job->function);
	lua_pushstring(L, exec->request->command);
	lua_pushvalue(L, 2);
	lua_pushvalue(L, 3);
	lua_callk(L, 3, LUA_MULTRET, 0, exec_returned);
	return exec_returned(L, LUA_OK, 0);
}

/* The result is the command's exit status; a failure is said on stderr. */
static void exec_done(void *user, const struct script_result *result)
{
	struct lua_job *job = user;
	struct lua_exec *exec = job->exec;
	const char *message = result->error.message;

	lua_job_log(job, result);
	if (!exec)
		return;
	if (!result->ok) {
		struct stream *to = sshd_channel_stderr(exec->channel);

		(void)stream_write(to, message, strlen(message));
		(void)stream_write(to, "\n", 1);
	}
	sshd_channel_exit(exec->channel, result->status);
}

/* --- the SSH server ----------------------------------------------------------- */

static int start(void *context, struct sshd_channel *channel,
		 const struct sshd_request *request, void **run)
{
	struct lua_workspace *workspace = context;
	struct lua_exec *exec = calloc(1, sizeof(*exec));
	struct lua_job *job = exec ? lua_job_new(workspace, workspace->on_exec) : NULL;

	if (!job) {
		free(exec);
		return ERR_NOMEM;
	}
	exec->job = job;
	exec->channel = channel;
	exec->request = request;
	job->exec = exec;
	if (lua_job_run(workspace, job, exec_body, exec_done) < 0) {
		free(exec);
		return ERR_LIMIT;
	}
	*run = exec;
	return 0;
}

static void on_close(void *run)
{
	struct lua_exec *exec = run;

	if (exec->job)
		exec->job->exec = NULL;
	for (int i = 0; i < 2; i++) {
		if (!exec->streams[i])
			continue;
		exec->streams[i]->exec = NULL;
		exec->streams[i]->base.stream = &dead;
		script_wake_all(exec->streams[i]->base.script,
				&exec->streams[i]->base.readers);
		script_wake_all(exec->streams[i]->base.script,
				&exec->streams[i]->base.writers);
	}
	free(exec);
}

void lua_serve_exec(struct lua_workspace *self)
{
	self->handler = (struct sshd_handler){
		.start = start,
		.on_close = on_close,
		.context = self,
	};
}

void lua_exec_forget_job(struct lua_exec *exec)
{
	exec->job = NULL;
}
