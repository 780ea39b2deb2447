/* STUN: tells whoever asks what address it was asked from. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "core/simulate/simulate_private.h"
#include "core/tailnet/stun/stun.h"

static int address_of(const struct sockaddr *from, struct endpoint *out)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	memset(out, 0, sizeof(*out));
	if (from->sa_family == AF_INET) {
		memcpy(&v4, from, sizeof(v4));
		out->address[10] = out->address[11] = 0xff;
		memcpy(out->address + 12, &v4.sin_addr, 4);
		out->port = ntohs(v4.sin_port);
		return 0;
	}
	if (from->sa_family != AF_INET6)
		return ERR_PROTOCOL;
	memcpy(&v6, from, sizeof(v6));
	memcpy(out->address, &v6.sin6_addr, 16);
	out->port = ntohs(v6.sin6_port);
	return 0;
}

static void answer(struct simulation *sim, const struct sockaddr *from,
		   const uint8_t *data, size_t len)
{
	uint8_t txid[STUN_TXID_LEN];
	uint8_t out[STUN_RESPONSE_CAP];
	struct endpoint address;

	if (stun_parse_request(data, len, txid) < 0 ||
	    address_of(from, &address) < 0)
		return;
	sim->stun_requests++;
	(void)sim->stun->ops->send(sim->stun, from, out,
				   stun_response(txid, &address, out), 0);
}

static void received(void *user, const struct sockaddr *from,
		     uint8_t *data, size_t len, size_t segment)
{
	size_t step = segment ? segment : len;

	for (size_t at = 0; at < len; at += step)
		answer(user, from, data + at,
		       len - at < step ? len - at : step);
}

static const struct datagram_events events = {
	.on_receive = received,
};

static uint16_t port_of(const struct sockaddr_storage *address)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	memcpy(&v4, address, sizeof(v4));
	memcpy(&v6, address, sizeof(v6));
	return ntohs(address->ss_family == AF_INET6 ? v6.sin6_port :
						      v4.sin_port);
}

int stun_open(struct simulation *sim, struct error *error)
{
	struct sockaddr_in loopback = { .sin_family = AF_INET };
	struct sockaddr_storage local;
	int err;

	loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	err = network_open_datagram(sim_udp_network(sim),
				    (const struct sockaddr *)&loopback,
				    &events, sim, &sim->stun, error);
	if (err < 0) {
		sim->stun = NULL;
		return err;
	}
	err = sim->stun->ops->local(sim->stun, &local);
	if (err < 0)
		return error_set(error, err, "the STUN socket has no address");
	sim->stun_port = port_of(&local);
	return 0;
}
