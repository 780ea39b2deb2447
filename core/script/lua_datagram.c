#include <stdlib.h>
#include <string.h>

#include "core/script/bindings.h"
#include "core/script/failure.h"
#include "core/script/options.h"
#include "core/script/task.h"

/*
 * Datagrams: send(s), receive{timeout=}. What comes while nobody receives
 * waits in a bounded queue; what does not fit is lost, as UDP may.
 */
#define QUEUE_CAP 128
#define DATAGRAM_CAP 65507

struct packet {
	struct list link;
	size_t len;
	char data[];
};

struct datagram_object {
	struct script *script;
	struct script_datagram *datagram;
	struct list packets;
	unsigned count;
	int failure;
	struct list receivers;
};

static void datagram_release(void *object)
{
	struct datagram_object *self = object;
	struct list *at;

	self->datagram->on_receive = NULL;
	self->datagram->ops->close(self->datagram);
	while ((at = list_pop(&self->packets)))
		free(container_of(at, struct packet, link));
	script_wake_all(self->script, &self->receivers);
	free(self);
}

static int datagram_send(lua_State *L);
static int datagram_receive(lua_State *L);

static const luaL_Reg methods[] = {
	{ "send", datagram_send },
	{ "receive", datagram_receive },
	{ NULL, NULL },
};

static const struct script_handle_type type = {
	.name = "datagram",
	.metatable = "tunnel.datagram",
	.close = datagram_release,
	.methods = methods,
};

static void on_receive(void *user, const uint8_t *data, size_t len, int err)
{
	struct datagram_object *self = user;
	struct packet *packet;

	if (!data) {
		self->failure = err;
		script_wake_all(self->script, &self->receivers);
		return;
	}
	if (self->count == QUEUE_CAP || len > DATAGRAM_CAP)
		return;
	packet = malloc(sizeof(*packet) + len);
	if (!packet)
		return;
	packet->link = (struct list){ 0 };
	packet->len = len;
	memcpy(packet->data, data, len);
	list_add_tail(&self->packets, &packet->link);
	self->count++;
	script_wake_one(self->script, &self->receivers);
}

void script_datagram_push(lua_State *L, struct script_datagram *datagram)
{
	struct datagram_object *self;

	script_handle_new(L, &type, 0);
	self = calloc(1, sizeof(*self));
	if (!self)
		script_raise(L, ERR_LIMIT, "no memory for a datagram");
	self->script = script_of(L);
	self->datagram = datagram;
	list_init(&self->packets);
	list_init(&self->receivers);
	datagram->on_receive = on_receive;
	datagram->user = self;
	script_handle_set(L, -1, self);
}

static int datagram_send(lua_State *L)
{
	struct datagram_object *self = script_handle_check(L, 1, &type);
	size_t len;
	const char *data = luaL_checklstring(L, 2, &len);
	int err;

	if (len > DATAGRAM_CAP)
		return script_fail(L, ERR_TOO_LARGE, "a datagram of %zu bytes",
				   len);
	err = self->failure ? self->failure
		: self->datagram->ops->send(self->datagram, data, len);
	if (err < 0)
		return script_fail(L, err, "cannot send (%s)", err_name(err));
	lua_pushinteger(L, (lua_Integer)len);
	return 1;
}

static int receive_k(lua_State *L, int status, lua_KContext ctx);

/* Stack: 1 the handle, 2 the deadline. */
static int receive_again(lua_State *L, int woken)
{
	struct datagram_object *self = script_handle_peek(L, 1, &type);
	struct packet *packet;

	if (!self)
		return script_fail(L, ERR_CLOSED, "the datagram was closed");
	if (self->count) {
		packet = container_of(self->packets.next, struct packet, link);
		lua_pushlstring(L, packet->data, packet->len);
		list_remove(&packet->link);
		free(packet);
		self->count--;
		return 1;
	}
	if (self->failure)
		return script_fail(L, self->failure, "it has failed (%s)",
				   err_name(self->failure));
	if (woken == ERR_TIMEOUT)
		return script_fail(L, woken, "nothing came in time");
	return script_wait(L, &(struct script_wait){
		.what = "receive",
		.on = &self->receivers,
		.deadline_us = (uint64_t)lua_tointeger(L, 2),
	}, 0, receive_k);
}

static int receive_k(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	return receive_again(L, script_woken(L));
}

static int datagram_receive(lua_State *L)
{
	struct datagram_object *self = script_handle_check(L, 1, &type);
	uint64_t deadline = DEADLINE_NONE;
	const struct script_option options[] = {
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
	};

	script_options(L, 2, options, 1);
	if (!list_empty(&self->receivers))
		return luaL_error(L, "another task is receiving from it");
	script_may_wait(L, "receive");
	lua_settop(L, 1);
	lua_pushinteger(L, (lua_Integer)deadline);
	return receive_again(L, 0);
}
