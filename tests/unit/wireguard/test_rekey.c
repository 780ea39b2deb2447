/*
 * Full load across rekeys: every packet that was sealed is opened, once.
 * Handshakes and data share the network, with its delay and its disorder.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cursor.h"
#include "world.h"

#define EVERY_US 500

struct load_case {
	const char *name;
	uint64_t rekey_after_us;
	bool begins[2];		/* who initiates the first session */
	uint32_t jitter_us;
	unsigned least_rekeys;
};

static void full_load(struct world *world, uint64_t for_us,
		      uint64_t sent[2])
{
	uint64_t until_us = world->now_us + for_us;

	while (world->now_us < until_us) {
		for (int i = 0; i < 2; i++) {
			/* Never without a session, not for a packet. */
			assert_int_equal(world_send(world, i, 64), 0);
			sent[i]++;
		}
		world_run(world, EVERY_US);
	}
}

static void one_case(const struct load_case *row, uint64_t seed)
{
	struct world *world = world_new(seed, row->rekey_after_us);
	uint64_t sent[2] = { 0 };

	for (int i = 0; i < 2; i++)
		if (row->begins[i])
			wg_peer_handshake(world->ends[i].peer, world->now_us);
	world_run(world, 100 * US_PER_MS);
	world->jitter_us = row->jitter_us;
	full_load(world, 21 * US_PER_S, sent);
	world_run(world, US_PER_S);
	for (int i = 0; i < 2; i++) {
		if (world->ends[!i].rx != sent[i] ||
		    world->ends[i].sessions_up < row->least_rekeys)
			fail_msg("%s, seed %llu: end %d sent %llu, %llu came, "
				 "%u sessions", row->name,
				 (unsigned long long)seed, i,
				 (unsigned long long)sent[i],
				 (unsigned long long)world->ends[!i].rx,
				 world->ends[i].sessions_up);
	}
	world_free(world);
}

static void nothing_is_lost_under_full_load(void **state)
{
	static const struct load_case rows[] = {
		{ "ours", 2 * US_PER_S, { true, false }, 0, 9 },
		{ "theirs", 2 * US_PER_S, { false, true }, 0, 9 },
		{ "crossed", 2 * US_PER_S, { true, true }, 0, 6 },
		{ "disorder", 2 * US_PER_S, { true, false }, 30000, 9 },
		{ "crossed disorder", 2 * US_PER_S, { true, true }, 30000,
		  6 },
		{ "each second", US_PER_S, { true, false }, 30000, 15 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (uint64_t seed = 800; seed < 803; seed++)
			one_case(&rows[i], seed);
}

/*
 * What the responder seals between the initiation and the first packet under
 * the new keys is sealed under the old ones, and opened after the change.
 */
static void both_keys_are_in_use_at_once(void **state)
{
	struct world *world = world_new(810, 0);
	struct world_end *far = &world->ends[1];
	uint8_t message[WORLD_BUFFER];
	uint8_t before[WORLD_BUFFER];
	uint8_t after[WORLD_BUFFER];
	ssize_t before_len;
	ssize_t after_len;
	uint32_t old_index;

	(void)state;
	world_connect(world);
	world->now_us += 10 * US_PER_S;
	old_index = world->ends[0].peer->current->index.value;
	wg_peer_handshake(world->ends[0].peer, world->now_us);
	world_in(world, 1, message, world_out(world, 0, message));
	assert_non_null(far->peer->next);
	before_len = world_seal(world, 1, 64, before);
	assert_int_equal(le_load(before + WG_DATA_RECEIVER, 4), old_index);
	world_in(world, 0, message, world_out(world, 1, message));
	assert_int_equal(world->ends[0].last.kind, WG_IN_RESPONSE);
	/* The initiator seals with the new keys, the responder not yet. */
	after_len = world_seal(world, 0, 64, after);
	assert_int_equal(le_load(after + WG_DATA_RECEIVER, 4),
			 far->peer->next->index.value);
	assert_int_equal(world_in(world, 0, before, (size_t)before_len),
			 WG_IGNORED_NONE);
	assert_int_equal(world_in(world, 1, after, (size_t)after_len),
			 WG_IGNORED_NONE);
	assert_true(far->last.session_up);
	assert_null(far->peer->next);
	assert_non_null(far->peer->previous);
	before_len = world_seal(world, 1, 64, before);
	assert_int_equal(le_load(before + WG_DATA_RECEIVER, 4),
			 world->ends[0].peer->current->index.value);
	world_free(world);
}

/* The kernel's window through wg_in(): 8,000 in reverse, each opened once. */
static void eight_thousand_out_of_order(void **state)
{
	enum { COUNT = WG_COUNTER_WINDOW + 2, LEN = 80 };
	uint8_t (*packets)[LEN] = calloc(COUNT, LEN);
	struct world *world = world_new(811, 0);
	uint8_t bytes[WORLD_BUFFER];

	(void)state;
	assert_non_null(packets);
	world_connect(world);
	for (size_t i = 0; i < COUNT; i++) {
		assert_int_equal(world_seal(world, 0, 8, bytes), LEN);
		memcpy(packets[i], bytes, LEN);
	}
	for (size_t i = COUNT; i-- > 1;)
		assert_int_equal(world_in(world, 1, packets[i], LEN),
				 WG_IGNORED_NONE);
	/* The one before them is one too old; the others have been. */
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(world_in(world, 1, packets[i], LEN),
				 WG_IGNORED_REPLAY);
	assert_int_equal(world->ends[1].rx, COUNT - 1);
	free(packets);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost_under_full_load),
		cmocka_unit_test(both_keys_are_in_use_at_once),
		cmocka_unit_test(eight_thousand_out_of_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
