/* RFC cases one by one: segments in, segments out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/cursor.h"
#include "tests/unit/netstack/script.h"

#define FULL 1208u	/* 1,280 - 40 - 20 - 12 */

static struct conn *conn_of(struct script *s)
{
	return container_of(s->stream, struct conn, stream);
}

static void read_all(struct script *s, const char *text)
{
	const uint8_t *data;
	ssize_t n = stream_peek(s->stream, &data);

	assert_int_equal(n, strlen(text));
	assert_memory_equal(data, text, strlen(text));
	stream_consume(s->stream, (size_t)n);
}

/*
 * RFC 5681 4.2: a full segment at once where the round trip is long, with
 * the next or after 1 ms where it is short; a small one after a quarter of
 * the round trip (10 ms here), 40 ms at most.
 */
static void test_delayed_ack(void **state)
{
	struct script s;
	uint8_t full[FULL] = { 0 };

	(void)state;
	script_init(&s, true, true, NULL);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1, .data = full,
				      .len = FULL });
	script_expect(&s, 1, 0, TCP_ACK);
	script_none(&s);
	script_put(&s, &(struct put){ .seq = 1 + FULL, .ack = 1,
				      .data = "x", .len = 1 });
	script_wait(&s, 2499);
	script_none(&s);
	script_wait(&s, 1);
	script_expect(&s, 1, 0, TCP_ACK);
	conn_of(&s)->srtt_us = 400;
	script_put(&s, &(struct put){ .seq = 2 + FULL, .ack = 1, .data = full,
				      .len = FULL });
	script_none(&s);
	script_put(&s, &(struct put){ .seq = 2 + 2 * FULL, .ack = 1,
				      .data = full, .len = FULL });
	script_expect(&s, 1, 0, TCP_ACK);
	script_none(&s);
	script_put(&s, &(struct put){ .seq = 2 + 3 * FULL, .ack = 1,
				      .data = full, .len = FULL });
	script_none(&s);
	script_wait(&s, US_PER_MS);
	script_expect(&s, 1, 0, TCP_ACK);
	conn_of(&s)->srtt_us = US_PER_S;
	script_put(&s, &(struct put){ .seq = 2 + 4 * FULL, .ack = 1,
				      .data = "x", .len = 1 });
	script_wait(&s, 39 * US_PER_MS);
	script_none(&s);
	script_wait(&s, US_PER_MS);
	script_expect(&s, 1, 0, TCP_ACK);
	script_clear(&s);
}

/* Once something was missing: two ACKs for a batch, one for one segment. */
static void test_acks_that_get_lost(void **state)
{
	struct script s;
	uint8_t full[FULL] = { 0 };
	struct put put = { .ack = 1, .data = full, .len = FULL };

	(void)state;
	script_init(&s, true, true, NULL);
	for (uint32_t i = 0; i < 4; i++) {
		put.seq = 1 + i * FULL;
		script_put(&s, &put);
	}
	script_expect(&s, 1, 0, TCP_ACK);
	script_none(&s);
	put.seq = 1 + 5 * FULL;
	script_put(&s, &put);
	script_expect(&s, 1, 0, TCP_ACK);
	script_none(&s);
	for (uint32_t i = 4; i < 8; i++) {
		put.seq = 1 + i * FULL;
		script_put(&s, &put);
	}
	script_expect(&s, 1, 0, TCP_ACK);
	script_expect(&s, 1, 0, TCP_ACK);
	script_none(&s);
	put.seq = 1 + 8 * FULL;
	script_put(&s, &put);
	script_expect(&s, 1, 0, TCP_ACK);
	script_none(&s);
	script_wait(&s, 11 * US_PER_S);
	for (uint32_t i = 9; i < 12; i++) {
		put.seq = 1 + i * FULL;
		script_put(&s, &put);
	}
	script_expect(&s, 1, 0, TCP_ACK);
	script_none(&s);
	script_clear(&s);
}

/* RFC 6928: ten segments at once, and no more before an answer. */
static void test_initial_window(void **state)
{
	const enum ns_congestion all[] = { NS_AUTO, NS_BBR, NS_CUBIC, NS_RENO };

	(void)state;
	for (int i = 0; i < 4; i++) {
		const struct ns_config config = { .congestion = all[i] };
		struct script s;

		script_init(&s, true, true, &config);
		script_write(&s, 30 * FULL);
		for (uint32_t k = 0; k < 10; k++)
			script_expect(&s, 1 + k * FULL, FULL, TCP_ACK);
		script_none(&s);
		script_clear(&s);
	}
}

/*
 * Packet Too Big (RFC 4443 3.2) for what is in flight: 1,280 is the least
 * that IPv6 allows, so whoever says less is wrong or means harm.
 */
static void test_too_big_ignored(void **state)
{
	struct script s;
	struct ns_stats stats;
	uint8_t packet[40 + 8 + 1232] = { 0 };

	(void)state;
	script_init(&s, true, true, NULL);
	script_write(&s, 3 * FULL);
	script_expect(&s, 1, FULL, TCP_ACK);
	memcpy(packet + 48, s.packet, sizeof(packet) - 48);
	ns_ip_header(packet, s.packet + 24, s.packet + 8, NS_HEADER_ICMPV6,
		     sizeof(packet) - 40);
	packet[40] = 2;
	be_store(packet + 44, 576, 4);
	ns_in(s.ns, packet, sizeof(packet), s.now_us);
	ns_get_stats(s.ns, &stats);
	assert_int_equal(stats.drop_protocol, 1);
	script_expect(&s, 1 + FULL, FULL, TCP_ACK);
	script_expect(&s, 1 + 2 * FULL, FULL, TCP_ACK);
	script_none(&s);
	script_clear(&s);
}

/*
 * While something is missing: the same window again and again though the
 * owner reads on, and a bare ACK before data that would carry it.
 */
static void test_duplicate_acks(void **state)
{
	struct script s;
	struct segment seg;
	uint8_t full[FULL] = { 0 };
	const uint8_t *data;
	uint32_t window;

	(void)state;
	script_init(&s, true, true, NULL);
	for (uint32_t i = 0; i < 20; i++)
		script_put(&s, &(struct put){ .seq = 1 + i * FULL, .ack = 1,
					      .data = full, .len = FULL });
	assert_true(script_get(&s, &seg));
	window = seg.window;
	for (uint32_t i = 21; i < 26; i++) {
		script_put(&s, &(struct put){ .seq = 1 + i * FULL, .ack = 1,
					      .data = full, .len = FULL });
		stream_peek(s.stream, &data);
		stream_consume(s.stream, 2 * FULL);
		if (i == 23)
			script_write(&s, 10);
		assert_true(script_get(&s, &seg));
		assert_int_equal(seg.len, 0);
		assert_int_equal(seg.ack, 1 + 20 * FULL);
		assert_int_equal(seg.window, window);
		assert_int_equal(seg.sack[0].end, 1 + (i + 1) * FULL);
		if (i == 23)
			script_expect(&s, 1, 10, TCP_ACK);
	}
	script_put(&s, &(struct put){ .seq = 1 + 20 * FULL, .ack = 11,
				      .data = full, .len = FULL });
	assert_true(script_get(&s, &seg));
	assert_int_equal(seg.ack, 1 + 26 * FULL);
	assert_true(seg.window >= window);
	script_none(&s);
	script_clear(&s);
}

/* RFC 2018 section 4: immediate, newest block first, merged. */
static void test_sack_sent(void **state)
{
	struct script s;
	struct segment seg;

	(void)state;
	script_init(&s, true, true, NULL);
	script_put(&s, &(struct put){ .seq = 11, .ack = 1,
				      .data = "klmno", .len = 5 });
	assert_true(script_get(&s, &seg));
	assert_int_equal(seg.ack, 1);
	assert_int_equal(seg.sack_count, 1);
	assert_int_equal(seg.sack[0].start, 11);
	assert_int_equal(seg.sack[0].end, 16);
	script_put(&s, &(struct put){ .seq = 21, .ack = 1,
				      .data = "uvwxy", .len = 5 });
	assert_true(script_get(&s, &seg));
	assert_int_equal(seg.sack_count, 2);
	assert_int_equal(seg.sack[0].start, 21);
	assert_int_equal(seg.sack[1].start, 11);
	script_put(&s, &(struct put){ .seq = 16, .ack = 1,
				      .data = "pqrst", .len = 5 });
	assert_true(script_get(&s, &seg));
	assert_int_equal(seg.sack_count, 1);
	assert_int_equal(seg.sack[0].start, 11);
	assert_int_equal(seg.sack[0].end, 26);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1,
				      .data = "abcdefghij", .len = 10 });
	assert_true(script_get(&s, &seg));
	assert_int_equal(seg.ack, 26);
	assert_int_equal(seg.sack_count, 0);
	read_all(&s, "abcdefghijklmnopqrstuvwxy");
	script_clear(&s);
}

/* Ten segments; the second and fifth are lost. */
static void test_fast_retransmit(void **state)
{
	struct script s;
	const uint32_t at2 = 1 + FULL;
	const uint32_t at5 = 1 + 4 * FULL;
	const uint32_t end = 1 + 10 * FULL;

	(void)state;
	script_init(&s, true, true, NULL);
	script_write(&s, 10 * FULL);
	for (uint32_t i = 0; i < 10; i++)
		script_expect(&s, 1 + i * FULL, FULL, TCP_ACK);
	script_none(&s);
	script_wait(&s, 10 * US_PER_MS);
	script_put(&s, &(struct put){ .seq = 1, .ack = at2 });
	script_put(&s, &(struct put){ .seq = 1, .ack = at2,
		.sack = { { at2 + FULL, at2 + 2 * FULL } } });
	script_put(&s, &(struct put){ .seq = 1, .ack = at2,
		.sack = { { at2 + FULL, at5 } } });
	script_none(&s);
	script_put(&s, &(struct put){ .seq = 1, .ack = at2,
		.sack = { { at5 + FULL, at5 + 2 * FULL },
			  { at2 + FULL, at5 } } });
	script_expect(&s, at2, FULL, TCP_ACK);
	script_none(&s);
	assert_int_equal(conn_of(&s)->recovery, RECOVERY_FAST);
	/* Only when three lie above it is the fifth lost, too. */
	script_put(&s, &(struct put){ .seq = 1, .ack = at2,
		.sack = { { at5 + FULL, at5 + 3 * FULL },
			  { at2 + FULL, at5 } } });
	script_none(&s);
	script_put(&s, &(struct put){ .seq = 1, .ack = at2,
		.sack = { { at5 + FULL, at5 + 4 * FULL },
			  { at2 + FULL, at5 } } });
	script_expect(&s, at5, FULL, TCP_ACK);
	script_none(&s);
	script_wait(&s, 10 * US_PER_MS);
	script_put(&s, &(struct put){ .seq = 1, .ack = at5,
		.sack = { { at5 + FULL, end } } });
	script_none(&s);
	script_put(&s, &(struct put){ .seq = 1, .ack = end });
	script_none(&s);
	assert_int_equal(conn_of(&s)->recovery, RECOVERY_NONE);
	assert_int_equal(stream_unsent(s.stream), 0);
	assert_int_equal(ns_stream_rtt_us(s.stream), 10 * US_PER_MS);
	script_clear(&s);
}

/* The tail is lost: a probe finds out after two round trips, not the RTO. */
static void test_loss_probe(void **state)
{
	struct script s;
	struct ns_stats stats;
	const uint32_t at2 = 1 + FULL;
	const uint32_t at3 = 1 + 2 * FULL;

	(void)state;
	script_init(&s, true, true, NULL);
	script_write(&s, 3 * FULL);
	for (uint32_t i = 0; i < 3; i++)
		script_expect(&s, 1 + i * FULL, FULL, TCP_ACK);
	script_wait(&s, 10 * US_PER_MS);
	script_put(&s, &(struct put){ .seq = 1, .ack = at2 });
	script_wait(&s, 20 * US_PER_MS - 1);
	script_none(&s);
	script_wait(&s, 1);
	script_expect(&s, at3, FULL, TCP_ACK);
	script_none(&s);
	script_wait(&s, 10 * US_PER_MS);
	/* Overtaken by 30 ms: the second is lost, too. */
	script_put(&s, &(struct put){ .seq = 1, .ack = at2,
		.sack = { { at3, at3 + FULL } } });
	script_expect(&s, at2, FULL, TCP_ACK);
	script_none(&s);
	script_put(&s, &(struct put){ .seq = 1, .ack = at3 + FULL });
	ns_get_stats(s.ns, &stats);
	assert_int_equal(stats.loss_probes, 1);
	assert_int_equal(stats.timeouts, 0);
	assert_int_equal(stats.fast_recoveries, 1);
	script_clear(&s);
}

/* RFC 8985 7.4: a repair by the probe alone is a loss; a D-SACK says no. */
static void probe_repairs(bool duplicate, uint32_t *before, uint32_t *after)
{
	struct script s;
	struct put answer = { .seq = 1, .ack = 1 + 2 * FULL };

	script_init(&s, true, true, NULL);
	script_write(&s, 2 * FULL);
	script_expect(&s, 1, FULL, TCP_ACK);
	script_expect(&s, 1 + FULL, FULL, TCP_ACK);
	script_wait(&s, 20 * US_PER_MS);
	script_expect(&s, 1 + FULL, FULL, TCP_ACK);
	*before = conn_of(&s)->congestion.window;
	if (duplicate)
		answer.sack[0] = (struct range){ 1 + FULL, 1 + 2 * FULL };
	script_wait(&s, 10 * US_PER_MS);
	script_put(&s, &answer);
	*after = conn_of(&s)->congestion.window;
	script_clear(&s);
}

static void test_probe_repairs(void **state)
{
	uint32_t before;
	uint32_t after;

	(void)state;
	probe_repairs(false, &before, &after);
	assert_int_equal(after, before * 7 / 10);
	probe_repairs(true, &before, &after);
	assert_true(after >= before);
}

/* Late by less than a quarter of the round trip is not lost. */
static void test_reordering(void **state)
{
	struct script s;
	const uint32_t at2 = 1 + FULL;

	(void)state;
	script_init(&s, true, true, NULL);
	script_write(&s, 2 * FULL);
	script_expect(&s, 1, FULL, TCP_ACK);
	script_expect(&s, at2, FULL, TCP_ACK);
	script_wait(&s, 10 * US_PER_MS);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1,
		.sack = { { at2, at2 + FULL } } });
	script_none(&s);
	script_wait(&s, 2499);
	script_none(&s);
	script_wait(&s, 1);
	script_expect(&s, 1, FULL, TCP_ACK);
	assert_int_equal(conn_of(&s)->recovery, RECOVERY_FAST);
	script_clear(&s);
}

/* The retransmission is lost in its turn. */
static void test_lost_again(void **state)
{
	struct script s;
	struct ns_stats stats;
	const uint32_t end = 1 + 10 * FULL;

	(void)state;
	script_init(&s, true, true, NULL);
	script_write(&s, 14 * FULL);
	for (uint32_t i = 0; i < 10; i++)
		script_expect(&s, 1 + i * FULL, FULL, TCP_ACK);
	script_wait(&s, 10 * US_PER_MS);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1,
		.sack = { { 1 + FULL, 1 + 4 * FULL } } });
	script_expect(&s, 1, FULL, TCP_ACK);
	script_wait(&s, 5 * US_PER_MS);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1,
		.sack = { { 1 + FULL, end } } });
	script_expect(&s, end, FULL, TCP_ACK);
	while (script_get(&s, &(struct segment){ 0 }))
		;
	script_wait(&s, 10 * US_PER_MS);
	/* What was sent after it arrives, it does not. */
	script_put(&s, &(struct put){ .seq = 1, .ack = 1,
		.sack = { { 1 + FULL, end + FULL } } });
	script_expect(&s, 1, FULL, TCP_ACK);
	script_put(&s, &(struct put){ .seq = 1,
		.ack = conn_of(&s)->snd_nxt - s.iss });
	ns_get_stats(s.ns, &stats);
	assert_int_equal(stats.timeouts, 0);
	assert_int_equal(conn_of(&s)->recovery, RECOVERY_NONE);
	script_clear(&s);
}

/* RFC 3522: an echo from before the retransmission: nothing was lost. */
static void test_undo(void **state)
{
	struct script s;
	struct ns_stats stats;
	uint32_t before;
	uint32_t echo;

	(void)state;
	script_init(&s, true, true, NULL);
	script_write(&s, 5 * FULL);
	for (uint32_t i = 0; i < 5; i++)
		script_expect(&s, 1 + i * FULL, FULL, TCP_ACK);
	echo = s.ts_seen;
	before = conn_of(&s)->congestion.window;
	script_wait(&s, 10 * US_PER_MS);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1,
		.sack = { { 1 + FULL, 1 + 4 * FULL } } });
	script_expect(&s, 1, FULL, TCP_ACK);
	assert_true(conn_of(&s)->congestion.threshold <= before);
	script_wait(&s, US_PER_MS);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1 + 5 * FULL,
				      .ts_echo = echo });
	assert_int_equal(conn_of(&s)->recovery, RECOVERY_NONE);
	assert_true(conn_of(&s)->congestion.window >= before);
	assert_int_equal(conn_of(&s)->reorder_steps, 2);
	/* The same for a time-out that came too soon. */
	before = conn_of(&s)->congestion.window;
	conn_of(&s)->tlp_done = true;
	script_write(&s, 2 * FULL);
	script_expect(&s, 1 + 5 * FULL, FULL, TCP_ACK);
	script_expect(&s, 1 + 6 * FULL, FULL, TCP_ACK);
	echo = s.ts_seen;
	script_wait(&s, 200 * US_PER_MS);
	script_expect(&s, 1 + 5 * FULL, FULL, TCP_ACK);
	script_none(&s);
	assert_int_equal(conn_of(&s)->congestion.window, 1220);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1 + 6 * FULL,
				      .ts_echo = echo });
	script_none(&s);
	assert_true(conn_of(&s)->congestion.window >= before);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1 + 7 * FULL,
				      .ts_echo = echo });
	ns_get_stats(s.ns, &stats);
	assert_int_equal(stats.undone, 2);
	assert_int_equal(stats.retransmits, 2);
	/* And when the path had no room for a retransmission. */
	script_write(&s, 2 * FULL);
	script_expect(&s, 1 + 7 * FULL, FULL, TCP_ACK);
	script_expect(&s, 1 + 8 * FULL, FULL, TCP_ACK);
	before = conn_of(&s)->congestion.window;
	script_wait(&s, 30 * US_PER_MS);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1 + 7 * FULL,
		.sack = { { 1 + 8 * FULL, 1 + 9 * FULL } } });
	script_wait(&s, 10 * US_PER_MS);
	assert_int_equal(conn_of(&s)->recovery, RECOVERY_FAST);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1 + 9 * FULL });
	assert_int_equal(conn_of(&s)->recovery, RECOVERY_NONE);
	assert_true(conn_of(&s)->congestion.window >= before);
	script_clear(&s);
}

/* RFC 9293 figure 7: both SYNs cross. */
static void test_simultaneous_open(void **state)
{
	struct script s = { .now_us = US_PER_S, .irs = PEER_ISS };
	const uint8_t address[1][NS_ADDRESS_LEN] = { { 0xfd, [15] = 1 } };
	const uint8_t peer[NS_ADDRESS_LEN] = { 0xfd, [15] = 2 };
	struct ns_config config = {
		.addresses = address, .address_count = 1, .rng = &s.rng,
	};
	struct segment seg;

	(void)state;
	rng_seeded(&s.rng, 3);
	assert_int_equal(ns_new(&config, &s.ns), 0);
	assert_int_equal(ns_connect(s.ns, peer, 80, s.now_us, &s.stream), 0);
	assert_true(script_get(&s, &seg));
	s.iss = seg.seq;
	s.port = seg.src_port;
	script_put(&s, &(struct put){ .flags = TCP_SYN, .bare = true });
	script_expect(&s, 0, 0, TCP_SYN | TCP_ACK);
	assert_int_equal(ns_stream_state(s.stream), ERR_AGAIN);
	script_put(&s, &(struct put){ .flags = TCP_SYN, .ack = 1 });
	script_expect(&s, 1, 0, TCP_ACK);
	assert_int_equal(ns_stream_state(s.stream), 0);
	assert_int_equal(conn_of(&s)->snd_wnd, 1000);
	script_write(&s, 3);
	script_expect(&s, 1, 3, TCP_ACK);
	script_clear(&s);
}

/* RFC 2883: what came twice is named first, once. */
static void test_duplicate_reported(void **state)
{
	struct script s;
	struct segment seg;
	struct put put = { .seq = 1, .ack = 1, .data = "abc", .len = 3 };

	(void)state;
	script_init(&s, true, true, NULL);
	script_put(&s, &put);
	script_put(&s, &put);
	assert_true(script_get(&s, &seg));
	assert_int_equal(seg.ack, 4);
	assert_int_equal(seg.sack_count, 1);
	assert_int_equal(seg.sack[0].start, 1);
	assert_int_equal(seg.sack[0].end, 4);
	script_none(&s);
	script_put(&s, &(struct put){ .seq = 4, .ack = 1, .flags = TCP_FIN });
	assert_true(script_get(&s, &seg));
	assert_int_equal(seg.sack_count, 0);
	script_clear(&s);
}

/* RFC 6582, and RFC 3042 for the first two duplicates. */
static void test_without_sack(void **state)
{
	struct script s;
	struct put duplicate = { .seq = 1, .ack = 1 };
	const uint32_t full = 1220;

	(void)state;
	script_init(&s, false, false, NULL);
	script_write(&s, 14 * full);
	for (uint32_t i = 0; i < 10; i++)
		script_expect(&s, 1 + i * full, full, TCP_ACK);
	script_none(&s);
	script_put(&s, &duplicate);
	script_expect(&s, 1 + 10 * full, full, TCP_ACK);
	script_put(&s, &duplicate);
	script_expect(&s, 1 + 11 * full, full, TCP_ACK);
	script_put(&s, &duplicate);
	script_expect(&s, 1, full, TCP_ACK);
	/* A partial ACK: the next hole at once. */
	script_put(&s, &(struct put){ .seq = 1, .ack = 1 + full });
	script_expect(&s, 1 + full, full, TCP_ACK);
	assert_int_equal(conn_of(&s)->recovery, RECOVERY_FAST);
	while (script_get(&s, &(struct segment){ 0 }))
		;
	script_put(&s, &(struct put){ .seq = 1,
		.ack = conn_of(&s)->snd_nxt - s.iss });
	assert_int_equal(conn_of(&s)->recovery, RECOVERY_NONE);
	script_clear(&s);
}

/* Duplicate ACKs, one for each segment out of order, for such a peer. */
static void test_duplicates_without_sack(void **state)
{
	struct script s;

	(void)state;
	script_init(&s, false, false, NULL);
	for (uint32_t i = 0; i < 3; i++)
		script_put(&s, &(struct put){ .seq = 11 + i, .ack = 1,
					      .data = "x", .len = 1 });
	for (int i = 0; i < 3; i++)
		script_expect(&s, 1, 0, TCP_ACK);
	script_none(&s);
	script_clear(&s);
}

/* RFC 6298 by numbers: SRTT, RTTVAR, floor, doubling, and the end. */
static void test_rto(void **state)
{
	struct script s;
	struct ns_config config = { .retry_timeout_us = 4 * US_PER_S };
	struct conn *conn;
	uint64_t wait = 200 * US_PER_MS;

	(void)state;
	script_init(&s, true, true, &config);
	conn = conn_of(&s);
	assert_int_equal(conn->srtt_us, 10000);
	assert_int_equal(conn->rttvar_us, 5000);
	assert_int_equal(conn->rto_us, 200000);
	ns_rtt_sample(conn, 500000);
	assert_int_equal(conn->rttvar_us, 5000 - 1250 + 490000 / 4);
	assert_int_equal(conn->srtt_us, 10000 - 1250 + 62500);
	assert_int_equal(conn->rto_us, 71250 + 4 * 126250);
	conn->rto_us = 200000;
	conn->tlp_done = true;	/* not what is looked at here */
	script_write(&s, 10);
	script_expect(&s, 1, 10, TCP_ACK);
	for (int i = 0; i < 4; i++, wait *= 2) {
		script_wait(&s, wait - 1);
		script_none(&s);
		script_wait(&s, 1);
		script_expect(&s, 1, 10, TCP_ACK);
		assert_int_equal(conn->congestion.window, 1220);
	}
	script_wait(&s, wait);
	script_expect(&s, 11, 0, TCP_RST | TCP_ACK);
	assert_int_equal(ns_stream_state(s.stream), ERR_TIMEOUT);
	assert_int_equal(stream_unsent(s.stream), 0);
	script_clear(&s);
}

/* RFC 2018 section 8: after a time-out a receiver may have forgotten. */
static void test_reneging(void **state)
{
	struct script s;

	(void)state;
	script_init(&s, true, true, NULL);
	script_write(&s, 3 * FULL);
	for (uint32_t i = 0; i < 3; i++)
		script_expect(&s, 1 + i * FULL, FULL, TCP_ACK);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1,
		.sack = { { 1 + FULL, 1 + 3 * FULL } } });
	script_put(&s, &(struct put){ .seq = 1, .ack = 1 + FULL });
	script_wait(&s, 250 * US_PER_MS);
	script_expect(&s, 1 + FULL, FULL, TCP_ACK);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1 + 2 * FULL });
	script_expect(&s, 1 + 2 * FULL, FULL, TCP_ACK);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1 + 3 * FULL });
	assert_int_equal(stream_unsent(s.stream), 0);
	script_clear(&s);
}

/* RFC 7323 section 5. */
static void test_paws(void **state)
{
	struct script s;
	struct ns_stats stats;

	(void)state;
	script_init(&s, true, true, NULL);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1, .ts = 900,
				      .data = "old", .len = 3 });
	script_expect(&s, 1, 0, TCP_ACK);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1, .ts = UINT32_MAX,
				      .data = "non", .len = 3 });
	script_none(&s);
	ns_get_stats(s.ns, &stats);
	assert_int_equal(stats.drop_paws, 2);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1, .data = "new",
				      .len = 3 });
	read_all(&s, "new");
	/* After 24 days of silence the old value says nothing. */
	script_wait(&s, 25ull * 86400 * US_PER_S);
	while (script_get(&s, &(struct segment){ 0 }))
		;
	script_put(&s, &(struct put){ .seq = 4, .ack = 1, .ts = 900,
				      .data = "late", .len = 4 });
	read_all(&s, "late");
	script_clear(&s);
}

/* RFC 5961: a reset elsewhere in the window, a SYN, an ACK of the future. */
static void test_blind_attacks(void **state)
{
	struct script s;
	struct ns_stats stats;

	(void)state;
	script_init(&s, true, true, NULL);
	script_put(&s, &(struct put){ .seq = 100, .flags = TCP_RST, .ack = 1 });
	script_expect(&s, 1, 0, TCP_ACK);
	/* Limited. */
	script_put(&s, &(struct put){ .seq = 100, .flags = TCP_RST, .ack = 1 });
	script_none(&s);
	script_wait(&s, 200 * US_PER_MS);
	script_put(&s, &(struct put){ .seq = 1, .flags = TCP_SYN,
				      .bare = true });
	script_expect(&s, 1, 0, TCP_ACK);
	script_wait(&s, 200 * US_PER_MS);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1000, .data = "evil",
				      .len = 4 });
	script_expect(&s, 1, 0, TCP_ACK);
	script_put(&s, &(struct put){ .seq = 1u << 30, .flags = TCP_RST,
				      .ack = 1 });
	assert_int_equal(stream_peek(s.stream, &(const uint8_t *){ NULL }),
			 ERR_AGAIN);
	ns_get_stats(s.ns, &stats);
	assert_int_equal(stats.challenge_acks, 3);
	script_put(&s, &(struct put){ .seq = 1, .flags = TCP_RST, .ack = 1 });
	assert_int_equal(stream_peek(s.stream, &(const uint8_t *){ NULL }),
			 ERR_RESET);
	assert_int_equal(stream_write(s.stream, "x", 1), ERR_RESET);
	script_none(&s);
	script_clear(&s);
}

/* Bytes received before a failure come first. */
static void test_data_before_reset(void **state)
{
	struct script s;

	(void)state;
	script_init(&s, true, true, NULL);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1, .data = "last",
				      .len = 4 });
	script_put(&s, &(struct put){ .seq = 5, .flags = TCP_RST, .ack = 1 });
	read_all(&s, "last");
	assert_int_equal(stream_peek(s.stream, &(const uint8_t *){ NULL }),
			 ERR_RESET);
	script_clear(&s);
}

/* The probe is lost, the window update is lost, a later probe finds out. */
static void test_zero_window(void **state)
{
	struct script s;
	struct segment seg;

	(void)state;
	script_init(&s, true, true, NULL);
	script_write(&s, 100);
	script_expect(&s, 1, 100, TCP_ACK);
	script_put(&s, &(struct put){ .seq = 1, .ack = 101, .closed = true });
	script_write(&s, 50);
	script_none(&s);
	script_wait(&s, 200 * US_PER_MS);
	script_expect(&s, 100, 0, TCP_ACK);
	script_wait(&s, 399 * US_PER_MS);
	script_none(&s);
	script_wait(&s, US_PER_MS);
	script_expect(&s, 100, 0, TCP_ACK);
	/* For hours, as long as it answers. */
	for (int i = 0; i < 100; i++) {
		script_wait(&s, 60 * US_PER_S);
		while (script_get(&s, &seg))
			;
		script_put(&s, &(struct put){ .seq = 1, .ack = 101,
					      .closed = true });
	}
	assert_int_equal(ns_stream_state(s.stream), 0);
	script_put(&s, &(struct put){ .seq = 1, .ack = 101 });
	script_expect(&s, 101, 50, TCP_ACK);
	/* The retransmission clock begins anew. */
	script_wait(&s, 200 * US_PER_MS);
	script_expect(&s, 101, 50, TCP_ACK);
	script_put(&s, &(struct put){ .seq = 1, .ack = 151 });
	assert_int_equal(stream_unsent(s.stream), 0);
	script_clear(&s);
}

/* A peer that never answers a probe is dead in the end. */
/*
 * gVisor draws its window in when its buffer is fuller than it had promised.
 * An ACK beyond that edge is refused: with data stalled both ways neither end
 * would ever hear the other (seen at 55 KB in flight; the agent gave up).
 */
static void test_window_drawn_in(void **state)
{
	struct script s;

	(void)state;
	script_init(&s, true, true, NULL);
	script_write(&s, 900);
	script_expect(&s, 1, 900, TCP_ACK);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1, .closed = true });
	script_put(&s, &(struct put){ .seq = 101, .ack = 1, .closed = true,
				      .data = "hole", .len = 4 });
	script_expect(&s, 1, 0, TCP_ACK);
	script_put(&s, &(struct put){ .seq = 101, .ack = 401, .closed = true,
				      .data = "hole", .len = 4 });
	script_expect(&s, 401, 0, TCP_ACK);
	script_put(&s, &(struct put){ .seq = 101, .ack = 901,
				      .data = "hole", .len = 4 });
	script_expect(&s, 901, 0, TCP_ACK);
	script_clear(&s);
}

static void test_probes_unanswered(void **state)
{
	struct script s;
	struct segment seg;

	(void)state;
	script_init(&s, true, true, NULL);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1, .closed = true });
	script_write(&s, 50);
	script_none(&s);
	for (int i = 0; i < 30 && !ns_stream_state(s.stream); i++) {
		script_wait(&s, 10 * US_PER_S);
		while (script_get(&s, &seg))
			;
	}
	assert_int_equal(ns_stream_state(s.stream), ERR_TIMEOUT);
	script_clear(&s);
}

/* We never read: the window closes, and opens when we do. */
static void test_never_reads(void **state)
{
	struct ns_config config = { .receive_start = 4096,
				    .receive_cap = 4096 };
	struct script s;
	struct segment seg;
	uint8_t full[1024] = { 0 };

	(void)state;
	script_init(&s, true, true, &config);
	for (uint32_t i = 0; i < 4; i++)
		script_put(&s, &(struct put){ .seq = 1 + i * 1024, .ack = 1,
					      .data = full, .len = 1024 });
	assert_true(script_get(&s, &seg));
	assert_int_equal(seg.ack, 4097);
	assert_int_equal(seg.window, 0);
	script_put(&s, &(struct put){ .seq = 4097, .ack = 1, .data = full,
				      .len = 1 });
	assert_true(script_get(&s, &seg));
	assert_int_equal(seg.ack, 4097);
	script_none(&s);
	stream_consume(s.stream, 100);
	script_none(&s);
	stream_consume(s.stream, 3000);
	assert_true(script_get(&s, &seg));
	assert_int_equal(seg.window, 3100 >> WINDOW_SHIFT);
	script_clear(&s);
}

static void test_keepalive(void **state)
{
	struct script s;

	(void)state;
	script_init(&s, true, true, NULL);
	ns_stream_set_keepalive(s.stream, 30 * US_PER_S);
	script_wait(&s, 29 * US_PER_S);
	script_none(&s);
	script_wait(&s, US_PER_S);
	script_expect(&s, 0, 0, TCP_ACK);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1 });
	script_wait(&s, 30 * US_PER_S);
	for (int i = 0; i < KEEPALIVE_PROBES; i++) {
		script_expect(&s, 0, 0, TCP_ACK);
		script_none(&s);
		script_wait(&s, 10 * US_PER_S);
	}
	script_expect(&s, 1, 0, TCP_RST | TCP_ACK);
	assert_int_equal(ns_stream_state(s.stream), ERR_TIMEOUT);
	script_clear(&s);
}

static void test_half_close(void **state)
{
	struct script s;

	(void)state;
	script_init(&s, true, true, NULL);
	script_write(&s, 3);
	assert_int_equal(stream_shutdown(s.stream), 0);
	assert_int_equal(stream_write(s.stream, "x", 1), ERR_CLOSED);
	script_expect(&s, 1, 3, TCP_FIN | TCP_ACK);
	script_put(&s, &(struct put){ .seq = 1, .ack = 5 });
	assert_int_equal(conn_of(&s)->state, TCP_FIN_WAIT_2);
	script_put(&s, &(struct put){ .seq = 1, .ack = 5, .data = "more",
				      .len = 4 });
	read_all(&s, "more");
	/* Half-closed and owned: for as long as its owner likes. */
	script_wait(&s, 3600 * US_PER_S);
	script_expect(&s, 5, 0, TCP_ACK);
	script_put(&s, &(struct put){ .seq = 5, .ack = 5, .flags = TCP_FIN });
	script_expect(&s, 5, 0, TCP_ACK);
	assert_int_equal(stream_peek(s.stream, &(const uint8_t *){ NULL }), 0);
	assert_int_equal(conn_of(&s)->state, TCP_TIME_WAIT);
	/* The FIN comes again: so does the ACK. */
	script_put(&s, &(struct put){ .seq = 5, .ack = 5, .flags = TCP_FIN });
	script_expect(&s, 5, 0, TCP_ACK);
	script_wait(&s, 3 * US_PER_S);
	assert_int_equal(conn_of(&s)->state, TCP_CLOSED);
	assert_int_equal(ns_stream_state(s.stream), 0);
	script_clear(&s);
}

/* Their end first, out of order; ours later. */
static void test_peer_half_close(void **state)
{
	struct script s;

	(void)state;
	script_init(&s, true, true, NULL);
	script_put(&s, &(struct put){ .seq = 4, .ack = 1, .flags = TCP_FIN,
				      .data = "def", .len = 3 });
	script_expect(&s, 1, 0, TCP_ACK);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1, .data = "abc",
				      .len = 3 });
	script_expect(&s, 1, 0, TCP_ACK);
	read_all(&s, "abcdef");
	assert_int_equal(stream_peek(s.stream, &(const uint8_t *){ NULL }), 0);
	assert_int_equal(conn_of(&s)->state, TCP_CLOSE_WAIT);
	script_write(&s, 9);
	script_expect(&s, 1, 9, TCP_ACK);
	stream_shutdown(s.stream);
	script_expect(&s, 10, 0, TCP_FIN | TCP_ACK);
	script_put(&s, &(struct put){ .seq = 8, .ack = 11 });
	assert_int_equal(conn_of(&s)->state, TCP_CLOSED);
	assert_int_equal(ns_stream_state(s.stream), 0);
	script_clear(&s);
}

static void test_simultaneous_close(void **state)
{
	struct script s;

	(void)state;
	script_init(&s, true, true, NULL);
	stream_shutdown(s.stream);
	script_expect(&s, 1, 0, TCP_FIN | TCP_ACK);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1, .flags = TCP_FIN });
	assert_int_equal(conn_of(&s)->state, TCP_CLOSING);
	script_expect(&s, 2, 0, TCP_ACK);
	script_put(&s, &(struct put){ .seq = 2, .ack = 2 });
	assert_int_equal(conn_of(&s)->state, TCP_TIME_WAIT);
	script_clear(&s);
}

/* Closed by its owner: what was accepted goes out, the rest is a reset. */
static void test_close_lingers(void **state)
{
	struct script s;
	struct ns_stats stats;

	(void)state;
	script_init(&s, true, true, NULL);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1, .data = "unread",
				      .len = 6 });
	script_write(&s, 2000);
	stream_close(s.stream, false);
	s.stream = NULL;
	script_expect(&s, 1, FULL, TCP_ACK);
	script_expect(&s, 1 + FULL, 2000 - FULL, TCP_FIN | TCP_ACK);
	script_wait(&s, 20 * US_PER_MS);
	script_expect(&s, 1 + FULL, 2000 - FULL, TCP_FIN | TCP_ACK);
	script_wait(&s, 200 * US_PER_MS);
	script_expect(&s, 1, FULL, TCP_ACK);
	script_put(&s, &(struct put){ .seq = 7, .ack = 2002 });
	script_put(&s, &(struct put){ .seq = 7, .ack = 2002, .data = "x",
				      .len = 1 });
	script_expect(&s, 2002, 0, TCP_RST | TCP_ACK);
	script_none(&s);
	ns_get_stats(s.ns, &stats);
	assert_int_equal(stats.connections, 0);
	assert_int_equal(ns_next_deadline(s.ns), DEADLINE_NONE);
	script_clear(&s);
}

/* Nobody owns it and the peer is silent in FIN_WAIT_2. */
static void test_close_bounded(void **state)
{
	struct script s;
	struct ns_stats stats;

	(void)state;
	script_init(&s, true, true, NULL);
	stream_close(s.stream, false);
	s.stream = NULL;
	script_expect(&s, 1, 0, TCP_FIN | TCP_ACK);
	script_put(&s, &(struct put){ .seq = 1, .ack = 2 });
	script_wait(&s, 61 * US_PER_S);
	ns_get_stats(s.ns, &stats);
	assert_int_equal(stats.connections, 0);
	script_clear(&s);
}

static void test_abort(void **state)
{
	struct script s;

	(void)state;
	script_init(&s, true, true, NULL);
	script_write(&s, 10);
	stream_close(s.stream, true);
	s.stream = NULL;
	script_expect(&s, 1, 0, TCP_RST | TCP_ACK);
	script_none(&s);
	/* And what still comes belongs to nothing. */
	script_put(&s, &(struct put){ .seq = 1, .ack = 1, .data = "x",
				      .len = 1 });
	script_expect(&s, 1, 0, TCP_RST);
	script_clear(&s);
}

/* A short tail waits for the writer who was refused, never for others. */
static void test_full_segments(void **state)
{
	struct script s;
	uint8_t data[4000] = { 0 };

	(void)state;
	script_init(&s, true, true, NULL);
	ns_stream_set_send_cap(s.stream, 3000);
	assert_int_equal(stream_write(s.stream, data, 4000), 3000);
	assert_int_equal(stream_write(s.stream, data, 1), ERR_AGAIN);
	script_expect(&s, 1, FULL, TCP_ACK);
	script_expect(&s, 1 + FULL, FULL, TCP_ACK);
	script_none(&s);
	script_put(&s, &(struct put){ .seq = 1, .ack = 1 + 2 * FULL });
	assert_int_equal(stream_write(s.stream, data, 1000), 1000);
	script_expect(&s, 1 + 2 * FULL, FULL, TCP_ACK);
	script_expect(&s, 1 + 3 * FULL, 4000 - 3 * FULL, TCP_ACK);
	script_clear(&s);
}

/* At rest after half a second: no buffers. */
static void test_buffers_released(void **state)
{
	struct script s;

	(void)state;
	script_init(&s, true, true, NULL);
	script_write(&s, 100);
	script_expect(&s, 1, 100, TCP_ACK);
	script_put(&s, &(struct put){ .seq = 1, .ack = 101, .data = "abc",
				      .len = 3 });
	assert_non_null(conn_of(&s)->send.data);
	read_all(&s, "abc");
	script_wait(&s, US_PER_S);
	assert_null(conn_of(&s)->send.data);
	assert_null(conn_of(&s)->receive.data);
	assert_null(conn_of(&s)->records.at);
	assert_true(sizeof(struct conn) < 896);
	script_expect(&s, 101, 0, TCP_ACK);
	script_wait(&s, US_PER_S);
	assert_int_equal(ns_next_deadline(s.ns), DEADLINE_NONE);
	script_clear(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delayed_ack),
		cmocka_unit_test(test_sack_sent),
		cmocka_unit_test(test_duplicate_acks),
		cmocka_unit_test(test_acks_that_get_lost),
		cmocka_unit_test(test_initial_window),
		cmocka_unit_test(test_too_big_ignored),
		cmocka_unit_test(test_fast_retransmit),
		cmocka_unit_test(test_loss_probe),
		cmocka_unit_test(test_probe_repairs),
		cmocka_unit_test(test_reordering),
		cmocka_unit_test(test_lost_again),
		cmocka_unit_test(test_duplicate_reported),
		cmocka_unit_test(test_undo),
		cmocka_unit_test(test_simultaneous_open),
		cmocka_unit_test(test_without_sack),
		cmocka_unit_test(test_duplicates_without_sack),
		cmocka_unit_test(test_rto),
		cmocka_unit_test(test_reneging),
		cmocka_unit_test(test_paws),
		cmocka_unit_test(test_blind_attacks),
		cmocka_unit_test(test_data_before_reset),
		cmocka_unit_test(test_zero_window),
		cmocka_unit_test(test_window_drawn_in),
		cmocka_unit_test(test_probes_unanswered),
		cmocka_unit_test(test_never_reads),
		cmocka_unit_test(test_keepalive),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_peer_half_close),
		cmocka_unit_test(test_simultaneous_close),
		cmocka_unit_test(test_close_lingers),
		cmocka_unit_test(test_close_bounded),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_full_segments),
		cmocka_unit_test(test_buffers_released),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
