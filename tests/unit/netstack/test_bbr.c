/* BBR and pacing: what the model takes from ACKs, and which control runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/netstack/internal.h"
#include "tests/unit/netstack/wire.h"

#define MBIT (UINT64_C(1000000) / 8)

static struct conn *conn_of(const struct end *end)
{
	return container_of(end->stream, struct conn, stream);
}

/* 10 Mbit/s in packets of 1,280 bytes. */
#define SLOW 1024

static uint8_t data[8 << 20];

struct pair {
	struct wire wire;
	struct end ends[2];
};

static void pair_init(struct pair *pair, const struct link_config *link,
		      enum ns_congestion congestion)
{
	const struct ns_config config = { .congestion = congestion };

	memset(pair, 0, sizeof(*pair));
	wire_init(&pair->wire, link, &config);
	pair->ends[1].reading = true;
	pair->ends[1].sink_cap = sizeof(data);
	pair->ends[1].sink = malloc(sizeof(data));
	wire_connect(&pair->wire, pair->ends);
}

static void pair_clear(struct pair *pair)
{
	end_clear(&pair->ends[0], true);
	end_clear(&pair->ends[1], true);
	wire_clear(&pair->wire);
}

static void send_for(struct pair *pair, size_t len, uint64_t us)
{
	pair->ends[0].source = data;
	pair->ends[0].source_len = pair->ends[0].written + len;
	end_pump(&pair->ends[0]);
	wire_run(&pair->wire, us, NULL, NULL);
}

static uint64_t bandwidth(const struct bbr *b)
{
	return b->bandwidth[0] > b->bandwidth[1] ? b->bandwidth[0] :
		b->bandwidth[1];
}

static void between(uint64_t low, uint64_t value, uint64_t high)
{
	if (value < low || value > high)
		fail_msg("%llu is not within %llu and %llu",
			 (unsigned long long)value, (unsigned long long)low,
			 (unsigned long long)high);
}

/* It finds the rate and the round trip, and leaves the queue short. */
static void test_model(void **state)
{
	struct link_config link = {
		.delay_us = 20 * US_PER_MS, .us_per_packet = SLOW,
		.queue_cap = 200,
	};
	struct pair pair;
	const struct bbr *b;

	(void)state;
	pair_init(&pair, &link, NS_AUTO);
	b = &conn_of(&pair.ends[0])->congestion.bbr;
	assert_ptr_equal(conn_of(&pair.ends[0])->ops, &ns_congestion_bbr);
	assert_int_equal(b->phase, BBR_STARTUP);
	send_for(&pair, sizeof(data), 2500 * US_PER_MS);
	assert_true(b->filled);
	between(9 * MBIT, bandwidth(b), 10 * MBIT);
	between(40 * US_PER_MS, b->min_rtt_us, 43 * US_PER_MS);
	/* At 10 Mbit/s, 42 ms hold 52 KB; twice that is the bound. */
	between(50000, conn_of(&pair.ends[0])->congestion.window, 130000);
	between(40 * US_PER_MS, ns_stream_rtt_us(pair.ends[0].stream),
		60 * US_PER_MS);
	pair_clear(&pair);
}

/* A path that becomes four times as fast is found by probing. */
static void test_more_bandwidth(void **state)
{
	struct link_config link = {
		.delay_us = 10 * US_PER_MS, .us_per_packet = SLOW,
		.queue_cap = 200,
	};
	struct pair pair;
	const struct bbr *b;

	(void)state;
	pair_init(&pair, &link, NS_BBR);
	b = &conn_of(&pair.ends[0])->congestion.bbr;
	send_for(&pair, sizeof(data), 1000 * US_PER_MS);
	between(9 * MBIT, bandwidth(b), 10 * MBIT);
	pair.wire.link.us_per_packet = SLOW / 4;
	wire_run(&pair.wire, 1500 * US_PER_MS, NULL, NULL);
	assert_true(pair.ends[1].sink_len < sizeof(data));
	between(30 * MBIT, bandwidth(b), 40 * MBIT);
	pair_clear(&pair);
}

/* One in ten lost at random, no queue: the rate stays. */
static void test_random_loss(void **state)
{
	struct link_config link = {
		.seed = 3, .delay_us = 10 * US_PER_MS, .us_per_packet = SLOW,
		.queue_cap = 200, .loss = 10,
	};
	struct pair pair;

	(void)state;
	pair_init(&pair, &link, NS_BBR);
	send_for(&pair, sizeof(data), 4 * US_PER_S);
	/* Of the 4.7 MB that fit, a tenth is lost. */
	assert_true(pair.wire.lost > 200);
	assert_true(pair.ends[1].sink_len > 3200000);
	pair_clear(&pair);
}

/* A queue of nothing: what is lost by sending too fast does bound. */
static void test_shallow_queue(void **state)
{
	struct link_config link = {
		.seed = 4, .delay_us = 20 * US_PER_MS, .us_per_packet = SLOW,
		.queue_cap = 8,
	};
	struct pair pair;
	struct ns_stats stats;

	(void)state;
	pair_init(&pair, &link, NS_BBR);
	send_for(&pair, sizeof(data), 3 * US_PER_S);
	assert_true(conn_of(&pair.ends[0])->congestion.bbr.filled);
	assert_true(pair.ends[1].sink_len > 2500000);
	ns_get_stats(pair.wire.ns[0], &stats);
	/* Under a tenth of what was sent, STARTUP included. */
	assert_true(stats.retransmits * 1208 < pair.ends[1].sink_len / 10);
	pair_clear(&pair);
}

/* Messages are no measure: what comes after them is not paced by them. */
static void test_messages_first(void **state)
{
	struct link_config link = { .delay_us = 50 * US_PER_MS };
	struct pair pair;

	(void)state;
	pair_init(&pair, &link, NS_AUTO);
	for (int i = 0; i < 20; i++)
		send_for(&pair, 40, 300 * US_PER_MS);
	assert_false(conn_of(&pair.ends[0])->congestion.bbr.filled);
	send_for(&pair, 12000, 150 * US_PER_MS);
	assert_int_equal(pair.ends[1].sink_len, 20 * 40 + 12000);
	pair_clear(&pair);
}

/* The receive window grows from 256 KiB to the 8 MiB that this path needs. */
static void test_window_grows(void **state)
{
	struct link_config link = { .delay_us = 50 * US_PER_MS };
	struct pair pair;
	struct conn *to;

	(void)state;
	pair_init(&pair, &link, NS_AUTO);
	to = conn_of(&pair.ends[1]);
	assert_int_equal(to->rcv_cap, 256 << 10);
	ns_stream_set_send_cap(pair.ends[0].stream, NS_SEND_CAP_MAX);
	send_for(&pair, sizeof(data), 2 * US_PER_S);
	assert_int_equal(pair.ends[1].sink_len, sizeof(data));
	assert_int_equal(to->rcv_cap, NS_RECEIVE_CAP_MAX);
	pair_clear(&pair);
}

/* Of sixty-four streams over one link each gets its share. */
static void test_none_starves(void **state)
{
	struct link_config link = {
		.delay_us = 10 * US_PER_MS, .us_per_packet = 20,
		.queue_cap = 1000,
	};
	static struct end ends[64][2];
	struct wire wire;
	size_t least = SIZE_MAX;
	size_t most = 0;

	(void)state;
	wire_init(&wire, &link, NULL);
	for (int i = 0; i < 64; i++) {
		ends[i][1].reading = true;
		ends[i][1].sink_cap = sizeof(data);
		ends[i][1].sink = malloc(sizeof(data));
		wire_connect(&wire, ends[i]);
	}
	for (int i = 0; i < 64; i++) {
		ends[i][0].source = data;
		ends[i][0].source_len = sizeof(data);
		end_pump(&ends[i][0]);
	}
	wire_run(&wire, 3 * US_PER_S, NULL, NULL);
	for (int i = 0; i < 64; i++) {
		size_t got = ends[i][1].sink_len;

		least = got < least ? got : least;
		most = got > most ? got : most;
		end_clear(&ends[i][0], true);
		end_clear(&ends[i][1], true);
	}
	/* 500 Mbit/s for 3 s, by 64: 2.8 MB each. */
	assert_true(least > 1000000);
	assert_true(most < 4 * least);
	wire_clear(&wire);
}

/* Bursts of a millisecond, not a timer a packet, and not the window. */
static void test_pacing(void **state)
{
	struct link_config link = { .delay_us = 10 * US_PER_MS };
	struct pair pair;
	struct conn *conn;
	uint8_t packet[1280];
	unsigned burst = 0;

	(void)state;
	pair_init(&pair, &link, NS_BBR);
	conn = conn_of(&pair.ends[0]);
	conn->pacing_rate = 5000 * 1208;
	conn->congestion.window = 1 << 20;
	pair.wire.now_us += 100 * US_PER_MS;
	conn->pace_ns = pair.wire.now_us * 1000;
	assert_int_equal(stream_write(pair.ends[0].stream, data, 500000),
			 500000);
	while (ns_out(pair.wire.ns[0], packet, sizeof(packet),
		      pair.wire.now_us))
		burst++;
	assert_int_equal(burst, 1);
	/* The next is due in 200 us, and five a millisecond later. */
	assert_int_equal(conn->pace_at, pair.wire.now_us + 1200);
	assert_true(ns_next_deadline(pair.wire.ns[0]) <= conn->pace_at);
	pair.wire.now_us += 1200;
	ns_tick(pair.wire.ns[0], pair.wire.now_us);
	for (burst = 0; ns_out(pair.wire.ns[0], packet, sizeof(packet),
			       pair.wire.now_us); burst++)
		;
	assert_int_equal(burst, 6);
	/* A late timer makes up for 4 ms, no more. */
	pair.wire.now_us += 50 * US_PER_MS;
	ns_tick(pair.wire.ns[0], pair.wire.now_us);
	for (burst = 0; ns_out(pair.wire.ns[0], packet, sizeof(packet),
			       pair.wire.now_us); burst++)
		;
	assert_int_equal(burst, 21);
	pair_clear(&pair);
}

/* Short paths: CUBIC, not paced; and by the first short round trip. */
static void test_short_paths(void **state)
{
	struct link_config link = { .delay_us = 200 };
	struct pair pair;
	struct conn *conn;

	(void)state;
	pair_init(&pair, &link, NS_AUTO);
	conn = conn_of(&pair.ends[0]);
	assert_ptr_equal(conn->ops, &ns_congestion_cubic);
	send_for(&pair, 1 << 20, 100 * US_PER_MS);
	assert_int_equal(pair.ends[1].sink_len, 1 << 20);
	assert_int_equal(conn->pacing_rate, 0);
	/* By the relay, after ten seconds that show nothing shorter. */
	pair.wire.link.delay_us = 20 * US_PER_MS;
	for (int i = 0; i < 100; i++)
		send_for(&pair, 1000, 300 * US_PER_MS);
	assert_ptr_equal(conn->ops, &ns_congestion_bbr);
	/* Direct again. */
	pair.wire.link.delay_us = 200;
	send_for(&pair, 1000, 300 * US_PER_MS);
	assert_ptr_equal(conn->ops, &ns_congestion_cubic);
	assert_int_equal(conn->pacing_rate, 0);
	ns_stream_set_congestion(pair.ends[0].stream, NS_RENO);
	assert_ptr_equal(conn->ops, &ns_congestion_reno);
	pair_clear(&pair);
}

/* RFC 9406: the first slow start ends before a long queue runs over. */
static void test_hystart(void **state)
{
	struct link_config link = {
		.delay_us = 25 * US_PER_MS, .us_per_packet = SLOW / 4,
		.queue_cap = 1400,
	};
	struct pair pair;
	const struct conn *conn;
	struct ns_stats stats;

	(void)state;
	pair_init(&pair, &link, NS_CUBIC);
	conn = conn_of(&pair.ends[0]);
	send_for(&pair, sizeof(data), 700 * US_PER_MS);
	ns_get_stats(pair.wire.ns[0], &stats);
	assert_int_equal(stats.retransmits, 0);
	/* 40 Mbit/s and 50 ms are 250 KB; doubling would make it 10 MB. */
	assert_true(conn->congestion.hystart.slow_rounds > 1);
	between(200000, conn->congestion.window, 1500000);
	pair_clear(&pair);
}

/* When the peer's SYN-ACK says nothing of the round trip, the first ACK. */
static bool lose_first(struct wire *wire, int from, const uint8_t *packet,
		       size_t len)
{
	(void)packet;
	(void)len;
	return from == 0 || wire->sent[1] > 1;
}

static void test_unknown_round_trip(void **state)
{
	struct link_config link = { .delay_us = 10 * US_PER_MS };
	struct pair pair = { 0 };

	(void)state;
	wire_init(&pair.wire, &link, NULL);
	pair.wire.tap = lose_first;
	pair.ends[1].reading = true;
	pair.ends[1].sink_cap = sizeof(data);
	pair.ends[1].sink = malloc(sizeof(data));
	wire_connect(&pair.wire, pair.ends);
	send_for(&pair, 5000, 100 * US_PER_MS);
	assert_ptr_equal(conn_of(&pair.ends[0])->ops, &ns_congestion_bbr);
	pair_clear(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_more_bandwidth),
		cmocka_unit_test(test_random_loss),
		cmocka_unit_test(test_shallow_queue),
		cmocka_unit_test(test_messages_first),
		cmocka_unit_test(test_window_grows),
		cmocka_unit_test(test_none_starves),
		cmocka_unit_test(test_pacing),
		cmocka_unit_test(test_short_paths),
		cmocka_unit_test(test_hystart),
		cmocka_unit_test(test_unknown_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
