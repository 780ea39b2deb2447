#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/host/lua_parts.h"
#include "core/script/failure.h"
#include "core/script/options.h"
#include "core/script/std.h"

/* A simulated workspace. It lives as long as its simulation, at least. */

static void unref(struct lua_workspace *self)
{
	struct lua_sim *sim = self->sim;

	if (--self->users)
		return;
	lua_serve_end(self);
	free(self);
	lua_sim_unref(sim);
}

static void release(void *object)
{
	unref(object);
}

void lua_workspace_detach(struct lua_workspace *self)
{
	list_remove(&self->link);
	self->workspace = NULL;
	unref(self);
}

static struct lua_workspace *check(lua_State *L)
{
	return script_handle_check(L, 1, &lua_workspace_type);
}

static struct lua_workspace *check_live(lua_State *L)
{
	struct lua_workspace *self = check(L);

	if (!self->workspace)
		luaL_error(L, "the workspace's simulation is closed");
	return self;
}

/* Needs no closing: the simulation does that. */
static int workspace_close(lua_State *L)
{
	script_handle_peek(L, 1, &lua_workspace_type);
	lua_pushboolean(L, 1);
	return 1;
}

static int build(lua_State *L, const char *transition)
{
	struct lua_workspace *self = check_live(L);
	int err = simulation_build(self->workspace, transition);

	if (err == ERR_CONFLICT)
		return script_fail(L, err, "a build is under way");
	if (err < 0)
		return script_fail(L, err, "no %s build (%s)", transition,
				   err_name(err));
	lua_pushboolean(L, 1);
	return 1;
}

static int workspace_start(lua_State *L)
{
	return build(L, "start");
}

static int workspace_stop(lua_State *L)
{
	return build(L, "stop");
}

static int workspace_delete(lua_State *L)
{
	return build(L, "delete");
}

static int workspace_restart_agent(lua_State *L)
{
	struct lua_workspace *self = check_live(L);

	return lua_fault_push(L, self->sim,
			      simulation_restart_agents(self->workspace));
}

/* Pushes tunnel.json.encode of the value at `index`. */
static void push_json(lua_State *L, int index)
{
	index = lua_absindex(L, index);
	script_open_core(L);
	lua_getfield(L, -1, "json");
	lua_getfield(L, -1, "encode");
	lua_replace(L, -3);
	lua_pop(L, 1);
	lua_pushvalue(L, index);
	lua_call(L, 1, 1);
	if (lua_type(L, -1) != LUA_TSTRING)
		luaL_error(L, "this is no event: it has no JSON");
}

/* emit{build_update={…}}: one message to everybody who watches */
static int workspace_emit(lua_State *L)
{
	struct lua_workspace *self = check_live(L);

	luaL_checktype(L, 2, LUA_TTABLE);
	push_json(L, 2);
	return lua_fault_push(L, self->sim,
			      simulation_emit(self->workspace,
					      lua_tostring(L, -1)));
}

static int workspace_index(lua_State *L)
{
	struct lua_workspace *self = check(L);
	const char *name = luaL_checkstring(L, 2);

	if (strcmp(name, "name") == 0)
		lua_pushstring(L, self->name);
	else if (strcmp(name, "id") == 0)
		lua_pushstring(L, self->id);
	else
		lua_pushnil(L);
	return 1;
}

static const luaL_Reg methods[] = {
	{ "start", workspace_start },
	{ "stop", workspace_stop },
	{ "delete", workspace_delete },
	{ "restart_agent", workspace_restart_agent },
	{ "emit", workspace_emit },
	{ NULL, NULL },
};

const struct script_handle_type lua_workspace_type = {
	.name = "simulated_workspace",
	.metatable = "tunnel.simulated_workspace",
	.close = release,
	.methods = methods,
	.index = workspace_index,
	.close_method = workspace_close,
	.lasting = true,
};

/* --- sim:workspace{} --------------------------------------------------------------- */

struct making {
	const char *state;
	const char *name;
	lua_Integer agents;
	bool fail;
	int on_exec;		/* stack indices; 0: not given */
	int ports;
	int parameters;
};

static void read_options(lua_State *L, struct making *making, int index)
{
	const struct script_option options[] = {
		{ "state", SCRIPT_OPTION_STRING, &making->state },
		{ "name", SCRIPT_OPTION_STRING, &making->name },
		{ "agents", SCRIPT_OPTION_INTEGER, &making->agents },
		{ "fail", SCRIPT_OPTION_BOOLEAN, &making->fail },
		{ "on_exec", SCRIPT_OPTION_VALUE, &making->on_exec },
		{ "ports", SCRIPT_OPTION_VALUE, &making->ports },
		{ "parameters", SCRIPT_OPTION_VALUE, &making->parameters },
	};

	script_options(L, index, options,
		       sizeof(options) / sizeof(options[0]));
	if (strcmp(making->state, "running") != 0 &&
	    strcmp(making->state, "stopped") != 0)
		luaL_error(L, "a workspace is \"running\" or \"stopped\", not "
			   "\"%s\"", making->state);
	if (making->agents < 1 || making->agents > SIMULATION_AGENT_CAP)
		luaL_error(L, "agents must be from 1 to %d",
			   SIMULATION_AGENT_CAP);
	if (making->on_exec)
		luaL_checktype(L, making->on_exec, LUA_TFUNCTION);
	if (making->ports)
		luaL_checktype(L, making->ports, LUA_TTABLE);
	if (making->parameters)
		luaL_checktype(L, making->parameters, LUA_TTABLE);
}

static struct lua_workspace *push(lua_State *L, struct lua_sim *sim)
{
	struct lua_workspace *self;

	script_handle_new(L, &lua_workspace_type, 0);
	self = calloc(1, sizeof(*self));
	if (!self)
		script_raise(L, ERR_LIMIT, "no memory for a workspace");
	self->sim = sim;
	self->users = 1;
	self->on_exec = LUA_NOREF;
	list_init(&self->link);
	list_init(&self->ports);
	list_init(&self->jobs);
	sim->users++;
	script_handle_set(L, -1, self);
	return self;
}

static int add(struct lua_workspace *self, const struct making *making)
{
	const struct simulation_workspace_config config = {
		.name = self->name,
		.stopped = strcmp(making->state, "stopped") == 0,
		.agents = (size_t)making->agents,
		.fail = making->fail,
		.ssh = making->on_exec ? &self->handler : NULL,
	};

	return simulation_add_workspace(
		simulate_server_simulation(self->sim->server), &config,
		&self->workspace);
}

/* "workspace", then "workspace2", … */
static void choose_name(struct lua_workspace *self, const char *name)
{
	unsigned number = ++self->sim->names;

	if (name)
		snprintf(self->name, sizeof(self->name), "%s", name);
	else if (number == 1)
		snprintf(self->name, sizeof(self->name), "workspace");
	else
		snprintf(self->name, sizeof(self->name), "workspace%u",
			 number);
}

static void remember(struct lua_workspace *self)
{
	const struct uuid *id = simulation_workspace_id(self->workspace);

	self->ref.by_id = true;
	self->ref.id = *id;
	uuid_to_text(id, self->id);
	self->users++;
	list_add_tail(&self->sim->workspaces, &self->link);
}

static void set_parameters(lua_State *L, struct lua_workspace *self, int index)
{
	push_json(L, index);
	if (simulation_set_parameters(self->workspace,
				      lua_tostring(L, -1)) < 0)
		luaL_error(L, "option 'parameters' must be a list of "
			   "template parameters");
	lua_pop(L, 1);
}

int lua_workspace_new(lua_State *L, struct lua_sim *sim, int index)
{
	struct making making = { .state = "running", .agents = 1 };
	struct lua_workspace *self;
	int err;

	read_options(L, &making, index);
	if (making.name && strlen(making.name) >= SIMULATION_NAME_CAP)
		return luaL_error(L, "the name has more than %d characters",
				  SIMULATION_NAME_CAP - 1);
	self = push(L, sim);
	choose_name(self, making.name);
	if (making.on_exec) {
		lua_pushvalue(L, making.on_exec);
		self->on_exec = luaL_ref(L, LUA_REGISTRYINDEX);
		lua_serve_exec(self);
	}
	err = add(self, &making);
	if (err == ERR_MISUSE)
		return luaL_error(L, "'%s' is no name of a workspace",
				  self->name);
	if (err < 0)
		return script_fail(L, err, "no workspace %s (%s)", self->name,
				   err_name(err));
	remember(self);
	if (making.ports)
		lua_serve_ports(L, self, making.ports);
	if (making.parameters)
		set_parameters(L, self, making.parameters);
	return 1;
}
