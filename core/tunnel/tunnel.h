/*
 * core/tunnel/tunnel.h: the client's connection to one workspace agent.
 *
 * Joins a tailnet node (node.h) with its coordinate socket (control.h),
 * waits until the agent answers through the tunnel, as Coder's
 * AwaitReachable does (coder/coder tailnet/conn.go), and offers what runs
 * over it: TCP and UDP to the agent's ports, and pings. It does no I/O of its
 * own: loop and network are handed in.
 *
 * Life: tunnel_new(); then on_up, or on_end when it was not to be; later
 * on_end, once, because it was lost or because of tunnel_close(). Then
 * tunnel_free(), which is allowed at any time outside its callbacks.
 */
#ifndef TUNNELHOST_TUNNEL_TUNNEL_H
#define TUNNELHOST_TUNNEL_TUNNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/derp_map.h"
#include "core/base/id.h"
#include "core/base/log.h"
#include "core/base/loop.h"
#include "core/base/network.h"
#include "core/base/rng.h"
#include "core/base/stream.h"
#include "core/tunnel/node.h"

struct tunnel;

struct tunnel_events {
	void (*on_up)(void *user);
	/* NULL after tunnel_close(), else why. */
	void (*on_end)(void *user, const struct error *error);
	/* The path to the agent is another one; may be NULL. */
	void (*on_path)(void *user);
};

struct tunnel_config {
	struct loop *loop;
	struct network *network;
	struct rng *rng;
	struct log *log;
	const char *url;		/* the deployment's, no slash at its end */
	const struct http_header *headers;	/* borrowed until tunnel_free() */
	size_t header_count;
	struct uuid agent_id;
	const struct derp_map *derp_map;	/* embedded relays rewritten */
	bool force_websockets;
	bool no_direct;			/* by relays alone */
	uint64_t timeout_us;		/* until on_up; 0: 30 s */
	uint64_t rekey_after_us;	/* for tests; 0: 120 s */
	const struct tunnel_events *events;
	void *user;
};

/* Begins. 0, or what is wrong (then no callback). */
int tunnel_new(const struct tunnel_config *config, struct tunnel **out,
	       struct error *error);
/*
 * In order: TCP connections that were closed end, others are reset, the
 * coordinator hears Disconnect, then on_end(NULL). May take seconds on a
 * dead network; tunnel_free() cuts it short.
 */
void tunnel_close(struct tunnel *tunnel);
void tunnel_free(struct tunnel *tunnel);

/* The agent's address in the tailnet, as text. */
const char *tunnel_address(const struct tunnel *tunnel);

/* Exactly one of stream (owned by the callee) and error is not NULL. */
typedef void tunnel_dialed(void *user, struct stream *stream,
			   const struct error *error);
struct tunnel_dial;
/* Connects to a TCP port of the agent; `done` once, from the loop. */
int tunnel_dial(struct tunnel *tunnel, uint16_t port, uint64_t timeout_us,
		tunnel_dialed *done, void *user, struct tunnel_dial **out);
void tunnel_dial_cancel(struct tunnel_dial *dial);

typedef void tunnel_datagram(void *user, const uint8_t *data, size_t len);
struct tunnel_udp;
/* A UDP flow to one port of the agent. */
int tunnel_udp_open(struct tunnel *tunnel, uint16_t port,
		    tunnel_datagram *on_receive, void *user,
		    struct tunnel_udp **out);
int tunnel_udp_send(struct tunnel_udp *udp, const void *data, size_t len);
/* Before tunnel_free(). */
void tunnel_udp_close(struct tunnel_udp *udp);

struct tunnel_ping {
	uint64_t latency_us;
	bool direct;
	char endpoint[ENDPOINT_TEXT_CAP];	/* "" when not direct */
	int64_t derp_region;	/* of the agent's home relay */
	char derp_name[DERP_MAP_NAME_CAP];
};
typedef void tunnel_pinged(void *user, const struct tunnel_ping *ping,
			   const struct error *error);
/* One ping through the tunnel. `done` once, from the loop. */
int tunnel_ping(struct tunnel *tunnel, uint64_t timeout_us,
		tunnel_pinged *done, void *user);
/* The pings with this `user` say nothing any more. */
void tunnel_ping_forget(struct tunnel *tunnel, void *user);

/* Absolute times of the phases, 0: not yet. */
struct tunnel_timeline {
	uint64_t started_us;
	uint64_t coordinate_us;	/* the socket was up */
	uint64_t relay_us;	/* the home relay was up */
	uint64_t peer_us;	/* the agent's node was known and ready */
	uint64_t session_us;	/* the WireGuard handshake was done */
	uint64_t up_us;		/* the agent answered */
	uint64_t direct_us;	/* the first direct path */
};
const struct tunnel_timeline *tunnel_timeline(const struct tunnel *tunnel);

/* How the agent is reached now, and what went which way. */
struct tunnel_path {
	bool known;		/* the agent's node is */
	bool direct;
	char endpoint[ENDPOINT_TEXT_CAP];	/* "" when not direct */
	int64_t derp_region;
	char derp_name[DERP_MAP_NAME_CAP];
	uint64_t latency_us;	/* 0: not known */
	uint64_t direct_rx_bytes, direct_tx_bytes;
	uint64_t relay_rx_bytes, relay_tx_bytes;
	uint64_t last_handshake_us;	/* 0: never */
	uint64_t handshakes;
};
void tunnel_path(const struct tunnel *tunnel, struct tunnel_path *out);
/* A place where the agent may be reached directly. */
struct tunnel_candidate {
	struct endpoint endpoint;
	uint64_t latency_us;	/* 0: has not answered */
	bool used;
};
/* False beyond the last. */
bool tunnel_candidate(const struct tunnel *tunnel, size_t index,
		      struct tunnel_candidate *out);
/* The relays as last told; borrowed until the next turn. */
const struct derp_map *tunnel_derp_map(const struct tunnel *tunnel);
/* For netcheck and explain: the network as this tunnel's node sees it. */
void tunnel_report(const struct tunnel *tunnel, struct node_report *out);

#endif
