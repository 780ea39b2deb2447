/*
 * Theory of operation. While packets are sent (path_want) the path is active
 * and has a heartbeat. Without a trusted best place, all candidates are
 * pinged every few seconds; with one, only that, and all of them once a
 * minute. Any pong may make its candidate the best. A ping is asked for by
 * setting the candidate's `ping_at_us`, and leaves in path_out(), where the
 * bucket bounds how many.
 */
#include "core/tailnet/path/path_private.h"

#include <stdlib.h>
#include <string.h>

#define HEARTBEAT_US (3 * US_PER_S)
#define RETRY_US (500 * US_PER_MS)	/* a heartbeat without an answer */
#define RETRY_LONGEST_US (2 * US_PER_S)
#define TRUST_US (6500 * US_PER_MS)
#define SILENCE_US (2500 * US_PER_MS)
#define SILENCE_PINGS 2
#define DEAF_PINGS 5	/* unanswered, although the peer is heard */
#define BUSY_US US_PER_S		/* sent to that lately: beats are quicker */
#define BUSY_BEAT_US US_PER_S
#define IDLE_US (45 * US_PER_S)
#define DISCOVERY_US (5 * US_PER_S)
#define DISCOVERY_LATER_US (15 * US_PER_S)
#define EAGER_US (60 * US_PER_S)	/* then discovery slows down */
#define UPGRADE_US (60 * US_PER_S)
#define GOOD_ENOUGH_US (5 * US_PER_MS)
#define PING_PAUSE_US (100 * US_PER_MS)	/* to one candidate */
#define DATA_PAUSE_US (500 * US_PER_MS)	/* the same, if data asks for it */
#define CALL_PAUSE_US (250 * US_PER_MS)
#define BUCKET 64
#define BUCKET_FILL_US (US_PER_S / 16)

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

/* --- asking for pings ------------------------------------------------ */

/* Not before the last one has had its pause. */
static void ask_ping_after(struct path *path, struct path_candidate *candidate,
			   uint64_t pause_us, uint64_t now_us)
{
	uint64_t at = now_us;

	if (candidate->pinged_us != PATH_NEVER &&
	    candidate->pinged_us + pause_us > now_us)
		at = candidate->pinged_us + pause_us;
	candidate->ping_at_us = deadline_min(candidate->ping_at_us, at);
	path->ping_due = true;
}

static void ask_ping(struct path *path, struct path_candidate *candidate,
		     uint64_t now_us)
{
	ask_ping_after(path, candidate, PING_PAUSE_US, now_us);
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
	path_drop_stale(path, now_us);
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

void path_set_endpoints(struct path *path, const struct endpoint *endpoints,
			size_t count, uint64_t now_us)
{
	size_t before = path->count;

	path_replace(path, endpoints, count, PATH_FROM_NODE, now_us);
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
	path_replace(path, endpoints, count, PATH_FROM_CALL, now_us);
	ask_all(path, now_us);
}

static void heard(struct path *path, const struct endpoint *from,
		  uint64_t pause_us, uint64_t now_us)
{
	struct path_candidate *candidate = path_find(path, from);

	if (candidate && now_us < path->trusted_until_us)
		return;
	candidate = path_add(path, from, PATH_FROM_PACKET, now_us);
	if (candidate)
		ask_ping_after(path, candidate, pause_us, now_us);
}

void path_heard_elsewhere(struct path *path, const struct endpoint *from,
			  uint64_t now_us)
{
	heard(path, from, DATA_PAUSE_US, now_us);
}

void path_ping_in(struct path *path, const struct endpoint *from,
		  uint64_t now_us)
{
	if (now_us < path->trusted_until_us &&
	    endpoint_equal(from, &path->best))
		path->heard_us = now_us;
	else
		heard(path, from, PING_PAUSE_US, now_us);
}

static struct path_ping *find_ping(struct path *path,
				   const uint8_t txid[PATH_TXID_LEN],
				   struct path_candidate **owner)
{
	for (size_t i = 0; i < path->count; i++) {
		struct path_candidate *candidate = &path->candidates[i];

		for (size_t k = 0; k < PATH_PINGS_KEPT; k++) {
			struct path_ping *ping = &candidate->pings[k];

			if (ping->sent_us == PATH_NEVER ||
			    memcmp(ping->txid, txid, PATH_TXID_LEN) != 0)
				continue;
			*owner = candidate;
			return ping;
		}
	}
	return NULL;
}

static void use(struct path *path, const struct path_candidate *candidate,
		uint64_t now_us)
{
	path->best = candidate->endpoint;
	path->best_latency_us = candidate->latency_us;
	path->trusted_until_us = now_us + TRUST_US;
	path->heard_us = now_us;
	path->heartbeat_us = now_us + HEARTBEAT_US;
	path->unanswered = 0;
	path->deaf = 0;
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
	struct path_ping *ping = find_ping(path, txid, &candidate);
	uint64_t latency_us;

	if (!ping || now_us - ping->sent_us > PATH_PING_TIMEOUT_US)
		return PATH_NEVER;
	latency_us = now_us - ping->sent_us;
	ping->sent_us = PATH_NEVER;
	candidate->pong_us = now_us;
	smooth(&candidate->latency_us, latency_us);
	if (now_us >= path->trusted_until_us ||
	    endpoint_equal(&candidate->endpoint, &path->best) ||
	    path_is_better(candidate, &path->best, path->best_latency_us))
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
	path->unanswered = 0;
	path->deaf = 0;
	for (size_t i = 0; i < path->count; i++) {
		path->candidates[i].pinged_us = PATH_NEVER;
		path->candidates[i].latency_us = PATH_NEVER;
		path->candidates[i].pong_us = PATH_NEVER;
		for (size_t k = 0; k < PATH_PINGS_KEPT; k++)
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

static void lose_trust(struct path *path, uint64_t now_us)
{
	path->trusted_until_us = 0;
	path->best_latency_us = PATH_NEVER;
	path->unanswered = 0;
	path->deaf = 0;
	path->active_since_us = now_us;
	if (path->active)
		discover(path, now_us);
}

void path_unreachable(struct path *path, const struct endpoint *to,
		      uint64_t now_us)
{
	if (now_us < path->trusted_until_us && endpoint_equal(to, &path->best))
		lose_trust(path, now_us);
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
	struct path_ping *ping =
		&candidate->pings[candidate->next_ping++ % PATH_PINGS_KEPT];

	if (path_is_current(path, candidate, now_us)) {
		if (path->heard_us > candidate->pinged_us)
			path->unanswered = 0;
		path->unanswered++;
		path->deaf++;
	}
	rng_bytes(path->rng, ping->txid, sizeof(ping->txid));
	ping->sent_us = now_us;
	candidate->pinged_us = now_us;
	candidate->ping_at_us = PATH_NEVER;
	out->to = candidate->endpoint;
	memcpy(out->txid, ping->txid, sizeof(out->txid));
}

/* The best has precedence; then who has waited longest, or always. */
static bool goes_first(const struct path *path, const struct path_candidate *a,
		       const struct path_candidate *b, uint64_t now_us)
{
	if (path_is_current(path, a, now_us))
		return true;
	if (path_is_current(path, b, now_us))
		return false;
	if (a->pinged_us == PATH_NEVER || b->pinged_us == PATH_NEVER)
		return b->pinged_us != PATH_NEVER;
	return a->pinged_us < b->pinged_us;
}

static struct path_candidate *next_to_ping(struct path *path, uint64_t now_us)
{
	struct path_candidate *first = NULL;

	path->ping_due = false;
	for (size_t i = 0; i < path->count; i++) {
		struct path_candidate *at = &path->candidates[i];

		if (at->ping_at_us == PATH_NEVER)
			continue;
		path->ping_due = true;
		if (at->ping_at_us <= now_us &&
		    (!first || goes_first(path, at, first, now_us)))
			first = at;
	}
	return first;
}

/* The bucket is empty: all wait for its next drop. */
static void put_off(struct path *path, uint64_t now_us)
{
	for (size_t i = 0; i < path->count; i++)
		if (path->candidates[i].ping_at_us <= now_us)
			path->candidates[i].ping_at_us =
				now_us + BUCKET_FILL_US;
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
		put_off(path, now_us);
	if (!path->call_due || now_us < path->call_us)
		return PATH_NOTHING;
	path->call_due = false;
	path->call_us = now_us + CALL_PAUSE_US;
	return PATH_CALL_ME_MAYBE;
}

/* How long a ping to the best is waited for before the next one. */
static uint64_t retry_us(const struct path *path)
{
	if (path->best_latency_us <= RETRY_US / 2)
		return RETRY_US;
	return path->best_latency_us >= RETRY_LONGEST_US / 2 ?
		       RETRY_LONGEST_US :
		       2 * path->best_latency_us;
}

/*
 * When trust ends, if nothing changes until then. Silence counts when there
 * was something to be answered. A peer that is heard and does not answer
 * hears nothing of us: the agent's TCP gives a connection up after some 6 s
 * without an ACK, so that is no longer waited for.
 */
static uint64_t trust_deadline(const struct path *path)
{
	const struct path_candidate *best = path_find(path, &path->best);
	uint64_t silent_us = path->heard_us + SILENCE_US;

	if (best && path->deaf >= DEAF_PINGS)
		return deadline_min(best->pinged_us + retry_us(path),
				    path->trusted_until_us);
	if (path->unanswered < SILENCE_PINGS ||
	    path->wanted_us <= path->heard_us)
		return path->trusted_until_us;
	if (best && silent_us < best->pinged_us + retry_us(path))
		silent_us = best->pinged_us + retry_us(path);
	return deadline_min(silent_us, path->trusted_until_us);
}

uint64_t path_next_deadline(const struct path *path)
{
	uint64_t deadline = path->active ? path->heartbeat_us : DEADLINE_NONE;

	if (path->trusted_until_us && path->active)
		deadline = deadline_min(deadline, trust_deadline(path));
	if (path->call_due)
		deadline = deadline_min(deadline, path->call_us);
	for (size_t i = 0; path->ping_due && i < path->count; i++)
		deadline = deadline_min(deadline,
					path->candidates[i].ping_at_us);
	return deadline;
}

static uint64_t discovery_pause(const struct path *path, uint64_t now_us)
{
	return now_us - path->active_since_us < EAGER_US ? DISCOVERY_US :
							   DISCOVERY_LATER_US;
}

/* Pings the best; sooner again if the last ping was not answered. */
static void beat_best(struct path *path, uint64_t now_us)
{
	struct path_candidate *best = path_find(path, &path->best);

	if (!best) {
		lose_trust(path, now_us);
		return;
	}
	ask_ping(path, best, now_us);
	path->heartbeat_us = now_us + retry_us(path);
}

static uint64_t beat_us(const struct path *path, uint64_t now_us)
{
	return path->wanted_us + BUSY_US > now_us ? BUSY_BEAT_US :
						    HEARTBEAT_US;
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
	best = path_find(path, &path->best);
	if (best && best->pong_us != PATH_NEVER &&
	    best->pong_us + beat_us(path, now_us) > now_us &&
	    (best->pinged_us == PATH_NEVER ||
	     best->pinged_us <= best->pong_us))
		path->heartbeat_us = best->pong_us + beat_us(path, now_us);
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
		.best = path_is_current(path, candidate, now_us),
	};
	return true;
}
