/*
 * UDP to an agent's ports goes to the same port of 127.0.0.1, from a socket
 * of its own for each client's port, so that answers find their way back.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "core/netstack/netstack.h"
#include "core/simulate/simulate_private.h"

#define FLOW_CAP 256		/* of one agent */
#define IDLE_US (120 * US_PER_S)

struct udp_flow {
	struct list link;
	struct agent *agent;
	uint8_t client[NS_ADDRESS_LEN];
	uint16_t client_port;
	uint16_t port;
	struct datagram *socket;
	struct timer idle;
};

static void flow_free(struct udp_flow *flow)
{
	timer_stop(flow->agent->sim->config.loop, &flow->idle);
	if (flow->socket)
		flow->socket->ops->close(flow->socket);
	list_remove(&flow->link);
	flow->agent->udp_flow_count--;
	free(flow);
}

static void idle_fired(struct timer *timer)
{
	flow_free(timer->user);
}

static void touch(struct udp_flow *flow)
{
	struct loop *loop = flow->agent->sim->config.loop;

	timer_set(loop, &flow->idle, loop_now_us(loop) + IDLE_US);
}

static uint16_t port_of(const struct sockaddr *address)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (address->sa_family == AF_INET6) {
		memcpy(&v6, address, sizeof(v6));
		return ntohs(v6.sin6_port);
	}
	memcpy(&v4, address, sizeof(v4));
	return ntohs(v4.sin_port);
}

static void received(void *user, const struct sockaddr *from,
		     uint8_t *data, size_t len, size_t segment)
{
	struct udp_flow *flow = user;
	size_t step = segment ? segment : len;

	if (port_of(from) != flow->port)
		return;
	touch(flow);
	for (size_t at = 0; at < len; at += step)
		(void)ns_udp_send_from(node_netstack(flow->agent->node),
				       flow->port, flow->client,
				       flow->client_port, data + at,
				       len - at < step ? len - at : step);
}

static const struct datagram_events events = {
	.on_receive = received,
};

static struct udp_flow *find(struct agent *agent, const uint8_t *client,
			     uint16_t client_port, uint16_t port)
{
	list_each(at, next, &agent->udp_flows) {
		struct udp_flow *flow =
			container_of(at, struct udp_flow, link);

		if (flow->port == port && flow->client_port == client_port &&
		    memcmp(flow->client, client, NS_ADDRESS_LEN) == 0)
			return flow;
	}
	return NULL;
}

static struct udp_flow *flow_new(struct agent *agent, const uint8_t *client,
				 uint16_t client_port, uint16_t port)
{
	struct udp_flow *flow;

	if (agent->udp_flow_count == FLOW_CAP)
		return NULL;
	flow = calloc(1, sizeof(*flow));
	if (!flow)
		return NULL;
	flow->agent = agent;
	memcpy(flow->client, client, NS_ADDRESS_LEN);
	flow->client_port = client_port;
	flow->port = port;
	flow->idle = (struct timer){ .fire = idle_fired, .user = flow };
	list_add_tail(&agent->udp_flows, &flow->link);
	agent->udp_flow_count++;
	if (network_open_datagram(sim_udp_network(agent->sim), NULL, &events,
				  flow, &flow->socket, NULL) == 0)
		return flow;
	flow->socket = NULL;
	flow_free(flow);
	return NULL;
}

static void unbound(void *user, const uint8_t src[NS_ADDRESS_LEN],
		    uint16_t src_port, uint16_t dst_port, const uint8_t *data,
		    size_t len)
{
	struct agent *agent = user;
	struct udp_flow *flow = find(agent, src, src_port, dst_port);
	struct sockaddr_in to = { .sin_family = AF_INET };

	if (!flow)
		flow = flow_new(agent, src, src_port, dst_port);
	if (!flow)
		return;
	touch(flow);
	to.sin_port = htons(dst_port);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	(void)flow->socket->ops->send(flow->socket,
				      (const struct sockaddr *)&to, data, len,
				      0);
}

void agent_udp_listen(struct agent *agent)
{
	ns_set_unbound(node_netstack(agent->node), unbound, agent);
}

void agent_udp_close(struct agent *agent)
{
	while (!list_empty(&agent->udp_flows))
		flow_free(container_of(agent->udp_flows.next,
				       struct udp_flow, link));
}
