#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/script/bindings.h"

/* uuid(), env(name), version */

#ifndef TH_VERSION
#define TH_VERSION "0.1.0"
#endif

static int misc_uuid(lua_State *L)
{
	char text[UUID_TEXT_CAP];
	struct uuid uuid;

	uuid_random(script_of(L)->config.rng, &uuid);
	uuid_to_text(&uuid, text);
	lua_pushstring(L, text);
	return 1;
}

/* By name: no script is ever to read a credential here. */
static bool is_secret(const char *name)
{
	static const char *const marks[] = { "TOKEN", "SECRET", "PASSW", "KEY",
					     "CREDENTIAL", "AUTH", "COOKIE",
					     "HEADER" };
	char upper[128];
	size_t len = strlen(name);

	if (len >= sizeof(upper))
		return true;
	for (size_t i = 0; i <= len; i++)
		upper[i] = (char)toupper((unsigned char)name[i]);
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (strstr(upper, marks[i]))
			return true;
	return false;
}

static int misc_env(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);

	lua_pushstring(L, is_secret(name) ? NULL : getenv(name));
	return 1;
}

void script_add_misc(lua_State *L)
{
	lua_pushcfunction(L, misc_uuid);
	lua_setfield(L, -2, "uuid");
	lua_pushcfunction(L, misc_env);
	lua_setfield(L, -2, "env");
	lua_pushliteral(L, TH_VERSION);
	lua_setfield(L, -2, "version");
}
