/* Whole streams between two stacks, over good links and bad ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/netstack/wire.h"

static void give(struct end *end, size_t out_len, size_t in_len,
		 uint32_t seed)
{
	uint8_t *source = malloc(out_len + 1);

	fill_pattern(source, out_len, seed);
	end->source = source;
	end->source_len = out_len;
	end->shut_when_done = true;
	end->reading = true;
	end->sink_cap = in_len;
	end->sink = malloc(in_len + 1);
}

static bool both_ended(void *user)
{
	struct end *ends = user;

	return ends[0].eof && ends[1].eof && !stream_unsent(ends[0].stream) &&
	       !stream_unsent(ends[1].stream);
}

static void check_equal(const struct end *from, const struct end *to)
{
	assert_int_equal(to->eof, 1);
	assert_int_equal(to->sink_len, from->source_len);
	assert_memory_equal(to->sink, from->source, to->sink_len);
}

static void release(struct end ends[2])
{
	for (int i = 0; i < 2; i++) {
		free((void *)(uintptr_t)ends[i].source);
		end_clear(&ends[i], false);
	}
}

static void exchange(const struct link_config *link,
		     const struct ns_config *config, size_t a_len,
		     size_t b_len, struct ns_stats stats[2])
{
	struct wire wire;
	struct end ends[2] = { 0 };
	struct ns_stats after;
	bool done;

	wire_init(&wire, link, config);
	give(&ends[0], a_len, b_len, 1);
	give(&ends[1], b_len, a_len, 2);
	wire_connect(&wire, ends);
	done = wire_run(&wire, 3600 * US_PER_S, both_ended, ends);
	if (!done)
		fail_msg("seed %llu: %zu of %zu, %zu of %zu; %d %d at %llu s",
			 (unsigned long long)wire.link.seed, ends[1].sink_len,
			 a_len, ends[0].sink_len, b_len, ends[0].eof,
			 ends[1].eof,
			 (unsigned long long)(wire.now_us / US_PER_S));
	check_equal(&ends[0], &ends[1]);
	check_equal(&ends[1], &ends[0]);
	if (wire.link.loss)
		assert_true(wire.lost > 0);
	if (wire.link.reorder)
		assert_true(wire.reordered > 0);
	for (int i = 0; stats && i < 2; i++)
		ns_get_stats(wire.ns[i], &stats[i]);
	release(ends);
	wire_run(&wire, 200 * US_PER_S, NULL, NULL);
	for (int i = 0; i < 2; i++) {
		ns_get_stats(wire.ns[i], &after);
		assert_int_equal(after.connections, 0);
		assert_int_equal(ns_next_deadline(wire.ns[i]), DEADLINE_NONE);
	}
	wire_clear(&wire);
}

static void test_both_ways(void **state)
{
	struct link_config link = { .delay_us = 10 * US_PER_MS };
	struct ns_stats stats[2];

	(void)state;
	exchange(&link, NULL, 1, 1, NULL);
	exchange(&link, NULL, 300000, 3 << 20, stats);
	assert_int_equal(stats[0].retransmits + stats[1].retransmits, 0);
	assert_int_equal(stats[0].bytes_in, 3 << 20);
	assert_int_equal(stats[1].bytes_in, 300000);
}

static void test_sequence_wrap(void **state)
{
	const uint32_t initial = UINT32_MAX - 5000;
	struct ns_config config = { .initial_seq = &initial };
	struct link_config link = {
		.seed = 5, .delay_us = 1000, .loss = 5, .reorder = 5,
	};

	(void)state;
	exchange(&link, &config, 1 << 18, 1 << 18, NULL);
}

static void test_bad_links(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct link_config link = {
			.seed = seed,
			.delay_us = 5 * US_PER_MS,
			.jitter_us = 2 * US_PER_MS,
			.loss = 20,
			.reorder = 20,
			.duplicate = 5,
		};
		struct ns_config config = {
			.congestion = seed % 2 ? NS_CUBIC : NS_RENO,
		};

		exchange(&link, &config, 1 << 20, 1 << 16, NULL);
	}
}

static void test_corruption(void **state)
{
	struct ns_config config = { .verify_checksums = true };

	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct link_config link = {
			.seed = seed, .delay_us = 5000, .corrupt = 5,
			.loss = 1,
		};
		struct ns_stats stats[2];

		exchange(&link, &config, 1 << 18, 1 << 18, stats);
		assert_true(stats[0].drop_checksum > 0);
	}
}

static void test_small_buffers(void **state)
{
	struct ns_config config = {
		.send_cap = 3000, .receive_start = 4000, .receive_cap = 4000,
	};
	struct link_config link = { .seed = 7, .delay_us = 1000, .loss = 3 };

	(void)state;
	exchange(&link, &config, 200000, 200000, NULL);
}

/* A queue that overflows: slow start must find the rate and stay near. */
static void test_bottleneck(void **state)
{
	struct link_config link = {
		.delay_us = 10 * US_PER_MS, .us_per_packet = 100,
		.queue_cap = 100,
	};
	struct wire wire;
	struct end ends[2] = { 0 };
	struct ns_stats stats;
	uint64_t begin;
	const size_t len = 8 << 20;

	(void)state;
	wire_init(&wire, &link, NULL);
	give(&ends[0], len, 1, 1);
	give(&ends[1], 1, len, 2);
	wire_connect(&wire, ends);
	begin = wire.now_us;
	assert_true(wire_run(&wire, 600 * US_PER_S, both_ended, ends));
	check_equal(&ends[0], &ends[1]);
	ns_get_stats(wire.ns[0], &stats);
	print_message("bottleneck: %.2f of the rate, %llu retransmits, "
		      "%llu recoveries, %llu timeouts\n",
		      (double)len / 1208.0 * 100.0 /
		      (double)(wire.now_us - begin),
		      (unsigned long long)stats.retransmits,
		      (unsigned long long)stats.fast_recoveries,
		      (unsigned long long)stats.timeouts);
	assert_true(wire.now_us - begin < 4 * len / 1208 * 100);
	release(ends);
	wire_clear(&wire);
}

static bool all_arrived(void *user)
{
	struct end *ends = user;

	return ends[1].eof == 1;
}

/* What is left of 100 Mbit/s; to read, not a verdict. */
static void print_rate(uint64_t rtt_us, unsigned loss, bool reorder)
{
	struct link_config link = {
		.seed = 11, .delay_us = rtt_us / 2, .loss = loss,
		.us_per_packet = 102, .queue_cap = 400,
		.reorder = reorder ? 5 : 0,
	};
	struct wire wire;
	struct end ends[2] = { 0 };
	struct ns_stats stats;
	const size_t len = 8 << 20;
	uint64_t begin;

	wire_init(&wire, &link, NULL);
	give(&ends[0], len, 1, 1);
	give(&ends[1], 1, len, 2);
	wire_connect(&wire, ends);
	begin = wire.now_us;
	assert_true(wire_run(&wire, 3600 * US_PER_S, all_arrived, ends));
	check_equal(&ends[0], &ends[1]);
	ns_get_stats(wire.ns[0], &stats);
	print_message("rtt %llu ms, loss %u %%%s: %.1f Mbit/s, %llu "
		      "retransmits for %llu lost, %llu timeouts, %llu "
		      "recoveries, %llu undone, %llu probes\n",
		      (unsigned long long)rtt_us / 1000, loss,
		      reorder ? ", reordering" : "",
		      (double)len * 8 / (double)(wire.now_us - begin),
		      (unsigned long long)stats.retransmits,
		      (unsigned long long)wire.lost,
		      (unsigned long long)stats.timeouts,
		      (unsigned long long)stats.fast_recoveries,
		      (unsigned long long)stats.undone,
		      (unsigned long long)stats.loss_probes);
	release(ends);
	wire_clear(&wire);
}

static void test_rates(void **state)
{
	(void)state;
	print_rate(20000, 0, false);
	print_rate(20000, 1, false);
	print_rate(20000, 5, false);
	print_rate(20000, 0, true);
	print_rate(100000, 0, false);
	print_rate(100000, 1, false);
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t swallow(struct stream *stream)
{
	const uint8_t *data;
	size_t got = 0;
	ssize_t n;

	while ((n = stream_peek(stream, &data)) > 0) {
		stream_consume(stream, (size_t)n);
		got += (size_t)n;
	}
	return got;
}

/* One packet each way at a time through both stacks; how many. */
static uint64_t shuttle(struct wire *wire)
{
	uint8_t packet[1280];
	uint64_t packets = 0;
	size_t n;

	for (int i = 0; i < 2; i++) {
		ns_dispatch(wire->ns[i]);
		while ((n = ns_out(wire->ns[i], packet, sizeof(packet),
				   wire->now_us)) != 0) {
			ns_in(wire->ns[!i], packet, n, wire->now_us);
			packets++;
		}
	}
	return packets;
}

/* A figure to read, not a verdict. */
static void test_speed(void **state)
{
	struct wire wire;
	struct end ends[2] = { 0 };
	static uint8_t chunk[1 << 16];
	const size_t len = 256 << 20;
	uint64_t packets = 0;
	size_t got = 0;
	double begin;

	(void)state;
	wire_init(&wire, NULL, NULL);
	wire_connect(&wire, ends);
	ns_stream_set_send_cap(ends[0].stream, 1 << 18);
	begin = now_s();
	while (got < len) {
		while (stream_write(ends[0].stream, chunk, sizeof(chunk)) > 0)
			;
		packets += shuttle(&wire);
		got += swallow(ends[1].stream);
		wire.now_us += 20;
		ns_tick(wire.ns[0], wire.now_us);
		ns_tick(wire.ns[1], wire.now_us);
	}
	begin = now_s() - begin;
	print_message("speed: %llu packets, %.0f ns a packet, both ends with "
		      "stream copies, %.1f Gbit/s\n",
		      (unsigned long long)packets,
		      begin * 1e9 / (double)packets,
		      (double)got * 8 / begin / 1e9);
	release(ends);
	wire_clear(&wire);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_sequence_wrap),
		cmocka_unit_test(test_small_buffers),
		cmocka_unit_test(test_corruption),
		cmocka_unit_test(test_bottleneck),
		cmocka_unit_test(test_bad_links),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
