/* Shared by the files of core/tailnet/path/path.h: the candidates. */
#ifndef TUNNELHOST_TAILNET_PATH_PRIVATE_H
#define TUNNELHOST_TAILNET_PATH_PRIVATE_H

#include "core/tailnet/path/path.h"

#define PATH_PINGS_KEPT 6
#define PATH_PING_TIMEOUT_US (5 * US_PER_S)

struct path_ping {
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
	struct path_ping pings[PATH_PINGS_KEPT];
	unsigned next_ping;	/* the oldest, which is overwritten */
};

struct path_candidate *path_find(const struct path *path,
				 const struct endpoint *endpoint);
/* The best one, and trusted. */
bool path_is_current(const struct path *path,
		     const struct path_candidate *candidate, uint64_t now_us);
/* Known or new; NULL: useless, no room, no memory. Others may move. */
struct path_candidate *path_add(struct path *path,
				const struct endpoint *endpoint,
				enum path_source source, uint64_t now_us);
/* These are all that `source` names now. */
void path_replace(struct path *path, const struct endpoint *endpoints,
		  size_t count, enum path_source source, uint64_t now_us);
/* Places that were only heard of, and have not answered for long, go. */
void path_drop_stale(struct path *path, uint64_t now_us);
/* Clearly better than another with that latency. */
bool path_is_better(const struct path_candidate *candidate,
		    const struct endpoint *than, uint64_t than_latency_us);

#endif
