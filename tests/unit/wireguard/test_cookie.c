#include <string.h>

#include "world.h"

static void under_load_a_cookie_is_asked_for(void **state)
{
	struct world *world = world_new(80, 0);

	(void)state;
	assert_int_equal(wg_set_under_load(world->ends[1].wg, true), 0);
	wg_peer_handshake(world->ends[0].peer, world->now_us);
	world_run(world, US_PER_S);
	assert_int_equal(world->ends[1].sent[2], 0);
	assert_int_equal(world->ends[1].sent[3], 1);
	assert_int_equal(world->ends[0].last.kind, WG_IN_COOKIE);
	assert_false(world->ends[0].last.authenticated);
	/* The retry carries it. */
	world_run(world, 5 * US_PER_S);
	assert_int_equal(world->ends[1].sent[2], 1);
	assert_true(wg_peer_ready(world->ends[0].peer, world->now_us));
	assert_true(wg_peer_ready(world->ends[1].peer, world->now_us));
	world_free(world);
}

/* Responses are held to it too. */
static void the_initiator_may_be_under_load(void **state)
{
	struct world *world = world_new(81, 0);

	(void)state;
	assert_int_equal(wg_set_under_load(world->ends[0].wg, true), 0);
	wg_peer_handshake(world->ends[0].peer, world->now_us);
	world_run(world, US_PER_S);
	assert_int_equal(world->ends[0].sent[3], 1);
	world_run(world, 5 * US_PER_S);
	assert_true(wg_peer_ready(world->ends[0].peer, world->now_us));
	world_free(world);
}

static void a_cookie_is_for_one_place_and_two_minutes(void **state)
{
	struct world *world = world_new(82, 0);
	struct world_end *end = &world->ends[0];
	struct world_end *far = &world->ends[1];
	uint8_t bytes[WORLD_BUFFER];

	(void)state;
	wg_set_under_load(far->wg, true);
	wg_peer_handshake(end->peer, world->now_us);
	world_run(world, US_PER_S);
	world->now_us += 5 * US_PER_S;
	wg_tick(end->wg, world->now_us);
	assert_int_equal(world_out(world, 0, bytes), WG_INITIATION_LEN);
	/* From elsewhere it proves nothing. */
	end->from++;
	assert_int_equal(world_in(world, 1, bytes, WG_INITIATION_LEN),
			 WG_IGNORED_COOKIE_SENT);
	end->from--;
	bytes[WG_INITIATION_LEN - 1] ^= 1;
	assert_int_equal(world_in(world, 1, bytes, WG_INITIATION_LEN),
			 WG_IGNORED_COOKIE_SENT);
	bytes[WG_INITIATION_LEN - 1] ^= 1;
	/* The secret is gone after 120 s. */
	world->now_us += 120 * US_PER_S;
	assert_int_equal(world_in(world, 1, bytes, WG_INITIATION_LEN),
			 WG_IGNORED_COOKIE_SENT);
	/* And the maker stopped using the cookie before that. */
	wg_tick(end->wg, world->now_us);
	wg_peer_handshake(end->peer, world->now_us);
	assert_int_equal(world_out(world, 0, bytes), WG_INITIATION_LEN);
	for (size_t i = WG_INITIATION_LEN - 16; i < WG_INITIATION_LEN; i++)
		assert_int_equal(bytes[i], 0);
	world_free(world);
}

static void a_cookie_reply_must_be_awaited_and_whole(void **state)
{
	struct world *world = world_new(83, 0);
	uint8_t bytes[WORLD_BUFFER];

	(void)state;
	wg_set_under_load(world->ends[1].wg, true);
	wg_peer_handshake(world->ends[0].peer, world->now_us);
	world_out(world, 0, bytes);
	world_in(world, 1, bytes, WG_INITIATION_LEN);
	assert_int_equal(world_out(world, 1, bytes), WG_COOKIE_MESSAGE_LEN);
	for (size_t i = WG_COOKIE_NONCE; i < WG_COOKIE_MESSAGE_LEN; i++) {
		bytes[i] ^= 1;
		assert_int_equal(world_in(world, 0, bytes, 64),
				 WG_IGNORED_FORGED);
		bytes[i] ^= 1;
	}
	assert_int_equal(world_in(world, 0, bytes, 63), WG_IGNORED_MALFORMED);
	bytes[WG_COOKIE_RECEIVER] ^= 1;
	assert_int_equal(world_in(world, 0, bytes, 64), WG_IGNORED_INDEX);
	bytes[WG_COOKIE_RECEIVER] ^= 1;
	assert_int_equal(world_in(world, 0, bytes, 64), WG_IGNORED_NONE);
	assert_int_equal(world_in(world, 0, bytes, 64), WG_IGNORED_STATE);
	world_free(world);
}

static void a_flood_gets_a_bounded_number_of_replies(void **state)
{
	struct world *world = world_new(84, 0);
	struct wg_stats stats;
	uint8_t bytes[WORLD_BUFFER];
	unsigned replies = 0;

	(void)state;
	wg_set_under_load(world->ends[1].wg, true);
	wg_peer_handshake(world->ends[0].peer, world->now_us);
	world_out(world, 0, bytes);
	for (int i = 0; i < 100; i++)
		assert_int_equal(world_in(world, 1, bytes, WG_INITIATION_LEN),
				 i < WG_COOKIE_REPLIES_CAP ?
					 WG_IGNORED_COOKIE_SENT :
					 WG_IGNORED_COOKIE_FULL);
	while (world_out(world, 1, bytes))
		replies++;
	assert_int_equal(replies, WG_COOKIE_REPLIES_CAP);
	wg_stats(world->ends[1].wg, &stats);
	assert_int_equal(stats.ignored[WG_IGNORED_COOKIE_FULL],
			 100 - WG_COOKIE_REPLIES_CAP);
	world_free(world);
}

static void the_rate_is_20_a_second_with_a_burst_of_5(void **state)
{
	static struct wg_rate rate;
	uint64_t now_us = 5;
	unsigned allowed = 0;
	struct rng rng;

	(void)state;
	rng_seeded(&rng, 85);
	wg_rate_init(&rate, &rng);
	for (int i = 0; i < 50; i++)
		allowed += wg_rate_allow(&rate, 1, now_us);
	assert_int_equal(allowed, 5);
	/* A full second on, one asks each millisecond. */
	for (int i = 0; i < 1000; i++) {
		now_us += US_PER_MS;
		allowed += wg_rate_allow(&rate, 1, now_us);
	}
	assert_int_equal(allowed, 25);
	now_us += US_PER_S;
	allowed = 0;
	for (int i = 0; i < 50; i++)
		allowed += wg_rate_allow(&rate, 1, now_us);
	assert_int_equal(allowed, 5);
	/* Others go on meanwhile: of 100 nearly none shares the bucket. */
	allowed = 0;
	for (uint64_t host = 2; host < 102; host++)
		allowed += wg_rate_allow(&rate, host << 16, now_us);
	assert_true(allowed >= 95);
}

static void a_place_with_a_cookie_is_still_limited(void **state)
{
	struct world *world = world_new(86, 0);
	struct wg_cookie_maker *maker = &world->ends[0].peer->maker;
	uint8_t bytes[WORLD_BUFFER];
	unsigned limited = 0;

	(void)state;
	wg_set_under_load(world->ends[1].wg, true);
	wg_peer_handshake(world->ends[0].peer, world->now_us);
	world_run(world, US_PER_S);
	memset(bytes, 7, sizeof(bytes));
	memcpy(bytes, "\1\0\0\0", 4);
	wg_cookie_add_macs(maker, &world->ends[0].wg->mac, bytes,
			   WG_INITIATION_LEN, world->now_us);
	for (int i = 0; i < 20; i++) {
		enum wg_ignored reason = world_in(world, 1, bytes,
						  WG_INITIATION_LEN);

		assert_true(reason == WG_IGNORED_FORGED ||
			    reason == WG_IGNORED_RATE);
		limited += reason == WG_IGNORED_RATE;
	}
	assert_int_equal(limited, 15);
	world_free(world);
}

/*
 * Made once with wireguard-go's CookieChecker and CookieGenerator (its
 * 2e01ba5b00f0): a MAC1, the reply to it, and the MACs of the next message.
 */
static void wireguard_go_agrees(void **state)
{
	struct world *world = world_new(87, 0);
	struct wg_cookie_maker maker;
	uint8_t message[WG_INITIATION_LEN];
	uint8_t reply[WG_COOKIE_MESSAGE_LEN];
	uint8_t expected[2 * WG_MAC_LEN];
	struct key32 key;

	(void)state;
	for (size_t i = 0; i < sizeof(key.bytes); i++)
		key.bytes[i] = (uint8_t)(i + 1);
	wg_cookie_maker_init(&maker, &key);
	memset(message, 0x11, WG_INITIATION_LEN);
	wg_cookie_add_macs(&maker, &world->ends[0].wg->mac, message,
			   WG_INITIATION_LEN, world->now_us);
	hex_decode("9f75b9d8c2b920fac534f58eacd5361a", 32, expected, 16);
	assert_memory_equal(message + WG_INITIATION_MACS, expected, 16);
	hex_decode("0300000004030201d47cb01d202851c92a252ba4b316158b99cda4c1"
		   "c06e8a2e7d00fa7fe0d8dd915fa070f1b7404be9e51eea20d0c96853"
		   "139c172c99df2eaa", 128, reply, sizeof(reply));
	assert_int_equal(wg_cookie_read(&maker, reply, world->now_us), 0);
	memset(message, 0x22, WG_RESPONSE_LEN);
	wg_cookie_add_macs(&maker, &world->ends[0].wg->mac, message,
			   WG_RESPONSE_LEN, world->now_us);
	hex_decode("83485f31399a69ba30284d601f0dcaa8"
		   "bf836561cd7e767fa793a3e6212f3b1e", 64, expected, 32);
	assert_memory_equal(message + WG_RESPONSE_MACS, expected, 32);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wireguard_go_agrees),
		cmocka_unit_test(under_load_a_cookie_is_asked_for),
		cmocka_unit_test(the_initiator_may_be_under_load),
		cmocka_unit_test(a_cookie_is_for_one_place_and_two_minutes),
		cmocka_unit_test(a_cookie_reply_must_be_awaited_and_whole),
		cmocka_unit_test(a_flood_gets_a_bounded_number_of_replies),
		cmocka_unit_test(the_rate_is_20_a_second_with_a_burst_of_5),
		cmocka_unit_test(a_place_with_a_cookie_is_still_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
