#include <stdlib.h>
#include <string.h>

#include "core/host/lua_parts.h"
#include "core/script/call.h"
#include "core/script/failure.h"
#include "core/script/lua_stream.h"
#include "core/script/task.h"

/*
 * A simulated workspace's handlers: on_exec for SSH requests and functions
 * for ports. Each request is a call into the script, in the simulation's
 * tree of tasks. Either side may go first: what a call works on (a job) and
 * what the SSH server works on (an exec) know each other only while both
 * are there.
 */

struct port {
	struct list link;		/* in workspace->ports */
	struct lua_workspace *workspace;
	uint16_t number;
	int function;
};

/* The call's: freed with it. */
struct job {
	struct list link;		/* in workspace->jobs */
	int function;			/* borrowed reference, or LUA_NOREF */
	struct stream *stream;		/* of a port, until it is taken */
	struct exec *exec;		/* or NULL: a port, or it is gone */
	struct log *log;
};

/* The SSH server's: freed by its on_close. */
struct exec {
	struct job *job;
	struct sshd_channel *channel;
	const struct sshd_request *request;
	struct exec_stream *streams[2];	/* stdin and stdout, stderr */
};

struct exec_stream {
	struct script_stream base;
	struct exec *exec;		/* NULL: the channel is gone */
	int which;
};

static void job_clear(void *user)
{
	struct job *job = user;

	list_remove(&job->link);
	if (job->stream)
		stream_close(job->stream, true);
	if (job->exec)
		job->exec->job = NULL;
	free(job);
}

static struct job *job_new(struct lua_workspace *workspace, int function)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->function = function;
	job->log = workspace->sim->host->log;
	list_add_tail(&workspace->jobs, &job->link);
	return job;
}

/* Takes the job, also on failure. */
static int job_run(struct lua_workspace *workspace, struct job *job,
		   lua_CFunction body, script_done *done)
{
	struct lua_sim *sim = workspace->sim;
	struct script_call *call = script_call_new(sim->script, done, job);

	if (!call) {
		job_clear(job);
		return ERR_NOMEM;
	}
	call->clear = job_clear;
	return script_call_run(call, sim->tree, body);
}

static struct job *job_of(lua_State *L)
{
	struct script_call *call = lua_touserdata(L, 1);

	return call->user;
}

static void log_failure(const struct job *job,
			const struct script_result *result)
{
	if (!result->ok && result->error.code != ERR_CANCELED)
		log_warn(job->log, "simulate", "a handler failed: %s",
			 result->traceback ? result->traceback :
					     result->error.message);
}

/* --- ports -------------------------------------------------------------------- */

static int port_returned(lua_State *L, int status, lua_KContext ctx)
{
	(void)L;
	(void)status;
	(void)ctx;
	return 0;
}

/* The stream is a <close> variable of the handler's task. */
static int port_body(lua_State *L)
{
	struct job *job = job_of(L);

	if (!job->stream)
		return 0;
	script_stream_push(L, job->stream);
	job->stream = NULL;
	lua_toclose(L, -1);
	lua_rawgeti(L, LUA_REGISTRYINDEX, job->function);
	lua_pushvalue(L, -2);
	lua_callk(L, 1, 0, 0, port_returned);
	return port_returned(L, LUA_OK, 0);
}

static void port_done(void *user, const struct script_result *result)
{
	log_failure(user, result);
}

static void on_port(void *user, struct stream *stream)
{
	struct port *port = user;
	struct job *job = job_new(port->workspace, port->function);

	if (!job) {
		stream_close(stream, true);
		return;
	}
	job->stream = stream;
	(void)job_run(port->workspace, job, port_body, port_done);
}

static void add_port(lua_State *L, struct lua_workspace *workspace,
		     uint16_t number)
{
	struct port *port = calloc(1, sizeof(*port));
	int err;

	if (!port)
		script_raise(L, ERR_LIMIT, "no memory for a port");
	port->workspace = workspace;
	port->number = number;
	port->function = LUA_NOREF;
	list_add_tail(&workspace->ports, &port->link);
	lua_pushvalue(L, -1);
	port->function = luaL_ref(L, LUA_REGISTRYINDEX);
	err = simulation_set_port(workspace->workspace, number, on_port, port);
	if (err < 0)
		luaL_error(L, "port %d cannot have a handler (%s)", number,
			   err_name(err));
}

void lua_serve_ports(lua_State *L, struct lua_workspace *workspace, int index)
{
	lua_pushnil(L);
	while (lua_next(L, index)) {
		lua_Integer number = lua_tointeger(L, -2);

		if (!lua_isinteger(L, -2) || number < 1 || number > 65535)
			luaL_error(L, "option 'ports' has functions by number, "
				   "from 1 to 65535");
		if (!lua_isfunction(L, -1))
			luaL_error(L, "port %d must be a function, not a %s",
				   (int)number, luaL_typename(L, -1));
		add_port(L, workspace, (uint16_t)number);
		lua_pop(L, 1);
	}
}

/* --- on_exec: the channel's streams ---------------------------------------------- */

static struct stream *stream_of(const struct exec *exec, int which)
{
	return which ? sshd_channel_stderr(exec->channel) :
		       sshd_channel_stream(exec->channel);
}

/* The channel owns it: closing the handle only ends the sending. */
static void give_back(struct script_stream *base)
{
	struct exec_stream *self = container_of(base, struct exec_stream, base);
	struct exec *exec = self->exec;

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

static void push_stream(lua_State *L, struct exec *exec, int which)
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

/* --- on_exec: the call -------------------------------------------------------------- */

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
static void push_request(lua_State *L, struct exec *exec)
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
	struct job *job = job_of(L);
	struct exec *exec = job->exec;

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
	struct job *job = user;
	struct exec *exec = job->exec;
	const char *message = result->error.message;

	log_failure(job, result);
	if (!exec)
		return;
	if (!result->ok) {
		struct stream *to = sshd_channel_stderr(exec->channel);

		(void)stream_write(to, message, strlen(message));
		(void)stream_write(to, "\n", 1);
	}
	sshd_channel_exit(exec->channel, result->status);
}

/* --- on_exec: the SSH server ----------------------------------------------------------- */

static int start(void *context, struct sshd_channel *channel,
		 const struct sshd_request *request, void **run)
{
	struct lua_workspace *workspace = context;
	struct exec *exec = calloc(1, sizeof(*exec));
	struct job *job = exec ? job_new(workspace, workspace->on_exec) : NULL;

	if (!job) {
		free(exec);
		return ERR_NOMEM;
	}
	exec->job = job;
	exec->channel = channel;
	exec->request = request;
	job->exec = exec;
	if (job_run(workspace, job, exec_body, exec_done) < 0) {
		free(exec);
		return ERR_LIMIT;
	}
	*run = exec;
	return 0;
}

static void on_close(void *run)
{
	struct exec *exec = run;

	if (exec->job)
		exec->job->exec = NULL;
	for (int i = 0; i < 2; i++) {
		if (!exec->streams[i])
			continue;
		exec->streams[i]->exec = NULL;
		script_stream_detach(&exec->streams[i]->base);
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

/* --- the end -------------------------------------------------------------------------------- */

static int unref(lua_State *L)
{
	luaL_unref(L, LUA_REGISTRYINDEX, *(int *)lua_touserdata(L, 1));
	return 0;
}

static void drop_reference(struct lua_workspace *self, int *ref)
{
	if (*ref != LUA_NOREF)
		script_protected(self->sim->script, unref, ref, NULL);
	*ref = LUA_NOREF;
}

void lua_serve_end(struct lua_workspace *self)
{
	struct list *link;

	while ((link = list_pop(&self->jobs)) != NULL) {
		struct job *job = container_of(link, struct job, link);

		job->function = LUA_NOREF;
		if (job->stream)
			stream_close(job->stream, true);
		job->stream = NULL;
	}
	while ((link = list_pop(&self->ports)) != NULL) {
		struct port *port = container_of(link, struct port, link);

		if (self->workspace)
			(void)simulation_set_port(self->workspace,
						  port->number, NULL, NULL);
		drop_reference(self, &port->function);
		free(port);
	}
	drop_reference(self, &self->on_exec);
}
