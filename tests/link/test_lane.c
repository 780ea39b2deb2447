#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/time.h"
#include "tests/link/lane.h"

#define SEED 7

static struct rng rng;
static struct lane lane;

static int setup(void **state)
{
	(void)state;
	rng_seeded(&rng, SEED);
	lane_init(&lane, &rng);
	return 0;
}

static void without_rules_at_once(void **state)
{
	struct lane_fate fate = lane_pass(&lane, 1500, 10);

	(void)state;
	assert_int_equal(fate.copies, 1);
	assert_int_equal(fate.at_us[0], 10);
	assert_false(fate.corrupted);
}

static void jitter_keeps_the_order(void **state)
{
	uint64_t last = 0;

	(void)state;
	lane.rules.delay_us = 10000;
	lane.rules.jitter_us = 5000;
	for (uint64_t now = 0; now < 1000; now++) {
		struct lane_fate fate = lane_pass(&lane, 100, now);

		assert_true(fate.at_us[0] >= last);
		assert_true(fate.at_us[0] >= now + 10000);
		assert_true(fate.at_us[0] < now + 15000);
		last = fate.at_us[0];
	}
}

static void chances_are_kept(void **state)
{
	unsigned lost = 0, twice = 0, corrupted = 0;

	(void)state;
	lane.rules.loss_ppm = 50000;
	lane.rules.duplicate_ppm = 100000;
	lane.rules.corrupt_ppm = 10000;
	for (int i = 0; i < 10000; i++) {
		struct lane_fate fate = lane_pass(&lane, 100, 0);

		lost += fate.copies == 0;
		twice += fate.copies == 2;
		corrupted += fate.corrupted;
	}
	assert_in_range(lost, 400, 600);
	assert_in_range(twice, 850, 1050);
	assert_in_range(corrupted, 60, 130);
	assert_int_equal(lane.lost, lost);
}

static void held_back_ones_are_overtaken(void **state)
{
	unsigned overtaken = 0;
	uint64_t highest = 0;

	(void)state;
	lane.rules.reorder_ppm = 100000;
	for (uint64_t now = 0; now < 100000; now += 100) {
		struct lane_fate fate = lane_pass(&lane, 100, now);

		overtaken += fate.at_us[0] < highest;
		if (fate.at_us[0] > highest)
			highest = fate.at_us[0];
	}
	assert_true(overtaken > 500);
}

static void rate_spaces_and_the_queue_overflows(void **state)
{
	struct lane_fate fate;

	(void)state;
	lane.rules.bits_per_s = 8 * US_PER_S;	/* a byte a microsecond */
	lane.rules.queue_bytes = 3000;
	for (uint64_t i = 1; i <= 3; i++) {
		fate = lane_pass(&lane, 1000, 0);
		assert_int_equal(fate.at_us[0], i * 1000);
	}
	assert_int_equal(lane_pass(&lane, 1000, 0).copies, 0);
	assert_int_equal(lane.overflowed, 1);
	fate = lane_pass(&lane, 1000, 1000);
	assert_int_equal(fate.at_us[0], 4000);
	fate = lane_pass(&lane, 1000, 9000);
	assert_int_equal(fate.at_us[0], 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_rules_at_once, setup),
		cmocka_unit_test_setup(jitter_keeps_the_order, setup),
		cmocka_unit_test_setup(chances_are_kept, setup),
		cmocka_unit_test_setup(held_back_ones_are_overtaken, setup),
		cmocka_unit_test_setup(rate_spaces_and_the_queue_overflows,
				       setup),
	};

	print_message("seed %d\n", SEED);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
