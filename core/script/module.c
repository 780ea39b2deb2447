#include <stdlib.h>

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
	struct script *script;
};

static void run_until(void *user, const bool *done)
{
	struct module *module = user;

	io_run(module->io, done);
}

static int module_gc(lua_State *L)
{
	struct module *module = lua_touserdata(L, 1);

	if (module->script)
		script_free(module->script);
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
	if (script_attach(L, &config, &module->script) < 0)
		return luaL_error(L, "tunnel: not enough memory");
	module->script->run_until = run_until;
	module->script->run_user = module;
	return script_open_core(L);
}

int luaopen_tunnel_core(lua_State *L)
{
	return open_module(L, new_module(L));
}
