/*
 * core/tailnet/wireguard/rate.h: how many handshakes a host may cost us.
 *
 * Token buckets, 20 a second with a burst of 5, in a table of fixed size:
 * hosts that hash alike (SipHash under a random key) share a bucket, so that
 * the work and the memory of a flood have a bound. A host is the upper 48
 * bits of a place: who has many ports has no more. Internal to the room.
 */
#ifndef TUNNELHOST_TAILNET_WIREGUARD_RATE_H
#define TUNNELHOST_TAILNET_WIREGUARD_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/rng.h"

#define WG_RATE_BUCKETS 1024

struct wg_rate {
	uint8_t key[16];
	/* When the bucket will be full again: the whole state of a bucket. */
	uint64_t full_us[WG_RATE_BUCKETS];
};

void wg_rate_init(struct wg_rate *rate, struct rng *rng);
/* Whether one more from this place's host is allowed, which uses it up. */
bool wg_rate_allow(struct wg_rate *rate, uint64_t from, uint64_t now_us);

#endif
