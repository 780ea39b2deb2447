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
#include "core/tailnet/path/path.h"
#include "core/tailnet/path/survey.h"
#include "core/tailnet/wireguard/wireguard.h"
#include "core/tunnel/node.h"
#include "core/tunnel/relay.h"

#define DATAGRAM_CAP 2048	/* more than any sealed packet of MTU 1280 */
#define PACKET_ROOM (WG_DATA_OVERHEAD + NS_MTU_MIN)

struct node_peer {
	struct list link;
	struct list waiting;	/* in node->waiting: its relay had no room */
	struct node *node;
	struct node_peer_config config;
	struct wg_peer *wg;
	struct key32 disco_shared;
	bool has_disco;
	struct relay *relay;	/* of its home region, or NULL: none */
	struct path path;
	struct timer path_timer;
	struct node_peer *disco_next;	/* another with the same disco key */
	bool call_owed;		/* a call-me-maybe that found no room */
	bool way_new;		/* on_path is owed */
	bool direct;		/* its packets go to `endpoint` now */
	struct endpoint endpoint;
	uint64_t direct_us;	/* when it first was direct; 0: never */
	uint64_t direct_rx_bytes;
	uint64_t direct_tx_bytes;
	/* Plain packets, u16 length and bytes: no session yet, or no room. */
	struct buf held;
	/* The newest handshake message: it found no room (message_owed), or
	 * may have been lost by the way it took. The next comes in 5 s. */
	uint8_t message[WG_MESSAGE_CAP];
	size_t message_len;
	bool message_owed;
};

/* A relay in use, or one that was lately. */
struct node_relay {
	struct relay *relay;
	size_t peers;		/* that are at home there */
	uint64_t idle_us;	/* since when there are none */
};

struct node_udp {
	struct datagram *socket;	/* NULL: there is none */
	uint16_t port;			/* the last one, 0: none yet */
	uint8_t *slab;			/* while it holds something */
	size_t start, end;		/* of what has not left yet */
	size_t segment;			/* length of its packets but the last */
	struct endpoint to;
};

#define NODE_LATENCY_CALLS 4	/* at once */

struct node_latency_call {
	struct node *node;
	struct http_call *call;		/* while it is under way */
	int64_t region;
	uint64_t asked_us;
	unsigned round_trips;
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
	bool used;
	int64_t region;		/* of the relay by which it came; 0: direct */
	struct key32 key;
	struct endpoint endpoint;
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
	struct hash by_disco;	/* the first peer with the key */
	struct list waiting;	/* peers with something for a full relay */
	bool room_again;	/* somewhere: `waiting` and the gate again */
	struct node_relay relays[NODE_RELAY_CAP];
	size_t relay_count;
	struct relay *home;
	struct relay *next_home;	/* once it is up; or NULL */
	struct network_monitor relay_monitor;
	bool relay_monitored;
	struct timer latency_timer;
	struct node_latency_call latency_calls[NODE_LATENCY_CALLS];
	size_t latency_next;	/* the region to be asked next, by index */
	bool latency_asked;	/* since map or network changed last */
	struct relay *last;	/* where the last packet went: pull into it;
				 * NULL: no peer has a relay */
	struct node_place places[WG_COOKIE_REPLIES_CAP];
	size_t next_place;
	bool home_seen;
	bool closing;
	struct node_udp udp;
	bool fill_direct;	/* the last packet did: pull into the slab */
	unsigned taken;		/* packets in since output was pulled */
	struct endpoint endpoints[NODE_OWN_ENDPOINT_CAP];	/* announced */
	size_t endpoint_count;
	bool endpoints_stale;
	struct survey *survey;
	bool surveying;		/* a round is under way */
	uint64_t surveyed_us;	/* when the last one began */
	uint64_t wanted_us;	/* when a packet was sent last */
	struct timer survey_timer;
	struct node_lookup *lookups;	/* while names are looked up */
	size_t lookup_count, lookups_left;
	struct network_monitor monitor;
	bool monitored;
	bool ways_new;		/* some peer's way is */
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

static inline struct network *node_udp_network(const struct node *node)
{
	return node->config.udp_network ? node->config.udp_network :
					  node->config.network;
}

/* node.c */
/*
 * One datagram, opened where it lies; `token` stands for its place, which is
 * `from` or (NULL) a relay. True: that place must be noted (node_cookie.c).
 */
bool node_take_wireguard(struct node *node, uint8_t *data, size_t len,
			 uint64_t token, const struct endpoint *from);

/* node_home.c */
void node_home_begin(struct node *node);
void node_home_end(struct node *node);
/* Completes a change of home that waited for the relay. */
void node_home_turn(struct node *node);
/* The survey knows more. */
void node_home_choose(struct node *node);

/* node_latency.c */
/* Asks the relays by HTTP how far they are, soon; then node_home_choose(). */
void node_latency_soon(struct node *node);
void node_latency_end(struct node *node);

/* node_relay.c */
/* The relay of a region, opened if need be; NULL: there is none. */
struct relay *node_relay_of(struct node *node, int64_t region);
int node_open_home(struct node *node, struct error *error);
/* The peer's packets go to this region (0: nowhere) from now on. */
void node_use_relay(struct node_peer *peer, int64_t region);
void node_relays_flush(struct node *node);
/* Closes those that nobody has used for a while. */
void node_relays_tick(struct node *node);
uint64_t node_relays_deadline(const struct node *node);
void node_relays_free(struct node *node);

/* node_cookie.c */
/* WG_IGNORED_COOKIE_SENT: the reply to this token goes there. */
void node_cookie_to_relay(struct node *node, uint64_t token,
			  const struct relay *relay, const struct key32 *key);
void node_cookie_to_endpoint(struct node *node, uint64_t token,
			     const struct endpoint *endpoint);
void node_send_cookie(struct node *node, uint64_t token,
		      const uint8_t *message, size_t len);

/* node_peer.c */
struct node_peer *node_peer_at(const struct node *node,
			       const uint8_t address[16]);
void node_peers_free(struct node *node);

/* node_udp.c */
int node_udp_open(struct node *node);
void node_udp_close(struct node *node);
/* Where to put the next packet, PACKET_ROOM bytes; NULL: no socket. */
uint8_t *node_udp_reserve(struct node *node);
/* The packet written there is `len` bytes long and goes to `to`. */
void node_udp_commit(struct node *node, const struct endpoint *to, size_t len);
/* What is in the slab leaves; _flush also frees it. */
void node_udp_send(struct node *node);
void node_udp_flush(struct node *node);
/* One datagram by itself, before what is in the slab. 0 or why not. */
int node_udp_send_one(struct node *node, const struct endpoint *to,
		      const uint8_t *data, size_t len);

/* node_paths.c */
/* The socket, and what watches the network; without UDP it does nothing. */
void node_paths_begin(struct node *node);
void node_paths_end(struct node *node);
/* on_path for those whose way is new, from the task. */
void node_paths_tell(struct node *node);
void node_path_init(struct node_peer *peer);
void node_path_clear(struct node_peer *peer);
/* Peers are found by their disco key; 0 or ERR_NOMEM. */
int node_disco_link(struct node_peer *peer);
void node_disco_unlink(struct node_peer *peer);
/* A packet for the peer is about to leave. */
void node_path_want(struct node_peer *peer);
void node_path_data_in(struct node_peer *peer, const struct endpoint *from);
void node_path_set(struct node_peer *peer, const struct endpoint *endpoints,
		   size_t count, bool is_new);
/* One disco packet from an endpoint. */
void node_path_disco_in(struct node *node, const struct endpoint *from,
			const uint8_t *data, size_t len);
void node_path_disco_relayed(struct node_peer *peer,
			     const struct disco_message *message);
void node_path_call(struct node_peer *peer);
/* The own endpoints are others: the peers and the coordinator must hear. */
void node_paths_own_changed(struct node *node);
void node_path_refused(struct node *node, const struct endpoint *to, int err);
/* A round of the survey has ended. */
void node_survey_done(struct node *node);

/* node_survey.c */
int node_survey_begin(struct node *node);
void node_survey_end(struct node *node);
/* The DERP map or the network is another: names, then a round. */
int node_survey_anew(struct node *node);
/* Packets flow again: a round, if the last one is old. */
void node_survey_wanted(struct node *node);
void node_survey_in(struct node *node, const uint8_t *data, size_t len);
/* Looks at the own addresses; true: they have changed. */
bool node_endpoints_refresh(struct node *node);

/* node_send.c */
void node_wait_for_room(struct node_peer *peer);
/* After each packet in: lets acknowledgements out while a batch comes in. */
void node_took_packet(struct node *node, bool directly);
/* A handshake message or keepalive; the former is kept, to be sent again. */
void node_send_message(struct node_peer *peer, const uint8_t *message,
		       size_t len, bool keep);
/* What was held leaves, as far as session and relay allow. */
void node_release_held(struct node_peer *peer);
/* The same for all peers that wait for room. */
void node_serve_waiting(struct node *node);
/* Pulls packets while there is room; true: there may be more. */
bool node_send_packets(struct node *node);
bool node_gate(void *user, const uint8_t dst[NS_ADDRESS_LEN]);

/* node_ping.c */
void node_on_tsmp(void *user, const uint8_t src[16], const uint8_t dst[16],
		  const uint8_t *payload, size_t len);
uint64_t node_pings_deadline(const struct node *node);
void node_pings_tick(struct node *node);
void node_pings_free(struct node *node);

#endif
