/* Shared by the files of core/tailnet/path/survey.h. */
#ifndef TUNNELHOST_TAILNET_PATH_SURVEY_PRIVATE_H
#define TUNNELHOST_TAILNET_PATH_SURVEY_PRIVATE_H

#include "core/tailnet/path/survey.h"

#define SURVEY_TRIES 3
#define SURVEY_KEEP_US (300 * US_PER_S)	/* a latency counts for the home */

struct probe {
	struct endpoint to;
	uint8_t txid[SURVEY_TRIES][SURVEY_TXID_LEN];
	uint64_t sent_us[SURVEY_TRIES];
	unsigned tries;
	bool answered;
	bool given_up;		/* for this round */
	bool wanted;		/* there is such an address */
	bool fixed;		/* the map names it */
};

struct target {
	char host[DERP_MAP_HOST_CAP];
	uint16_t port;
	size_t region;		/* its index */
	bool allowed[SURVEY_FAMILY_COUNT];
	bool looked_up;
	struct probe probes[SURVEY_FAMILY_COUNT];
};

struct region {
	struct survey_region now;	/* this round, or the last */
	uint64_t before_us[SURVEY_FAMILY_COUNT];	/* the one before */
	bool avoid;
	uint64_t best_us;		/* of SURVEY_KEEP_US */
	uint64_t best_at_us;
	uint64_t last_us;		/* of the last round that it answered */
};

struct survey {
	struct rng *rng;
	struct target *targets;
	size_t target_count;
	struct region *regions;
	size_t region_count;
	uint64_t ends_us;		/* DEADLINE_NONE: no round */
	struct endpoint first_mapped;
	struct endpoint first_server;
	bool has_first;
	struct survey_report report;
	struct survey_report before;	/* the last round that ended */
};

/* NULL: the map does not have it. */
const struct region *survey_find_region(const struct survey *survey,
					int64_t id);

static inline enum survey_family survey_family_of(const struct endpoint *of)
{
	return endpoint_is_ipv4(of) ? SURVEY_IPV4 : SURVEY_IPV6;
}

#endif
