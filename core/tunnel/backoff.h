/*
 * core/tunnel/backoff.h: how long to wait before the next dial.
 *
 * Doubles from `first` to `most`, each time with jitter between half and the
 * whole, so that many tunnels do not come back at once.
 */
#ifndef TUNNELHOST_TUNNEL_BACKOFF_H
#define TUNNELHOST_TUNNEL_BACKOFF_H

#include <stdint.h>

#include "core/base/rng.h"

struct backoff {
	uint64_t first_us;
	uint64_t most_us;
	uint64_t next_us;	/* 0: at the beginning */
};

static inline uint64_t backoff_next(struct backoff *backoff, struct rng *rng)
{
	uint64_t wait = backoff->next_us ? backoff->next_us :
					   backoff->first_us;

	backoff->next_us = 2 * wait < backoff->most_us ? 2 * wait :
							 backoff->most_us;
	return wait / 2 + rng_below(rng, (uint32_t)(wait / 2) + 1);
}

static inline void backoff_reset(struct backoff *backoff)
{
	backoff->next_us = 0;
}

#endif
