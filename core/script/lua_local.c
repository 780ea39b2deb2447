#include <stdlib.h>

#include "core/script/bindings.h"
#include "core/script/failure.h"
#include "core/script/lua_stream.h"
#include "core/script/options.h"
#include "core/script/std.h"
#include "core/script/task.h"

/* connect(address) and listen(address, fn): local TCP and Unix sockets. */

static int no_local(lua_State *L)
{
	return script_fail(L, ERR_DENIED, "this script may not use the network "
			   "of this machine");
}

static void connect_cancel(struct script_pending *pending)
{
	struct script_local *local = pending->owner;

	local->connect_cancel(local, pending->op);
}

static int connect_k(lua_State *L, int status, lua_KContext ctx)
{
	struct script_pending *pending = lua_touserdata(L, -1);

	(void)status;
	(void)ctx;
	script_woken(L);
	if (!script_pending_answer(L, pending, "connect"))
		return 2;
	script_stream_push(L, pending->stream);
	pending->stream = NULL;
	return 1;
}

static int local_connect(lua_State *L)
{
	struct script_local *local = script_of(L)->config.local;
	const char *address = luaL_checkstring(L, 1);
	uint64_t now = loop_now_us(script_of(L)->config.loop);
	uint64_t deadline = script_deadline_default(L, 10);
	const struct script_option options[] = {
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};
	struct script_pending *pending;
	struct error error = { 0 };

	script_options(L, 2, options, 1);
	script_may_wait(L, "connect");
	if (!local)
		return no_local(L);
	pending = script_pending_new(L, sizeof(*pending));
	pending->owner = local;
	pending->cancel = connect_cancel;
	if (local->connect(local, address,
			   deadline == DEADLINE_NONE ? DEADLINE_NONE
						     : deadline - now,
			   script_pending_connected, pending, &pending->op,
			   &error) < 0)
		return script_fail_with(L, &error);
	return script_pending_wait(L, pending, "connect", deadline, 0,
				   connect_k);
}

/*
 * A listener keeps itself alive while it is open: its handle stands in the
 * registry. User value 1 is the function, which is called with each stream
 * in a task of its own; the stream is closed when it returns.
 */
struct listener {
	struct script *script;
	struct script_local *local;
	void *op;
	int ref;
	enum script_tree tree;
	char address[STREAM_ADDRESS_CAP];
};

struct accepted {
	struct listener *listener;
	struct stream *stream;
};

static int unref_listener(lua_State *L)
{
	luaL_unref(L, LUA_REGISTRYINDEX, *(int *)lua_touserdata(L, 1));
	return 0;
}

static void listener_release(void *object)
{
	struct listener *listener = object;

	if (listener->op)
		listener->local->listen_close(listener->local, listener->op);
	if (listener->ref != LUA_NOREF)
		script_protected(listener->script, unref_listener,
				 &listener->ref, NULL);
	free(listener);
}

static int listener_address(lua_State *L);

static const luaL_Reg listener_methods[] = {
	{ "local_address", listener_address },
	{ NULL, NULL },
};

static const struct script_handle_type listener_type = {
	.name = "listener",
	.metatable = "tunnel.listener",
	.close = listener_release,
	.methods = listener_methods,
};

static int listener_address(lua_State *L)
{
	struct listener *listener = script_handle_check(L, 1, &listener_type);

	lua_pushstring(L, listener->address);
	return 1;
}

/* Stack: 1 the stream; a <close> variable of the handler's task. */
static int served(lua_State *L, int status, lua_KContext ctx)
{
	(void)L;
	(void)status;
	(void)ctx;
	return 0;
}

/* Arguments: the stream, the function. */
static int serve(lua_State *L)
{
	lua_pushvalue(L, 1);
	lua_toclose(L, -1);
	lua_pushvalue(L, 2);
	lua_pushvalue(L, 1);
	lua_callk(L, 1, 0, 0, served);
	return served(L, LUA_OK, 0);
}

static int start_handler(lua_State *L)
{
	struct accepted *accepted = lua_touserdata(L, 1);
	struct listener *listener = accepted->listener;

	lua_pushcfunction(L, serve);
	script_stream_push(L, accepted->stream);
	accepted->stream = NULL;
	lua_rawgeti(L, LUA_REGISTRYINDEX, listener->ref);
	lua_getiuservalue(L, -1, 1);
	lua_remove(L, -2);
	script_task_new(L, listener->tree, 2);
	return 0;
}

static void on_accept(void *user, struct stream *stream,
		      const struct error *error)
{
	struct listener *listener = user;
	struct accepted accepted = { listener, stream };
	struct script *script = listener->script;
	struct error failure;

	(void)error;
	if (script_protected(script, start_handler, &accepted, &failure) == 0)
		return;
	log_warn(script->config.log, "script", "a connection was refused: %s",
		 failure.message);
	if (accepted.stream)
		stream_close(accepted.stream, true);
}

static int local_listen(lua_State *L)
{
	struct script *script = script_of(L);
	struct script_local *local = script->config.local;
	const char *address = luaL_checkstring(L, 1);
	struct listener *listener;
	struct error error = { 0 };

	luaL_checktype(L, 2, LUA_TFUNCTION);
	if (!local)
		return no_local(L);
	script_handle_new(L, &listener_type, 1);
	lua_pushvalue(L, 2);
	lua_setiuservalue(L, -2, 1);
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return script_raise(L, ERR_LIMIT, "no memory for a listener");
	listener->script = script;
	listener->local = local;
	listener->tree = script_current_tree(script);
	listener->ref = LUA_NOREF;
	script_handle_set(L, -1, listener);
	lua_pushvalue(L, -1);
	listener->ref = luaL_ref(L, LUA_REGISTRYINDEX);
	if (local->listen(local, address, on_accept, listener, &listener->op,
			  listener->address, &error) == 0)
		return 1;
	listener->op = NULL;
	script_handle_close(L, -1, &listener_type);
	return script_fail_with(L, &error);
}

static int local_stdio(lua_State *L)
{
	return script_push_stdio(L);
}

void script_add_local(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "connect", local_connect },
		{ "listen", local_listen },
		{ "stdio", local_stdio },
		{ NULL, NULL },
	};

	luaL_setfuncs(L, functions, 0);
}
