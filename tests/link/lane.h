/*
 * tests/link/lane.h: one direction of one side's line: delay, jitter, loss,
 * reordering, duplicates, corruption, a rate with a queue.
 *
 * Says when a packet comes out at the other end, how often, and whether
 * whole; it holds no packets and reads no clock. Packets stay in order unless
 * `reorder_ppm` draws one, which is held back for LANE_HELD_BACK_US more and
 * is overtaken by those behind it. Chances are in millionths.
 */
#ifndef TUNNELHOST_TESTS_LINK_LANE_H
#define TUNNELHOST_TESTS_LINK_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/rng.h"

#define LANE_HELD_BACK_US 3000

struct lane_rules {
	uint64_t delay_us;
	uint64_t jitter_us;	/* uniform, added to the delay */
	uint32_t loss_ppm;
	uint32_t reorder_ppm;
	uint32_t duplicate_ppm;
	uint32_t corrupt_ppm;
	uint64_t bits_per_s;	/* 0: no limit */
	uint64_t queue_bytes;	/* before the limit; the tail is dropped */
};

struct lane {
	struct lane_rules rules;
	struct rng *rng;
	uint64_t free_at_us;	/* when the last bit of the queue is sent */
	uint64_t last_us;	/* when the last packet in order comes out */
	uint64_t passed;
	uint64_t lost;
	uint64_t overflowed;
};

struct lane_fate {
	unsigned copies;	/* 0: lost; at most 2 */
	uint64_t at_us[2];
	bool corrupted;
};

void lane_init(struct lane *lane, struct rng *rng);
struct lane_fate lane_pass(struct lane *lane, size_t len, uint64_t now_us);

#endif
