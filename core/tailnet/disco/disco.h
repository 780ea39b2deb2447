/*
 * core/tailnet/disco/disco.h: path discovery messages.
 *
 * A codec: tells disco packets from others, opens and seals them, reads and
 * writes the three messages. Holds no state, keeps no timers, knows no
 * sockets. Facts from tailscale.com disco/disco.go; the padded form from
 * coder/tailscale disco/disco.go (both by message type, see below).
 *
 *	packet | "TS💬" 6 | sender disco key 32 | nonce 24 | box |
 *	box    | authenticator 16 | type u8 | version u8 | body |
 *
 *	01 ping           | txid 12 | node key 32 (absent in old ones) | padding |
 *	02 pong           | txid 12 | address 16 | port u16 | padding |
 *	03 call me maybe  | n × (address 16 | port u16) |
 *
 * Addresses are IPv6, IPv4 as ::ffff:a.b.c.d. Ping and pong are read in any
 * version and with anything behind them. Call me maybe of another version, or
 * of a length that is no multiple of 18, counts as one without endpoints. It
 * goes through a relay only, and is never padded.
 */
#ifndef TUNNELHOST_TAILNET_DISCO_DISCO_H
#define TUNNELHOST_TAILNET_DISCO_DISCO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/endpoint.h"
#include "core/base/id.h"
#include "core/base/rng.h"

#define DISCO_TXID_LEN 12
/* What surrounds the plain message: magic, key, nonce, authenticator. */
#define DISCO_OVERHEAD (6 + 32 + 24 + 16)
/* A padded datagram is as long as the longest WireGuard packet at MTU 1280. */
#define DISCO_PADDED_LEN 1310
#define DISCO_ENDPOINTS_CAP 64
/* The longest plain message that is read: a jumbo frame's worth. */
#define DISCO_PLAIN_CAP 9000
/* The longest packet that disco_packet() writes. */
#define DISCO_PACKET_CAP DISCO_PADDED_LEN

enum disco_type {
	DISCO_PING = 1,
	DISCO_PONG = 2,
	DISCO_CALL_ME_MAYBE = 3,
};

struct disco_message {
	enum disco_type type;
	bool padded;		/* encode: version 1, DISCO_PADDED_LEN bytes */
	uint8_t txid[DISCO_TXID_LEN];	/* ping, pong */
	/* Ping: what the sender claims; all zero when absent. */
	struct key32 node_key;
	/* Pong: where the ping was seen to come from. */
	struct endpoint source;
	/* Call me maybe. */
	size_t endpoint_count;
	struct endpoint endpoints[DISCO_ENDPOINTS_CAP];
};

/* Whether to hand this packet to disco rather than to WireGuard. */
bool disco_is(const uint8_t *packet, size_t len);
/* The sender's disco key as claimed; false when disco_is() is. */
bool disco_sender(const uint8_t *packet, size_t len, struct key32 *out);

/*
 * The key shared with a peer, once a peer (30 µs); wipe it at the end.
 * ERR_PROTOCOL for a public key of low order.
 */
int disco_shared_key(const struct key32 *private_key,
		     const struct key32 *peer_public, struct key32 *out);

/*
 * Opens and reads one packet. ERR_DENIED: not sealed with this key;
 * ERR_NOT_FOUND: a type that we do not know, to be ignored; ERR_PROTOCOL:
 * short; ERR_TOO_LARGE: more than DISCO_ENDPOINTS_CAP or DISCO_PLAIN_CAP.
 */
int disco_open(const struct key32 *shared, const uint8_t *packet, size_t len,
	       struct disco_message *out);

/*
 * Writes and seals one packet; its length, or ERR_LIMIT when it does not fit
 * in `cap` (DISCO_PACKET_CAP always does), ERR_MISUSE for too many endpoints.
 */
int disco_packet(const struct key32 *shared, const struct key32 *own_public,
		 struct rng *rng, const struct disco_message *message,
		 uint8_t *out, size_t cap);

/* The plain message within the box, for the two above and for tests. */
int disco_decode(const uint8_t *plain, size_t len, struct disco_message *out);
int disco_encode(const struct disco_message *message, uint8_t *out, size_t cap);

#endif
