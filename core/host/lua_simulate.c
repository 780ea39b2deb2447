#include <stdlib.h>
#include <string.h>

#include "core/host/lua_parts.h"
#include "core/script/failure.h"
#include "core/script/options.h"
#include "core/script/task.h"

/*
 * tunnel.simulate{} and the simulation's handle. While it is open it stands
 * in the registry; its handlers' tasks and handles are a tree of their own.
 */

static int unref(lua_State *L)
{
	luaL_unref(L, LUA_REGISTRYINDEX, *(int *)lua_touserdata(L, 1));
	return 0;
}

static void let_go(struct lua_sim *self)
{
	int ref = self->ref;

	self->ref = LUA_NOREF;
	if (ref != LUA_NOREF)
		script_protected(self->script, unref, &ref, NULL);
}

void lua_sim_unref(struct lua_sim *self)
{
	if (--self->users == 0)
		free(self);
}

static struct lua_tunnel *first_tunnel(struct lua_sim *self)
{
	return container_of(self->tunnels.next, struct lua_tunnel, link);
}

/* Tunnels first, then what the handlers hold, then the deployment. */
static void end(struct lua_sim *self)
{
	struct simulate_server *server = self->server;

	if (!server)
		return;
	self->server = NULL;
	while (!list_empty(&self->tunnels))
		session_abort(first_tunnel(self)->session, REASON_UNREACHABLE,
			      69, "the simulation was closed");
	list_each(at, next, &self->workspaces)
		lua_serve_end(container_of(at, struct lua_workspace, link));
	script_tree_end(self->script, self->tree);
	lua_faults_detach(self);
	simulate_server_free(server);
	while (!list_empty(&self->workspaces))
		lua_workspace_detach(container_of(self->workspaces.next,
						  struct lua_workspace,
						  link));
}

static void release(void *object)
{
	struct lua_sim *self = object;

	end(self);
	let_go(self);
	lua_sim_unref(self);
}

static struct lua_sim *check(lua_State *L)
{
	return script_handle_check(L, 1, &lua_sim_type);
}

static struct simulation *simulation(const struct lua_sim *self)
{
	return simulate_server_simulation(self->server);
}

/*
 * Raises for tunnels that are still open, but closes all the same; as a
 * <close> variable it does not hide the error that is under way.
 */
static int sim_close(lua_State *L)
{
	struct lua_sim *self = script_handle_peek(L, 1, &lua_sim_type);
	bool failing = !lua_isnoneornil(L, 2);
	unsigned left = 0;

	if (self && script_current_tree(self->script) == self->tree)
		return luaL_error(L, "a simulation's handler cannot close it");
	if (self)
		list_each(at, next, &self->tunnels)
			left++;
	script_handle_close(L, 1, &lua_sim_type);
	if (left && !failing)
		return luaL_error(L, "the simulation was closed with %d of its "
				  "tunnels still open", (int)left);
	lua_pushboolean(L, 1);
	return 1;
}

static int sim_workspace(lua_State *L)
{
	return lua_workspace_new(L, check(L), 2);
}

static int sim_netcheck(lua_State *L)
{
	struct lua_sim *self = script_handle_check(L, 1, &lua_sim_type);

	return lua_netcheck(L, self->host, self, 2);
}

static int sim_open(lua_State *L)
{
	struct lua_sim *self = check(L);

	return lua_open(L, self->host, self, 2);
}

static int sim_drop(lua_State *L)
{
	static const char *const names[] = { "watch", "coordinate", "derp",
					     NULL };
	static const enum simulation_socket kinds[] = {
		SIMULATION_WATCH, SIMULATION_COORDINATE, SIMULATION_DERP,
	};
	struct lua_sim *self = check(L);
	int kind = luaL_checkoption(L, 2, NULL, names);

	return lua_fault_push(L, self, simulation_drop(simulation(self),
						       kinds[kind]));
}

/* fail{path=, status=, times=}; times 0: all that come */
static int sim_fail(lua_State *L)
{
	struct lua_sim *self = check(L);
	const char *path = NULL;
	lua_Integer status = 500;
	lua_Integer times = 1;
	const struct script_option options[] = {
		{ "path", SCRIPT_OPTION_STRING, &path },
		{ "status", SCRIPT_OPTION_INTEGER, &status },
		{ "times", SCRIPT_OPTION_INTEGER, &times },
	};

	script_options(L, 2, options, 3);
	luaL_argcheck(L, path && *path, 2, "which path?");
	luaL_argcheck(L, status >= 400 && status < 600, 2,
		      "status must be from 400 to 599");
	luaL_argcheck(L, times >= 0 && times < 1000000, 2,
		      "times must be 0 or more");
	return lua_fault_push(L, self,
			      simulation_fail(simulation(self), path,
					      (int)status, (unsigned)times));
}

static int sim_index(lua_State *L)
{
	struct lua_sim *self = check(L);
	const struct simulate_facts *facts =
		simulate_server_facts(self->server);
	const char *name = luaL_checkstring(L, 2);

	if (strcmp(name, "url") == 0)
		lua_pushstring(L, facts->url);
	else if (strcmp(name, "token") == 0)
		lua_pushstring(L, facts->token);
	else
		lua_pushnil(L);
	return 1;
}

static const luaL_Reg methods[] = {
	{ "workspace", sim_workspace },
	{ "open", sim_open },
	{ "netcheck", sim_netcheck },
	{ "drop", sim_drop },
	{ "fail", sim_fail },
	{ NULL, NULL },
};

const struct script_handle_type lua_sim_type = {
	.name = "simulation",
	.metatable = "tunnel.simulation",
	.close = release,
	.methods = methods,
	.index = sim_index,
	.close_method = sim_close,
};

/* --- tunnel.simulate(options) --------------------------------------------- */

static struct lua_sim *push(lua_State *L, struct lua_host *host)
{
	struct lua_sim *self;

	script_handle_new(L, &lua_sim_type, 0);
	self = calloc(1, sizeof(*self));
	if (!self)
		script_raise(L, ERR_LIMIT, "no memory for a simulation");
	self->script = script_of(L);
	self->host = host;
	self->users = 1;
	self->ref = LUA_NOREF;
	list_init(&self->tunnels);
	list_init(&self->workspaces);
	list_init(&self->faults);
	script_handle_set(L, -1, self);
	return self;
}

static int serve(struct lua_sim *self, const char *token, struct error *error)
{
	const struct lua_host *host = self->host;
	const struct simulate_serve_config config = {
		.io = host->io,
		.rng = host->rng,
		.log = host->log,
		.token = token,
		.no_workspace = true,
		.no_processes = !host->trusted,
	};
	int err = script_tree_new(self->script, &self->tree);

	if (err < 0)
		return error_set(error, ERR_LIMIT,
				 "no room for another simulation");
	err = simulate_serve(&config, &self->server, error);
	if (err < 0)
		script_tree_end(self->script, self->tree);
	return err;
}

static int host_simulate(lua_State *L)
{
	struct lua_host *host = lua_touserdata(L, lua_upvalueindex(1));
	bool virtual = false;
	const char *token = NULL;
	const struct script_option options[] = {
		{ "token", SCRIPT_OPTION_STRING, &token },
		{ "virtual", SCRIPT_OPTION_BOOLEAN, &virtual },
	};
	struct lua_sim *self;
	struct error error;

	script_options(L, 1, options, 2);
	if (virtual)
		return luaL_error(L, "option 'virtual' is not there yet: "
				  "simulations run in real time");
	self = push(L, host);
	if (serve(self, token, &error) < 0) {
		script_handle_close(L, -1, &lua_sim_type);
		return script_fail_with(L, &error);
	}
	lua_pushvalue(L, -1);
	self->ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return 1;
}

static int host_open(lua_State *L)
{
	return lua_open(L, lua_touserdata(L, lua_upvalueindex(1)), NULL, 1);
}

static int host_netcheck(lua_State *L)
{
	return lua_netcheck(L, lua_touserdata(L, lua_upvalueindex(1)), NULL, 1);
}

int lua_host_register(struct script *script, struct lua_host *host)
{
	static const luaL_Reg functions[] = {
		{ "netcheck", host_netcheck },
		{ "open", host_open },
		{ "simulate", host_simulate },
		{ NULL, NULL },
	};

	return script_register(script, functions, host);
}
