/*
 * core/tailnet/coordinate/coordinator.h: who shares a tunnel with whom.
 *
 * The embedded deployment's coordinator: peers join, announce nodes, open
 * tunnels, and hear of those they share a tunnel with. The rules are those of
 * tests/interop/coordinator.go (there: coder's tailnet/coordinator.go,
 * peer.go, tunnel.go): a client may open a tunnel to its one agent, addresses
 * are /128, clients send no ready_for_handshake, and nobody is told twice
 * what he was told last.
 *
 * Deliveries are queued per peer (at most COORDINATOR_QUEUE_CAP, then the
 * peer is thrown out) and made before the outermost call returns. From
 * inside a delivery any function may be called but coordinator_free().
 */
#ifndef TUNNELHOST_COORDINATE_COORDINATOR_H
#define TUNNELHOST_COORDINATE_COORDINATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/id.h"
#include "core/base/rng.h"
#include "core/tailnet/coordinate/node.h"

#define COORDINATOR_QUEUE_CAP 512
#define COORDINATOR_TUNNEL_CAP 256	/* tunnels that one peer may open */

struct coordinator;
struct coordinator_peer;

struct coordinator_events {
	/*
	 * An encoded CoordinateResponse. Not 0: the peer cannot take it and is
	 * thrown out. `now_us` is that of the call that caused it.
	 */
	int (*deliver)(void *user, const void *data, size_t len,
		       uint64_t now_us);
	/* Nothing more comes; the peer pointer is dead. */
	void (*hang_up)(void *user, uint64_t now_us);
};

struct coordinator_stats {
	uint64_t update_self;
	uint64_t add_tunnel;
	uint64_t ready_for_handshake;
	uint64_t disconnect;
	size_t clients;
	size_t agents;
};

/* 0 or ERR_NOMEM. */
int coordinator_new(struct rng *rng, struct coordinator **out);
/* After all peers have left; hangs up on those that have not. */
void coordinator_free(struct coordinator *coordinator);

/*
 * A peer joins; one of the same id is hung up on, its tunnels stay. An agent
 * may open no tunnel; a client only to `allowed` unless that is nil. 0 or
 * ERR_NOMEM; `*out` lives until hang_up or coordinator_leave().
 */
int coordinator_join(struct coordinator *coordinator, const struct uuid *id,
		     bool agent, const struct uuid *allowed,
		     const struct coordinator_events *events, void *user,
		     uint64_t now_us, struct coordinator_peer **out);
/* The peer's socket is gone: the others hear LOST. No hang_up. */
void coordinator_leave(struct coordinator_peer *peer, uint64_t now_us);
/*
 * An encoded CoordinateRequest. 0, or the error for which the peer is being
 * hung up on (ERR_DENIED, ERR_PROTOCOL, ERR_TOO_LARGE, ERR_NOMEM).
 */
int coordinator_request(struct coordinator_peer *peer, const void *data,
			size_t len, uint64_t now_us);

/* For agents in the process: the same requests without protobuf. */
int coordinator_set_node(struct coordinator_peer *peer,
			 const struct coord_node *node, uint64_t now_us);
int coordinator_ready(struct coordinator_peer *peer, const struct uuid *to,
		      uint64_t now_us);
void coordinator_disconnect(struct coordinator_peer *peer, uint64_t now_us);

/* A simulated fault: READY_FOR_HANDSHAKE is swallowed. */
void coordinator_mute_ready(struct coordinator *coordinator, bool mute);
void coordinator_stats(const struct coordinator *coordinator,
		       struct coordinator_stats *out);

#endif
