/* UDP (RFC 768), over IPv6 always with a checksum. */
#include <stdlib.h>
#include <string.h>

#include "core/base/cursor.h"
#include "core/netstack/internal.h"

#define EPHEMERAL_FIRST 49152u
#define EPHEMERAL_COUNT 16384u
#define EPHEMERAL_TRIES 64

static uint16_t free_port(struct ns *ns)
{
	for (int i = 0; i < EPHEMERAL_TRIES; i++) {
		uint32_t draw = rng_below(ns->config.rng, EPHEMERAL_COUNT);
		uint16_t port = (uint16_t)(EPHEMERAL_FIRST + draw);

		if (!hash_get(&ns->udps, &port, sizeof(port)))
			return port;
	}
	return 0;
}

int ns_udp_open(struct ns *ns, uint16_t port, ns_datagram *on_receive,
		void *user, struct ns_udp **out)
{
	struct ns_udp *udp;

	if (port && hash_get(&ns->udps, &port, sizeof(port)))
		return ERR_CONFLICT;
	if (!port)
		port = free_port(ns);
	if (!port)
		return ERR_LIMIT;
	udp = calloc(1, sizeof(*udp));
	if (!udp)
		return ERR_NOMEM;
	if (hash_put(&ns->udps, &port, sizeof(port), udp) < 0) {
		free(udp);
		return ERR_NOMEM;
	}
	udp->ns = ns;
	udp->port = port;
	udp->on_receive = on_receive;
	udp->user = user;
	list_add_tail(&ns->udp_all, &udp->all);
	*out = udp;
	return 0;
}

uint16_t ns_udp_port(const struct ns_udp *udp)
{
	return udp->port;
}

int ns_udp_send(struct ns_udp *udp, const uint8_t dst[NS_ADDRESS_LEN],
		uint16_t port, const void *data, size_t len)
{
	return ns_udp_send_from(udp->ns, udp->port, dst, port, data, len);
}

void ns_set_unbound(struct ns *ns, ns_unbound *receive, void *user)
{
	ns->unbound = receive;
	ns->unbound_user = user;
}

int ns_udp_send_from(struct ns *ns, uint16_t from,
		     const uint8_t dst[NS_ADDRESS_LEN], uint16_t port,
		     const void *data, size_t len)
{
	const uint8_t *src = ns->addresses[ns_source_for(ns, dst)];
	struct packet *packet;
	uint8_t *at;
	int err = ns_packet_new(ns, src, dst, NS_HEADER_UDP,
				UDP_HEADER_LEN + len, &packet, &at);

	if (err < 0)
		return err;
	be_store(at, from, 2);
	be_store(at + 2, port, 2);
	be_store(at + 4, UDP_HEADER_LEN + len, 2);
	if (len)
		memcpy(at + UDP_HEADER_LEN, data, len);
	ns_packet_push(ns, packet, 6);
	return 0;
}

void ns_udp_close(struct ns_udp *udp)
{
	hash_remove(&udp->ns->udps, &udp->port, sizeof(udp->port));
	list_remove(&udp->all);
	free(udp);
}

void ns_udp_in(struct ns *ns, const uint8_t *ip, const uint8_t *payload,
	       size_t len)
{
	struct cursor c = cursor_of(payload, len);
	uint16_t src_port = cursor_u16(&c);
	uint16_t port = cursor_u16(&c);
	uint16_t udp_len = cursor_u16(&c);
	struct ns_udp *udp;

	cursor_u16(&c);
	if (!cursor_ok(&c) || udp_len < UDP_HEADER_LEN || udp_len > len) {
		ns->stats.drop_malformed++;
		return;
	}
	udp = hash_get(&ns->udps, &port, sizeof(port));
	if (!udp && ns->unbound) {
		ns->unbound(ns->unbound_user, ip + 8, src_port, port, c.at,
			    (size_t)udp_len - UDP_HEADER_LEN);
		return;
	}
	if (!udp) {
		ns->stats.drop_port++;
		return;
	}
	udp->on_receive(udp->user, ip + 8, src_port, c.at,
			(size_t)udp_len - UDP_HEADER_LEN);
}
