/*
 * tests/link/flow.h: who sends an IP packet to whom, and rewriting that.
 *
 * Reads IPv4 and IPv6 with UDP or TCP directly behind the header; other
 * protocols have ports of 0. Rewriting keeps the checksums right by their
 * difference (RFC 1624) and knows IPv4 alone: IPv6 is never translated here.
 */
#ifndef TUNNELHOST_TESTS_LINK_FLOW_H
#define TUNNELHOST_TESTS_LINK_FLOW_H

#include "core/base/endpoint.h"

#define FLOW_TCP 6
#define FLOW_UDP 17

struct flow {
	uint8_t protocol;
	bool fragment;		/* of IPv4: ports cannot be trusted */
	size_t transport;	/* where the transport header begins */
	struct endpoint source;
	struct endpoint destination;
};

/* False for what is no whole IP packet. */
bool flow_read(const uint8_t *packet, size_t len, struct flow *out);
/* `flow` is what flow_read said; both are IPv4, with ports. */
void flow_set_source(uint8_t *packet, const struct flow *flow,
		     const struct endpoint *source);
void flow_set_destination(uint8_t *packet, const struct flow *flow,
			  const struct endpoint *destination);

#endif
