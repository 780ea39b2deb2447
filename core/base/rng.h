/*
 * core/base/rng.h: the injected source of randomness.
 *
 * Protocol objects take a `struct rng *` and draw from nothing else, so that
 * a simulation with a seed repeats itself. rng_system() draws from the
 * kernel by libsodium; rng_seeded() is ChaCha20 under a key made of the seed
 * and is for tests and simulations alone.
 */
#ifndef TUNNELHOST_BASE_RNG_H
#define TUNNELHOST_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
	void (*bytes)(struct rng *rng, uint8_t *out, size_t len);
	uint64_t seed;
	uint64_t counter;
};

void rng_system(struct rng *rng);
void rng_seeded(struct rng *rng, uint64_t seed);

void rng_bytes(struct rng *rng, uint8_t *out, size_t len);
uint32_t rng_u32(struct rng *rng);
uint64_t rng_u64(struct rng *rng);
/* Uniform in [0, bound); bound 0 gives 0. */
uint32_t rng_below(struct rng *rng, uint32_t bound);

#endif
