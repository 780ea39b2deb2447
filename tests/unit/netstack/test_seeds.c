/*
 * A hundred bad links: 20 % lost, 20 % out of order, 5 % twice, 1 % with a
 * byte changed, each way. The data come out equal, and no minute of virtual
 * time passes without any.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/netstack/wire.h"

#define SEEDS 100
#define UP_LEN (384u << 10)
#define DOWN_LEN (128u << 10)
#define STALL_US (60 * US_PER_S)
#define MINUTES_CAP 600

static uint8_t up[UP_LEN];
static uint8_t down[DOWN_LEN];

static bool both_ended(void *user)
{
	struct end *ends = user;

	return ends[0].eof && ends[1].eof && !stream_unsent(ends[0].stream) &&
	       !stream_unsent(ends[1].stream);
}

static void prepare(struct end *end, const uint8_t *source, size_t len,
		    size_t in_len)
{
	end->source = source;
	end->source_len = len;
	end->shut_when_done = true;
	end->reading = true;
	end->sink_cap = in_len;
	end->sink = malloc(in_len);
}

/* Progress is what comes out, or, when all has, what is acknowledged. */
static size_t progress(const struct end ends[2])
{
	return ends[0].sink_len + ends[1].sink_len + ends[0].written +
	       ends[1].written - stream_unsent(ends[0].stream) -
	       stream_unsent(ends[1].stream) + (size_t)ends[0].eof +
	       (size_t)ends[1].eof;
}

static void run(struct wire *wire, struct end ends[2])
{
	size_t before = 0;

	for (int i = 0; i < MINUTES_CAP; i++) {
		size_t now;

		if (wire_run(wire, STALL_US, both_ended, ends))
			return;
		now = progress(ends);
		if (now == before)
			break;
		before = now;
	}
	fail_msg("seed %llu stalls: up %zu, down %zu, eof %d %d, at %llu s",
		 (unsigned long long)wire->link.seed, ends[1].sink_len,
		 ends[0].sink_len, ends[0].eof, ends[1].eof,
		 (unsigned long long)(wire->now_us / US_PER_S));
}

static void one_link(uint64_t seed)
{
	static const enum ns_congestion by_turns[] = {
		NS_AUTO, NS_BBR, NS_CUBIC, NS_RENO,
	};
	const struct link_config link = {
		.seed = seed,
		.delay_us = (1 + seed % 5) * 5 * US_PER_MS,
		.jitter_us = 2 * US_PER_MS,
		.loss = 20,
		.reorder = 20,
		.duplicate = 5,
		.corrupt = 1,
	};
	const struct ns_config config = {
		.congestion = by_turns[seed % 4],
		.verify_checksums = true,
	};
	struct wire wire;
	struct end ends[2] = { 0 };
	struct ns_stats stats[2];

	wire_init(&wire, &link, &config);
	prepare(&ends[0], up, sizeof(up), sizeof(down));
	prepare(&ends[1], down, sizeof(down), sizeof(up));
	wire_connect(&wire, ends);
	run(&wire, ends);
	assert_int_equal(ends[0].eof, 1);
	assert_int_equal(ends[1].eof, 1);
	assert_int_equal(ends[0].sink_len, sizeof(down));
	assert_int_equal(ends[1].sink_len, sizeof(up));
	assert_memory_equal(ends[0].sink, down, sizeof(down));
	assert_memory_equal(ends[1].sink, up, sizeof(up));
	ns_get_stats(wire.ns[0], &stats[0]);
	ns_get_stats(wire.ns[1], &stats[1]);
	/* Each fault was one. */
	assert_true(wire.lost && wire.reordered && wire.duplicated &&
		    wire.corrupted);
	assert_true(stats[0].drop_checksum + stats[1].drop_checksum > 0);
	assert_true(stats[1].out_of_order && stats[0].retransmits);
	end_clear(&ends[0], false);
	end_clear(&ends[1], false);
	wire_clear(&wire);
}

static void test_hundred_links(void **state)
{
	(void)state;
	fill_pattern(up, sizeof(up), 1);
	fill_pattern(down, sizeof(down), 2);
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		one_link(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hundred_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
