#include "core/tailnet/wireguard/rate.h"

#include <sodium.h>
#include <string.h>

#include "core/base/cursor.h"
#include "core/tailnet/wireguard/messages.h"

void wg_rate_init(struct wg_rate *rate, struct rng *rng)
{
	memset(rate, 0, sizeof(*rate));
	rng_bytes(rng, rate->key, sizeof(rate->key));
}

static uint64_t *bucket_of(struct wg_rate *rate, uint64_t from)
{
	uint8_t host[8];
	uint8_t digest[crypto_shorthash_BYTES];

	le_store(host, from >> WG_PLACE_PORT_BITS, sizeof(host));
	crypto_shorthash(digest, host, sizeof(host), rate->key);
	return &rate->full_us[le_load(digest, 8) % WG_RATE_BUCKETS];
}

bool wg_rate_allow(struct wg_rate *rate, uint64_t from, uint64_t now_us)
{
	uint64_t *full_us = bucket_of(rate, from);
	uint64_t start = *full_us > now_us ? *full_us : now_us;

	if (start - now_us > (WG_RATE_BURST - 1) * WG_RATE_INTERVAL)
		return false;
	*full_us = start + WG_RATE_INTERVAL;
	return true;
}
