#include <stdlib.h>
#include <string.h>

#include "world.h"

static void bad_peers_are_refused(void **state)
{
	struct world *world = world_new(90, 0);
	struct wg *wg = world->ends[0].wg;
	static const uint8_t five[5][16];
	struct key32 low = { { 1 } };
	struct key32 key;
	struct wg_peer *peer = NULL;

	(void)state;
	key_private(&world->network, &key);
	key_public(&key, &key);
	assert_int_equal(wg_peer_add(wg, &low, NULL, 0, NULL, &peer),
			 ERR_PROTOCOL);
	assert_int_equal(wg_peer_add(wg, wg_public_key(wg), NULL, 0, NULL,
				     &peer), ERR_PROTOCOL);
	assert_int_equal(wg_peer_add(wg, wg_public_key(world->ends[1].wg),
				     NULL, 0, NULL, &peer), ERR_CONFLICT);
	assert_int_equal(wg_peer_add(wg, &key, five, 5, NULL, &peer),
			 ERR_LIMIT);
	assert_null(peer);
	assert_int_equal(wg_peer_add(wg, &key, five, 4, world, &peer), 0);
	assert_ptr_equal(wg_peer_find(wg, &key), peer);
	assert_ptr_equal(wg_peer_user(peer), world);
	assert_true(key_equal(wg_peer_key(peer), &key));
	wg_peer_remove(peer);
	assert_null(wg_peer_find(wg, &key));
	world_free(world);
}

/* Removed in every stage, with all that waits for it. */
static void a_peer_can_go_at_any_time(void **state)
{
	(void)state;
	for (int stage = 0; stage < 6; stage++) {
		struct world *world = world_new(91, 0);
		struct world_end *end = &world->ends[stage % 2];
		struct wg_out_message message;
		struct wg_event event;
		struct wg_stats stats;
		uint8_t bytes[WORLD_BUFFER];

		wg_peer_handshake(world->ends[0].peer, world->now_us);
		for (int i = 0; i < stage / 2; i++) {
			size_t len = world_out(world, i % 2, bytes);

			world_in(world, !(i % 2), bytes, len);
		}
		wg_peer_remove(end->peer);
		assert_int_equal(wg_out(end->wg, world->now_us, bytes,
					sizeof(bytes), &message), ERR_AGAIN);
		assert_false(wg_event(end->wg, &event));
		assert_int_equal(wg_next_deadline(end->wg), DEADLINE_NONE);
		wg_stats(end->wg, &stats);
		assert_int_equal(stats.peers, 0);
		assert_int_equal(stats.indices, 0);
		world_free(world);
	}
}

#define SIBLINGS 2000

/* One device, thousands of peers, each with its own timers and messages. */
static void thousands_of_peers_live_together(void **state)
{
	struct world *world = world_new(92, 0);
	struct wg *wg = world->ends[0].wg;
	unsigned messages = 0;
	unsigned failed = 0;
	struct wg_stats stats;
	struct wg_event event;

	(void)state;
	for (int i = 0; i < SIBLINGS; i++) {
		struct wg_peer *peer;
		struct key32 key;

		key_private(&world->network, &key);
		key_public(&key, &key);
		assert_int_equal(wg_peer_add(wg, &key, NULL, 0, NULL, &peer),
				 0);
		wg_peer_handshake(peer, world->now_us);
	}
	for (int second = 0; second < 100; second++) {
		struct wg_out_message message;
		uint8_t bytes[WG_MESSAGE_CAP];

		while (wg_out(wg, world->now_us, bytes, sizeof(bytes),
			      &message) == 0)
			messages++;
		world->now_us += US_PER_S;
		wg_tick(wg, world->now_us);
		if (second == 0)
			world->now_us += 80 * US_PER_S;
	}
	while (wg_event(wg, &event))
		failed += event.kind == WG_EVENT_HANDSHAKE_FAILED;
	assert_int_equal(failed, SIBLINGS);
	assert_true(messages >= 2 * SIBLINGS);
	wg_stats(wg, &stats);
	assert_int_equal(stats.peers, SIBLINGS + 1);
	assert_int_equal(stats.indices, SIBLINGS);
	world_free(world);
}

static void statistics_say_what_came(void **state)
{
	struct world *world = world_new(93, 0);
	struct wg_peer_stats peer;
	struct wg_stats stats;
	uint8_t junk[200] = { 1 };

	(void)state;
	world_connect(world);
	assert_int_equal(world_send(world, 0, 100), 0);
	world_run(world, US_PER_S);
	world_in(world, 1, junk, 148);
	world_in(world, 1, junk, 147);
	wg_stats(world->ends[1].wg, &stats);
	assert_int_equal(stats.in[WG_IN_INITIATION], 1);
	assert_int_equal(stats.in[WG_IN_KEEPALIVE], 1);
	assert_int_equal(stats.in[WG_IN_DATA], 1);
	assert_int_equal(stats.in[WG_IN_IGNORED], 2);
	assert_int_equal(stats.ignored[WG_IGNORED_MAC1], 1);
	assert_int_equal(stats.ignored[WG_IGNORED_MALFORMED], 1);
	wg_peer_stats(world->ends[1].peer, &peer);
	assert_int_equal(peer.rx_packets, 2);
	assert_int_equal(peer.rx_bytes, 148 + 32 + 32 + 144);
	assert_int_equal(peer.tx_bytes, 92);
	for (int i = 0; i < WG_IGNORED_COUNT; i++)
		assert_non_null(wg_ignored_name((enum wg_ignored)i));
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_peers_are_refused),
		cmocka_unit_test(a_peer_can_go_at_any_time),
		cmocka_unit_test(thousands_of_peers_live_together),
		cmocka_unit_test(statistics_say_what_came),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
