#include <stdlib.h>
#include <string.h>

#include "core/script/app.h"
#include "core/script/call.h"
#include "core/script/guest.h"
#include "core/script/std.h"

/* The arguments, by lua/tunnel/options.lua; they stand in the registry. */
static const char args_key;

void script_push_args(lua_State *L)
{
	lua_rawgetp(L, LUA_REGISTRYINDEX, &args_key);
}

/* What parse() of lua/tunnel/options.lua gives: args, help or usage. */
static int parsed(lua_State *L, int status, lua_KContext ctx)
{
	struct script_call *call = lua_touserdata(L, 1);
	struct script_result *result = &call->result;

	(void)status;
	(void)ctx;
	lua_settop(L, 4);
	if (lua_istable(L, 2)) {
		lua_pushvalue(L, 2);
		if (call->guest)
			script_guest_set_args(L, call->guest);
		else
			lua_rawsetp(L, LUA_REGISTRYINDEX, &args_key);
		return 0;
	}
	if (!lua_isnil(L, 4))
		script_call_text(L, call, 4);
	if (lua_isboolean(L, 2))	/* false: help was asked for */
		return 0;
	result->ok = false;
	result->status = SCRIPT_STATUS_USAGE;
	error_set(&result->error, ERR_MISUSE, "%s",
		  luaL_tolstring(L, 3, NULL));
	return 0;
}

/* Stack: 1 the call, 2 the module. */
static int parser_loaded(lua_State *L, int status, lua_KContext ctx)
{
	struct script_call *call = lua_touserdata(L, 1);

	(void)status;
	(void)ctx;
	lua_getfield(L, 2, "parse");
	lua_remove(L, 2);
	if (call->guest)
		script_guest_hook(L, call->guest, "options");
	else
		script_push_hook(L, "options");
	lua_createtable(L, call->argc, 0);
	for (int i = 0; i < call->argc; i++) {
		lua_pushstring(L, call->argv[i]);
		lua_rawseti(L, -2, i + 1);
	}
	lua_pushstring(L, call->name);
	lua_callk(L, 3, LUA_MULTRET, 0, parsed);
	return parsed(L, LUA_OK, 0);
}

int script_body_args(lua_State *L)
{
	lua_pushfstring(L, "%s/tunnel/options.lua", script_of(L)->lua_path);
	script_load_file(L, lua_tostring(L, -1));
	lua_remove(L, 2);
	lua_callk(L, 0, 1, 0, parser_loaded);
	return parser_loaded(L, LUA_OK, 0);
}

struct script_call *script_call_args(struct script *script,
				     const char *program, int argc,
				     char *const *argv, script_done *done,
				     void *user)
{
	struct script_call *call = script_call_new(script, done, user);

	if (!call)
		return NULL;
	call->name = strdup(program);
	call->argv = calloc((size_t)argc + 1, sizeof(*call->argv));
	for (int i = 0; call->argv && i < argc; i++, call->argc++)
		call->argv[i] = strdup(argv[i]);
	return call;
}

int script_parse_args(struct script *script, const char *program, int argc,
		      char *const *argv, script_done *done, void *user)
{
	struct script_call *call = script_call_args(script, program, argc,
						    argv, done, user);

	return call ? script_call_run(call, SCRIPT_TREE_LOAD, script_body_args)
		    : ERR_NOMEM;
}
