#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/script/failure.h"
#include "core/script/std.h"
#include "core/script/task.h"

/*
 * `require` reads Lua files alone, from the script's own directory, then
 * from lua/. A main chunk may wait; who requires the same module meanwhile
 * waits for it.
 */
#define PATH_CAP 4096
#define POLL_US (10 * US_PER_MS)

static const char loaded_key;
static const char preload_key;

/* In a userdata, so that no error leaves the descriptor open. */
struct reading {
	int fd;
};

static int reading_close(lua_State *L)
{
	struct reading *reading = lua_touserdata(L, 1);

	if (reading->fd >= 0)
		close(reading->fd);
	reading->fd = -1;
	return 0;
}

static struct reading *push_reading(lua_State *L)
{
	struct reading *reading = lua_newuserdatauv(L, sizeof(*reading), 0);

	reading->fd = -1;
	if (luaL_newmetatable(L, "tunnel.reading")) {
		lua_pushcfunction(L, reading_close);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	return reading;
}

static _Noreturn void refuse(lua_State *L, const char *path, const char *why)
{
	script_raise(L, ERR_NOT_FOUND, "cannot read %s: %s", path, why);
}

/* Pushes the whole file. */
static void read_file(lua_State *L, const char *path)
{
	size_t cap = script_of(L)->config.source_cap;
	struct reading *reading = push_reading(L);
	luaL_Buffer text;
	struct stat status;
	ssize_t got;
	size_t len = 0;

	reading->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (reading->fd < 0 || fstat(reading->fd, &status) < 0)
		refuse(L, path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		refuse(L, path, "not a regular file");
	luaL_buffinit(L, &text);
	while ((got = read(reading->fd, luaL_prepbuffer(&text),
			   LUAL_BUFFERSIZE)) > 0) {
		luaL_addsize(&text, (size_t)got);
		len += (size_t)got;
		if (len > cap)
			script_raise(L, ERR_TOO_LARGE,
				     "%s has more than %zu bytes", path, cap);
	}
	if (got < 0)
		refuse(L, path, strerror(errno));
	luaL_pushresult(&text);
	close(reading->fd);
	reading->fd = -1;
	lua_remove(L, -2);
}

void script_load_text(lua_State *L, const char *source, size_t len,
		      const char *name)
{
	if (len > script_of(L)->config.source_cap)
		script_raise(L, ERR_TOO_LARGE, "%s: source of %zu bytes", name,
			     len);
	script_charge(script_of(L), len * 16);
	if (len && source[0] == '#') {	/* a shebang; its line end stays */
		const char *end = memchr(source, '\n', len);

		len = end ? len - (size_t)(end - source) : 0;
		source = end ? end : source;
	}
	if (luaL_loadbufferx(L, source, len, name, "t") != LUA_OK)
		lua_error(L);
}

void script_load_file(lua_State *L, const char *path)
{
	const char *text;
	size_t len;

	read_file(L, path);
	text = lua_tolstring(L, -1, &len);
	lua_pushfstring(L, "@%s", path);
	script_load_text(L, text, len, lua_tostring(L, -1));
	lua_insert(L, -3);
	lua_pop(L, 2);
}

/* Pushes the path of `name` under `directory`; false when there is none. */
static bool search_in(lua_State *L, const char *directory, const char *name)
{
	static const char *const forms[] = { "%s/%s.lua", "%s/%s/init.lua" };

	for (int i = 0; i < 2; i++) {
		lua_pushfstring(L, forms[i], directory, name);
		if (access(lua_tostring(L, -1), F_OK) == 0)
			return true;
		lua_pop(L, 1);
	}
	return false;
}

static bool valid_name(const char *name)
{
	return name[0] && !strstr(name, "..") && !strchr(name, '/');
}

/* Pushes the path of module `name`, or raises. */
static void search(lua_State *L, const char *name)
{
	const struct script *script = script_of(L);
	const char *path;

	if (!valid_name(name))
		luaL_error(L, "'%s' is no name of a module", name);
	path = luaL_gsub(L, name, ".", "/");
	if (script->directory && search_in(L, script->directory, path))
		return;
	if (search_in(L, script->lua_path, path))
		return;
	luaL_error(L, "module '%s' not found in %s, nor in %s", name,
		   script->directory ? script->directory : "(no directory)",
		   script->lua_path);
}

/* Stack: 1 name, 2 loaded, 3 path; above: what the chunk returned. */
static int chunk_done(lua_State *L, int status, lua_KContext ctx)
{
	(void)ctx;
	if (status != LUA_OK && status != LUA_YIELD) {
		lua_pushnil(L);
		lua_setfield(L, 2, lua_tostring(L, 1));
		return lua_error(L);
	}
	if (lua_isnil(L, -1)) {
		lua_pushboolean(L, 1);
		lua_replace(L, -2);
	}
	lua_pushvalue(L, -1);
	lua_setfield(L, 2, lua_tostring(L, 1));
	lua_pushvalue(L, 3);
	return 2;
}

static int wait_for_other(lua_State *L, int status, lua_KContext ctx);

static int look(lua_State *L)
{
	struct script *script = script_of(L);
	struct script_wait wait = { .what = "require" };

	if (lua_getfield(L, 2, lua_tostring(L, 1)) != LUA_TLIGHTUSERDATA)
		return 1;
	if (lua_touserdata(L, -1) == script->current)
		return luaL_error(L, "module '%s' requires itself",
				  lua_tostring(L, 1));
	lua_pop(L, 1);
	wait.deadline_us = loop_now_us(script->config.loop) + POLL_US;
	return script_wait(L, &wait, 0, wait_for_other);
}

static int wait_for_other(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	script_woken(L);
	return look(L);
}

static int base_require(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);

	lua_settop(L, 1);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &loaded_key);
	if (lua_getfield(L, 2, name) != LUA_TNIL) {
		if (lua_type(L, -1) != LUA_TLIGHTUSERDATA)
			return 1;
		lua_pop(L, 1);
		return look(L);
	}
	lua_pop(L, 1);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &preload_key);
	if (lua_getfield(L, -1, name) != LUA_TNIL) {
		lua_replace(L, 3);
		lua_call(L, 0, 1);
		lua_pushvalue(L, -1);
		lua_setfield(L, 2, name);
		return 1;
	}
	lua_settop(L, 2);
	search(L, name);
	lua_replace(L, 3);
	lua_settop(L, 3);
	script_load_file(L, lua_tostring(L, 3));
	lua_pushlightuserdata(L, script_of(L)->current);
	lua_setfield(L, 2, name);
	lua_pushvalue(L, 1);
	lua_pushvalue(L, 3);
	return chunk_done(L, lua_pcallk(L, 2, 1, 0, 0, chunk_done), 0);
}

void script_open_require(lua_State *L)
{
	static const char *const names[] = { "string", "table", "math", "utf8",
					     "coroutine", "os", "io", NULL };

	lua_newtable(L);
	for (const char *const *name = names; *name; name++) {
		lua_getglobal(L, *name);
		lua_setfield(L, -2, *name);
	}
	lua_rawsetp(L, LUA_REGISTRYINDEX, &loaded_key);
	lua_newtable(L);
	lua_pushcfunction(L, script_open_core);
	lua_setfield(L, -2, "tunnel.core");
	lua_rawsetp(L, LUA_REGISTRYINDEX, &preload_key);
	lua_pushcfunction(L, base_require);
	lua_setglobal(L, "require");
}
