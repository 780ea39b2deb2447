#include "core/host/conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/host/lua_stats.h"

/* One dial or ping under way. */
struct operation {
	struct list link;
	struct conn *conn;
	struct tunnel_dial *dial;	/* NULL: a ping */
	script_connected *connected;
	script_pinged *pinged;
	void *user;
};

static struct conn *self(struct script_conn *script)
{
	return container_of(script, struct conn, script);
}

static struct operation *begin(struct conn *conn, void *user)
{
	struct operation *op = calloc(1, sizeof(*op));

	if (!op)
		return NULL;
	op->conn = conn;
	op->user = user;
	list_add_tail(&conn->operations, &op->link);
	return op;
}

static void finish(struct operation *op)
{
	list_remove(&op->link);
	free(op);
}

static void on_dialed(void *user, struct stream *stream,
		      const struct error *error)
{
	struct operation *op = user;
	script_connected *done = op->connected;
	void *done_user = op->user;

	finish(op);
	done(done_user, stream, error);
}

static int conn_dial(struct script_conn *script, uint16_t port,
		     uint64_t timeout_us, script_connected *done, void *user,
		     void **out)
{
	struct operation *op = begin(self(script), user);
	int err;

	if (!op)
		return ERR_NOMEM;
	op->connected = done;
	err = tunnel_dial(op->conn->tunnel, port, timeout_us, on_dialed, op,
			  &op->dial);
	if (err < 0) {
		finish(op);
		return err;
	}
	*out = op;
	return 0;
}

static void on_pinged(void *user, const struct tunnel_ping *ping,
		      const struct error *error)
{
	struct operation *op = user;
	struct script_ping answer = { .latency_us = 0 };
	script_pinged *done = op->pinged;
	void *done_user = op->user;

	finish(op);
	if (error) {
		done(done_user, NULL, error);
		return;
	}
	answer.latency_us = ping->latency_us;
	answer.direct = ping->direct;
	snprintf(answer.endpoint, sizeof(answer.endpoint), "%s",
		 ping->endpoint);
	snprintf(answer.derp_region, sizeof(answer.derp_region), "%s",
		 ping->derp_name);
	done(done_user, &answer, NULL);
}

static int conn_ping(struct script_conn *script, uint64_t timeout_us,
		     script_pinged *done, void *user, void **out)
{
	struct operation *op = begin(self(script), user);
	int err;

	if (!op)
		return ERR_NOMEM;
	op->pinged = done;
	err = tunnel_ping(op->conn->tunnel, timeout_us, on_pinged, op);
	if (err < 0) {
		finish(op);
		return err;
	}
	*out = op;
	return 0;
}

static void cancel(struct operation *op)
{
	if (op->dial)
		tunnel_dial_cancel(op->dial);
	else
		tunnel_ping_forget(op->conn->tunnel, op);
	finish(op);
}

static void conn_cancel(struct script_conn *script, void *op)
{
	(void)script;
	cancel(op);
}

struct datagram_flow {
	struct script_datagram script;
	struct list link;
	struct tunnel_udp *udp;		/* NULL: the conn has ended */
};

static void on_datagram(void *user, const uint8_t *data, size_t len)
{
	struct datagram_flow *flow = user;

	if (flow->script.on_receive)
		flow->script.on_receive(flow->script.user, data, len, 0);
}

static int flow_send(struct script_datagram *script, const void *data,
		     size_t len)
{
	struct datagram_flow *flow =
		container_of(script, struct datagram_flow, script);

	return flow->udp ? tunnel_udp_send(flow->udp, data, len) : ERR_CLOSED;
}

static void flow_close(struct script_datagram *script)
{
	struct datagram_flow *flow =
		container_of(script, struct datagram_flow, script);

	if (flow->udp)
		tunnel_udp_close(flow->udp);
	list_remove(&flow->link);
	free(flow);
}

static const struct script_datagram_ops datagram_ops = {
	.send = flow_send,
	.close = flow_close,
};

static int conn_dial_udp(struct script_conn *script, uint16_t port,
			 struct script_datagram **out)
{
	struct conn *conn = self(script);
	struct datagram_flow *flow = calloc(1, sizeof(*flow));
	int err;

	if (!flow)
		return ERR_NOMEM;
	flow->script.ops = &datagram_ops;
	err = tunnel_udp_open(conn->tunnel, port, on_datagram, flow,
			      &flow->udp);
	if (err < 0) {
		free(flow);
		return err;
	}
	list_add_tail(&conn->datagrams, &flow->link);
	*out = &flow->script;
	return 0;
}

static void conn_shutdown(struct script_conn *script, int status)
{
	struct conn *conn = self(script);

	conn->on_shutdown(conn->user, status);
}

static const char *conn_state(struct script_conn *script)
{
	struct conn *conn = self(script);

	return conn->on_state(conn->user);
}

static void conn_push_stats(struct script_conn *script, lua_State *L)
{
	struct conn *conn = self(script);

	lua_push_stats(L, conn->tunnel);
	lua_push_timeline(L, conn->on_timeline(conn->user));
	lua_setfield(L, -2, "timeline");
}

static const struct script_conn_ops ops = {
	.dial = conn_dial,
	.ping = conn_ping,
	.cancel = conn_cancel,
	.dial_udp = conn_dial_udp,
	.shutdown = conn_shutdown,
	.state = conn_state,
	.push_stats = conn_push_stats,
};

void conn_init(struct conn *conn, struct tunnel *tunnel,
	       const struct uuid *agent_id, const char *agent_name)
{
	conn->tunnel = tunnel;
	snprintf(conn->agent_name, sizeof(conn->agent_name), "%s", agent_name);
	conn->script = (struct script_conn){
		.ops = &ops,
		.agent_id = *agent_id,
		.agent_name = conn->agent_name,
		.address = tunnel_address(tunnel),
	};
	list_init(&conn->operations);
	list_init(&conn->datagrams);
}

void conn_clear(struct conn *conn)
{
	struct list *link;

	if (!conn->tunnel)
		return;
	while (!list_empty(&conn->operations))
		cancel(container_of(conn->operations.next, struct operation,
				    link));
	while ((link = list_pop(&conn->datagrams)) != NULL) {
		struct datagram_flow *flow =
			container_of(link, struct datagram_flow, link);

		tunnel_udp_close(flow->udp);
		flow->udp = NULL;
	}
	conn->tunnel = NULL;
}
