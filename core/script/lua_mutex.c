#include <stdlib.h>

#include "core/script/bindings.h"
#include "core/script/failure.h"
#include "core/script/options.h"
#include "core/script/task.h"

/*
 * mutex(): lock{timeout=} gives a guard for a <close> variable, and
 * unlock(), or the guard's close, lets the next one in.
 */
struct mutex {
	struct script *script;
	bool locked;
	uint64_t turn;		/* which locking it is: a guard fits only one */
	struct list waiters;
};

static void mutex_release(void *object)
{
	struct mutex *mutex = object;

	script_wake_all(mutex->script, &mutex->waiters);
	free(mutex);
}

static int mutex_lock(lua_State *L);
static int mutex_unlock(lua_State *L);
static int mutex_close(lua_State *L);

static const luaL_Reg methods[] = {
	{ "lock", mutex_lock },
	{ "unlock", mutex_unlock },
	{ NULL, NULL },
};

static const struct script_handle_type type = {
	.name = "mutex",
	.metatable = "tunnel.mutex",
	.close = mutex_release,
	.methods = methods,
	.close_method = mutex_close,
	.lasting = true,
};

static void unlock(struct mutex *mutex)
{
	mutex->locked = false;
	script_wake_one(mutex->script, &mutex->waiters);
}

/* A guard is a userdata with the turn; user value 1 is the mutex. */
static int guard_close(lua_State *L)
{
	uint64_t *turn = luaL_checkudata(L, 1, "tunnel.guard");
	struct mutex *mutex;

	lua_getiuservalue(L, 1, 1);
	mutex = script_handle_peek(L, -1, &type);
	if (mutex && mutex->locked && mutex->turn == *turn)
		unlock(mutex);
	return 0;
}

static int guard_tostring(lua_State *L)
{
	lua_pushliteral(L, "guard");
	return 1;
}

static void push_guard(lua_State *L, struct mutex *mutex)
{
	uint64_t *turn = lua_newuserdatauv(L, sizeof(*turn), 1);

	*turn = mutex->turn + 1;
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	if (luaL_newmetatable(L, "tunnel.guard")) {
		lua_newtable(L);
		lua_pushcfunction(L, guard_close);
		lua_setfield(L, -2, "close");
		lua_setfield(L, -2, "__index");
		lua_pushcfunction(L, guard_close);
		lua_setfield(L, -2, "__close");
		lua_pushcfunction(L, guard_close);
		lua_setfield(L, -2, "__gc");
		lua_pushcfunction(L, guard_tostring);
		lua_setfield(L, -2, "__tostring");
		lua_pushliteral(L, "guard");
		lua_setfield(L, -2, "__metatable");
	}
	lua_setmetatable(L, -2);
	mutex->turn++;
	mutex->locked = true;
}

static int lock_k(lua_State *L, int status, lua_KContext ctx);

/* Stack: 1 mutex, 2 deadline. */
static int lock_again(lua_State *L, int woken)
{
	struct mutex *mutex = script_handle_check(L, 1, &type);
	struct script_wait wait = {
		.what = "lock",
		.on = &mutex->waiters,
		.deadline_us = (uint64_t)lua_tointeger(L, 2),
	};

	if (!mutex->locked) {
		push_guard(L, mutex);
		return 1;
	}
	if (woken == ERR_TIMEOUT)
		return script_fail(L, ERR_TIMEOUT, "the mutex is locked");
	return script_wait(L, &wait, 0, lock_k);
}

static int lock_k(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	return lock_again(L, script_woken(L));
}

static int mutex_lock(lua_State *L)
{
	uint64_t deadline = DEADLINE_NONE;
	const struct script_option options[] = {
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};

	script_handle_check(L, 1, &type);
	script_options(L, 2, options, 1);
	script_may_wait(L, "lock");
	lua_settop(L, 1);
	lua_pushinteger(L, (lua_Integer)deadline);
	return lock_again(L, 0);
}

static int mutex_unlock(lua_State *L)
{
	struct mutex *mutex = script_handle_check(L, 1, &type);

	if (!mutex->locked)
		return luaL_error(L, "the mutex is not locked");
	unlock(mutex);
	return 0;
}

/* Nothing to end: a mutex is but a turnstile. */
static int mutex_close(lua_State *L)
{
	script_handle_check(L, 1, &type);
	return 0;
}

static int new_mutex(lua_State *L)
{
	struct mutex *mutex;

	script_handle_new(L, &type, 0);
	mutex = calloc(1, sizeof(*mutex));
	if (!mutex)
		return script_raise(L, ERR_LIMIT, "no memory for a mutex");
	mutex->script = script_of(L);
	list_init(&mutex->waiters);
	script_handle_set(L, -1, mutex);
	return 1;
}

void script_add_mutex(lua_State *L)
{
	lua_pushcfunction(L, new_mutex);
	lua_setfield(L, -2, "mutex");
}
