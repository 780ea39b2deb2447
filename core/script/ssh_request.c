#include <ctype.h>
#include <string.h>

#include "core/script/ssh.h"

/* What a channel asks for, read from Lua. */

#define TERM_DEFAULT "xterm-256color"

static bool is_plain(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) &&
		    !(text[i] && strchr("_-./:=@%+,", text[i])))
			return false;
	return len > 0;
}

/* Single quotes around all, but for single quotes: those become '\''. */
static void add_quoted(luaL_Buffer *out, const char *text, size_t len)
{
	if (is_plain(text, len)) {
		luaL_addlstring(out, text, len);
		return;
	}
	luaL_addchar(out, '\'');
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\'')
			luaL_addstring(out, "'\\''");
		else
			luaL_addchar(out, text[i]);
	}
	luaL_addchar(out, '\'');
}

/* Pushes the words of the table at `index`, quoted, with spaces between. */
static void quote_all(lua_State *L, int index)
{
	lua_Integer count = luaL_len(L, index);
	int base = lua_gettop(L);
	luaL_Buffer out;

	luaL_argcheck(L, count > 0 && count < 10000, index,
		      "a command needs from 1 to 9999 words");
	luaL_checkstack(L, (int)count + 10, "too many words");
	for (lua_Integer i = 1; i <= count; i++) {
		lua_geti(L, index, i);
		if (!lua_isstring(L, -1))
			luaL_argerror(L, index, "words must be strings");
	}
	luaL_buffinit(L, &out);
	for (lua_Integer i = 1; i <= count; i++) {
		size_t len;
		const char *text = lua_tolstring(L, base + (int)i, &len);

		if (i > 1)
			luaL_addchar(&out, ' ');
		add_quoted(&out, text, len);
	}
	luaL_pushresult(&out);
	lua_replace(L, base + 1);
	lua_settop(L, base + 1);
}

const char *script_request_command(lua_State *L, int index)
{
	const char *command;
	size_t len;

	if (lua_istable(L, index))
		quote_all(L, index);
	else
		lua_pushstring(L, luaL_checkstring(L, index));
	command = lua_tolstring(L, -1, &len);
	luaL_argcheck(L, strlen(command) == len, index,
		      "a command cannot hold a NUL");
	return command;
}

static void read_env(lua_State *L, struct script_request *out, int index)
{
	luaL_argexpected(L, lua_istable(L, index), index, "table");
	lua_pushnil(L);
	while (lua_next(L, index)) {
		struct sshc_env *env = &out->env[out->request.env_count];

		if (lua_type(L, -2) != LUA_TSTRING ||
		    lua_type(L, -1) != LUA_TSTRING)
			luaL_error(L, "env holds strings by name");
		if (out->request.env_count == SSHC_ENV_CAP)
			luaL_error(L, "env holds at most %d variables",
				   SSHC_ENV_CAP);
		env->name = lua_tostring(L, -2);
		env->value = lua_tostring(L, -1);
		out->request.env_count++;
		lua_pop(L, 1);
	}
	out->request.env = out->env;
}

static int size_field(lua_State *L, int index, const char *name, int usual)
{
	lua_Integer value = usual;

	if (lua_getfield(L, index, name) != LUA_TNIL)
		value = lua_tointeger(L, -1);
	lua_pop(L, 1);
	if (value < 1 || value > 10000)
		luaL_error(L, "pty.%s must be from 1 to 10000", name);
	return (int)value;
}

static void check_pty_field(lua_State *L, const char *name)
{
	if (strcmp(name, "term") != 0 && strcmp(name, "rows") != 0 &&
	    strcmp(name, "columns") != 0)
		luaL_error(L, "unknown option 'pty.%s' (there are: term, "
			   "rows, columns)", name);
}

static void read_pty(lua_State *L, struct script_request *out, int index)
{
	out->pty = (struct sshc_pty){ TERM_DEFAULT, 24, 80 };
	if (lua_isboolean(L, index)) {
		if (lua_toboolean(L, index))
			out->request.pty = &out->pty;
		return;
	}
	luaL_argexpected(L, lua_istable(L, index), index, "boolean or table");
	lua_pushnil(L);
	while (lua_next(L, index)) {
		lua_pop(L, 1);
		check_pty_field(L, lua_type(L, -1) == LUA_TSTRING
				? lua_tostring(L, -1) : "?");
	}
	out->pty.rows = size_field(L, index, "rows", 24);
	out->pty.columns = size_field(L, index, "columns", 80);
	if (lua_getfield(L, index, "term") == LUA_TSTRING)
		out->pty.term = lua_tostring(L, -1);
	lua_pop(L, 1);
	out->request.pty = &out->pty;
}

void script_request_read(lua_State *L, struct script_request *out, int env,
			 int pty)
{
	if (env)
		read_env(L, out, env);
	if (pty)
		read_pty(L, out, pty);
}
