#include "fake_conn.h"

#include <lua.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/pipe.h"

#define PIPE_CAP (256u * 1024)

/* An operation under way: answered by a task, or never. */
struct dial {
	struct list link;
	struct fake_conn *fake;
	struct task answer;
	uint16_t port;
	script_connected *done;
	script_pinged *pinged;
	void *user;
};

struct peer {
	struct list link;
	struct stream *stream;
	bool ended;
};

static void free_dial(struct dial *dial)
{
	list_remove(&dial->link);
	task_cancel(&dial->answer);
	free(dial);
}

static void echo(struct stream *stream, void *user)
{
	struct peer *peer = user;
	const uint8_t *data;
	ssize_t got;

	while ((got = stream_peek(stream, &data)) > 0) {
		ssize_t put = stream_write(stream, data, (size_t)got);

		if (put <= 0)
			return;
		stream_consume(stream, (size_t)put);
	}
	if (got == 0 && !peer->ended)
		stream_shutdown(stream);
	peer->ended = peer->ended || got == 0;
}

static struct peer *add_peer(struct fake_conn *fake, struct stream *stream)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	peer->stream = stream;
	list_add_tail(&fake->peers, &peer->link);
	return peer;
}

static void serve(struct fake_conn *fake, uint16_t port, struct stream *end)
{
	static const uint8_t bytes[1000];
	struct peer *peer;

	if (port == 1) {
		if (fake->on_ssh)
			fake->on_ssh(fake->ssh_user, end);
		return;
	}
	if (port == 104) {
		stream_close(end, true);
		return;
	}
	peer = add_peer(fake, end);
	end->user = peer;
	if (port == 7)
		end->on_change = echo;
	if (port == 19) {
		stream_write(end, bytes, sizeof(bytes));
		stream_shutdown(end);
	}
}

static void answer(struct task *task)
{
	struct dial *dial = task->user;
	struct fake_conn *fake = dial->fake;
	struct error error = { ERR_REFUSED, "connection refused" };
	struct script_ping ping = { 25000, true, "192.0.2.1:9", "" };
	struct stream *ends[2];
	struct dial copy = *dial;

	free_dial(dial);
	if (copy.pinged) {
		copy.pinged(copy.user, &ping, NULL);
		return;
	}
	if (copy.port == 1000) {
		copy.done(copy.user, NULL, &error);
		return;
	}
	pipe_new(fake->loop, PIPE_CAP, ends);
	serve(fake, copy.port, ends[1]);
	copy.done(copy.user, ends[0], NULL);
}

static struct dial *new_dial(struct fake_conn *fake, void *user, void **op)
{
	struct dial *dial = calloc(1, sizeof(*dial));

	dial->fake = fake;
	dial->user = user;
	dial->answer = (struct task){ .run = answer, .user = dial };
	list_add_tail(&fake->dials, &dial->link);
	*op = dial;
	return dial;
}

static int fake_dial(struct script_conn *conn, uint16_t port,
		     uint64_t timeout_us, script_connected *done, void *user,
		     void **op)
{
	struct fake_conn *fake = (struct fake_conn *)conn;
	struct dial *dial = new_dial(fake, user, op);

	(void)timeout_us;
	dial->port = port;
	dial->done = done;
	if (port != 1001)
		task_post(fake->loop, &dial->answer);
	return 0;
}

static int fake_ping(struct script_conn *conn, uint64_t timeout_us,
		     script_pinged *done, void *user, void **op)
{
	struct fake_conn *fake = (struct fake_conn *)conn;
	struct dial *dial = new_dial(fake, user, op);

	(void)timeout_us;
	dial->pinged = done;
	task_post(fake->loop, &dial->answer);
	return 0;
}

static void fake_cancel(struct script_conn *conn, void *op)
{
	((struct fake_conn *)conn)->canceled++;
	free_dial(op);
}

struct fake_datagram {
	struct script_datagram datagram;
	struct loop *loop;
	struct task deliver;
	char data[64];
	size_t len;
};

static void deliver(struct task *task)
{
	struct fake_datagram *self = task->user;

	self->datagram.on_receive(self->datagram.user,
				  (uint8_t *)self->data, self->len, 0);
}

static int datagram_send(struct script_datagram *datagram, const void *data,
			 size_t len)
{
	struct fake_datagram *self = (struct fake_datagram *)datagram;

	memcpy(self->data, data, len);
	self->len = len;
	task_post(self->loop, &self->deliver);
	return 0;
}

static void datagram_close(struct script_datagram *datagram)
{
	struct fake_datagram *self = (struct fake_datagram *)datagram;

	task_cancel(&self->deliver);
	free(self);
}

static const struct script_datagram_ops datagram_ops = {
	.send = datagram_send,
	.close = datagram_close,
};

static int fake_dial_udp(struct script_conn *conn, uint16_t port,
			 struct script_datagram **out)
{
	struct fake_datagram *self = calloc(1, sizeof(*self));

	(void)port;
	self->datagram.ops = &datagram_ops;
	self->loop = ((struct fake_conn *)conn)->loop;
	self->deliver = (struct task){ .run = deliver, .user = self };
	*out = &self->datagram;
	return 0;
}

static void fake_shutdown(struct script_conn *conn, int status)
{
	struct fake_conn *fake = (struct fake_conn *)conn;

	fake->shutdowns++;
	fake->shutdown_status = status;
}

static const char *fake_state(struct script_conn *conn)
{
	(void)conn;
	return "applicationUp";
}

static void fake_push_stats(struct script_conn *conn, lua_State *L)
{
	(void)conn;
	lua_newtable(L);
}

static const struct script_conn_ops conn_ops = {
	.dial = fake_dial,
	.ping = fake_ping,
	.cancel = fake_cancel,
	.dial_udp = fake_dial_udp,
	.shutdown = fake_shutdown,
	.state = fake_state,
	.push_stats = fake_push_stats,
};

/* One listener, "mem:1". */
static int local_listen(struct script_local *local, const char *address,
			script_connected *on_accept, void *user,
			void **listener, char bound[STREAM_ADDRESS_CAP],
			struct error *error)
{
	struct fake_conn *fake = (struct fake_conn *)(void *)
		((char *)local - offsetof(struct fake_conn, local));

	(void)error;
	fake->on_accept = on_accept;
	fake->accept_user = user;
	snprintf(bound, STREAM_ADDRESS_CAP, "%s", address);
	*listener = fake;
	return 0;
}

static void listen_close(struct script_local *local, void *listener)
{
	(void)local;
	((struct fake_conn *)listener)->on_accept = NULL;
}

static void local_answer(struct task *task)
{
	struct dial *dial = task->user;
	struct fake_conn *fake = dial->fake;
	struct error error = { ERR_REFUSED, "nobody listens" };
	struct stream *ends[2];
	struct dial copy = *dial;

	free_dial(dial);
	if (!fake->on_accept || copy.port != 1) {
		copy.done(copy.user, NULL, &error);
		return;
	}
	pipe_new(fake->loop, PIPE_CAP, ends);
	copy.done(copy.user, ends[0], NULL);
	fake->on_accept(fake->accept_user, ends[1], NULL);
}

static int local_connect(struct script_local *local, const char *address,
			 uint64_t timeout_us, script_connected *done,
			 void *user, void **op, struct error *error)
{
	struct fake_conn *fake = (struct fake_conn *)(void *)
		((char *)local - offsetof(struct fake_conn, local));
	struct dial *dial = new_dial(fake, user, op);

	(void)timeout_us;
	(void)error;
	dial->port = strcmp(address, "mem:1") == 0;
	dial->done = done;
	dial->answer.run = local_answer;
	task_post(fake->loop, &dial->answer);
	return 0;
}

static void connect_cancel(struct script_local *local, void *op)
{
	(void)local;
	free_dial(op);
}

void fake_conn_init(struct fake_conn *fake, struct loop *loop)
{
	memset(fake, 0, sizeof(*fake));
	fake->conn.ops = &conn_ops;
	fake->conn.agent_name = "main";
	fake->conn.address = "fd7a::1";
	memset(fake->conn.agent_id.bytes, 0x11, 16);
	fake->loop = loop;
	fake->local = (struct script_local){
		.connect = local_connect,
		.connect_cancel = connect_cancel,
		.listen = local_listen,
		.listen_close = listen_close,
	};
	list_init(&fake->dials);
	list_init(&fake->peers);
}

void fake_conn_clear(struct fake_conn *fake)
{
	struct list *at;

	while (!list_empty(&fake->dials)) {
		struct dial *dial = container_of(fake->dials.next, struct dial,
						 link);

		free_dial(dial);
	}
	while ((at = list_pop(&fake->peers))) {
		struct peer *peer = container_of(at, struct peer, link);

		stream_close(peer->stream, false);
		free(peer);
	}
}
