/*
 * core/tailnet/coordinate/coordinator_parts.h: inside of the coordinator.
 *
 * For coordinator.c (who is here, who was told what) and
 * coordinator_request.c (what a request changes) alone.
 *
 * A party is an id that somebody speaks of: a connected peer, one end of a
 * tunnel, or both. A tunnel belongs to its source and goes with it; its
 * destination may come and go. What an end was last told of the other is
 * kept in the tunnel.
 *
 * Nothing is delivered while the structures are being changed: responses go
 * into the peer's queue, and coordinator_settle() empties the queues at the
 * end of the outermost call.
 */
#ifndef TUNNELHOST_COORDINATE_COORDINATOR_PARTS_H
#define TUNNELHOST_COORDINATE_COORDINATOR_PARTS_H

#include "core/base/hash.h"
#include "core/base/list.h"
#include "core/tailnet/coordinate/coordinate.h"
#include "core/tailnet/coordinate/coordinator.h"
#include "core/tailnet/coordinate/response.h"

enum side {
	SIDE_SOURCE,
	SIDE_DESTINATION,
};

struct party {
	struct uuid id;
	struct coordinator_peer *peer;	/* NULL: not connected */
	struct list out;		/* tunnels from here */
	struct list in;			/* tunnels to here */
	bool pinned;			/* being walked: not to be freed */
};

struct tunnel {
	struct list out_link;
	struct list in_link;
	struct party *ends[2];
	struct shared_node *told[2];	/* [side]: what that side knows */
};

struct response {
	struct list link;
	size_t len;
	uint8_t data[];
};

struct coordinator_peer {
	struct list work_link;
	struct coordinator *coordinator;
	struct party *party;		/* NULL when gone */
	bool agent;
	bool failed;			/* cannot take more: to be removed */
	struct uuid allowed;
	const struct coordinator_events *events;
	void *user;
	struct shared_node *node;
	struct list queue;
	unsigned queued;
	unsigned tunnels;
};

struct coordinator {
	struct hash parties;
	struct list work;		/* peers with something in the queue */
	struct coordinator_peer *delivering;
	struct coordinator_stats stats;
	bool mute_ready;
	unsigned depth;
	uint64_t now_us;
};

struct party *coordinator_party_find(struct coordinator *c,
				     const struct uuid *id);
/* Makes it when there is none; NULL without memory. */
struct party *coordinator_party_get(struct coordinator *c,
				    const struct uuid *id);
/* Ends it when nobody speaks of it any more. */
void coordinator_party_put(struct coordinator *c, struct party *party);

struct tunnel *coordinator_tunnel_find(const struct party *from,
				       const struct party *to);
struct tunnel *coordinator_tunnel_new(struct party *from, struct party *to);
/* The source's party is left to the caller. */
void coordinator_tunnel_free(struct coordinator *c, struct tunnel *tunnel);

void coordinator_tell_update(struct coordinator_peer *to,
			     const struct uuid *about,
			     const struct shared_node *node,
			     enum coordinate_kind kind, const char *reason);
void coordinator_tell_error(struct coordinator_peer *to, const char *text);
/* Tells one end of a tunnel of the other, unless it knows. */
void coordinator_tell_node(struct tunnel *tunnel, enum side side,
			   const char *reason);
/* Only if it had been told of the other. */
void coordinator_tell_gone(struct tunnel *tunnel, enum side side,
			   enum coordinate_kind kind, const char *reason);

/* Tells the others, takes its tunnels away; hang_up comes from settle. */
void coordinator_remove(struct coordinator_peer *peer,
			enum coordinate_kind kind, const char *reason);

/* Around every public call: the outermost settle delivers. */
void coordinator_enter(struct coordinator *c, uint64_t now_us);
void coordinator_settle(struct coordinator *c);

#endif
