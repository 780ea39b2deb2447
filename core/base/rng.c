#include "core/base/rng.h"

#include <sodium.h>
#include <string.h>

static void system_bytes(struct rng *rng, uint8_t *out, size_t len)
{
	(void)rng;
	randombytes_buf(out, len);
}

static void seeded_bytes(struct rng *rng, uint8_t *out, size_t len)
{
	uint8_t key[crypto_stream_chacha20_KEYBYTES] = { 0 };
	uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];

	memcpy(key, &rng->seed, sizeof(rng->seed));
	memcpy(nonce, &rng->counter, sizeof(nonce));
	rng->counter++;
	crypto_stream_chacha20(out, len, nonce, key);
}

void rng_system(struct rng *rng)
{
	*rng = (struct rng){ .bytes = system_bytes };
}

void rng_seeded(struct rng *rng, uint64_t seed)
{
	*rng = (struct rng){ .bytes = seeded_bytes, .seed = seed };
}

void rng_bytes(struct rng *rng, uint8_t *out, size_t len)
{
	rng->bytes(rng, out, len);
}

uint32_t rng_u32(struct rng *rng)
{
	uint32_t value;

	rng->bytes(rng, (uint8_t *)&value, sizeof(value));
	return value;
}

uint64_t rng_u64(struct rng *rng)
{
	uint64_t value;

	rng->bytes(rng, (uint8_t *)&value, sizeof(value));
	return value;
}

uint32_t rng_below(struct rng *rng, uint32_t bound)
{
	return (uint32_t)(((uint64_t)rng_u32(rng) * bound) >> 32);
}
