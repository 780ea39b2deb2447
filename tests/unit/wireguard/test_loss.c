#include <stdio.h>

#include "world.h"

/*
 * Both ends talk through rekeys; the sessions must carry on, and the losses
 * of data must be the network's.
 */
struct outcome {
	uint64_t sent;
	uint64_t again;
};

static struct outcome talk(struct world *world, uint64_t for_us,
			   uint64_t every_us)
{
	uint64_t until_us = world->now_us + for_us;
	struct outcome outcome = { 0 };

	while (world->now_us < until_us) {
		for (int i = 0; i < 2; i++) {
			int rc = world_send(world, i, 64);

			outcome.sent += rc == 0;
			outcome.again += rc == ERR_AGAIN;
		}
		world_run(world, every_us);
	}
	return outcome;
}

static void twenty_percent_are_lost(void **state)
{
	(void)state;
	for (uint64_t seed = 300; seed < 306; seed++) {
		struct world *world = world_new(seed, 0);
		struct outcome outcome;
		uint64_t rx;

		world->loss_percent = 20;
		world->jitter_us = 15000;
		outcome = talk(world, 1000 * US_PER_S, 50 * US_PER_MS);
		rx = world->ends[0].rx + world->ends[1].rx;
		if (world->ends[0].events[WG_EVENT_SESSION_UP] < 8 ||
		    rx < outcome.sent * 77 / 100 || outcome.again > 1200)
			fail_msg("seed %llu: up %u, sent %llu, rx %llu, "
				 "no session %llu",
				 (unsigned long long)seed,
				 world->ends[0].events[WG_EVENT_SESSION_UP],
				 (unsigned long long)outcome.sent,
				 (unsigned long long)rx,
				 (unsigned long long)outcome.again);
		assert_true(world->lost > outcome.sent / 10);
		world_free(world);
	}
}

static bool lose_handshakes(struct world *world, int to, uint8_t *bytes,
			    size_t len)
{
	(void)to;
	(void)len;
	return bytes[0] != WG_MESSAGE_DATA &&
	       rng_below(&world->network, 100) < 60;
}

static uint64_t expired(const struct world *world)
{
	struct wg_stats stats[2];

	for (int i = 0; i < 2; i++)
		wg_stats(world->ends[i].wg, &stats[i]);
	return stats[0].ignored[WG_IGNORED_EXPIRED] +
	       stats[1].ignored[WG_IGNORED_EXPIRED];
}

/*
 * Most handshakes are lost: of the data that was sealed nothing is, but for
 * what is in flight when a session dies of age at both ends.
 */
static void rekeys_lose_no_data(void **state)
{
	(void)state;
	for (uint64_t seed = 330; seed < 336; seed++) {
		struct world *world = world_new(seed, 0);
		struct outcome outcome;
		uint64_t rx;

		world->jitter_us = 30000;
		world_connect(world);
		world->lossy = lose_handshakes;
		outcome = talk(world, 700 * US_PER_S, 10 * US_PER_MS);
		world_run(world, US_PER_S);
		rx = world->ends[0].rx + world->ends[1].rx;
		if (rx + expired(world) != outcome.sent ||
		    expired(world) > 40)
			fail_msg("seed %llu: sent %llu, rx %llu, no session "
				 "%llu", (unsigned long long)seed,
				 (unsigned long long)outcome.sent,
				 (unsigned long long)rx,
				 (unsigned long long)outcome.again);
		assert_true(world->lost > 0);
		world_free(world);
	}
}

/* Initiations that cross with loss: never a dead end for long. */
static void crossing_with_loss_always_ends_well(void **state)
{
	(void)state;
	for (uint64_t seed = 400; seed < 600; seed++) {
		struct world *world = world_new(seed, 0);

		for (int i = 0; i < 2; i++)
			wg_peer_handshake(world->ends[i].peer, world->now_us);
		world->loss_percent = 40;
		world->jitter_us = 20000;
		world_run(world, 5 * US_PER_S);
		world->loss_percent = 0;
		talk(world, 30 * US_PER_S, US_PER_S);
		world_run(world, US_PER_S);
		for (int i = 0; i < 2; i++)
			if (world->now_us - world->ends[i].last_rx_us >
			    2 * US_PER_S)
				fail_msg("seed %llu: end %d hears nothing",
					 (unsigned long long)seed, i);
		world_free(world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(twenty_percent_are_lost),
		cmocka_unit_test(rekeys_lose_no_data),
		cmocka_unit_test(crossing_with_loss_always_ends_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
