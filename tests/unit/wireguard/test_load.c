#include <stdlib.h>
#include <string.h>

#include "world.h"

static void under_load_is_a_queue_of_128(void **state)
{
	struct wg_load load = { 0 };
	uint64_t now_us = WORLD_START;

	(void)state;
	assert_false(wg_load_now(&load, now_us));
	for (int i = 0; i < WG_LOAD_QUEUE; i++)
		assert_false(wg_load_initiation(&load, now_us));
	assert_true(wg_load_initiation(&load, now_us));
	/* One second after the last that found the queue full. */
	assert_true(wg_load_now(&load, now_us + WG_LOAD_AFTER_US - 1));
	assert_false(wg_load_now(&load, now_us + WG_LOAD_AFTER_US));
	now_us += WG_LOAD_AFTER_US;
	assert_false(wg_load_initiation(&load, now_us));
}

static void a_thousand_a_second_are_no_load(void **state)
{
	struct wg_load load = { 0 };
	uint64_t now_us = WORLD_START;
	int needed = 0;

	(void)state;
	for (int i = 0; i < 5000; i++, now_us += WG_LOAD_SERVICE_US)
		assert_false(wg_load_initiation(&load, now_us));
	/* A tenth more, and the queue grows by one each tenth. */
	while (!wg_load_initiation(&load, now_us)) {
		now_us += WG_LOAD_SERVICE_US - WG_LOAD_SERVICE_US / 10;
		needed++;
	}
	assert_in_range(needed, 1270, 1290);
}

static void a_long_flood_leaves_no_debt(void **state)
{
	struct wg_load load = { 0 };
	uint64_t now_us = WORLD_START;

	(void)state;
	for (int i = 0; i < 100000; i++)
		wg_load_initiation(&load, now_us += 10);
	now_us += WG_LOAD_AFTER_US;
	assert_false(wg_load_now(&load, now_us));
	for (int i = 0; i < WG_LOAD_QUEUE; i++)
		assert_false(wg_load_initiation(&load, now_us));
}

/* A stranger who knows end 1's key: MAC1 is good, the rest is not. */
static void write_flood(struct world *world, uint8_t bytes[WG_INITIATION_LEN])
{
	struct wg_cookie_maker maker;

	memset(bytes, 0, WG_INITIATION_LEN);
	bytes[0] = WG_MESSAGE_INITIATION;
	rng_bytes(&world->network, bytes + 4, WG_INITIATION_MACS - 4);
	wg_cookie_maker_init(&maker, wg_public_key(world->ends[1].wg));
	wg_cookie_add_macs(&maker, &world->ends[0].wg->mac, bytes,
			   WG_INITIATION_LEN, world->now_us);
}

/* `count` from as many places within a second. */
static void flood(struct world *world, unsigned count)
{
	uint8_t bytes[WG_INITIATION_LEN];
	struct wg_in_result result;

	for (unsigned i = 0; i < count; i++) {
		write_flood(world, bytes);
		wg_in(world->ends[1].wg, bytes, sizeof(bytes),
		      (uint64_t)(1000 + i) << 16,
		      world->now_us + i * US_PER_S / count, &result);
	}
}

/* What wg_out() has of cookie replies, thrown away. */
static unsigned drop_replies(struct world *world, int from)
{
	struct wg_out_message message;
	uint8_t bytes[WG_MESSAGE_CAP];
	unsigned count = 0;

	while (wg_out(world->ends[from].wg, world->now_us, bytes,
		      sizeof(bytes), &message) == 0) {
		assert_int_equal(message.kind, WG_OUT_COOKIE);
		assert_int_equal(message.len, WG_COOKIE_MESSAGE_LEN);
		count++;
	}
	return count;
}

static void few_initiations_are_served(void **state)
{
	struct world *world = world_new(140, 0);
	struct wg_stats stats;

	(void)state;
	flood(world, 900);
	wg_stats(world->ends[1].wg, &stats);
	assert_int_equal(stats.loads, 0);
	assert_int_equal(stats.ignored[WG_IGNORED_FORGED], 900);
	assert_null(world->ends[1].wg->rate);
	world_free(world);
}

/* In the flood one peer comes through: its cookie proves where it is. */
static void a_flood_switches_load_on_and_a_peer_comes_through(void **state)
{
	struct world *world = world_new(141, 0);
	struct world_end *end = &world->ends[0];
	struct wg_stats stats;

	(void)state;
	flood(world, 3000);
	wg_stats(world->ends[1].wg, &stats);
	assert_int_equal(stats.loads, 1);
	assert_in_range(stats.ignored[WG_IGNORED_FORGED], 128, 250);
	assert_int_equal(stats.ignored[WG_IGNORED_COOKIE_SENT],
			 WG_COOKIE_REPLIES_CAP);
	assert_int_equal(stats.ignored[WG_IGNORED_FORGED] +
				 stats.ignored[WG_IGNORED_COOKIE_FULL],
			 3000 - WG_COOKIE_REPLIES_CAP);
	assert_int_equal(drop_replies(world, 1), WG_COOKIE_REPLIES_CAP);
	world->now_us += US_PER_S;
	wg_peer_handshake(end->peer, world->now_us);
	world_run(world, 100 * US_PER_MS);
	assert_int_equal(world->ends[1].sent[3], 1);
	assert_int_equal(end->events[WG_EVENT_SESSION_UP], 0);
	/* The flood goes on for the 5 s up to the retry. */
	for (int i = 0; i < 5; i++) {
		flood(world, 3000);
		drop_replies(world, 1);
		world->now_us += US_PER_S;
	}
	world_run(world, 500 * US_PER_MS);
	wg_stats(world->ends[1].wg, &stats);
	assert_int_equal(stats.loads, 1);
	assert_int_equal(stats.in[WG_IN_INITIATION], 1);
	assert_int_equal(end->events[WG_EVENT_SESSION_UP], 1);
	assert_true(wg_peer_ready(world->ends[1].peer, world->now_us));
	world_free(world);
}

static void load_ends_a_second_after_the_flood(void **state)
{
	struct world *world = world_new(142, 0);

	(void)state;
	flood(world, 3000);
	drop_replies(world, 1);
	world->now_us += 2 * US_PER_S;
	wg_peer_handshake(world->ends[0].peer, world->now_us);
	world_run(world, 100 * US_PER_MS);
	assert_int_equal(world->ends[1].sent[3], 0);
	assert_int_equal(world->ends[0].events[WG_EVENT_SESSION_UP], 1);
	world_free(world);
}

static void a_bad_mac1_is_no_load(void **state)
{
	struct world *world = world_new(143, 0);
	uint8_t bytes[WG_INITIATION_LEN] = { WG_MESSAGE_INITIATION };
	struct wg_stats stats;

	(void)state;
	for (int i = 0; i < 3000; i++)
		assert_int_equal(world_in(world, 1, bytes, sizeof(bytes)),
				 WG_IGNORED_MAC1);
	wg_stats(world->ends[1].wg, &stats);
	assert_int_equal(stats.loads, 0);
	world_free(world);
}

static void a_place_names_host_and_port(void **state)
{
	static const uint8_t v6[16] = { 0x20, 1, 0xd, 0xb8, [15] = 1 };
	static const uint8_t sibling[16] = { 0x20, 1, 0xd, 0xb8, [15] = 2 };
	static const uint8_t other[16] = { 0x20, 1, 0xd, 0xb8, [7] = 1 };
	static const uint8_t v4[16] = { [10] = 0xff, 0xff, 10, 0, 0, 1 };
	static const uint8_t next[16] = { [10] = 0xff, 0xff, 10, 0, 0, 2 };
	struct world *world = world_new(144, 0);
	const struct wg *wg = world->ends[0].wg;
	uint64_t place = wg_place(wg, v6, 41641);

	(void)state;
	assert_true(place == wg_place(wg, v6, 41641));
	assert_true(place != wg_place(world->ends[1].wg, v6, 41641));
	assert_true(place != wg_place(wg, v6, 41642));
	assert_true(place >> 16 == wg_place(wg, v6, 41642) >> 16);
	/* One /64 is one host, but each address has its own cookie. */
	assert_true(place != wg_place(wg, sibling, 41641));
	assert_true(place >> 16 == wg_place(wg, sibling, 41641) >> 16);
	assert_true(place >> 16 != wg_place(wg, other, 41641) >> 16);
	place = wg_place(wg, v4, 1);
	assert_true(place >> 16 == wg_place(wg, v4, 2) >> 16);
	assert_true(place >> 16 != wg_place(wg, next, 1) >> 16);
	world_free(world);
}

static void data_is_told_by_its_type(void **state)
{
	struct world *world = world_new(146, 0);
	uint8_t bytes[WORLD_BUFFER];
	ssize_t len;

	(void)state;
	wg_peer_handshake(world->ends[0].peer, world->now_us);
	assert_true(world_out(world, 0, bytes) > 0);
	assert_false(wg_is_data(bytes, WG_INITIATION_LEN));
	world->now_us += 6 * US_PER_S;
	world_run(world, US_PER_S);
	len = world_seal(world, 0, 64, bytes);
	assert_true(len > 0);
	assert_true(wg_is_data(bytes, (size_t)len));
	assert_false(wg_is_data(bytes, 3));
	world_free(world);
}

/* Whoever has a host has its 65,536 ports: they share one allowance. */
static void ports_share_a_hosts_allowance(void **state)
{
	static struct wg_rate rate;
	unsigned allowed = 0;
	struct rng rng;

	(void)state;
	rng_seeded(&rng, 145);
	wg_rate_init(&rate, &rng);
	for (uint64_t port = 0; port < 1000; port++)
		allowed += wg_rate_allow(&rate, 7ull << 16 | port,
					 WORLD_START);
	assert_int_equal(allowed, WG_RATE_BURST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(under_load_is_a_queue_of_128),
		cmocka_unit_test(a_thousand_a_second_are_no_load),
		cmocka_unit_test(a_long_flood_leaves_no_debt),
		cmocka_unit_test(few_initiations_are_served),
		cmocka_unit_test(
			a_flood_switches_load_on_and_a_peer_comes_through),
		cmocka_unit_test(load_ends_a_second_after_the_flood),
		cmocka_unit_test(a_bad_mac1_is_no_load),
		cmocka_unit_test(a_place_names_host_and_port),
		cmocka_unit_test(data_is_told_by_its_type),
		cmocka_unit_test(ports_share_a_hosts_allowance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
