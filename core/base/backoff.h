/*
 * core/base/backoff.h: how long to wait before trying again.
 *
 * Doubles from `first_us` to `most_us` (which may change between calls), each
 * time with jitter between half and the whole, so that many who lost the
 * same server do not come back at once.
 */
#ifndef TUNNELHOST_BASE_BACKOFF_H
#define TUNNELHOST_BASE_BACKOFF_H

#include <stdint.h>

#include "core/base/rng.h"
#include "core/base/time.h"

struct backoff {
	uint64_t first_us;
	uint64_t most_us;
	uint64_t next_us;	/* 0: at the beginning */
};

static inline uint64_t backoff_next(struct backoff *backoff, struct rng *rng)
{
	uint64_t whole = deadline_min(backoff->next_us ? backoff->next_us :
							 backoff->first_us,
				      backoff->most_us);
	uint64_t half = whole / 2;

	backoff->next_us = deadline_min(2 * whole, backoff->most_us);
	return half + rng_below(rng, (uint32_t)half + 1);
}

static inline void backoff_reset(struct backoff *backoff)
{
	backoff->next_us = 0;
}

#endif
