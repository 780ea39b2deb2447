/*
 * One path against a small world: each of the peer's places has a latency,
 * may be blocked, and answers pings after it. Time is the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <string.h>

#include "core/tailnet/path/path.h"

#define PLACES 4
#define FLIGHTS 256
#define STEP_US 10000

struct flight {
	uint64_t due_us;
	uint8_t txid[PATH_TXID_LEN];
	size_t place;
};

struct world {
	struct path path;
	struct rng rng;
	struct rng fate;
	uint64_t now_us;
	struct endpoint places[PLACES];
	uint64_t latency_us[PLACES];
	uint32_t jitter_us;
	unsigned loss_percent;
	bool blocked[PLACES];
	struct flight flights[FLIGHTS];
	size_t flight_count;
	size_t pings;
	size_t calls;
	size_t changes;
	const struct endpoint *direct;
	bool sending;
};

static struct endpoint place(const char *text)
{
	struct endpoint out;

	assert_true(endpoint_parse(text, &out));
	return out;
}

static void setup(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	rng_seeded(&w->rng, seed);
	rng_seeded(&w->fate, seed + 1);
	w->now_us = US_PER_S;
	w->places[0] = place("192.0.2.1:1000");
	w->places[1] = place("192.0.2.2:1000");
	w->places[2] = place("10.0.0.3:1000");
	w->places[3] = place("[2001:db8::4]:1000");
	for (size_t i = 0; i < PLACES; i++) {
		w->latency_us[i] = 20000;
		w->blocked[i] = true;
	}
	w->sending = true;
	path_init(&w->path, &w->rng);
}

static void fly(struct world *w, const struct path_out *out)
{
	w->pings++;
	for (size_t i = 0; i < PLACES; i++) {
		if (!endpoint_equal(&w->places[i], &out->to) || w->blocked[i])
			continue;
		if (rng_below(&w->fate, 100) < w->loss_percent)
			return;
		assert_true(w->flight_count < FLIGHTS);
		w->flights[w->flight_count] = (struct flight){
			.due_us = w->now_us + w->latency_us[i] +
				  rng_below(&w->fate, w->jitter_us),
			.place = i,
		};
		memcpy(w->flights[w->flight_count++].txid, out->txid,
		       PATH_TXID_LEN);
	}
}

static void land(struct world *w)
{
	for (size_t i = w->flight_count; i > 0; i--) {
		struct flight flight = w->flights[i - 1];

		if (flight.due_us > w->now_us)
			continue;
		w->flights[i - 1] = w->flights[--w->flight_count];
		if (!w->blocked[flight.place])
			(void)path_pong_in(&w->path, flight.txid, w->now_us);
	}
}

static void act(struct world *w)
{
	struct path_out out;

	for (size_t guard = 0;; guard++) {
		assert_true(guard < 2 * PATH_CANDIDATE_CAP);
		switch (path_out(&w->path, w->now_us, &out)) {
		case PATH_NOTHING:
			return;
		case PATH_PING:
			fly(w, &out);
			break;
		case PATH_CALL_ME_MAYBE:
			w->calls++;
			break;
		}
	}
}

static void step(struct world *w)
{
	const struct endpoint *direct;

	w->now_us += STEP_US;
	if (w->sending)
		path_want(&w->path, w->now_us);
	land(w);
	if (path_next_deadline(&w->path) <= w->now_us)
		path_tick(&w->path, w->now_us);
	act(w);
	if (path_changed(&w->path, w->now_us, &direct))
		w->changes++;
	w->direct = path_best(&w->path, w->now_us);
}

static void run_for(struct world *w, uint64_t us)
{
	for (uint64_t end = w->now_us + us; w->now_us < end;)
		step(w);
}

static void assert_direct(const struct world *w, size_t which)
{
	assert_non_null(w->direct);
	assert_true(endpoint_equal(w->direct, &w->places[which]));
}

static void test_relay_until_a_pong(void **state)
{
	struct world w;

	(void)state;
	setup(&w, 1);
	path_set_endpoints(&w.path, w.places, PLACES, w.now_us);
	run_for(&w, US_PER_S);
	assert_null(w.direct);
	assert_int_equal(w.pings, PLACES);
	assert_int_equal(w.calls, 1);
	w.blocked[1] = false;
	run_for(&w, 6 * US_PER_S);
	assert_direct(&w, 1);
	assert_int_equal(w.changes, 1);
	path_clear(&w.path);
}

static void test_idle_costs_nothing(void **state)
{
	struct world w;
	size_t pings;

	(void)state;
	setup(&w, 2);
	path_set_endpoints(&w.path, w.places, PLACES, w.now_us);
	assert_true(path_next_deadline(&w.path) == DEADLINE_NONE);
	w.blocked[0] = false;
	run_for(&w, 10 * US_PER_S);
	assert_direct(&w, 0);
	w.sending = false;
	run_for(&w, 60 * US_PER_S);
	pings = w.pings;
	assert_null(w.direct);
	assert_true(path_next_deadline(&w.path) == DEADLINE_NONE);
	run_for(&w, 60 * US_PER_S);
	assert_int_equal(w.pings, pings);
	w.sending = true;
	run_for(&w, US_PER_S);
	assert_direct(&w, 0);
	path_clear(&w.path);
}

/* Blocked in the middle: the relay within 4 s, and back within 6 s. */
static void test_blocked_and_back(void **state)
{
	struct world w;

	(void)state;
	setup(&w, 3);
	path_set_endpoints(&w.path, w.places, PLACES, w.now_us);
	w.blocked[0] = false;
	run_for(&w, 20 * US_PER_S);
	assert_direct(&w, 0);
	w.blocked[0] = true;
	run_for(&w, 7 * US_PER_S);
	assert_null(w.direct);
	w.blocked[0] = false;
	run_for(&w, 6 * US_PER_S);
	assert_direct(&w, 0);
	assert_int_equal(w.changes, 3);
	path_clear(&w.path);
}

static void test_faster_place_wins(void **state)
{
	struct world w;

	(void)state;
	setup(&w, 4);
	path_set_endpoints(&w.path, w.places, 2, w.now_us);
	w.blocked[0] = false;
	run_for(&w, 10 * US_PER_S);
	assert_direct(&w, 0);
	w.blocked[1] = false;
	w.latency_us[1] = 8000;
	run_for(&w, 130 * US_PER_S);
	assert_direct(&w, 1);
	path_clear(&w.path);
}

static void test_private_place_wins_at_equal_latency(void **state)
{
	struct world w;

	(void)state;
	setup(&w, 5);
	path_set_endpoints(&w.path, w.places, PLACES, w.now_us);
	for (size_t i = 0; i < PLACES; i++)
		w.blocked[i] = false;
	run_for(&w, 2 * US_PER_S);
	assert_direct(&w, 2);
	path_clear(&w.path);
}

/* 1,000 s of jitter on two equal places: hardly a change. */
static void test_jitter_makes_no_flapping(void **state)
{
	struct world w;

	(void)state;
	setup(&w, 6);
	w.jitter_us = 15000;
	path_set_endpoints(&w.path, w.places, 2, w.now_us);
	w.blocked[0] = w.blocked[1] = false;
	run_for(&w, 1000 * US_PER_S);
	assert_non_null(w.direct);
	if (w.changes > 8)
		fail_msg("%zu changes in 1,000 s", w.changes);
	path_clear(&w.path);
}

static void test_lost_pings_cost_no_path(void **state)
{
	struct world w;

	(void)state;
	setup(&w, 7);
	w.loss_percent = 36;	/* 20 % each way */
	path_set_endpoints(&w.path, w.places, 1, w.now_us);
	w.blocked[0] = false;
	run_for(&w, 30 * US_PER_S);
	assert_direct(&w, 0);
	w.changes = 0;
	for (unsigned i = 0; i < 10000; i++) {
		step(&w);
		path_data_in(&w.path, &w.places[0], w.now_us);
	}
	/* 100 s of data: 6 pings in a row lost is one in 460. */
	if (w.changes > 2)
		fail_msg("%zu changes in 100 s", w.changes);
	path_clear(&w.path);
}

static void test_rebind_forgets(void **state)
{
	struct world w;
	size_t calls;

	(void)state;
	setup(&w, 8);
	path_set_endpoints(&w.path, w.places, 1, w.now_us);
	w.blocked[0] = false;
	run_for(&w, 5 * US_PER_S);
	assert_direct(&w, 0);
	calls = w.calls;
	path_rebind(&w.path, w.now_us);
	assert_null(path_best(&w.path, w.now_us));
	run_for(&w, US_PER_S);
	assert_direct(&w, 0);
	assert_int_equal(w.calls, calls + 1);
	path_clear(&w.path);
}

static void test_peer_roams(void **state)
{
	struct world w;

	(void)state;
	setup(&w, 9);
	path_set_endpoints(&w.path, w.places, 1, w.now_us);
	w.blocked[0] = false;
	run_for(&w, 5 * US_PER_S);
	w.blocked[0] = true;
	w.blocked[3] = false;
	path_ping_in(&w.path, &w.places[3], w.now_us);
	run_for(&w, 5 * US_PER_S);
	assert_direct(&w, 3);
	path_clear(&w.path);
}

static void test_forged_and_late_pongs(void **state)
{
	struct world w;
	struct path_out out = { .txid = { 0 } };
	uint8_t forged[PATH_TXID_LEN] = { 1 };

	(void)state;
	setup(&w, 10);
	path_set_endpoints(&w.path, w.places, 1, w.now_us);
	path_want(&w.path, w.now_us);
	path_tick(&w.path, w.now_us);
	assert_int_equal(path_out(&w.path, w.now_us, &out), PATH_PING);
	assert_true(path_pong_in(&w.path, forged, w.now_us) == PATH_NEVER);
	assert_null(path_best(&w.path, w.now_us));
	assert_true(path_pong_in(&w.path, out.txid,
				 w.now_us + 6 * US_PER_S) == PATH_NEVER);
	assert_int_equal(path_pong_in(&w.path, out.txid, w.now_us + 500), 500);
	assert_true(path_pong_in(&w.path, out.txid, w.now_us + 501) ==
		    PATH_NEVER);
	path_clear(&w.path);
}

/* Thousands of places named in a minute: few candidates, few pings. */
static void test_flood_is_bounded(void **state)
{
	struct world w;
	struct endpoint many[PATH_CANDIDATE_CAP];

	(void)state;
	setup(&w, 11);
	for (unsigned i = 0; i < 6000; i++) {
		for (size_t k = 0; k < PATH_CANDIDATE_CAP; k++) {
			many[k] = w.places[0];
			rng_bytes(&w.fate, many[k].address + 13, 3);
			many[k].port = (uint16_t)(1 + rng_below(&w.fate, 9999));
		}
		path_call_me_maybe(&w.path, many, PATH_CANDIDATE_CAP,
				   w.now_us);
		path_heard_elsewhere(&w.path, &many[0], w.now_us);
		step(&w);
		assert_true(w.path.count <= PATH_CANDIDATE_CAP);
	}
	/* 60 s: the bucket's 64, and 16 a second. */
	assert_true(w.pings <= 64 + 16 * 61);
	path_clear(&w.path);
}

static void test_useless_places_are_left_out(void **state)
{
	struct world w;
	struct endpoint bad[5] = {
		place("0.0.0.0:1"), place("224.0.0.1:1"), place("10.0.0.1:0"),
		place("[ff02::1]:1"), place("[fe80::1]:1"),
	};

	(void)state;
	setup(&w, 12);
	path_set_endpoints(&w.path, bad, 5, w.now_us);
	assert_int_equal(w.path.count, 0);
	path_clear(&w.path);
}

/* Found again while discovery is slow: the heartbeat keeps it. */
static void test_late_find_is_kept(void **state)
{
	struct world w;

	(void)state;
	setup(&w, 13);
	path_set_endpoints(&w.path, w.places, 1, w.now_us);
	run_for(&w, 100 * US_PER_S);
	w.blocked[0] = false;
	run_for(&w, 60 * US_PER_S);
	assert_direct(&w, 0);
	assert_int_equal(w.changes, 1);
	path_clear(&w.path);
}

static size_t silence_until_relay(struct world *w)
{
	size_t steps = 0;

	w->blocked[0] = true;
	while (w->direct) {
		step(w);
		steps++;
	}
	w->blocked[0] = false;
	return steps;
}

/* Sending without an answer gives up sooner than having nothing to say. */
static void test_silence_is_soon_noticed(void **state)
{
	struct world w;

	(void)state;
	setup(&w, 14);
	path_set_endpoints(&w.path, w.places, 1, w.now_us);
	w.blocked[0] = false;
	for (unsigned i = 0; i < 10; i++) {
		run_for(&w, 10 * US_PER_S + i * 300 * US_PER_MS);
		assert_direct(&w, 0);
		assert_in_range(silence_until_relay(&w), 90, 410);
	}
	run_for(&w, 10 * US_PER_S);
	w.sending = false;
	run_for(&w, 5 * US_PER_S);
	assert_in_range(silence_until_relay(&w), 340, 660);
	path_clear(&w.path);
}

/* The peer's ping says that its side is open: ours goes out at once. */
static void test_ping_is_met_by_a_ping(void **state)
{
	struct world w;

	(void)state;
	setup(&w, 15);
	path_set_endpoints(&w.path, w.places, 1, w.now_us);
	run_for(&w, US_PER_S);
	assert_null(w.direct);
	w.blocked[0] = false;
	path_ping_in(&w.path, &w.places[0], w.now_us);
	run_for(&w, 50 * US_PER_MS);
	assert_direct(&w, 0);
	path_clear(&w.path);
}

static void test_data_from_the_old_best_brings_it_back(void **state)
{
	struct world w;

	(void)state;
	setup(&w, 16);
	path_set_endpoints(&w.path, w.places, 1, w.now_us);
	w.blocked[0] = false;
	run_for(&w, 5 * US_PER_S);
	w.blocked[0] = true;
	run_for(&w, 8 * US_PER_S);
	assert_null(w.direct);
	w.blocked[0] = false;
	path_data_in(&w.path, &w.places[0], w.now_us);
	assert_true(w.path.ping_due);
	run_for(&w, 100 * US_PER_MS);
	assert_direct(&w, 0);
	path_clear(&w.path);
}

/* Data that we cannot answer asks for two pings a second, no more. */
static void test_one_way_asks_for_few_pings(void **state)
{
	struct world w;
	size_t pings;

	(void)state;
	setup(&w, 17);
	path_set_endpoints(&w.path, w.places, 1, w.now_us);
	run_for(&w, 20 * US_PER_S);
	pings = w.pings;
	for (unsigned i = 0; i < 1000; i++) {
		path_data_in(&w.path, &w.places[0], w.now_us);
		step(&w);
	}
	assert_in_range(w.pings - pings, 15, 25);
	path_clear(&w.path);
}

static void test_no_route_is_no_path(void **state)
{
	struct world w;

	(void)state;
	setup(&w, 18);
	path_set_endpoints(&w.path, w.places, 2, w.now_us);
	w.blocked[0] = false;
	run_for(&w, 5 * US_PER_S);
	path_unreachable(&w.path, &w.places[1], w.now_us);
	assert_non_null(path_best(&w.path, w.now_us));
	path_unreachable(&w.path, &w.places[0], w.now_us);
	assert_null(path_best(&w.path, w.now_us));
	assert_true(path_next_deadline(&w.path) <= w.now_us);
	run_for(&w, US_PER_S);
	assert_direct(&w, 0);
	path_clear(&w.path);
}

/* A Node with more places than there is room for: those heard find some. */
static void test_silent_places_make_room(void **state)
{
	struct endpoint many[PATH_CANDIDATE_CAP];
	struct world w;

	(void)state;
	setup(&w, 19);
	for (size_t i = 0; i < PATH_CANDIDATE_CAP; i++) {
		many[i] = place("172.17.0.1:1000");
		many[i].port = (uint16_t)(i + 1);
	}
	path_set_endpoints(&w.path, many, PATH_CANDIDATE_CAP, w.now_us);
	run_for(&w, 6 * US_PER_S);
	w.blocked[0] = false;
	path_ping_in(&w.path, &w.places[0], w.now_us);
	assert_int_equal(w.path.count, PATH_CANDIDATE_CAP);
	run_for(&w, US_PER_S);
	assert_direct(&w, 0);
	path_clear(&w.path);
}

static void test_calls_have_a_pause(void **state)
{
	struct world w;

	(void)state;
	setup(&w, 20);
	path_set_endpoints(&w.path, w.places, 1, w.now_us);
	for (unsigned i = 0; i < 300; i++) {
		path_rebind(&w.path, w.now_us);
		step(&w);
	}
	assert_in_range(w.calls, 11, 13);
	path_clear(&w.path);
}

/* A flood of calls starves neither the rest nor the best's heartbeat. */
static void test_flood_keeps_the_best(void **state)
{
	struct endpoint many[PATH_CANDIDATE_CAP];
	struct world w;

	(void)state;
	setup(&w, 21);
	for (size_t i = 0; i < PATH_CANDIDATE_CAP; i++) {
		many[i] = place("172.17.0.1:1000");
		many[i].port = (uint16_t)(i + 1);
	}
	many[PATH_CANDIDATE_CAP - 1] = w.places[0];
	w.blocked[0] = false;
	for (unsigned i = 0; i < 6000; i++) {
		path_call_me_maybe(&w.path, many, PATH_CANDIDATE_CAP,
				   w.now_us);
		step(&w);
	}
	assert_direct(&w, 0);
	assert_int_equal(w.changes, 1);
	path_clear(&w.path);
}

static void random_operation(struct world *w)
{
	size_t which = rng_below(&w->fate, PLACES);
	uint8_t txid[PATH_TXID_LEN] = { 0 };

	switch (rng_below(&w->fate, 11)) {
	case 0:
		path_set_endpoints(&w->path, w->places, which, w->now_us);
		break;
	case 1:
		path_call_me_maybe(&w->path, w->places, which, w->now_us);
		break;
	case 2:
		path_ping_in(&w->path, &w->places[which], w->now_us);
		break;
	case 3:
		(void)path_pong_in(&w->path, txid, w->now_us);
		break;
	case 4:
		path_own_changed(&w->path, w->now_us);
		break;
	case 5:
		path_rebind(&w->path, w->now_us);
		break;
	case 6:
		w->blocked[which] = !w->blocked[which];
		break;
	case 7:
		w->sending = !w->sending;
		break;
	case 8:
		path_data_in(&w->path, &w->places[which], w->now_us);
		break;
	case 9:
		path_unreachable(&w->path, &w->places[which], w->now_us);
		break;
	default:
		w->now_us += rng_below(&w->fate, 20 * US_PER_S);
		break;
	}
}

/* A deadline that is due is gone after a tick and pulling all actions. */
static void check_invariants(struct world *w)
{
	struct path_candidate_info info;
	size_t best = 0;

	assert_true(w->path.count <= PATH_CANDIDATE_CAP);
	for (size_t i = 0; path_candidate_info(&w->path, i, w->now_us, &info);
	     i++)
		best += info.best;
	assert_int_equal(best, path_best(&w->path, w->now_us) ? 1 : 0);
	assert_true(path_next_deadline(&w->path) > w->now_us);
}

static void test_random_operations(void **state)
{
	(void)state;
	for (uint64_t seed = 100; seed < 150; seed++) {
		struct world w;

		setup(&w, seed);
		for (unsigned i = 0; i < 400; i++) {
			random_operation(&w);
			path_tick(&w.path, w.now_us);
			step(&w);
			path_tick(&w.path, w.now_us);
			act(&w);
			check_invariants(&w);
		}
		path_clear(&w.path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_relay_until_a_pong),
		cmocka_unit_test(test_idle_costs_nothing),
		cmocka_unit_test(test_blocked_and_back),
		cmocka_unit_test(test_faster_place_wins),
		cmocka_unit_test(test_private_place_wins_at_equal_latency),
		cmocka_unit_test(test_jitter_makes_no_flapping),
		cmocka_unit_test(test_lost_pings_cost_no_path),
		cmocka_unit_test(test_rebind_forgets),
		cmocka_unit_test(test_peer_roams),
		cmocka_unit_test(test_forged_and_late_pongs),
		cmocka_unit_test(test_flood_is_bounded),
		cmocka_unit_test(test_useless_places_are_left_out),
		cmocka_unit_test(test_late_find_is_kept),
		cmocka_unit_test(test_silence_is_soon_noticed),
		cmocka_unit_test(test_ping_is_met_by_a_ping),
		cmocka_unit_test(test_data_from_the_old_best_brings_it_back),
		cmocka_unit_test(test_one_way_asks_for_few_pings),
		cmocka_unit_test(test_no_route_is_no_path),
		cmocka_unit_test(test_silent_places_make_room),
		cmocka_unit_test(test_calls_have_a_pause),
		cmocka_unit_test(test_flood_keeps_the_best),
		cmocka_unit_test(test_random_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
