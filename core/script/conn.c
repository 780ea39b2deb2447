#include "core/script/app.h"
#include "core/script/bindings.h"

void script_push_conn(lua_State *L, struct script_conn *conn)
{
	(void)conn;
	lua_pushnil(L);
}
