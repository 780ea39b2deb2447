#include "world.h"

static bool lose_all(struct world *world, int to, uint8_t *bytes, size_t len)
{
	(void)world;
	(void)to;
	(void)bytes;
	(void)len;
	return true;
}

/* Sends from `ends` (a bit each) every 100 ms. */
static void talk(struct world *world, unsigned ends, uint64_t for_us)
{
	uint64_t until_us = world->now_us + for_us;

	while (world->now_us < until_us) {
		for (int i = 0; i < 2; i++)
			if (ends & 1u << i)
				world_send(world, i, 64);
		world_run(world, 100 * US_PER_MS);
	}
}

static void retries_come_after_5_s_and_jitter(void **state)
{
	struct world *world = world_new(60, 0);
	struct world_end *end = &world->ends[0];
	uint64_t last_us = world->now_us;

	(void)state;
	world->lossy = lose_all;
	wg_peer_handshake(end->peer, world->now_us);
	world_run(world, 1);
	for (unsigned i = 2; i <= 17; i++) {
		world_run(world, 5334 * US_PER_MS - (world->now_us - last_us));
		assert_int_equal(end->sent[1], i);
		assert_in_range(end->last_sent_us[1] - last_us,
				5 * US_PER_S, 5334 * US_PER_MS);
		last_us = end->last_sent_us[1];
	}
	world_free(world);
}

static void it_gives_up_after_90_s(void **state)
{
	struct world *world = world_new(61, 0);
	struct world_end *end = &world->ends[0];
	unsigned sent;

	(void)state;
	world->lossy = lose_all;
	/* Demand goes on, and does not put off the report. */
	talk(world, 1, 90 * US_PER_S - US_PER_MS * 100);
	assert_int_equal(end->events[WG_EVENT_HANDSHAKE_FAILED], 0);
	assert_in_range(end->sent[1], 17, 18);
	world_run(world, 100 * US_PER_MS);
	assert_int_equal(end->events[WG_EVENT_HANDSHAKE_FAILED], 1);
	assert_int_equal(end->last_event_us[WG_EVENT_HANDSHAKE_FAILED],
			 WORLD_START + 90 * US_PER_S);
	sent = end->sent[1];
	world_run(world, 300 * US_PER_S);
	assert_int_equal(end->sent[1], sent);
	/* The next demand begins anew, and now the network is back. */
	world->lossy = NULL;
	assert_int_equal(world_send(world, 0, 64), ERR_AGAIN);
	world_run(world, US_PER_S);
	assert_true(wg_peer_ready(end->peer, world->now_us));
	world_free(world);
}

static void demand_right_after_giving_up_is_kept(void **state)
{
	struct world *world = world_new(62, 0);
	struct world_end *end = &world->ends[0];

	(void)state;
	world->lossy = lose_all;
	wg_peer_handshake(end->peer, world->now_us);
	world_run(world, 90 * US_PER_S + 1);
	assert_int_equal(end->events[WG_EVENT_HANDSHAKE_FAILED], 1);
	world->lossy = NULL;
	wg_peer_handshake(end->peer, world->now_us);
	world_run(world, 6 * US_PER_S);
	assert_int_equal(end->events[WG_EVENT_SESSION_UP], 1);
	world_free(world);
}

static void a_lost_response_is_retried(void **state)
{
	struct world *world = world_new(63, 0);
	uint8_t bytes[WORLD_BUFFER];

	(void)state;
	wg_peer_handshake(world->ends[0].peer, world->now_us);
	world_out(world, 0, bytes);
	world_in(world, 1, bytes, WG_INITIATION_LEN);
	world_out(world, 1, bytes);
	world_run(world, 5 * US_PER_S + 400 * US_PER_MS);
	assert_int_equal(world->ends[0].events[WG_EVENT_SESSION_UP], 1);
	/* The first response comes late: its handshake is no more. */
	assert_int_equal(world_in(world, 0, bytes, WG_RESPONSE_LEN),
			 WG_IGNORED_INDEX);
	world_free(world);
}

static void the_initiator_rekeys_after_120_s_of_sending(void **state)
{
	struct world *world = world_new(64, 0);
	struct world_end *end = &world->ends[0];

	(void)state;
	world_connect(world);
	talk(world, 1, 119 * US_PER_S);
	assert_int_equal(end->sent[1], 1);
	talk(world, 1, 2 * US_PER_S);
	assert_int_equal(end->sent[1], 2);
	assert_in_range(end->last_sent_us[1] - WORLD_START, 120 * US_PER_S,
			120 * US_PER_S + 200 * US_PER_MS);
	talk(world, 1, 480 * US_PER_S);
	assert_int_equal(end->sent[1], 6);
	assert_int_equal(world->ends[1].sent[1], 0);
	assert_int_equal(end->rx + world->lost, 0);
	world_free(world);
}

/* To the microsecond, and the responder not at all. */
static void rekey_times_are_exact(void **state)
{
	static const uint64_t age_us[2] = { 120 * US_PER_S, 165 * US_PER_S };

	(void)state;
	for (int sending = 0; sending < 2; sending++) {
		struct world *world = world_new(76, 0);
		struct world_end *end = &world->ends[0];
		uint64_t created_us;
		uint8_t bytes[WORLD_BUFFER];

		world_connect(world);
		created_us = end->peer->current->created_us;
		for (int late = 0; late < 2; late++) {
			int from = sending ? 0 : 1;
			ssize_t len;

			world->now_us = created_us + age_us[!sending] - !late;
			len = world_seal(world, from, 64, bytes);
			world_in(world, !from, bytes, (size_t)len);
			assert_int_equal(!!(end->peer->pending &
					    WG_PENDING_INITIATION), late);
			assert_false(world->ends[1].peer->pending &
				     WG_PENDING_INITIATION);
		}
		world_free(world);
	}
}

/* More than 2^60 messages: either end asks, whoever began the session. */
static void rekey_after_messages_is_for_both_ends(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct world *world = world_new(77, 0);
		struct wg_peer *peer = world->ends[i].peer;
		uint8_t bytes[WORLD_BUFFER];

		world_connect(world);
		world->now_us += 6 * US_PER_S;
		peer->current->send_counter = WG_REKEY_AFTER_MESSAGES - 1;
		assert_true(world_seal(world, i, 64, bytes) > 0);
		assert_false(peer->pending & WG_PENDING_INITIATION);
		assert_true(world_seal(world, i, 64, bytes) > 0);
		assert_true(peer->pending & WG_PENDING_INITIATION);
		world_run(world, US_PER_S);
		assert_int_equal(world->ends[i].events[WG_EVENT_SESSION_UP],
				 2);
		assert_true(peer->current->initiator);
		world_free(world);
	}
}

/* Jitter is drawn anew for each try and stays below a third of a second. */
static void jitter_spreads(void **state)
{
	uint64_t least = UINT64_MAX;
	uint64_t most = 0;

	(void)state;
	for (uint64_t seed = 700; seed < 760; seed++) {
		struct world *world = world_new(seed, 0);
		uint64_t wait_us;

		world->lossy = lose_all;
		wg_peer_handshake(world->ends[0].peer, world->now_us);
		world_pump(world);
		wait_us = wg_next_deadline(world->ends[0].wg) - WORLD_START;
		assert_in_range(wait_us, 5 * US_PER_S,
				5 * US_PER_S + 333 * US_PER_MS);
		least = wait_us < least ? wait_us : least;
		most = wait_us > most ? wait_us : most;
		world_free(world);
	}
	assert_true(most - least > 250 * US_PER_MS);
}

static void the_interval_can_be_set_for_tests(void **state)
{
	struct world *world = world_new(65, 7 * US_PER_S);

	(void)state;
	world_connect(world);
	talk(world, 3, 60 * US_PER_S);
	assert_in_range(world->ends[0].sent[1], 8, 10);
	world_free(world);
	/* Below the 5 s between two handshakes too. */
	world = world_new(65, 2 * US_PER_S);
	world_connect(world);
	talk(world, 3, 60 * US_PER_S);
	assert_in_range(world->ends[0].sent[1], 27, 30);
	world_free(world);
}

/* Receiving alone: the initiator asks at 165 s, before the keys die. */
static void the_initiator_rekeys_when_receiving_at_165_s(void **state)
{
	struct world *world = world_new(66, 0);
	struct world_end *end = &world->ends[0];

	(void)state;
	world_connect(world);
	/* Its passive keepalives are sent, so it would rekey at 120 s. */
	end->wg->rekey_after_us = 1000 * US_PER_S;
	talk(world, 2, 164 * US_PER_S);
	assert_int_equal(end->sent[1], 1);
	talk(world, 2, 2 * US_PER_S);
	assert_int_equal(end->sent[1], 2);
	assert_in_range(end->last_sent_us[1] - WORLD_START, 165 * US_PER_S,
			165 * US_PER_S + 200 * US_PER_MS);
	talk(world, 2, 60 * US_PER_S);
	assert_int_equal(world->ends[1].sent[1], 0);
	world_free(world);
}

static void keys_are_rejected_after_180_s(void **state)
{
	struct world *world = world_new(67, 0);
	uint8_t bytes[WORLD_BUFFER];
	uint64_t up_us;
	ssize_t total;

	(void)state;
	world_connect(world);
	total = world_seal(world, 0, 64, bytes);
	up_us = world->ends[1].peer->current->created_us;
	world->now_us = up_us + 180 * US_PER_S - 1;
	assert_true(wg_peer_ready(world->ends[1].peer, world->now_us));
	assert_int_equal(world_in(world, 1, bytes, (size_t)total),
			 WG_IGNORED_NONE);
	world->now_us++;
	assert_int_equal(world_in(world, 1, bytes, (size_t)total),
			 WG_IGNORED_EXPIRED);
	assert_int_equal(world_seal(world, 1, 64, bytes), ERR_AGAIN);
	world_free(world);
}

static void keys_are_wiped_after_540_s(void **state)
{
	struct world *world = world_new(68, 0);
	uint64_t created_us[2];
	struct wg_stats stats;

	(void)state;
	world_connect(world);
	wg_stats(world->ends[0].wg, &stats);
	assert_int_equal(stats.indices, 1);
	created_us[0] = world->ends[0].peer->current->created_us;
	created_us[1] = world->ends[1].peer->current->created_us;
	world_run(world, 541 * US_PER_S);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(world->ends[i].events[WG_EVENT_KEYS_WIPED],
				 1);
		assert_int_equal(
			world->ends[i].last_event_us[WG_EVENT_KEYS_WIPED],
			created_us[i] + 540 * US_PER_S);
		assert_null(world->ends[i].peer->current);
		wg_stats(world->ends[i].wg, &stats);
		assert_int_equal(stats.indices, 0);
		assert_int_equal(wg_next_deadline(world->ends[i].wg),
				 DEADLINE_NONE);
	}
	world_free(world);
}

static void a_handshake_that_failed_is_wiped_too(void **state)
{
	struct world *world = world_new(69, 0);
	struct wg_stats stats;

	(void)state;
	world->lossy = lose_all;
	wg_peer_handshake(world->ends[0].peer, world->now_us);
	world_run(world, 629 * US_PER_S);
	wg_stats(world->ends[0].wg, &stats);
	assert_int_equal(stats.indices, 1);
	world_run(world, 2 * US_PER_S);
	wg_stats(world->ends[0].wg, &stats);
	assert_int_equal(stats.indices, 0);
	world_free(world);
}

/* 10 s after data that nothing answered; once, and not for a keepalive. */
static void a_passive_keepalive_answers_data(void **state)
{
	struct world *world = world_new(70, 0);
	struct world_end *end = &world->ends[0];
	uint64_t sent_us;

	(void)state;
	world_connect(world);
	world_run(world, 20 * US_PER_S);
	assert_int_equal(end->keepalives_in, 0);
	sent_us = world->now_us;
	assert_int_equal(world_send(world, 0, 64), 0);
	world_run(world, 60 * US_PER_S);
	assert_int_equal(end->keepalives_in, 1);
	assert_int_equal(end->last_keepalive_us - sent_us,
			 10 * US_PER_S + 2 * world->delay_us);
	/* An answer makes it needless. */
	assert_int_equal(world_send(world, 0, 64), 0);
	world_run(world, 5 * US_PER_S);
	assert_int_equal(world_send(world, 1, 64), 0);
	world_run(world, 8 * US_PER_S);
	assert_int_equal(end->keepalives_in, 1);
	world_free(world);
}

static void silence_after_data_brings_a_handshake(void **state)
{
	struct world *world = world_new(71, 0);
	struct world_end *end = &world->ends[0];
	uint64_t sent_us;

	(void)state;
	world_connect(world);
	world_run(world, 20 * US_PER_S);
	world->lossy = lose_all;
	sent_us = world->now_us;
	assert_int_equal(world_send(world, 0, 64), 0);
	world_run(world, 15 * US_PER_S - 1);
	assert_int_equal(end->sent[1], 1);
	world_run(world, 400 * US_PER_MS);
	assert_int_equal(end->sent[1], 2);
	assert_in_range(end->last_sent_us[1] - sent_us, 15 * US_PER_S,
			15334 * US_PER_MS);
	world_free(world);
}

static void a_persistent_keepalive_holds_the_session(void **state)
{
	struct world *world = world_new(72, 0);
	struct world_end *end = &world->ends[1];

	(void)state;
	wg_peer_set_keepalive(world->ends[0].peer, 25, world->now_us);
	world_run(world, US_PER_S);
	/* There was no session: the first one brought it. */
	assert_int_equal(end->keepalives_in, 1);
	assert_true(wg_peer_ready(end->peer, world->now_us));
	world_run(world, 25 * US_PER_S);
	assert_int_equal(end->keepalives_in, 2);
	world_run(world, 975 * US_PER_S);
	assert_in_range(end->keepalives_in, 40, 50);
	/* At the first keepalive after 120 s: each 125 s. */
	assert_int_equal(world->ends[0].sent[1], 9);
	assert_true(wg_peer_ready(end->peer, world->now_us));
	wg_peer_set_keepalive(world->ends[0].peer, 0, world->now_us);
	end->keepalives_in = 0;
	world_run(world, 100 * US_PER_S);
	assert_int_equal(end->keepalives_in, 0);
	world_free(world);
}

/* A series of 90 s, 25 s after its last initiation the next, and so on. */
static void a_persistent_keepalive_never_rests(void **state)
{
	struct world *world = world_new(74, 0);
	struct world_end *end = &world->ends[0];

	(void)state;
	world->lossy = lose_all;
	wg_peer_set_keepalive(end->peer, 25, world->now_us);
	world_run(world, 600 * US_PER_S);
	assert_in_range(end->events[WG_EVENT_HANDSHAKE_FAILED], 5, 6);
	world->lossy = NULL;
	world_run(world, 60 * US_PER_S);
	assert_int_equal(end->events[WG_EVENT_SESSION_UP], 1);
	world_free(world);
}

static void a_session_takes_back_an_untold_failure(void **state)
{
	struct world *world = world_new(75, 0);
	struct world_end *end = &world->ends[0];
	struct wg_event event;

	(void)state;
	wg_peer_tell(end->peer, WG_EVENT_HANDSHAKE_FAILED);
	wg_peer_tell(end->peer, WG_EVENT_SESSION_UP);
	wg_peer_tell(end->peer, WG_EVENT_KEYS_WIPED);
	assert_true(wg_event(end->wg, &event));
	assert_int_equal(event.kind, WG_EVENT_SESSION_UP);
	assert_true(wg_event(end->wg, &event));
	assert_int_equal(event.kind, WG_EVENT_KEYS_WIPED);
	assert_false(wg_event(end->wg, &event));
	world_free(world);
}

/* The owner may be late: everything due fires once, and time goes on. */
static void a_late_tick_catches_up(void **state)
{
	struct world *world = world_new(73, 0);

	(void)state;
	world_connect(world);
	world->now_us += 24 * 3600 * US_PER_S;
	world_run(world, US_PER_S);
	assert_int_equal(world->ends[0].events[WG_EVENT_KEYS_WIPED], 1);
	assert_int_equal(world_send(world, 0, 64), ERR_AGAIN);
	world_run(world, US_PER_S);
	assert_true(wg_peer_ready(world->ends[0].peer, world->now_us));
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(retries_come_after_5_s_and_jitter),
		cmocka_unit_test(it_gives_up_after_90_s),
		cmocka_unit_test(demand_right_after_giving_up_is_kept),
		cmocka_unit_test(a_lost_response_is_retried),
		cmocka_unit_test(the_initiator_rekeys_after_120_s_of_sending),
		cmocka_unit_test(rekey_times_are_exact),
		cmocka_unit_test(rekey_after_messages_is_for_both_ends),
		cmocka_unit_test(jitter_spreads),
		cmocka_unit_test(the_interval_can_be_set_for_tests),
		cmocka_unit_test(
			the_initiator_rekeys_when_receiving_at_165_s),
		cmocka_unit_test(keys_are_rejected_after_180_s),
		cmocka_unit_test(keys_are_wiped_after_540_s),
		cmocka_unit_test(a_handshake_that_failed_is_wiped_too),
		cmocka_unit_test(a_passive_keepalive_answers_data),
		cmocka_unit_test(silence_after_data_brings_a_handshake),
		cmocka_unit_test(a_persistent_keepalive_holds_the_session),
		cmocka_unit_test(a_persistent_keepalive_never_rests),
		cmocka_unit_test(a_session_takes_back_an_untold_failure),
		cmocka_unit_test(a_late_tick_catches_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
