/* Ring, ranges and records, each against a plain model of itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/netstack/internal.h"
#include "tests/unit/netstack/wire.h"

#define SPAN 400u
#define BASE (UINT32_MAX - 150)	/* wraps in the middle */
#define ROUNDS 300

static void test_ring(void **state)
{
	struct ring ring = { 0 };
	uint8_t in[5000];
	uint8_t out[5000];
	const uint8_t *piece;
	uint32_t seq = UINT32_MAX - 1000;

	(void)state;
	fill_pattern(in, sizeof(in), 9);
	assert_int_equal(ns_ring_fit(&ring, seq, seq, seq + 1500), 0);
	assert_int_equal(ring.cap, RING_CAP_MIN);
	ns_ring_write(&ring, seq, in, 1500);
	assert_int_equal(ns_ring_fit(&ring, seq + 500, seq + 1500,
				     seq + 5000), 0);
	ns_ring_write(&ring, seq + 1500, in + 1500, 3500);
	ns_ring_read(&ring, seq + 500, out, 4500);
	assert_memory_equal(out, in + 500, 4500);
	assert_in_range(ns_ring_piece(&ring, seq + 500, 4500, &piece), 1,
			4500);
	assert_memory_equal(piece, in + 500, 1);
	assert_int_equal(ns_ring_fit(&ring, 0, 0, RING_CAP_MAX + 1),
			 ERR_LIMIT);
	ns_ring_free(&ring);
}

static void check_ranges(const struct ranges *r, const bool *have)
{
	uint16_t at = 0;

	for (uint32_t i = 0; i < SPAN; i++) {
		const struct range *found = ns_ranges_find(r, BASE + i);

		assert_int_equal(found != NULL, have[i]);
		if (!have[i] || (i && have[i - 1]))
			continue;
		assert_int_equal(r->at[at++].start, BASE + i);
	}
	assert_int_equal(r->len, at);
}

static void test_ranges(void **state)
{
	struct rng rng;

	(void)state;
	for (uint64_t seed = 0; seed < ROUNDS; seed++) {
		struct ranges r = { 0 };
		bool have[SPAN] = { false };
		uint32_t reached;

		rng_seeded(&rng, seed);
		for (int i = 0; i < 20; i++) {
			uint32_t start = rng_below(&rng, SPAN - 20);
			uint32_t len = 1 + rng_below(&rng, 20);

			assert_int_equal(ns_ranges_add(&r, BASE + start,
						       BASE + start + len), 0);
			memset(have + start, true, len);
		}
		check_ranges(&r, have);
		reached = ns_ranges_advance(&r, BASE + 200) - BASE;
		for (uint32_t i = 0; i < reached; i++)
			assert_true(i < 200 || have[i]);
		memset(have, false, reached);
		check_ranges(&r, have);
		ns_ranges_free(&r);
	}
}

static void test_ranges_bounded(void **state)
{
	struct ranges r = { 0 };

	(void)state;
	for (uint32_t i = 0; i < RANGE_CAP; i++)
		assert_int_equal(ns_ranges_add(&r, 4 * i, 4 * i + 2), 0);
	assert_int_equal(ns_ranges_add(&r, 4 * RANGE_CAP, 4 * RANGE_CAP + 1),
			 ERR_LIMIT);
	assert_int_equal(ns_ranges_add(&r, 2, 4), 0);
	assert_int_equal(r.len, RANGE_CAP - 1);
	assert_int_equal(ns_ranges_add(&r, 0, 4 * RANGE_CAP), 0);
	assert_int_equal(r.len, 1);
	ns_ranges_free(&r);
}

/* The sums are what the marks say, and `judged` what IsLost() says. */
static void check_records(const struct records *r, bool judged)
{
	uint32_t sacked = 0;
	uint32_t lost = 0;
	uint32_t again = 0;
	unsigned above = 0;

	for (uint32_t i = r->tail; i != r->head; i--) {
		const struct record *record = record_at(r, i - 1);
		uint8_t flags = record->flags;

		sacked += flags & RECORD_SACKED ? record->len : 0u;
		lost += flags & RECORD_LOST ? record->len : 0u;
		again += flags & RECORD_RETRANSMITTED ? record->len : 0u;
		if (judged && above >= DUP_THRESHOLD)
			assert_true(flags & (RECORD_SACKED | RECORD_LOST));
		else if (judged)
			assert_false(flags & RECORD_LOST);
		above += flags & RECORD_SACKED ? 1 : 0;
	}
	assert_int_equal(sacked, r->sacked_bytes);
	assert_int_equal(lost, r->lost_bytes);
	assert_int_equal(again, r->retransmitted_bytes);
}

static void random_sack(struct records *r, struct rng *rng)
{
	uint32_t n = r->tail - r->head;
	uint32_t first = rng_below(rng, n);
	uint32_t last = first + rng_below(rng, n - first);

	ns_records_sack(r, record_at(r, r->head + first)->seq,
			record_at(r, r->head + last)->seq +
			record_at(r, r->head + last)->len);
}

static void retransmit_some(struct records *r, struct rng *rng)
{
	uint32_t lowest = 0;

	for (uint32_t i = rng_below(rng, 4); i > 0; i--) {
		struct record *record = ns_records_next_lost(r);

		if (!record)
			return;
		assert_true(record->flags & RECORD_LOST);
		assert_true(!lowest || seq_lt(lowest, record->seq));
		lowest = record->seq;
		ns_record_retransmitted(r, record, 5);
	}
}

static void test_records(void **state)
{
	struct rng rng;

	(void)state;
	for (uint64_t seed = 0; seed < ROUNDS; seed++) {
		struct records r = { 0 };
		uint32_t seq = BASE;
		uint64_t sample;
		uint64_t again;
		bool judged = true;

		rng_seeded(&rng, seed);
		for (int i = 0; i < 60; i++) {
			uint16_t len = (uint16_t)(1 + rng_below(&rng, 9));
			uint32_t op = rng_below(&rng, 10);

			if (op < 4 || r.head == r.tail) {
				assert_non_null(ns_record_add(&r, seq, len,
							      1));
				seq += len;
			} else if (op < 7) {
				random_sack(&r, &rng);
				ns_records_judge(&r, 1, UINT32_MAX, true,
						 &again);
			} else if (op < 8) {
				retransmit_some(&r, &rng);
			} else if (op < 9) {
				ns_records_ack(&r, record_at(&r,
					r.head)->seq + rng_below(&rng, 20) %
					(seq - record_at(&r, r.head)->seq + 1),
					&sample, &again);
			} else if (rng_below(&rng, 4) == 0) {
				ns_records_all_lost(&r);
				judged = false;
			}
			check_records(&r, judged);
		}
		ns_records_ack(&r, seq, &sample, &again);
		check_records(&r, judged);
		assert_int_equal(r.head, r.tail);
		ns_records_free(&r);
	}
}

static void test_records_bounded(void **state)
{
	struct records r = { 0 };

	(void)state;
	for (uint32_t i = 0; i < RECORD_CAP; i++)
		assert_non_null(ns_record_add(&r, i, 1, 1));
	assert_null(ns_record_add(&r, RECORD_CAP, 1, 1));
	ns_records_free(&r);
}

/* By one's complement: the sum of the parts, at every length and offset. */
static void test_checksum(void **state)
{
	uint8_t data[80];
	uint8_t copy[81];

	(void)state;
	fill_pattern(data, sizeof(data), 4);
	for (size_t len = 0; len <= sizeof(data); len++) {
		uint32_t sum = 0;
		uint32_t got;

		for (size_t i = 0; i < len; i++)
			sum += (uint32_t)data[i] << (i % 2 ? 0 : 8);
		while (sum >> 16)
			sum = (sum >> 16) + (sum & UINT16_MAX);
		memcpy(copy + len % 2, data, len);
		got = ns_sum(copy + len % 2, len);
		got = (got >> 16) + (got & UINT16_MAX);
		got = (got >> 16) + (got & UINT16_MAX);
		assert_int_equal(got, __builtin_bswap16((uint16_t)sum));
	}
}

static void test_cubic(void **state)
{
	struct conn conn = { .mss = 1000, .srtt_us = 200000 };
	struct congestion *c = &conn.congestion;
	uint64_t now_us = 1000;

	(void)state;
	c->window = 100000;
	c->threshold = ns_congestion_cubic.reduce(&conn, 100000);
	c->window = c->threshold;
	assert_int_equal(c->threshold, 70000);
	assert_int_equal(c->w_max, 100000);
	/* K = cbrt(30 / 0.4) = 4.2 s: back at the old window about then. */
	while (c->window < 99000 && now_us < 100 * US_PER_S) {
		for (uint32_t sent = 0; sent < c->window; sent += 10000)
			ns_congestion_cubic.grow(&conn, 10000, now_us);
		now_us += 200000;
	}
	assert_in_range(now_us, 2 * US_PER_S, 43 * US_PER_S / 10);
	/* A second loss below it: fast convergence. */
	assert_int_equal(ns_congestion_cubic.reduce(&conn, 80000), 56000);
	assert_int_equal(c->w_max, 68000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ring),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_ranges_bounded),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_records_bounded),
		cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_cubic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
