#include <stdlib.h>

#include "core/script/bindings.h"
#include "core/script/failure.h"
#include "core/script/options.h"
#include "core/script/task.h"

/*
 * A channel of n values; with n = 0 a sender waits until a receiver is there.
 * The values stand in the handle's user value, a table, from `first`
 * on. Once closed no more can be sent; what is there can still be received.
 */
#define CHANNEL_CAP 1000000

struct channel_object {
	struct script *script;
	lua_Integer cap;
	lua_Integer first;
	lua_Integer count;
	bool closed;
	struct list senders;
	struct list receivers;
};

static void channel_release(void *object)
{
	struct channel_object *channel = object;

	script_wake_all(channel->script, &channel->senders);
	script_wake_all(channel->script, &channel->receivers);
	free(channel);
}

static int channel_send(lua_State *L);
static int channel_receive(lua_State *L);
static int channel_close(lua_State *L);

static const luaL_Reg methods[] = {
	{ "send", channel_send },
	{ "receive", channel_receive },
	{ NULL, NULL },
};

static const struct script_handle_type type = {
	.name = "channel",
	.metatable = "tunnel.channel",
	.close = channel_release,
	.methods = methods,
	.close_method = channel_close,
	.lasting = true,	/* it holds nothing but values */
};

static int channel_wait(lua_State *L, struct channel_object *channel,
			bool sender, uint64_t deadline, lua_KFunction k)
{
	struct script_wait wait = {
		.what = sender ? "send" : "receive",
		.on = sender ? &channel->senders : &channel->receivers,
		.deadline_us = deadline,
	};

	return script_wait(L, &wait, 0, k);
}

static void put(lua_State *L, struct channel_object *channel)
{
	lua_getiuservalue(L, 1, 1);
	lua_pushvalue(L, 2);
	lua_rawseti(L, -2, channel->first + channel->count);
	lua_pop(L, 1);
	channel->count++;
	script_wake_one(channel->script, &channel->receivers);
}

/* Pushes the first value. */
static void take(lua_State *L, struct channel_object *channel)
{
	lua_getiuservalue(L, 1, 1);
	lua_rawgeti(L, -1, channel->first);
	lua_pushnil(L);
	lua_rawseti(L, -3, channel->first);
	lua_remove(L, -2);
	channel->first++;
	channel->count--;
	script_wake_one(channel->script, &channel->senders);
}

/* Stack: 1 channel, 2 value, 3 deadline. */
static int send_again(lua_State *L, int woken);

static int send_k(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	return send_again(L, script_woken(L));
}

static bool has_room(const struct channel_object *channel)
{
	if (channel->cap)
		return channel->count < channel->cap;
	return !list_empty(&channel->receivers);
}

static int send_again(lua_State *L, int woken)
{
	struct channel_object *channel = script_handle_check(L, 1, &type);
	uint64_t deadline = (uint64_t)lua_tointeger(L, 3);

	if (channel->closed)
		return script_fail(L, ERR_CLOSED, "the channel is closed");
	if (has_room(channel)) {
		put(L, channel);
		lua_pushboolean(L, 1);
		return 1;
	}
	if (woken == ERR_TIMEOUT)
		return script_fail(L, ERR_TIMEOUT, "nobody receives");
	return channel_wait(L, channel, true, deadline, send_k);
}

static void push_deadline(lua_State *L, int index)
{
	uint64_t deadline = DEADLINE_NONE;
	const struct script_option options[] = {
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};

	script_options(L, index, options, 1);
	lua_settop(L, index - 1);
	lua_pushinteger(L, (lua_Integer)deadline);
}

static int channel_send(lua_State *L)
{
	script_handle_check(L, 1, &type);
	luaL_argcheck(L, !lua_isnoneornil(L, 2), 2, "nil cannot be sent");
	script_may_wait(L, "send");
	push_deadline(L, 3);
	return send_again(L, 0);
}

/* Stack: 1 channel, 2 deadline. */
static int receive_k(lua_State *L, int status, lua_KContext ctx);

static int receive_again(lua_State *L, int woken)
{
	struct channel_object *channel = script_handle_check(L, 1, &type);

	if (channel->count) {
		take(L, channel);
		return 1;
	}
	if (channel->closed)
		return script_fail(L, ERR_CLOSED, "the channel is closed");
	if (woken == ERR_TIMEOUT)
		return script_fail(L, ERR_TIMEOUT, "nothing was sent");
	script_wake_one(channel->script, &channel->senders);
	return channel_wait(L, channel, false, (uint64_t)lua_tointeger(L, 2),
			    receive_k);
}

static int receive_k(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	return receive_again(L, script_woken(L));
}

static int channel_receive(lua_State *L)
{
	script_handle_check(L, 1, &type);
	script_may_wait(L, "receive");
	push_deadline(L, 2);
	return receive_again(L, 0);
}

static int channel_close(lua_State *L)
{
	struct channel_object *channel = script_handle_check(L, 1, &type);

	channel->closed = true;
	script_wake_all(channel->script, &channel->senders);
	script_wake_all(channel->script, &channel->receivers);
	lua_pushboolean(L, 1);
	return 1;
}

static int new_channel(lua_State *L)
{
	lua_Integer cap = luaL_optinteger(L, 1, 0);
	struct channel_object *channel;

	luaL_argcheck(L, cap >= 0 && cap <= CHANNEL_CAP, 1,
		      "must be from 0 to 1000000");
	script_handle_new(L, &type, 1);
	lua_newtable(L);
	lua_setiuservalue(L, -2, 1);
	channel = calloc(1, sizeof(*channel));
	if (!channel)
		return script_raise(L, ERR_LIMIT, "no memory for a channel");
	channel->script = script_of(L);
	channel->cap = cap;
	channel->first = 1;
	list_init(&channel->senders);
	list_init(&channel->receivers);
	script_handle_set(L, -1, channel);
	return 1;
}

void script_add_channel(lua_State *L)
{
	lua_pushcfunction(L, new_channel);
	lua_setfield(L, -2, "channel");
}
