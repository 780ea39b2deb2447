#include <stdlib.h>
#include <string.h>

#include "core/script/app.h"
#include "core/script/bindings.h"
#include "core/script/call.h"
#include "core/script/failure.h"
#include "core/script/options.h"
#include "core/script/task.h"

/*
 * `workspace`, as a starter sees it. The handle is closed when
 * start_workspace has returned: the host's object is only borrowed.
 */
#define REST_S 30
#define PARAMETER_CAP 256
#define BUILD_CAP 1000

struct workspace_object {
	struct script *script;
	struct script_workspace *workspace;
};

/* The answer of one request, copied. */
struct answer {
	struct script_pending pending;
	struct script_build *builds;
	size_t build_count;
	struct script_parameter *parameters;
	size_t parameter_count;
};

static void workspace_release(void *object)
{
	free(object);
}

static int workspace_index(lua_State *L);
static int workspace_build(lua_State *L);
static int workspace_builds(lua_State *L);
static int workspace_build_parameters(lua_State *L);
static int workspace_log(lua_State *L);

static const luaL_Reg methods[] = {
	{ "build", workspace_build },
	{ "builds", workspace_builds },
	{ "build_parameters", workspace_build_parameters },
	{ "log", workspace_log },
	{ NULL, NULL },
};

static const struct script_handle_type type = {
	.name = "workspace",
	.metatable = "tunnel.workspace",
	.close = workspace_release,
	.methods = methods,
	.index = workspace_index,
};

static void push_build(lua_State *L, const struct script_build *build)
{
	lua_createtable(L, 0, 5);
	lua_pushstring(L, build->id);
	lua_setfield(L, -2, "id");
	lua_pushinteger(L, build->number);
	lua_setfield(L, -2, "number");
	lua_pushstring(L, build->status);
	lua_setfield(L, -2, "status");
	lua_pushstring(L, build->transition);
	lua_setfield(L, -2, "transition");
	lua_pushstring(L, build->template_version_id);
	lua_setfield(L, -2, "template_version_id");
}

static void push_parameters(lua_State *L,
			    const struct script_parameter *items, size_t count)
{
	lua_createtable(L, 0, (int)count);
	for (size_t i = 0; i < count; i++) {
		lua_pushstring(L, items[i].value);
		lua_setfield(L, -2, items[i].name);
	}
}

static int workspace_index(lua_State *L)
{
	struct workspace_object *self = script_handle_check(L, 1, &type);
	const struct script_workspace *workspace = self->workspace;
	const char *name = luaL_checkstring(L, 2);
	const struct {
		const char *name;
		const char *value;
	} texts[] = {
		{ "id", workspace->id },
		{ "name", workspace->name },
		{ "owner", workspace->owner },
		{ "template_id", workspace->template_id },
		{ "active_version_id", workspace->active_version_id },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (strcmp(name, texts[i].name) != 0)
			continue;
		lua_pushstring(L, texts[i].value);
		return 1;
	}
	if (strcmp(name, "latest_build") == 0)
		push_build(L, &workspace->latest_build);
	else if (strcmp(name, "interactive") == 0)
		lua_pushboolean(L, workspace->interactive);
	else if (strcmp(name, "overrides") == 0)
		push_parameters(L, workspace->overrides,
				workspace->override_count);
	else
		lua_pushnil(L);
	return 1;
}

static void cancel(struct script_pending *pending)
{
	struct workspace_object *self = pending->owner;

	self->workspace->ops->cancel(self->workspace, pending->op);
}

static void clear(struct script_pending *pending)
{
	struct answer *answer = (struct answer *)pending;

	for (size_t i = 0; i < answer->parameter_count; i++) {
		free((char *)(uintptr_t)answer->parameters[i].name);
		free((char *)(uintptr_t)answer->parameters[i].value);
	}
	free(answer->parameters);
	free(answer->builds);
}

static const struct error no_memory = { ERR_NOMEM, "no memory for an answer" };

static void got_builds(void *user, const struct script_build *items,
		       size_t count, const struct error *error)
{
	struct answer *answer = user;

	if (count > BUILD_CAP)
		count = BUILD_CAP;
	if (!error) {
		answer->builds = calloc(count + 1, sizeof(*items));
		error = answer->builds ? NULL : &no_memory;
	}
	if (!error && count) {
		memcpy(answer->builds, items, count * sizeof(*items));
		answer->build_count = count;
	}
	script_pending_done(&answer->pending, error);
}

static void got_parameters(void *user, const struct script_parameter *items,
			   size_t count, const struct error *error)
{
	struct answer *answer = user;

	if (count > PARAMETER_CAP)
		count = PARAMETER_CAP;
	if (!error) {
		answer->parameters = calloc(count + 1, sizeof(*items));
		error = answer->parameters ? NULL : &no_memory;
	}
	for (size_t i = 0; !error && i < count; i++) {
		answer->parameters[i].name = strdup(items[i].name);
		answer->parameters[i].value = strdup(items[i].value);
		answer->parameter_count = i + 1;
	}
	script_pending_done(&answer->pending, error);
}

static struct answer *new_answer(lua_State *L, struct workspace_object *self)
{
	struct answer *answer = script_pending_new(L, sizeof(*answer));

	answer->pending.owner = self;
	answer->pending.cancel = cancel;
	answer->pending.clear = clear;
	return answer;
}

static int wait_for(lua_State *L, struct answer *answer, int err,
		    const char *what, uint64_t deadline, lua_KFunction k)
{
	if (err < 0)
		return script_fail(L, err, "cannot ask for it (%s)",
				   err_name(err));
	return script_pending_wait(L, &answer->pending, what, deadline, 0, k);
}

static int built_k(lua_State *L, int status, lua_KContext ctx)
{
	struct answer *answer = lua_touserdata(L, -1);

	(void)status;
	(void)ctx;
	script_woken(L);
	if (!script_pending_answer(L, &answer->pending, "build"))
		return 2;
	push_build(L, answer->builds);
	return 1;
}

/* Values of a parameters table (name = value) into `out`; the strings are
 * borrowed from the copy of the table that is pushed. */
static size_t read_parameters(lua_State *L, int index,
			      struct script_parameter *out)
{
	size_t count = 0;

	luaL_argexpected(L, lua_istable(L, index), index, "table");
	lua_newtable(L);
	lua_pushnil(L);
	while (lua_next(L, index)) {
		if (lua_type(L, -2) != LUA_TSTRING || count == PARAMETER_CAP)
			luaL_error(L, "parameters are at most %d values by "
				   "name", PARAMETER_CAP);
		luaL_tolstring(L, -1, NULL);
		out[count].name = lua_tostring(L, -3);
		out[count++].value = lua_tostring(L, -1);
		lua_pushvalue(L, -3);
		lua_insert(L, -2);
		lua_rawset(L, -5);
		lua_pop(L, 1);
	}
	return count;
}

/* workspace:build{transition=, parameters=, template_version_id=, timeout=} */
static int workspace_build(lua_State *L)
{
	struct workspace_object *self = script_handle_check(L, 1, &type);
	struct script_parameter parameters[PARAMETER_CAP];
	struct script_build_request request = {
		.transition = "start",
		.parameters = parameters,
	};
	uint64_t deadline = script_deadline_default(L, REST_S);
	int table = 0;
	const struct script_option options[] = {
		{ "transition", SCRIPT_OPTION_STRING, &request.transition },
		{ "parameters", SCRIPT_OPTION_VALUE, &table },
		{ "template_version_id", SCRIPT_OPTION_STRING,
		  &request.template_version_id },
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};
	struct answer *answer;
	int err;

	script_options(L, 2, options, 4);
	if (table)
		request.parameter_count =
			read_parameters(L, table, parameters);
	script_may_wait(L, "build");
	answer = new_answer(L, self);
	err = self->workspace->ops->build(self->workspace, &request,
					  got_builds, answer,
					  &answer->pending.op);
	return wait_for(L, answer, err, "build", deadline, built_k);
}

static int builds_k(lua_State *L, int status, lua_KContext ctx)
{
	struct answer *answer = lua_touserdata(L, -1);

	(void)status;
	(void)ctx;
	script_woken(L);
	if (!script_pending_answer(L, &answer->pending, "builds"))
		return 2;
	lua_createtable(L, (int)answer->build_count, 0);
	for (size_t i = 0; i < answer->build_count; i++) {
		push_build(L, &answer->builds[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

static int workspace_builds(lua_State *L)
{
	struct workspace_object *self = script_handle_check(L, 1, &type);
	struct answer *answer;
	int err;

	script_may_wait(L, "builds");
	answer = new_answer(L, self);
	err = self->workspace->ops->builds(self->workspace, got_builds, answer,
					   &answer->pending.op);
	return wait_for(L, answer, err, "builds",
			script_deadline_default(L, REST_S), builds_k);
}

static int parameters_k(lua_State *L, int status, lua_KContext ctx)
{
	struct answer *answer = lua_touserdata(L, -1);

	(void)status;
	(void)ctx;
	script_woken(L);
	if (!script_pending_answer(L, &answer->pending, "build_parameters"))
		return 2;
	push_parameters(L, answer->parameters, answer->parameter_count);
	return 1;
}

static int workspace_build_parameters(lua_State *L)
{
	struct workspace_object *self = script_handle_check(L, 1, &type);
	struct answer *answer;
	int err;

	script_may_wait(L, "build_parameters");
	answer = new_answer(L, self);
	err = self->workspace->ops->build_parameters(self->workspace,
						     got_parameters, answer,
						     &answer->pending.op);
	return wait_for(L, answer, err, "build_parameters",
			script_deadline_default(L, REST_S), parameters_k);
}

static int workspace_log(lua_State *L)
{
	struct workspace_object *self = script_handle_check(L, 1, &type);

	self->workspace->ops->log(self->workspace, luaL_checkstring(L, 2));
	return 0;
}

/* Stack: 1 the call, 2 the workspace, then what the starter returned. */
static int started(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	script_handle_close(L, 2, &type);
	script_call_read(L, lua_touserdata(L, 1), 2);
	return 0;
}

static int start_body(lua_State *L)
{
	struct script_call *call = lua_touserdata(L, 1);
	struct workspace_object *self;

	script_handle_new(L, &type, 0);
	self = calloc(1, sizeof(*self));
	if (!self)
		return script_raise(L, ERR_LIMIT, "no memory");
	self->script = script_of(L);
	self->workspace = call->workspace;
	script_handle_set(L, -1, self);
	lua_toclose(L, 2);
	if (!script_push_hook(L, "start_workspace"))
		return luaL_error(L, "a starter needs start_workspace");
	lua_pushvalue(L, 2);
	script_push_args(L);
	lua_callk(L, 2, LUA_MULTRET, 0, started);
	return started(L, LUA_OK, 0);
}

int script_start_workspace(struct script *script,
			   struct script_workspace *workspace,
			   script_done *done, void *user)
{
	struct script_call *call = script_call_new(script, done, user);

	if (!call)
		return ERR_NOMEM;
	call->workspace = workspace;
	return script_call_run(call, SCRIPT_TREE_LOAD, start_body);
}
