#include <string.h>

#include "world.h"

static void a_handshake_brings_both_up(void **state)
{
	struct world *world = world_new(1, 0);
	struct wg_peer_stats stats;

	(void)state;
	assert_int_equal(world_send(world, 0, 100), ERR_AGAIN);
	assert_false(wg_peer_ready(world->ends[0].peer, world->now_us));
	world_run(world, 100 * US_PER_MS);
	for (int i = 0; i < 2; i++) {
		assert_true(wg_peer_ready(world->ends[i].peer, world->now_us));
		assert_int_equal(world->ends[i].sessions_up, 1);
		assert_int_equal(world->ends[i].events[WG_EVENT_SESSION_UP],
				 1);
		wg_peer_stats(world->ends[i].peer, &stats);
		assert_int_equal(stats.handshakes, 1);
		assert_int_equal(stats.initiations_sent, !i);
	}
	wg_peer_stats(world->ends[0].peer, &stats);
	assert_int_equal(stats.last_handshake_us,
			 WORLD_START + 20 * US_PER_MS);
	assert_int_equal(stats.tx_bytes, 148 + 32);
	assert_int_equal(stats.rx_bytes, 92);
	/* The initiator had nothing to send: a keepalive confirmed. */
	assert_int_equal(world->ends[1].keepalives_in, 1);
	world_free(world);
}

static void data_goes_both_ways_in_all_sizes(void **state)
{
	struct world *world = world_new(2, 0);

	(void)state;
	world_connect(world);
	for (size_t len = 8; len <= WG_MTU - 40; len++)
		for (int i = 0; i < 2; i++) {
			assert_int_equal(world_send(world, i, len), 0);
			world_run(world, 11 * US_PER_MS);
			assert_int_equal(world->ends[!i].last.kind,
					 WG_IN_DATA);
			assert_int_equal(world->ends[!i].last.len, 40 + len);
			assert_int_equal(world->ends[!i].rx, len - 7);
		}
	world_free(world);
}

static void padding_stops_at_the_mtu(void **state)
{
	struct world *world = world_new(3, 0);
	uint8_t bytes[WORLD_BUFFER];

	(void)state;
	world_connect(world);
	assert_int_equal(world_seal(world, 0, 8, bytes), 32 + 48);
	assert_int_equal(world_seal(world, 0, 9, bytes), 32 + 64);
	assert_int_equal(world_seal(world, 0, 1240, bytes), 32 + 1280);
	assert_int_equal(world_seal(world, 0, 1239, bytes), 32 + 1280);
	assert_int_equal(world_seal(world, 0, 1241, bytes), 32 + 1280 + 16);
	world->ends[0].wg->mtu = 1270;
	assert_int_equal(world_seal(world, 0, 1230, bytes), 32 + 1270);
	assert_int_equal(world_seal(world, 0, 1226, bytes), 32 + 1270);
	world_free(world);
}

static void what_does_not_fit_is_not_sealed(void **state)
{
	struct world *world = world_new(4, 0);
	struct wg_out_message message;
	uint8_t bytes[WORLD_BUFFER] = { 0 };

	(void)state;
	world_connect(world);
	assert_int_equal(wg_seal(world->ends[0].peer, bytes, 41,
				 16 + 48 + 15, world->now_us),
			 ERR_TOO_LARGE);
	assert_int_equal(wg_seal(world->ends[0].peer, bytes, 41, 16 + 48 + 16,
				 world->now_us), 80);
	assert_int_equal(wg_seal(world->ends[0].peer, bytes, SIZE_MAX, 80,
				 world->now_us), ERR_TOO_LARGE);
	assert_int_equal(wg_seal(world->ends[0].peer, bytes, 0, 80,
				 world->now_us), ERR_MISUSE);
	assert_int_equal(wg_out(world->ends[0].wg, world->now_us, bytes, 147,
				&message), ERR_TOO_LARGE);
	world_free(world);
}

static void crossing_initiations_give_sessions_at_once(void **state)
{
	struct world *world = world_new(5, 0);

	(void)state;
	for (int i = 0; i < 2; i++)
		wg_peer_handshake(world->ends[i].peer, world->now_us);
	world_run(world, 50 * US_PER_MS);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 2; i++)
			assert_int_equal(world_send(world, i, 64), 0);
		world_run(world, 3 * US_PER_S);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(world->ends[i].rx, 20);
		assert_int_equal(world->ends[i].sent[1], 1);
		assert_int_equal(world->ends[i].sent[2], 1);
	}
	world_free(world);
}

static void crossing_rekeys_lose_nothing(void **state)
{
	struct world *world = world_new(6, 0);
	uint64_t sent = 0;

	(void)state;
	for (int i = 0; i < 2; i++)
		wg_peer_handshake(world->ends[i].peer, world->now_us);
	world_run(world, 50 * US_PER_MS);
	for (; world->now_us < WORLD_START + 600 * US_PER_S; sent++) {
		for (int i = 0; i < 2; i++)
			assert_int_equal(world_send(world, i, 64), 0);
		world_run(world, 5 * US_PER_MS);
	}
	world_run(world, US_PER_S);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(world->ends[i].rx, sent);
		assert_true(world->ends[i].events[WG_EVENT_SESSION_UP] >= 5);
		/* And the second session is not kept for ever. */
		assert_null(world->ends[i].peer->crossed);
	}
	world_free(world);
}

/* Every byte of every message, one bit wrong: never accepted, no state lost. */
static void tampered_handshakes_are_ignored(void **state)
{
	struct world *world = world_new(7, 0);
	uint8_t message[WORLD_BUFFER];
	uint8_t bad[WORLD_BUFFER];
	size_t len;

	(void)state;
	wg_peer_handshake(world->ends[0].peer, world->now_us);
	len = world_out(world, 0, message);
	for (int step = 0; step < 3; step++) {
		int to = step != 1;
		/* MAC2 counts under load alone. */
		size_t end = len == 32 ? len : len - 16;

		for (size_t i = 0; i < end; i++) {
			memcpy(bad, message, len);
			bad[i] ^= 0x10;
			assert_int_not_equal(world_in(world, to, bad, len),
					     WG_IGNORED_NONE);
			assert_false(world->ends[to].last.authenticated);
		}
		for (size_t i = 0; i < len; i++)
			assert_int_not_equal(world_in(world, to, message, i),
					     WG_IGNORED_NONE);
		memcpy(bad, message, len);
		bad[len] = 0;
		assert_int_not_equal(world_in(world, to, bad, len + 1),
				     WG_IGNORED_NONE);
		assert_int_equal(world_in(world, to, message, len),
				 WG_IGNORED_NONE);
		assert_true(world->ends[to].last.authenticated);
		assert_int_equal(world_in(world, to, message, len),
				 step == 1 ? WG_IGNORED_STATE :
					     WG_IGNORED_REPLAY);
		len = world_out(world, to, message);
	}
	assert_int_equal(len, 0);
	world_free(world);
}

/* A valid MAC1 over changed bytes reaches the AEADs behind it. */
static void tampering_with_a_good_mac1_is_forged(void **state)
{
	struct world *world = world_new(8, 0);
	struct wg_cookie_maker maker;
	uint8_t message[WORLD_BUFFER];
	uint8_t bad[WORLD_BUFFER];
	size_t len;

	(void)state;
	wg_peer_handshake(world->ends[0].peer, world->now_us);
	len = world_out(world, 0, message);
	for (int to = 1; to >= 0; to--) {
		wg_cookie_maker_init(&maker,
				     wg_public_key(world->ends[to].wg));
		for (size_t i = to ? 8 : 12; i < len - 32; i++) {
			memcpy(bad, message, len);
			bad[i] ^= 1;
			wg_cookie_add_macs(&maker, &world->ends[to].wg->mac,
					   bad, len, world->now_us);
			assert_int_equal(world_in(world, to, bad, len),
					 WG_IGNORED_FORGED);
		}
		world_in(world, to, message, len);
		len = world_out(world, to, message);
	}
	assert_int_equal(world->ends[0].sessions_up, 1);
	world_free(world);
}

static void a_low_order_ephemeral_is_forged(void **state)
{
	struct world *world = world_new(9, 0);
	struct wg_cookie_maker maker;
	uint8_t message[WORLD_BUFFER];
	size_t len;

	(void)state;
	wg_peer_handshake(world->ends[0].peer, world->now_us);
	len = world_out(world, 0, message);
	memset(message + WG_INITIATION_EPHEMERAL, 0, 32);
	wg_cookie_maker_init(&maker, wg_public_key(world->ends[1].wg));
	wg_cookie_add_macs(&maker, &world->ends[1].wg->mac, message, len,
			   world->now_us);
	assert_int_equal(world_in(world, 1, message, len), WG_IGNORED_FORGED);
	world_free(world);
}

static void strangers_are_ignored(void **state)
{
	struct world *world = world_new(10, 0);
	struct world *other = world_new(11, 0);
	struct wg_peer *peer;
	struct wg_out_message message;
	uint8_t bytes[WORLD_BUFFER];

	(void)state;
	/* Speaks to end 1 with a key that end 1 does not know. */
	assert_int_equal(wg_peer_add(other->ends[0].wg,
				     wg_public_key(world->ends[1].wg), NULL, 0,
				     NULL, &peer), 0);
	wg_peer_handshake(peer, world->now_us);
	assert_int_equal(wg_out(other->ends[0].wg, world->now_us, bytes,
				sizeof(bytes), &message), 0);
	assert_int_equal(world_in(world, 1, bytes, message.len),
			 WG_IGNORED_PEER);
	/* And the message for end 1 is not one for end 0. */
	assert_int_equal(world_in(world, 0, bytes, message.len),
			 WG_IGNORED_MAC1);
	assert_int_equal(world_out(world, 1, bytes), 0);
	world_free(other);
	world_free(world);
}

static void stamps_rise_though_the_clock_falls(void **state)
{
	struct world *world = world_new(13, 0);
	uint8_t first[WORLD_BUFFER];
	uint8_t second[WORLD_BUFFER];

	(void)state;
	wg_peer_handshake(world->ends[0].peer, world->now_us);
	assert_int_equal(world_out(world, 0, first), 148);
	world->wall_us -= 3600ll * 1000000;
	world->now_us += 6 * US_PER_S;
	wg_tick(world->ends[0].wg, world->now_us);
	assert_int_equal(world_out(world, 0, second), 148);
	assert_int_equal(world_in(world, 1, first, 148), WG_IGNORED_NONE);
	world->now_us += US_PER_S;
	assert_int_equal(world_in(world, 1, second, 148), WG_IGNORED_NONE);
	world->now_us += US_PER_S;
	assert_int_equal(world_in(world, 1, first, 148), WG_IGNORED_REPLAY);
	assert_int_equal(world_in(world, 1, second, 148), WG_IGNORED_REPLAY);
	world_free(world);
}

static void initiations_in_a_flood_are_ignored(void **state)
{
	struct world *world = world_new(14, 0);
	uint8_t first[WORLD_BUFFER];
	uint8_t second[WORLD_BUFFER];

	(void)state;
	wg_peer_handshake(world->ends[0].peer, world->now_us);
	world_out(world, 0, first);
	world->now_us += 6 * US_PER_S;
	wg_tick(world->ends[0].wg, world->now_us);
	world_out(world, 0, second);
	assert_int_equal(world_in(world, 1, first, 148), WG_IGNORED_NONE);
	world->now_us += 19 * US_PER_MS;
	assert_int_equal(world_in(world, 1, second, 148), WG_IGNORED_FLOOD);
	world->now_us += US_PER_MS;
	assert_int_equal(world_in(world, 1, second, 148), WG_IGNORED_NONE);
	world_free(world);
}

/* Removed and added again within one step of the stamp's clock. */
static void stamps_survive_a_peer(void **state)
{
	struct world *world = world_new(15, 0);
	struct world_end *end = &world->ends[0];
	uint8_t bytes[WORLD_BUFFER];

	(void)state;
	world_connect(world);
	wg_peer_remove(end->peer);
	assert_int_equal(wg_peer_add(end->wg,
				     wg_public_key(world->ends[1].wg), NULL, 0,
				     NULL, &end->peer), 0);
	world->wall_us -= 200 * 1000;
	wg_peer_handshake(end->peer, world->now_us);
	assert_int_equal(world_out(world, 0, bytes), 148);
	assert_int_equal(world_in(world, 1, bytes, 148), WG_IGNORED_NONE);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handshake_brings_both_up),
		cmocka_unit_test(data_goes_both_ways_in_all_sizes),
		cmocka_unit_test(padding_stops_at_the_mtu),
		cmocka_unit_test(what_does_not_fit_is_not_sealed),
		cmocka_unit_test(crossing_initiations_give_sessions_at_once),
		cmocka_unit_test(crossing_rekeys_lose_nothing),
		cmocka_unit_test(tampered_handshakes_are_ignored),
		cmocka_unit_test(tampering_with_a_good_mac1_is_forged),
		cmocka_unit_test(a_low_order_ephemeral_is_forged),
		cmocka_unit_test(strangers_are_ignored),
		cmocka_unit_test(stamps_rise_though_the_clock_falls),
		cmocka_unit_test(initiations_in_a_flood_are_ignored),
		cmocka_unit_test(stamps_survive_a_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
