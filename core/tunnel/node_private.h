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
	struct list waiting;	/* in node->waiting: its relay had no room */
	struct node *node;
	struct node_peer_config config;
	struct wg_peer *wg;
	struct key32 disco_shared;
	bool has_disco;
	struct relay *relay;	/* where its packets go, or NULL: no region */
	/* Plain packets, u16 length and bytes: no session yet, or no room. */
	struct buf held;
	/* The newest handshake message that found no room: without it the
	 * next comes in 5 s. */
	uint8_t message[WG_MESSAGE_CAP];
	size_t message_len;
};

/* A relay in use, or one that was lately. */
struct node_relay {
	struct relay *relay;
	size_t peers;		/* that are at home there */
	uint64_t idle_us;	/* since when there are none */
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

/* Where a cookie reply goes: what a token of wg_in() stands for. */
struct node_place {
	uint64_t token;
	int64_t region;		/* of the relay by which it came; 0: none */
	struct key32 key;
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
	struct list waiting;	/* peers with something for a full relay */
	bool room_again;	/* some relay has room: look at `waiting` */
	struct node_relay relays[NODE_RELAY_CAP];
	size_t relay_count;
	struct relay *home;
	struct relay *sole;	/* the one that all peers use, if it is one */
	struct relay *last;	/* where the last packet went: pull into it;
				 * NULL: no peer has a relay */
	struct node_place places[WG_COOKIE_REPLIES_CAP];
	size_t next_place;
	bool home_seen;
	bool closing;
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

/* node_relay.c */
int node_open_home(struct node *node, struct error *error);
/* The peer's packets go to this region (0: nowhere) from now on. */
void node_use_relay(struct node_peer *peer, int64_t region);
/* Where to put the next packet, whoever it is for; NULL: nowhere now. */
struct relay *node_relay_to_fill(const struct node *node);
void node_relays_flush(struct node *node);
/* Closes those that nobody has used for a while. */
void node_relays_tick(struct node *node);
uint64_t node_relays_deadline(const struct node *node);
void node_relays_free(struct node *node);

/* node_cookie.c */
/* WG_IGNORED_COOKIE_SENT: the reply to this token goes there. */
void node_cookie_to_relay(struct node *node, uint64_t token,
			  const struct relay *relay, const struct key32 *key);
void node_send_cookie(struct node *node, uint64_t token,
		      const uint8_t *message, size_t len);

/* node_peer.c */
struct node_peer *node_peer_at(const struct node *node,
			       const uint8_t address[16]);
void node_peers_free(struct node *node);

/* node_send.c */
/* A handshake message or keepalive; the former is kept until it can leave. */
void node_send_message(struct node_peer *peer, const uint8_t *message,
		       size_t len, bool keep);
/* What was held leaves, as far as session and relay allow. */
void node_release_held(struct node_peer *peer);
/* The same for all peers that wait for room. */
void node_serve_waiting(struct node *node);
/* Pulls packets while there is room; true: there may be more. */
bool node_send_packets(struct node *node);

/* node_ping.c */
void node_on_tsmp(void *user, const uint8_t src[16], const uint8_t dst[16],
		  const uint8_t *payload, size_t len);
uint64_t node_pings_deadline(const struct node *node);
void node_pings_tick(struct node *node);
void node_pings_free(struct node *node);

#endif
