#include "tests/link/lane.h"

#include <string.h>

#include "core/base/time.h"

#define QUEUE_BYTES (1u << 20)

void lane_init(struct lane *lane, struct rng *rng)
{
	memset(lane, 0, sizeof(*lane));
	lane->rng = rng;
	lane->rules.queue_bytes = QUEUE_BYTES;
}

/* Draws only where there is a chance: a rule that is off moves no other's. */
static bool happens(struct lane *lane, uint32_t ppm)
{
	return ppm && rng_below(lane->rng, 1000000) < ppm;
}

/* When the packet has left the queue; false if the queue is full. */
static bool through_queue(struct lane *lane, size_t len, uint64_t now_us,
			  uint64_t *out)
{
	uint64_t rate = lane->rules.bits_per_s, waiting_us = 0;

	*out = now_us;
	if (!rate)
		return true;
	if (lane->free_at_us > now_us)
		waiting_us = lane->free_at_us - now_us;
	if (waiting_us * rate / (8 * US_PER_S) + len > lane->rules.queue_bytes)
		return false;
	*out = now_us + waiting_us + len * 8 * US_PER_S / rate;
	lane->free_at_us = *out;
	return true;
}

static uint64_t arrival(struct lane *lane, uint64_t sent_us)
{
	uint64_t at = sent_us + lane->rules.delay_us;

	if (lane->rules.jitter_us)
		at += rng_below(lane->rng, (uint32_t)lane->rules.jitter_us);
	if (happens(lane, lane->rules.reorder_ppm))
		return at + LANE_HELD_BACK_US;
	if (at < lane->last_us)
		at = lane->last_us;
	lane->last_us = at;
	return at;
}

struct lane_fate lane_pass(struct lane *lane, size_t len, uint64_t now_us)
{
	struct lane_fate fate = { 0 };
	uint64_t sent_us;

	if (!through_queue(lane, len, now_us, &sent_us)) {
		lane->overflowed++;
		return fate;
	}
	if (happens(lane, lane->rules.loss_ppm)) {
		lane->lost++;
		return fate;
	}
	lane->passed++;
	fate.copies = happens(lane, lane->rules.duplicate_ppm) ? 2 : 1;
	for (unsigned i = 0; i < fate.copies; i++)
		fate.at_us[i] = arrival(lane, sent_us);
	fate.corrupted = happens(lane, lane->rules.corrupt_ppm);
	return fate;
}
