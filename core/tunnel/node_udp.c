/*
 * The node's UDP socket. In: a batch is opened where it lies in the receive
 * buffer, packet by packet: STUN to the survey, disco to the paths, the rest
 * to WireGuard, where what authenticates also shows which endpoint works.
 * Out: sealed packets are gathered in a slab and leave in one call when the
 * endpoint or the size changes, when the slab is full, and at the end of the
 * turn. A packet of the batch that is shorter than the first ends it: the
 * kernel cuts by the first one's length (docs/performance.md "The data
 * path"). What the socket refuses is lost, as on the network.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "core/tailnet/stun/stun.h"
#include "core/tunnel/node_private.h"

#define SLAB_LEN (64u * 1024u)
#define BATCH_PACKETS_CAP 64	/* the kernel's UDP_MAX_SEGMENTS */
#define BATCH_BYTES_CAP 65000u

uint8_t *node_udp_reserve(struct node *node)
{
	struct node_udp *udp = &node->udp;

	if (!udp->socket)
		return NULL;
	if (udp->end + PACKET_ROOM > SLAB_LEN) {
		node_udp_send(node);
		udp->start = udp->end = 0;
	}
	if (!udp->slab)
		udp->slab = malloc(SLAB_LEN);
	return udp->slab ? udp->slab + udp->end : NULL;
}

/* Whether the packet can go in the batch that has begun. */
static bool joins(const struct node_udp *udp, const struct endpoint *to,
		  size_t len)
{
	size_t waiting = udp->end - udp->start;

	return len <= udp->segment && endpoint_equal(to, &udp->to) &&
	       waiting + len <= BATCH_BYTES_CAP &&
	       waiting < BATCH_PACKETS_CAP * udp->segment;
}

void node_udp_commit(struct node *node, const struct endpoint *to, size_t len)
{
	struct node_udp *udp = &node->udp;

	if (udp->start < udp->end && !joins(udp, to, len))
		node_udp_send(node);
	if (udp->start == udp->end) {
		udp->to = *to;
		udp->segment = len;
	}
	udp->end += len;
	if (len < udp->segment)
		node_udp_send(node);
}

int node_udp_send_one(struct node *node, const struct endpoint *to,
		      const uint8_t *data, size_t len)
{
	struct datagram *socket = node->udp.socket;
	struct sockaddr_storage address;

	if (!socket)
		return ERR_CLOSED;
	endpoint_to_sockaddr(to, &address);
	return socket->ops->send(socket, (const struct sockaddr *)&address,
				 data, len, 0);
}

void node_udp_send(struct node *node)
{
	struct node_udp *udp = &node->udp;
	struct sockaddr_storage address;
	int err;

	if (udp->start == udp->end)
		return;
	endpoint_to_sockaddr(&udp->to, &address);
	err = udp->socket->ops->send(udp->socket,
				     (const struct sockaddr *)&address,
				     udp->slab + udp->start,
				     udp->end - udp->start, udp->segment);
	udp->start = udp->end;
	if (err < 0 && err != ERR_AGAIN)
		node_path_refused(node, &udp->to, err);
}

void node_udp_flush(struct node *node)
{
	struct node_udp *udp = &node->udp;

	node_udp_send(node);
	free(udp->slab);
	udp->slab = NULL;
	udp->start = udp->end = 0;
}

/* --- in ------------------------------------------------------------- */

static void take_wireguard(struct node *node, const struct endpoint *from,
			   uint8_t *data, size_t len)
{
	uint64_t place = wg_is_data(data, len) ?
				 0 : wg_place(node->wg, from->address,
					      from->port);

	if (node_take_wireguard(node, data, len, place, from))
		node_cookie_to_endpoint(node, place, from);
}

static void take(struct node *node, const struct endpoint *from, uint8_t *data,
		 size_t len)
{
	if (disco_is(data, len))
		node_path_disco_in(node, from, data, len);
	else if (stun_is(data, len))
		node_survey_in(node, data, len);
	else
		take_wireguard(node, from, data, len);
}

static void on_receive(void *user, const struct sockaddr *address,
		       uint8_t *data, size_t len, size_t segment)
{
	struct node *node = user;
	struct datagram *socket = node->udp.socket;
	size_t step = segment ? segment : len;
	struct endpoint from;

	if (!endpoint_from_sockaddr(address, &from))
		return;
	/* A datagram may make the node open another socket. */
	for (size_t at = 0; at < len && node->udp.socket == socket;
	     at += step)
		take(node, &from, data + at,
		     len - at < step ? len - at : step);
	node_kick(node);
}

static const struct datagram_events events = {
	.on_receive = on_receive,
};

/* --- life ----------------------------------------------------------- */

static int local_port(struct datagram *socket, uint16_t *out)
{
	struct sockaddr_storage address;
	struct endpoint local;
	int err = socket->ops->local(socket, &address);

	if (err < 0)
		return err;
	if (!endpoint_from_sockaddr((const struct sockaddr *)&address, &local))
		return ERR_INTERNAL;
	*out = local.port;
	return 0;
}

static int open_at(struct node *node, uint16_t port, struct error *error)
{
	const struct sockaddr_in6 address = {
		.sin6_family = AF_INET6, .sin6_port = htons(port),
	};
	struct datagram *socket;
	int err = network_open_datagram(node_udp_network(node),
					port ? (const void *)&address : NULL,
					&events, node, &socket, error);

	if (err < 0)
		return err;
	err = local_port(socket, &node->udp.port);
	if (err < 0) {
		socket->ops->close(socket);
		return error_set(error, err, "the UDP socket has no address");
	}
	node->udp.socket = socket;
	return 0;
}

/* The old port first: what others know of us, and NATs, may still hold. */
int node_udp_open(struct node *node)
{
	struct error error;
	uint16_t port = node->udp.port;

	if (node->config.no_direct)
		return 0;
	node_udp_close(node);
	if (port && open_at(node, port, &error) == 0)
		return 0;
	if (open_at(node, 0, &error) == 0)
		return 0;
	log_warn(node->config.log, "udp", "%s: only relays will be used",
		 error.message);
	return error.code;
}

void node_udp_close(struct node *node)
{
	if (!node->udp.socket)
		return;
	node_udp_flush(node);
	node->udp.socket->ops->close(node->udp.socket);
	node->udp.socket = NULL;
}
