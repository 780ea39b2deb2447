#include <stdlib.h>
#include <string.h>

#include "core/host/lua_parts.h"
#include "core/script/call.h"
#include "core/script/failure.h"
#include "core/script/lua_stream.h"
#include "core/script/task.h"

/*
 * A simulated workspace's handlers: each request is a call into the script,
 * a job, in the simulation's tree of tasks. Here are the jobs, and ports.
 */

struct port {
	struct list link;		/* in workspace->ports */
	struct lua_workspace *workspace;
	uint16_t number;
	int function;
};

static void job_clear(void *user)
{
	struct lua_job *job = user;

	list_remove(&job->link);
	if (job->stream)
		stream_close(job->stream, true);
	if (job->exec)
		lua_exec_forget_job(job->exec);
	free(job);
}

struct lua_job *lua_job_new(struct lua_workspace *workspace, int function)
{
	struct lua_job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->function = function;
	job->log = workspace->sim->host->log;
	list_add_tail(&workspace->jobs, &job->link);
	return job;
}

/* Takes the job, also on failure. */
int lua_job_run(struct lua_workspace *workspace, struct lua_job *job,
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

struct lua_job *lua_job_of(lua_State *L)
{
	struct script_call *call = lua_touserdata(L, 1);

	return call->user;
}

void lua_job_log(const struct lua_job *job,
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
	struct lua_job *job = lua_job_of(L);

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
	lua_job_log(user, result);
}

static void on_port(void *user, struct stream *stream)
{
	struct port *port = user;
	struct lua_job *job = lua_job_new(port->workspace, port->function);

	if (!job) {
		stream_close(stream, true);
		return;
	}
	job->stream = stream;
	(void)lua_job_run(port->workspace, job, port_body, port_done);
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
		struct lua_job *job = container_of(link, struct lua_job, link);

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
