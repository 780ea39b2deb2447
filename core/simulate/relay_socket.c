/*
 * Connections to the relay, by WebSocket or by upgrade: one derp_relay_conn
 * each, all in one derp_relay whatever region they came by.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/simulate/simulate_private.h"

#define MESSAGE_CAP (1024 * 1024)
#define QUEUE_CAP (256 * 1024)

struct relay_socket {
	struct list link;
	struct simulation *sim;
	struct channel *channel;
	struct derp_relay_conn *conn;
};

static void arm(struct simulation *sim)
{
	timer_set(sim->config.loop, &sim->relay_deadline,
		  derp_relay_next_deadline(&sim->relay));
}

static void end(struct relay_socket *socket, int code)
{
	struct simulation *sim = socket->sim;

	if (socket->channel)
		channel_close(socket->channel, code, "");
	socket->channel = NULL;
	list_remove(&socket->link);
	if (socket->conn)
		derp_relay_conn_free(socket->conn, sim_now(sim));
	free(socket);
	arm(sim);
}

static int carrier_send(void *user, const uint8_t *data, size_t len)
{
	struct relay_socket *socket = user;

	return socket->channel ? channel_send(socket->channel, data, len) :
				 ERR_CLOSED;
}

static void carrier_close(void *user, const struct error *why)
{
	struct relay_socket *socket = user;

	log_debug(socket->sim->config.log, "simulate", "relay: %s",
		  why->message);
	end(socket, 1002);
}

static const struct derp_relay_carrier carrier = {
	.send = carrier_send,
	.close = carrier_close,
};

/* The relay speaks first, and may not before the channel is open. */
static void opened(void *user)
{
	struct relay_socket *socket = user;
	struct simulation *sim = socket->sim;

	if (derp_relay_conn_new(&sim->relay, &carrier, socket, sim_now(sim),
				&socket->conn) < 0) {
		socket->conn = NULL;
		end(socket, 1011);
		return;
	}
	arm(sim);
}

static void message(void *user, const uint8_t *data, size_t len)
{
	struct relay_socket *socket = user;
	struct error error;

	if (derp_relay_conn_in(socket->conn, data, len, sim_now(socket->sim),
			       &error) < 0) {
		log_debug(socket->sim->config.log, "simulate", "relay: %s",
			  error.message);
		end(socket, 1002);
		return;
	}
	arm(socket->sim);
}

static void writable(void *user)
{
	struct relay_socket *socket = user;

	derp_relay_conn_writable(socket->conn, sim_now(socket->sim));
	arm(socket->sim);
}

static void closed(void *user, const struct channel_end *how)
{
	struct relay_socket *socket = user;

	(void)how;
	socket->channel = NULL;
	end(socket, 0);
}

static const struct channel_events events = {
	.on_open = opened,
	.on_message = message,
	.on_writable = writable,
	.on_close = closed,
};

static bool is_derp(const struct route_call *call)
{
	const struct server_request *request = call->request;

	switch (request->kind) {
	case EXCHANGE_WEBSOCKET:
		return strstr(request->protocol, "derp") != NULL;
	case EXCHANGE_UPGRADE:
		return strcasecmp(request->protocol, "DERP") == 0 &&
		       !call->sim->config.refuse_upgrade;
	case EXCHANGE_PLAIN:
		break;
	}
	return false;
}

void relay_route(struct route_call *call)
{
	static const char refusal[] = "DERP requires connection upgrade\n";
	bool socket_is_web = call->request->kind == EXCHANGE_WEBSOCKET;
	struct relay_socket *socket;

	if (!is_derp(call)) {
		exchange_respond(call->exchange, 426, "text/plain", refusal,
				 sizeof(refusal) - 1);
		return;
	}
	socket = calloc(1, sizeof(*socket));
	if (!socket) {
		route_error(call, 500, "no memory", NULL);
		return;
	}
	socket->sim = call->sim;
	list_add_tail(&call->sim->relay_sockets, &socket->link);
	if (exchange_accept(call->exchange, socket_is_web ? "derp" : "DERP",
			    MESSAGE_CAP, QUEUE_CAP, &events, socket,
			    &socket->channel) < 0) {
		socket->channel = NULL;
		end(socket, 0);
	}
}

static bool is_agents(const struct relay_socket *socket)
{
	const struct key32 *key =
		socket->conn ? derp_relay_conn_key(socket->conn) : NULL;

	return key && sim_has_agent_key(socket->sim, key);
}

unsigned relay_drop_all(struct simulation *sim, bool agents, int code)
{
	unsigned dropped = 0;

	list_each(at, next, &sim->relay_sockets) {
		struct relay_socket *socket =
			container_of(at, struct relay_socket, link);

		if (!agents && is_agents(socket))
			continue;
		end(socket, code);
		dropped++;
	}
	return dropped;
}

void relay_deadline_fired(struct timer *timer)
{
	struct simulation *sim = timer->user;

	derp_relay_tick(&sim->relay, sim_now(sim));
	arm(sim);
}
