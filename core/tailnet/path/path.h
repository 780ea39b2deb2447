/*
 * core/tailnet/path/path.h: which way one peer's packets go.
 *
 * A `struct path` belongs to one peer. It holds the places where the peer may
 * be reached outside the relay, says which of them to ping and when to send
 * call-me-maybe, learns from pongs, and names the best place while it can be
 * trusted. It does no I/O, knows no disco bytes and no relays: "no best
 * place" means the relay. Times are monotonic microseconds handed in.
 *
 * Model and figures: tailscale.com wgengine/magicsock/endpoint.go (heartbeat
 * 3 s, trust 6.5 s after a pong, ping time-out 5 s, full discovery every 60 s,
 * idle after 45 s, the points of betterAddr). Differences, none of which
 * shows on the wire but as pings:
 * - A heartbeat without an answer is repeated every 500 ms (or two round
 *   trips), so that lost pings do not cost a good path; and when packets are
 *   sent, but nothing at all has come from the best place for 2.5 s in spite
 *   of two pings, the relay takes over at once instead of after 6.5 s.
 * - Without trust packets go by the relay alone, not both ways.
 * - Latencies are smoothed and a place must be better by 5 points, so that
 *   jitter makes no path flap.
 * - A peer that is heard from a place, or calls, is pinged at once: its side
 *   is open now.
 * - What a remote can provoke is bounded: PATH_CANDIDATE_CAP places (those
 *   that never answered make room), pings by a bucket of 64 that fills with
 *   16 a second, call-me-maybe to 4 a second.
 *
 * A peer to which nothing is sent costs nothing: no deadline, no candidates
 * allocated before the first is named.
 */
#ifndef TUNNELHOST_TAILNET_PATH_PATH_H
#define TUNNELHOST_TAILNET_PATH_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/endpoint.h"
#include "core/base/rng.h"
#include "core/base/time.h"

#define PATH_TXID_LEN 12	/* of a disco ping */
#define PATH_CANDIDATE_CAP 32
#define PATH_NEVER UINT64_MAX	/* the time or latency of what has not been */

/* Where a candidate is known from; one may have several. */
enum path_source {
	PATH_FROM_NODE = 1,	/* the peer's Node */
	PATH_FROM_CALL = 2,	/* its call-me-maybe */
	PATH_FROM_PACKET = 4,	/* it was heard from there */
};

struct path_candidate;

struct path {
	struct rng *rng;
	struct path_candidate *candidates;	/* owned */
	size_t count;
	size_t capacity;
	struct endpoint best;		/* valid until trusted_until_us */
	uint64_t best_latency_us;
	uint64_t trusted_until_us;	/* 0: there is none */
	uint64_t wanted_us;		/* when a packet was sent last */
	uint64_t heard_us;		/* when `best` was heard last */
	uint64_t discovery_us;		/* when all were pinged last */
	uint64_t heartbeat_us;		/* the next one */
	uint64_t active_since_us;
	uint64_t bucket_us;		/* when ping_bucket was filled last */
	uint64_t call_us;		/* the next call-me-maybe, at most */
	unsigned ping_bucket;
	unsigned unanswered;		/* pings to `best`, since it was heard */
	unsigned deaf;			/* likewise, since a pong */
	bool active;			/* packets are sent these days */
	bool call_due;
	bool ping_due;			/* some candidate has ping_at_us */
	bool told_direct;		/* what path_change() said last */
	struct endpoint told;
};

/* `rng` is borrowed until path_clear(). */
void path_init(struct path *path, struct rng *rng);
void path_clear(struct path *path);

/* --- per packet: no more than a few instructions -------------------- */

void path_start(struct path *path, uint64_t now_us);

/* A packet is being sent to the peer, by whatever way. */
static inline void path_want(struct path *path, uint64_t now_us)
{
	path->wanted_us = now_us;
	if (!path->active)
		path_start(path, now_us);
}

/* Where it goes; NULL: by the relay. Valid until the next call here. */
static inline const struct endpoint *path_best(const struct path *path,
					       uint64_t now_us)
{
	return now_us < path->trusted_until_us ? &path->best : NULL;
}

void path_heard_elsewhere(struct path *path, const struct endpoint *from,
			  uint64_t now_us);

/*
 * Authenticated data of the peer came from there; it may be a new place, or
 * one that works again: pull path_out() when `ping_due` is set.
 */
static inline void path_data_in(struct path *path, const struct endpoint *from,
				uint64_t now_us)
{
	if (now_us < path->trusted_until_us &&
	    endpoint_equal(from, &path->best))
		path->heard_us = now_us;
	else
		path_heard_elsewhere(path, from, now_us);
}

/* --- what is learnt ------------------------------------------------- */

/*
 * The peer's Node names these; those that only a former Node named go. More
 * than there is room for are left out.
 */
void path_set_endpoints(struct path *path, const struct endpoint *endpoints,
			size_t count, uint64_t now_us);
/* The peer has pinged us from its side: ping all of these now. */
void path_call_me_maybe(struct path *path, const struct endpoint *endpoints,
			size_t count, uint64_t now_us);
/* An authenticated ping of the peer came from there, not by a relay. */
void path_ping_in(struct path *path, const struct endpoint *from,
		  uint64_t now_us);
/*
 * An authenticated pong that did not come by a relay. The latency, or
 * PATH_NEVER: no ping of ours that still counts. It need not come from where
 * the ping went (a machine with several addresses); the place pinged is the
 * one proven.
 */
uint64_t path_pong_in(struct path *path, const uint8_t txid[PATH_TXID_LEN],
		      uint64_t now_us);
/* Our own endpoints have changed: the peer has to hear of them. */
void path_own_changed(struct path *path, uint64_t now_us);
/*
 * Our network has changed, or the peer is not where it was (restarted, gone
 * from its relay): nothing is trusted, all is tried anew.
 */
void path_rebind(struct path *path, uint64_t now_us);
/* Our system refused to send there (no route): not the best any more. */
void path_unreachable(struct path *path, const struct endpoint *to,
		      uint64_t now_us);

/* --- what is to be done --------------------------------------------- */

enum path_action {
	PATH_NOTHING,
	PATH_PING,		/* a padded disco ping to `to` with `txid` */
	PATH_CALL_ME_MAYBE,	/* by the relay, with our endpoints */
};

struct path_out {
	struct endpoint to;
	uint8_t txid[PATH_TXID_LEN];
};

/* Pull until PATH_NOTHING after path_tick() and after what is learnt. */
enum path_action path_out(struct path *path, uint64_t now_us,
			  struct path_out *out);
uint64_t path_next_deadline(const struct path *path);
void path_tick(struct path *path, uint64_t now_us);

/*
 * True once for each change of the way that packets go: *direct is where, or
 * NULL for the relay. Ask after path_tick() and path_pong_in().
 */
bool path_changed(struct path *path, uint64_t now_us,
		  const struct endpoint **direct);

/* --- for people ------------------------------------------------------ */

struct path_candidate_info {
	struct endpoint endpoint;
	unsigned sources;		/* of enum path_source */
	uint64_t latency_us;		/* PATH_NEVER */
	uint64_t pong_us;		/* PATH_NEVER */
	bool best;			/* and trusted */
};
/* False beyond the last. */
bool path_candidate_info(const struct path *path, size_t index,
			 uint64_t now_us, struct path_candidate_info *out);

#endif
