/*
 * Theory of operation. While packets are sent (path_want) the path is active
 * and has a heartbeat. Without a trusted best place, all candidates are
 * pinged every few seconds; with one, only that, and all of them once a
 * minute. Any pong may make its candidate the best. A ping is asked for by
 * setting the candidate's `ping_at_us`, and leaves in path_out(), where the
 * bucket bounds how many.
 */
#include "core/tailnet/path/path.h"

#include <stdlib.h>
#include <string.h>

#define HEARTBEAT_US (3 * US_PER_S)
#define RETRY_US US_PER_S		/* a heartbeat without an answer */
#define TRUST_US (6500 * US_PER_MS)
#define SILENCE_US (2500 * US_PER_MS)
#define IDLE_US (45 * US_PER_S)
#define PING_TIMEOUT_US (5 * US_PER_S)
#define DISCOVERY_US (5 * US_PER_S)
#define DISCOVERY_LATER_US (15 * US_PER_S)
#define EAGER_US (60 * US_PER_S)	/* then discovery slows down */
#define UPGRADE_US (60 * US_PER_S)
#define GOOD_ENOUGH_US (5 * US_PER_MS)
#define PING_PAUSE_US (500 * US_PER_MS)	/* to one candidate */
#define BUCKET 64
#define BUCKET_FILL_US (US_PER_S / 16)
#define PINGS_KEPT 6
#define FORGET_US (60 * US_PER_S)	/* heard once, never answered */

struct sent_ping {
	uint8_t txid[PATH_TXID_LEN];
	uint64_t sent_us;	/* PATH_NEVER: none, or answered */
};

struct path_candidate {
	struct endpoint endpoint;
	unsigned sources;
	uint64_t added_us;
	uint64_t ping_at_us;	/* PATH_NEVER: not asked for */
	uint64_t pinged_us;	/* PATH_NEVER */
	uint64_t pong_us;	/* PATH_NEVER */
	uint64_t latency_us;	/* smoothed; PATH_NEVER */
	struct sent_ping pings[PINGS_KEPT];
	unsigned next_ping;	/* the oldest, which is overwritten */
};

void path_init(struct path *path, struct rng *rng)
{
	*path = (struct path){
		.rng = rng,
		.best_latency_us = PATH_NEVER,
		.ping_bucket = BUCKET,
	};
}

void path_clear(struct path *path)
{
	free(path->candidates);
	path_init(path, path->rng);
}

/* --- candidates ------------------------------------------------------ */

static struct path_candidate *find(const struct path *path,
				   const struct endpoint *endpoint)
{
	for (size_t i = 0; i < path->count; i++)
		if (endpoint_equal(&path->candidates[i].endpoint, endpoint))
			return &path->candidates[i];
	return NULL;
}

static bool is_current(const struct path *path,
		       const struct path_candidate *candidate, uint64_t now_us)
{
	return now_us < path->trusted_until_us &&
	       endpoint_equal(&candidate->endpoint, &path->best);
}

/* A place that was only heard of and has never answered makes room. */
static bool is_stale(const struct path *path,
		     const struct path_candidate *candidate, uint64_t now_us)
{
	return !is_current(path, candidate, now_us) &&
	       !(candidate->sources & (PATH_FROM_NODE | PATH_FROM_CALL)) &&
	       (candidate->pong_us == PATH_NEVER ||
		candidate->pong_us + FORGET_US <= now_us) &&
	       candidate->added_us + PING_TIMEOUT_US <= now_us;
}

static void drop(struct path *path, size_t index)
{
	path->candidates[index] = path->candidates[--path->count];
}

static void drop_stale(struct path *path, uint64_t now_us)
{
	for (size_t i = path->count; i > 0; i--)
		if (is_stale(path, &path->candidates[i - 1], now_us))
			drop(path, i - 1);
}

static bool make_room(struct path *path, uint64_t now_us)
{
	struct path_candidate *larger;
	size_t capacity = path->capacity ? 2 * path->capacity : 4;

	if (path->count == PATH_CANDIDATE_CAP)
		drop_stale(path, now_us);
	if (path->count < path->capacity)
		return true;
	if (path->count == PATH_CANDIDATE_CAP)
		return false;
	larger = realloc(path->candidates, capacity * sizeof(*larger));
	if (!larger)
		return false;
	path->candidates = larger;
	path->capacity = capacity;
	return true;
}

/* Nobody can be reached there: no address, no port, a group. */
static bool is_unusable(const struct endpoint *endpoint)
{
	static const uint8_t zero[16];
	const uint8_t *address = endpoint->address;
	bool v4 = endpoint_is_ipv4(endpoint);

	if (endpoint->port == 0 || memcmp(address, zero, 16) == 0)
		return true;
	if (v4)
		return address[12] == 0 || address[12] >= 224;
	/* Multicast; and link-local, which lacks its interface. */
	return address[0] == 0xff ||
	       (address[0] == 0xfe && (address[1] & 0xc0) == 0x80);
}

static struct path_candidate *add(struct path *path,
				  const struct endpoint *endpoint,
				  enum path_source source, uint64_t now_us)
{
	struct path_candidate *candidate = find(path, endpoint);

	if (!candidate) {
		if (is_unusable(endpoint) || !make_room(path, now_us))
			return NULL;
		candidate = &path->candidates[path->count++];
		*candidate = (struct path_candidate){
			.endpoint = *endpoint,
			.added_us = now_us,
			.ping_at_us = PATH_NEVER,
			.pinged_us = PATH_NEVER,
			.pong_us = PATH_NEVER,
			.latency_us = PATH_NEVER,
		};
		for (size_t i = 0; i < PINGS_KEPT; i++)
			candidate->pings[i].sent_us = PATH_NEVER;
	}
	candidate->sources |= source;
	return candidate;
}

/* --- asking for pings ------------------------------------------------ */

/* Not before the last one has had its pause. */
static void ask_ping(struct path *path, struct path_candidate *candidate,
		     uint64_t now_us)
{
	uint64_t at = now_us;

	if (candidate->pinged_us != PATH_NEVER &&
	    candidate->pinged_us + PING_PAUSE_US > now_us)
		at = candidate->pinged_us + PING_PAUSE_US;
	candidate->ping_at_us = deadline_min(candidate->ping_at_us, at);
	path->ping_due = true;
}

static void ask_all(struct path *path, uint64_t now_us)
{
	path->discovery_us = now_us;
	for (size_t i = 0; i < path->count; i++)
		ask_ping(path, &path->candidates[i], now_us);
}

/* The peer has to open its side too, so it is told when we ping all. */
static void discover(struct path *path, uint64_t now_us)
{
	drop_stale(path, now_us);
	ask_all(path, now_us);
	path->call_due = true;
}

void path_start(struct path *path, uint64_t now_us)
{
	path->active = true;
	path->active_since_us = now_us;
	path->heartbeat_us = now_us;
	if (path->wanted_us == 0)
		path->wanted_us = now_us;
}

/* --- what is learnt ------------------------------------------------- */

static void replace(struct path *path, const struct endpoint *endpoints,
		    size_t count, enum path_source source, uint64_t now_us)
{
	for (size_t i = 0; i < path->count; i++)
		path->candidates[i].sources &= ~(unsigned)source;
	for (size_t i = 0; i < count; i++)
		(void)add(path, &endpoints[i], source, now_us);
	for (size_t i = path->count; i > 0; i--)
		if (!path->candidates[i - 1].sources &&
		    !is_current(path, &path->candidates[i - 1], now_us))
			drop(path, i - 1);
}

void path_set_endpoints(struct path *path, const struct endpoint *endpoints,
			size_t count, uint64_t now_us)
{
	size_t before = path->count;

	replace(path, endpoints, count, PATH_FROM_NODE, now_us);
	if (!path->active || now_us < path->trusted_until_us)
		return;
	for (size_t i = 0; i < path->count; i++)
		if (path->candidates[i].pinged_us == PATH_NEVER)
			ask_ping(path, &path->candidates[i], now_us);
	if (before == 0 && path->count)
		path->call_due = true;
}

void path_call_me_maybe(struct path *path, const struct endpoint *endpoints,
			size_t count, uint64_t now_us)
{
	replace(path, endpoints, count, PATH_FROM_CALL, now_us);
	ask_all(path, now_us);
}

void path_heard_elsewhere(struct path *path, const struct endpoint *from,
			  uint64_t now_us)
{
	struct path_candidate *candidate = find(path, from);

	if (candidate && (candidate->ping_at_us != PATH_NEVER ||
			  now_us < path->trusted_until_us))
		return;
	candidate = add(path, from, PATH_FROM_PACKET, now_us);
	if (candidate)
		ask_ping(path, candidate, now_us);
}

void path_ping_in(struct path *path, const struct endpoint *from,
		  uint64_t now_us)
{
	path_data_in(path, from, now_us);
}

static struct sent_ping *find_ping(struct path *path,
				   const uint8_t txid[PATH_TXID_LEN],
				   struct path_candidate **owner)
{
	for (size_t i = 0; i < path->count; i++) {
		struct path_candidate *candidate = &path->candidates[i];

		for (size_t k = 0; k < PINGS_KEPT; k++) {
			struct sent_ping *ping = &candidate->pings[k];

			if (ping->sent_us == PATH_NEVER ||
			    memcmp(ping->txid, txid, PATH_TXID_LEN) != 0)
				continue;
			*owner = candidate;
			return ping;
		}
	}
	return NULL;
}

static bool is_loopback(const struct endpoint *endpoint)
{
	static const uint8_t v6[16] = { [15] = 1 };

	return endpoint_is_ipv4(endpoint) ?
		       endpoint->address[12] == 127 :
		       memcmp(endpoint->address, v6, 16) == 0;
}

static bool is_private(const struct endpoint *endpoint)
{
	const uint8_t *v4 = endpoint->address + 12;

	if (!endpoint_is_ipv4(endpoint))
		return (endpoint->address[0] & 0xfe) == 0xfc;
	return v4[0] == 10 || (v4[0] == 172 && (v4[1] & 0xf0) == 16) ||
	       (v4[0] == 192 && v4[1] == 168);
}

/* Likely to be near, or cheap. */
static unsigned place_points(const struct endpoint *endpoint)
{
	unsigned points = endpoint_is_ipv4(endpoint) ? 0 : 10;

	if (is_loopback(endpoint))
		return points + 50;
	return is_private(endpoint) ? points + 20 : points;
}

/* How many per cent the first is faster than the second; 0 if it is not. */
static unsigned faster_points(uint64_t latency_us, uint64_t than_us)
{
	if (latency_us >= than_us)
		return 0;
	return (unsigned)(100 - latency_us * 100 / than_us);
}

static bool is_better(const struct path_candidate *candidate,
		      const struct endpoint *than, uint64_t than_latency_us)
{
	unsigned ours = place_points(&candidate->endpoint) +
			faster_points(candidate->latency_us, than_latency_us);
	unsigned theirs = place_points(than) +
			  faster_points(than_latency_us,
					candidate->latency_us);

	if (ours <= 1 && theirs == 0)
		return false;
	return ours > theirs;
}

static void use(struct path *path, const struct path_candidate *candidate,
		uint64_t now_us)
{
	path->best = candidate->endpoint;
	path->best_latency_us = candidate->latency_us;
	path->trusted_until_us = now_us + TRUST_US;
	path->heard_us = now_us;
}

static void smooth(uint64_t *latency_us, uint64_t sample_us)
{
	*latency_us = *latency_us == PATH_NEVER ?
			      sample_us :
			      *latency_us - *latency_us / 8 + sample_us / 8;
}

uint64_t path_pong_in(struct path *path, const uint8_t txid[PATH_TXID_LEN],
		      uint64_t now_us)
{
	struct path_candidate *candidate = NULL;
	struct sent_ping *ping = find_ping(path, txid, &candidate);
	uint64_t latency_us;

	if (!ping || now_us - ping->sent_us > PING_TIMEOUT_US)
		return PATH_NEVER;
	latency_us = now_us - ping->sent_us;
	ping->sent_us = PATH_NEVER;
	candidate->pong_us = now_us;
	smooth(&candidate->latency_us, latency_us);
	if (now_us >= path->trusted_until_us ||
	    endpoint_equal(&candidate->endpoint, &path->best) ||
	    is_better(candidate, &path->best, path->best_latency_us))
		use(path, candidate, now_us);
	return latency_us;
}

void path_own_changed(struct path *path, uint64_t now_us)
{
	if (path->active && now_us >= path->trusted_until_us)
		discover(path, now_us);
}

static void forget_answers(struct path *path)
{
	path->trusted_until_us = 0;
	path->best_latency_us = PATH_NEVER;
	for (size_t i = 0; i < path->count; i++) {
		path->candidates[i].latency_us = PATH_NEVER;
		path->candidates[i].pong_us = PATH_NEVER;
		for (size_t k = 0; k < PINGS_KEPT; k++)
			path->candidates[i].pings[k].sent_us = PATH_NEVER;
	}
}

void path_rebind(struct path *path, uint64_t now_us)
{
	forget_answers(path);
	path->active_since_us = now_us;
	if (path->active)
		discover(path, now_us);
}

void path_distrust(struct path *path, uint64_t now_us)
{
	path_rebind(path, now_us);
}

/* --- what is to be done --------------------------------------------- */

static bool take_from_bucket(struct path *path, uint64_t now_us)
{
	uint64_t fill = (now_us - path->bucket_us) / BUCKET_FILL_US;

	if (fill) {
		path->bucket_us += fill * BUCKET_FILL_US;
		path->ping_bucket = fill >= BUCKET - path->ping_bucket ?
					    BUCKET :
					    path->ping_bucket + (unsigned)fill;
	}
	if (!path->ping_bucket)
		return false;
	path->ping_bucket--;
	return true;
}

static void note_ping(struct path *path, struct path_candidate *candidate,
		      uint64_t now_us, struct path_out *out)
{
	struct sent_ping *ping =
		&candidate->pings[candidate->next_ping++ % PINGS_KEPT];

	rng_bytes(path->rng, ping->txid, sizeof(ping->txid));
	ping->sent_us = now_us;
	candidate->pinged_us = now_us;
	candidate->ping_at_us = PATH_NEVER;
	out->to = candidate->endpoint;
	memcpy(out->txid, ping->txid, sizeof(out->txid));
}

static struct path_candidate *next_to_ping(struct path *path, uint64_t now_us)
{
	path->ping_due = false;
	for (size_t i = 0; i < path->count; i++) {
		if (path->candidates[i].ping_at_us == PATH_NEVER)
			continue;
		path->ping_due = true;
		if (path->candidates[i].ping_at_us <= now_us)
			return &path->candidates[i];
	}
	return NULL;
}

enum path_action path_out(struct path *path, uint64_t now_us,
			  struct path_out *out)
{
	struct path_candidate *candidate =
		path->ping_due ? next_to_ping(path, now_us) : NULL;

	if (candidate && take_from_bucket(path, now_us)) {
		note_ping(path, candidate, now_us, out);
		return PATH_PING;
	}
	if (candidate)
		for (size_t i = 0; i < path->count; i++)
			if (path->candidates[i].ping_at_us <= now_us)
				path->candidates[i].ping_at_us =
					now_us + BUCKET_FILL_US;
	if (!path->call_due)
		return PATH_NOTHING;
	path->call_due = false;
	return PATH_CALL_ME_MAYBE;
}

/* When trust ends, if nothing is heard until then. */
static uint64_t trust_deadline(const struct path *path)
{
	const struct path_candidate *best = find(path, &path->best);
	uint64_t silent_us = path->heard_us + SILENCE_US;

	/* Silence counts only when a ping was there to be answered. */
	if (!best || best->pong_us == PATH_NEVER ||
	    best->pinged_us == PATH_NEVER ||
	    best->pinged_us <= path->heard_us)
		return path->trusted_until_us;
	if (silent_us < best->pinged_us + RETRY_US)
		silent_us = best->pinged_us + RETRY_US;
	return deadline_min(silent_us, path->trusted_until_us);
}

uint64_t path_next_deadline(const struct path *path)
{
	uint64_t deadline = path->active ? path->heartbeat_us : DEADLINE_NONE;

	if (path->trusted_until_us && path->active)
		deadline = deadline_min(deadline, trust_deadline(path));
	if (path->call_due)
		return 0;
	for (size_t i = 0; path->ping_due && i < path->count; i++)
		deadline = deadline_min(deadline,
					path->candidates[i].ping_at_us);
	return deadline;
}

static void lose_trust(struct path *path, uint64_t now_us)
{
	path->trusted_until_us = 0;
	path->best_latency_us = PATH_NEVER;
	path->active_since_us = now_us;
	discover(path, now_us);
}

static uint64_t discovery_pause(const struct path *path, uint64_t now_us)
{
	return now_us - path->active_since_us < EAGER_US ? DISCOVERY_US :
							   DISCOVERY_LATER_US;
}

/* Pings the best; sooner again if the last ping was not answered. */
static void beat_best(struct path *path, uint64_t now_us)
{
	struct path_candidate *best = find(path, &path->best);

	if (!best) {
		lose_trust(path, now_us);
		return;
	}
	ask_ping(path, best, now_us);
	path->heartbeat_us = now_us + RETRY_US;
}

static void beat(struct path *path, uint64_t now_us)
{
	const struct path_candidate *best;

	if (now_us >= path->trusted_until_us) {
		uint64_t pause = discovery_pause(path, now_us);

		if (path->discovery_us == 0 ||
		    path->discovery_us + pause <= now_us)
			discover(path, now_us);
		path->heartbeat_us = path->discovery_us + pause;
		return;
	}
	if (path->best_latency_us > GOOD_ENOUGH_US &&
	    path->discovery_us + UPGRADE_US <= now_us)
		discover(path, now_us);
	best = find(path, &path->best);
	if (best && best->pong_us != PATH_NEVER &&
	    best->pong_us + HEARTBEAT_US > now_us &&
	    (best->pinged_us == PATH_NEVER ||
	     best->pinged_us <= best->pong_us))
		path->heartbeat_us = best->pong_us + HEARTBEAT_US;
	else
		beat_best(path, now_us);
}

void path_tick(struct path *path, uint64_t now_us)
{
	if (!path->active)
		return;
	if (path->wanted_us + IDLE_US <= now_us) {
		path->active = false;
		path->trusted_until_us = deadline_min(path->trusted_until_us,
						      now_us);
		return;
	}
	if (path->trusted_until_us && trust_deadline(path) <= now_us)
		lose_trust(path, now_us);
	if (path->heartbeat_us <= now_us)
		beat(path, now_us);
}

bool path_changed(struct path *path, uint64_t now_us,
		  const struct endpoint **direct)
{
	const struct endpoint *best = path_best(path, now_us);

	if (best ? path->told_direct && endpoint_equal(best, &path->told) :
		   !path->told_direct)
		return false;
	path->told_direct = best != NULL;
	if (best)
		path->told = *best;
	*direct = best;
	return true;
}

bool path_candidate_info(const struct path *path, size_t index,
			 uint64_t now_us, struct path_candidate_info *out)
{
	const struct path_candidate *candidate;

	if (index >= path->count)
		return false;
	candidate = &path->candidates[index];
	*out = (struct path_candidate_info){
		.endpoint = candidate->endpoint,
		.sources = candidate->sources,
		.latency_us = candidate->latency_us,
		.pong_us = candidate->pong_us,
		.best = is_current(path, candidate, now_us),
	};
	return true;
}
