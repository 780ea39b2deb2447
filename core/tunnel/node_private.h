/*
 * core/tunnel/node_private.h: what node.c, node_peer.c, node_relay.c and
 * node_ping.c share. Nobody else includes it.
 */
#ifndef TUNNELHOST_TUNNEL_NODE_PRIVATE_H
#define TUNNELHOST_TUNNEL_NODE_PRIVATE_H

#include "core/base/buf.h"
#include "core/base/hash.h"
#include "core/base/list.h"
#include "core/tailnet/disco/disco.h"
#include "core/tailnet/wireguard/wireguard.h"
#include "core/tunnel/node.h"
#include "core/tunnel/relay.h"

#define DATAGRAM_CAP 2048	/* more than any sealed packet of MTU 1280 */

struct node_peer {
	struct list link;
	struct node *node;
	struct node_peer_config config;
	struct wg_peer *wg;
	struct key32 disco_shared;
	bool has_disco;
	struct relay *relay;	/* where its packets go, or NULL: no region */
	struct buf held;	/* u16 length and packet, until a session */
	/* The last handshake message, while its relay is not up. */
	uint8_t waiting[WG_MESSAGE_CAP];
	size_t waiting_len;
};

struct node_ping {
	struct list link;
	uint8_t data[8];
	uint8_t address[16];
	uint64_t sent_us;
	uint64_t deadline_us;
	node_ping_done *done;
	void *user;
};

struct node {
	struct node_config config;
	struct derp_map derp_map;
	struct key32 private_key;
	struct key32 disco_private;
	struct key32 disco_public;
	struct wg *wg;
	struct ns *ns;
	struct list peers;
	struct hash by_id;
	struct hash by_address;
	struct hash by_disco;
	struct relay *relays[NODE_RELAY_CAP];
	size_t relay_count;
	struct relay *home;
	struct relay *last;	/* where the last packet went: pull into it */
	bool home_seen;
	struct list pings;
	size_t ping_count;
	struct task work;
	struct timer deadline;
	uint8_t scratch[DATAGRAM_CAP];
};

static inline uint64_t node_now(const struct node *node)
{
	return loop_now_us(node->config.loop);
}

/* node_relay.c: the relay of a region, opened if need be, or NULL. */
struct relay *node_relay_for(struct node *node, int64_t region);
/* A copy of one whole datagram to the peer's relay. False: no room. */
bool node_send_datagram(struct node_peer *peer, const uint8_t *data,
			size_t len);
/* One of WireGuard's own messages: waits for the relay, the last one alone. */
void node_send_message(struct node_peer *peer, const uint8_t *data,
		       size_t len);
void node_relays_free(struct node *node);

/* node_peer.c */
struct node_peer *node_peer_at(const struct node *node,
			       const uint8_t address[16]);
void node_hold(struct node_peer *peer, const uint8_t *packet, size_t len);
void node_release_held(struct node_peer *peer);
void node_peers_free(struct node *node);

/* node_ping.c */
void node_on_tsmp(void *user, const uint8_t src[16], const uint8_t dst[16],
		  const uint8_t *payload, size_t len);
uint64_t node_pings_deadline(const struct node *node);
void node_pings_tick(struct node *node);
void node_pings_free(struct node *node);

#endif
