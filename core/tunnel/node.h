/*
 * core/tunnel/node.h: one member of the tailnet.
 *
 * Joins WireGuard, disco, the relays and the netstack, with their deadlines:
 * packets that the netstack offers are sealed where they lie and leave for
 * the destination's endpoint, once one has proved to work, else by its home
 * relay; what comes back is opened, checked and given to the netstack. It
 * finds its own endpoints and the peers' paths. It knows peers, and nothing
 * of coordinators: who the peers are it is told, and on_changed says when
 * what they must know of us is new. The client's tunnel and the embedded
 * deployment's agents are both made of it.
 */
#ifndef TUNNELHOST_TUNNEL_NODE_H
#define TUNNELHOST_TUNNEL_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/derp_map.h"
#include "core/base/endpoint.h"
#include "core/base/id.h"
#include "core/base/log.h"
#include "core/base/loop.h"
#include "core/base/network.h"
#include "core/base/rng.h"
#include "core/netstack/netstack.h"
#include "core/tailnet/path/path.h"

#define NODE_PEER_ADDRESS_CAP 4
#define NODE_HELD_CAP 32	/* packets that wait for a peer's session */
#define NODE_RELAY_CAP 16	/* regions in use at once */
#define NODE_OWN_ENDPOINT_CAP 32
#define NODE_REPORT_REGION_CAP DERP_MAP_REGION_CAP

struct node;
struct node_peer;
struct coord_node;

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
	/* What node_describe() says is new: tell the coordinator. */
	void (*on_changed)(void *user);
	/* The peer's packets take another path: see node_peer_stats(). */
	void (*on_path)(void *user, const struct uuid *peer);
	/* After every turn of work. */
	void (*on_turn)(void *user);
};

struct node_config {
	struct loop *loop;
	struct network *network;
	struct network *udp_network;	/* NULL: `network` */
	struct rng *rng;
	struct log *log;
	const uint8_t (*addresses)[16];
	size_t address_count;
	const struct derp_map *derp_map;	/* copied */
	int64_t home_region;
	bool force_websockets;
	uint64_t rekey_after_us;	/* for tests; 0: 120 s */
	bool no_direct;		/* no UDP socket, no endpoints: relays alone */
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
	const struct endpoint *endpoints;	/* borrowed for the call */
	size_t endpoint_count;
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
 * The relays have changed: those in use whose address is no longer in the map
 * are dialled anew; a home that has no relay any more becomes another. 0 or
 * ERR_NOMEM (then nothing changed).
 */
int node_set_derp_map(struct node *node, const struct derp_map *map);

/*
 * Makes this region the home once its relay is up: on_changed follows. The old
 * one is kept open for a minute. By itself the node takes the nearest. 0, or
 * ERR_UNREACHABLE (no relay in that region that could be opened).
 */
int node_set_home(struct node *node, int64_t region);

/* Bytes are of authenticated WireGuard datagrams. */
struct node_peer_stats {
	uint64_t last_handshake_us;	/* WG_NEVER */
	uint64_t handshakes;
	uint64_t rx_bytes;
	uint64_t tx_bytes;
	uint64_t direct_rx_bytes;	/* of which without a relay */
	uint64_t direct_tx_bytes;
	int64_t region;			/* the peer's home */
	bool direct;			/* what is sent now goes to `endpoint` */
	struct endpoint endpoint;
	uint64_t latency_us;		/* of that path; 0: not known */
	uint64_t direct_us;		/* first time direct; 0: never */
};
/* 0 or ERR_NOT_FOUND. */
int node_peer_stats(const struct node *node, const struct uuid *id,
		    struct node_peer_stats *out);

/* One place where the peer may be reached; false beyond the last. */
bool node_peer_candidate(const struct node *node, const struct uuid *id,
			 size_t index, struct path_candidate_info *out);

/*
 * What others are told of this node: keys, home, endpoints, latencies. The
 * other fields of `out` (id, time, addresses) are left to the caller.
 */
void node_describe(const struct node *node, struct coord_node *out);

struct node_report_region {
	int64_t region;
	uint64_t latency_us;	/* of the quicker family */
	uint64_t latency4_us;	/* 0: not measured */
	uint64_t latency6_us;
};

/* For people: what is known of the network outside. */
struct node_report {
	bool enabled;			/* there is a UDP socket */
	uint16_t port;			/* its own */
	bool surveyed;			/* the first survey is complete */
	bool udp;			/* a STUN server has answered */
	bool has_reflexive4, has_reflexive6;
	struct endpoint reflexive4, reflexive6;
	bool nat_known;			/* two servers compared */
	bool nat_hard;			/* each destination sees another port */
	int64_t home_region;
	bool home_up;
	struct endpoint endpoints[NODE_OWN_ENDPOINT_CAP];
	size_t endpoint_count;
	struct node_report_region regions[NODE_REPORT_REGION_CAP];
	size_t region_count;		/* those that answered */
};
void node_report(const struct node *node, struct node_report *out);

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
