/*
 * core/tailnet/stun/stun.h: STUN binding, both ends.
 *
 * A codec for the one method that is used: a binding request as Tailscale's
 * clients send it (SOFTWARE "tailnode", FINGERPRINT), the answer's address,
 * and the same from the server's side. No state, no retransmission, no
 * authentication. RFC 8489 (5389); tailscale.com net/stun/stun.go.
 *
 *	| type u16 | attributes' length u16 | 21 12 a4 42 | txid 12 |
 *	then attributes: | type u16 | length u16 | value | pad to 4 |
 */
#ifndef TUNNELHOST_TAILNET_STUN_STUN_H
#define TUNNELHOST_TAILNET_STUN_STUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/endpoint.h"

#define STUN_TXID_LEN 12
#define STUN_HEADER_LEN 20
#define STUN_REQUEST_LEN 40
#define STUN_RESPONSE_CAP 44
/* A longer message, or one of more attributes, is refused. */
#define STUN_MESSAGE_CAP 1500
#define STUN_ATTRIBUTES_CAP 32

/* Whether a datagram is STUN rather than disco or WireGuard. */
bool stun_is(const uint8_t *data, size_t len);

void stun_request(const uint8_t txid[STUN_TXID_LEN],
		  uint8_t out[STUN_REQUEST_LEN]);
/*
 * 0 and the transaction; ERR_PROTOCOL (not a binding request, malformed, or
 * a wrong FINGERPRINT; its absence is allowed), ERR_TOO_LARGE.
 */
int stun_parse_request(const uint8_t *data, size_t len,
		       uint8_t txid[STUN_TXID_LEN]);

/* Returns the length: 32 for IPv4, 44 for IPv6. */
size_t stun_response(const uint8_t txid[STUN_TXID_LEN],
		     const struct endpoint *source,
		     uint8_t out[STUN_RESPONSE_CAP]);
/*
 * 0 and our address as the server sees it, from XOR-MAPPED-ADDRESS, else
 * from MAPPED-ADDRESS. ERR_NOT_FOUND: another transaction's; ERR_REFUSED: an
 * error response; ERR_PROTOCOL, ERR_TOO_LARGE.
 */
int stun_parse_response(const uint8_t *data, size_t len,
			const uint8_t txid[STUN_TXID_LEN],
			struct endpoint *out);

#endif
