/*
 * core/base/endpoint.h: an address and a port outside the tunnel.
 *
 * The one shape in which STUN, disco, coordinate and the paths name a place in
 * the real network; sockets want a sockaddr, and the two functions below turn
 * one into the other.
 */
#ifndef TUNNELHOST_BASE_ENDPOINT_H
#define TUNNELHOST_BASE_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define ENDPOINT_TEXT_CAP 64	/* "[address]:port" with the NUL */

struct endpoint {
	uint8_t address[16];	/* network order, IPv4 as ::ffff:a.b.c.d */
	uint16_t port;		/* host order */
};

static inline bool endpoint_equal(const struct endpoint *a,
				  const struct endpoint *b)
{
	return a->port == b->port && memcmp(a->address, b->address, 16) == 0;
}

bool endpoint_is_ipv4(const struct endpoint *endpoint);
bool endpoint_is_loopback(const struct endpoint *endpoint);
/* False for a family that is neither IPv4 nor IPv6. */
bool endpoint_from_sockaddr(const struct sockaddr *from, struct endpoint *out);
/* IPv4 becomes AF_INET. Returns the length. */
socklen_t endpoint_to_sockaddr(const struct endpoint *from,
			       struct sockaddr_storage *out);
/* "192.0.2.1:41641" or "[2001:db8::1]:41641", as Go's netip writes it. */
void endpoint_format(const struct endpoint *endpoint,
		     char out[ENDPOINT_TEXT_CAP]);
/* The reverse; false for anything else. */
bool endpoint_parse(const char *text, struct endpoint *out);

#endif
