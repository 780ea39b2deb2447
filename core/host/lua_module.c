#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/host/lua_host.h"
#include "core/io/io.h"
#include "core/script/local_io.h"
#include "core/script/state.h"

/*
 * `require "tunnel.core"` in a plain lua5.4, or under busted: the same
 * bindings over a loop of their own. A wait on the main thread runs that
 * loop until it ends; there are no caps and no sandbox. The module links no
 * Lua: its symbols are the interpreter's.
 */
__attribute__((visibility("default"))) int luaopen_tunnel_core(lua_State *L);

struct module {
	struct io *io;
	struct rng rng;
	struct script_local *local;
	struct stream *stdio;
	struct script *script;
	struct lua_host host;
	char lua_path[4096];
};

static void run_until(void *user, const bool *done)
{
	struct module *module = user;

	io_run(module->io, done);
}

static int open_stdio(void *user, struct stream **out)
{
	struct module *module = user;
	int err = io_stdio(module->io, &module->stdio, NULL);

	if (err < 0)
		module->stdio = NULL;
	else
		*out = module->stdio;
	return err;
}

static int module_gc(lua_State *L)
{
	struct module *module = lua_touserdata(L, 1);

	if (module->script)
		script_free(module->script);
	if (module->stdio)
		stream_close(module->stdio, false);
	if (module->local)
		script_local_io_free(module->local);
	if (module->io)
		io_free(module->io);
	*module = (struct module){ .io = NULL };
	return 0;
}

static struct module *new_module(lua_State *L)
{
	struct module *module = lua_newuserdatauv(L, sizeof(*module), 0);

	*module = (struct module){ .io = NULL };
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, module_gc);
	lua_setfield(L, -2, "__gc");
	lua_setmetatable(L, -2);
	lua_setfield(L, LUA_REGISTRYINDEX, "tunnel.module");
	return module;
}

/* The directory of our Lua files, as package.path finds them. */
static void find_lua_path(lua_State *L, struct module *module)
{
	static const char last[] = "/starters/api.lua";
	size_t len;
	const char *path;

	lua_getglobal(L, "package");
	lua_getfield(L, -1, "searchpath");
	lua_pushliteral(L, "starters.api");
	lua_getfield(L, -3, "path");
	lua_call(L, 2, 1);
	path = lua_tolstring(L, -1, &len);
	if (path && len >= sizeof(last) && len < sizeof(module->lua_path))
		snprintf(module->lua_path, sizeof(module->lua_path), "%.*s",
			 (int)(len - (sizeof(last) - 1)), path);
	lua_pop(L, 2);
}

static int register_host(struct module *module)
{
	module->host = (struct lua_host){
		.io = module->io,
		.rng = &module->rng,
		.lua_path = module->lua_path,
		.trusted = true,
	};
	return lua_host_register(module->script, &module->host);
}

static int open_module(lua_State *L, struct module *module)
{
	struct io_config io_config = { 0 };
	struct script_config config = { 0 };
	struct error error = { 0 };

	if (io_new(&io_config, &module->io, &error) < 0)
		return luaL_error(L, "tunnel: %s", error.message);
	if (script_local_io_new(module->io, &module->local) < 0)
		return luaL_error(L, "tunnel: not enough memory");
	rng_system(&module->rng);
	config.loop = io_loop(module->io);
	config.rng = &module->rng;
	config.local = module->local;
	find_lua_path(L, module);
	config.lua_path = module->lua_path;
	if (script_attach(L, &config, &module->script) < 0 ||
	    register_host(module) < 0)
		return luaL_error(L, "tunnel: not enough memory");
	module->script->run_until = run_until;
	module->script->run_user = module;
	module->script->open_stdio = open_stdio;
	return script_open_core(L);
}

int luaopen_tunnel_core(lua_State *L)
{
	return open_module(L, new_module(L));
}
