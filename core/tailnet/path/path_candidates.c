/* Where a peer may be reached, and which place is better than another. */
#include "core/tailnet/path/path_private.h"

#include <stdlib.h>
#include <string.h>

#define FORGET_US (60 * US_PER_S)	/* heard once, never answered */
#define BETTER_BY 5			/* points, against flapping */

struct path_candidate *path_find(const struct path *path,
				 const struct endpoint *endpoint)
{
	for (size_t i = 0; i < path->count; i++)
		if (endpoint_equal(&path->candidates[i].endpoint, endpoint))
			return &path->candidates[i];
	return NULL;
}

bool path_is_current(const struct path *path,
		     const struct path_candidate *candidate, uint64_t now_us)
{
	return now_us < path->trusted_until_us &&
	       endpoint_equal(&candidate->endpoint, &path->best);
}

/* A place that was only heard of and has never answered makes room. */
static bool is_stale(const struct path *path,
		     const struct path_candidate *candidate, uint64_t now_us)
{
	return !path_is_current(path, candidate, now_us) &&
	       !(candidate->sources & (PATH_FROM_NODE | PATH_FROM_CALL)) &&
	       (candidate->pong_us == PATH_NEVER ||
		candidate->pong_us + FORGET_US <= now_us) &&
	       candidate->added_us + PATH_PING_TIMEOUT_US <= now_us;
}

static void drop(struct path *path, size_t index)
{
	path->candidates[index] = path->candidates[--path->count];
}

void path_drop_stale(struct path *path, uint64_t now_us)
{
	for (size_t i = path->count; i > 0; i--)
		if (is_stale(path, &path->candidates[i - 1], now_us))
			drop(path, i - 1);
}

/* Tried in vain, it gives its place to one that is new. */
static void drop_silent(struct path *path, uint64_t now_us)
{
	for (size_t i = path->count; i > 0; i--) {
		const struct path_candidate *at = &path->candidates[i - 1];

		if (at->pong_us != PATH_NEVER || at->pinged_us == PATH_NEVER ||
		    at->added_us + PATH_PING_TIMEOUT_US > now_us)
			continue;
		drop(path, i - 1);
		return;
	}
}

static bool make_room(struct path *path, uint64_t now_us)
{
	struct path_candidate *larger;
	size_t capacity = path->capacity ? 2 * path->capacity : 4;

	if (path->count == PATH_CANDIDATE_CAP)
		path_drop_stale(path, now_us);
	if (path->count == PATH_CANDIDATE_CAP)
		drop_silent(path, now_us);
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

struct path_candidate *path_add(struct path *path,
				const struct endpoint *endpoint,
				enum path_source source, uint64_t now_us)
{
	struct path_candidate *candidate = path_find(path, endpoint);

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
		for (size_t i = 0; i < PATH_PINGS_KEPT; i++)
			candidate->pings[i].sent_us = PATH_NEVER;
	}
	candidate->sources |= source;
	return candidate;
}

void path_replace(struct path *path, const struct endpoint *endpoints,
		  size_t count, enum path_source source, uint64_t now_us)
{
	for (size_t i = 0; i < path->count; i++)
		path->candidates[i].sources &= ~(unsigned)source;
	for (size_t i = 0; i < count; i++)
		(void)path_add(path, &endpoints[i], source, now_us);
	for (size_t i = path->count; i > 0; i--)
		if (!path->candidates[i - 1].sources &&
		    !path_is_current(path, &path->candidates[i - 1], now_us))
			drop(path, i - 1);
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

bool path_is_better(const struct path_candidate *candidate,
		    const struct endpoint *than, uint64_t than_latency_us)
{
	unsigned ours = place_points(&candidate->endpoint) +
			faster_points(candidate->latency_us, than_latency_us);
	unsigned theirs = place_points(than) +
			  faster_points(than_latency_us,
					candidate->latency_us);

	return ours >= theirs + BETTER_BY;
}
