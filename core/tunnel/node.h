/*
 * core/tunnel/node.h: one member of the tailnet.
 *
 * Joins WireGuard, disco, the relays and the netstack, with their deadlines:
 * packets that the netstack offers are sealed where they lie and leave in
 * the destination's home relay; what comes back is opened, checked and given
 * to the netstack. It knows peers, and nothing of coordinators: who the
 * peers are it is told. The client's tunnel and the embedded deployment's
 * agents are both made of it.
 */
#ifndef TUNNELHOST_TUNNEL_NODE_H
#define TUNNELHOST_TUNNEL_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/derp_map.h"
#include "core/base/id.h"
#include "core/base/log.h"
#include "core/base/loop.h"
#include "core/base/network.h"
#include "core/base/rng.h"
#include "core/netstack/netstack.h"

#define NODE_PEER_ADDRESS_CAP 4
#define NODE_HELD_CAP 32	/* packets that wait for a peer's session */
#define NODE_RELAY_CAP 16	/* regions in use at once */

struct node;
struct node_peer;

/*
 * Come from the loop. Any may be NULL. May call anything but node_free, which
 * callbacks of the node's streams, sockets and pings may not call either.
 */
struct node_events {
	/* A WireGuard session with the peer came up. */
	void (*on_session)(void *user, const struct uuid *peer);
	/* 90 s of handshakes without an answer; what was held is dropped. */
	void (*on_silent)(void *user, const struct uuid *peer);
	/* The home relay came up for the first time. */
	void (*on_home)(void *user);
	/* After every turn of work. */
	void (*on_turn)(void *user);
};

struct node_config {
	struct loop *loop;
	struct network *network;
	struct rng *rng;
	struct log *log;
	const uint8_t (*addresses)[16];
	size_t address_count;
	const struct derp_map *derp_map;	/* copied */
	int64_t home_region;
	bool force_websockets;
	uint64_t rekey_after_us;	/* for tests; 0: 120 s */
	const struct node_events *events;
	void *user;
};

/* Opens the home relay at once. 0 or what went wrong. */
int node_new(const struct node_config *config, struct node **out,
	     struct error *error);
/* At once, without a word to anybody. Open streams fail (ERR_CLOSED). */
void node_free(struct node *node);

const struct key32 *node_public_key(const struct node *node);
const struct key32 *node_disco_key(const struct node *node);
struct ns *node_netstack(struct node *node);
int64_t node_home_region(const struct node *node);
bool node_home_up(const struct node *node);
/* Call after any ns_* call that made output outside the node's callbacks. */
void node_kick(struct node *node);

struct node_peer_config {
	struct uuid id;
	struct key32 key;
	struct key32 disco_key;
	uint8_t addresses[NODE_PEER_ADDRESS_CAP][16];
	size_t address_count;
	int64_t home_region;
	bool keepalive;		/* every 25 s, as Coder's fork does */
};

/*
 * Adds the peer, or changes what is known of the one with this id; a new key
 * is a new peer in the old one's place; key and addresses of another id are
 * that peer, now under this id. 0, ERR_CONFLICT (a key or address that is
 * another peer's), ERR_LIMIT, ERR_NOMEM, ERR_PROTOCOL (a bad key);
 * then nothing has changed. A region that has no relay is no error: the peer
 * is reached once the DERP map has one.
 */
int node_peer_set(struct node *node, const struct node_peer_config *config);
void node_peer_remove(struct node *node, const struct uuid *id);
/*
 * The relays have changed: those in use are dialled at their new address the
 * next time, the home region stays. 0 or ERR_NOMEM (then nothing changed).
 */
int node_set_derp_map(struct node *node, const struct derp_map *map);

struct node_peer_stats {
	uint64_t last_handshake_us;	/* WG_NEVER */
	uint64_t handshakes;
	uint64_t rx_bytes;
	uint64_t tx_bytes;
	int64_t region;
};
/* 0 or ERR_NOT_FOUND. */
int node_peer_stats(const struct node *node, const struct uuid *id,
		    struct node_peer_stats *out);

/*
 * One TSMP ping. `done` comes once, from the loop: latency, or ERR_TIMEOUT,
 * or ERR_CANCELED by node_free(). 0, ERR_LIMIT, ERR_NOMEM, or ERR_CLOSED from
 * inside node_free().
 */
typedef void node_ping_done(void *user, int err, uint64_t latency_us);
int node_ping(struct node *node, const uint8_t address[16],
	      uint64_t timeout_us, node_ping_done *done, void *user);
/* The pings with this `user` say nothing any more. */
void node_ping_forget(struct node *node, void *user);

#endif
