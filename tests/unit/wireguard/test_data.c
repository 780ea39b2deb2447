#include <string.h>

#include "core/base/cursor.h"
#include "world.h"

static void every_tampered_byte_is_caught(void **state)
{
	struct world *world = world_new(40, 0);
	uint8_t good[WORLD_BUFFER];
	uint8_t bad[WORLD_BUFFER];
	ssize_t total;

	(void)state;
	world_connect(world);
	total = world_seal(world, 0, 100, good);
	for (ssize_t i = 0; i < total; i++)
		for (int bit = 0; bit < 8; bit++) {
			memcpy(bad, good, (size_t)total);
			bad[i] ^= (uint8_t)(1 << bit);
			assert_int_not_equal(world_in(world, 1, bad,
						      (size_t)total),
					     WG_IGNORED_NONE);
			assert_false(world->ends[1].last.authenticated);
		}
	for (ssize_t i = 0; i < total; i++)
		assert_int_not_equal(world_in(world, 1, good, (size_t)i),
				     WG_IGNORED_NONE);
	assert_int_equal(world_in(world, 1, good, (size_t)total),
			 WG_IGNORED_NONE);
	assert_int_equal(world_in(world, 1, good, (size_t)total),
			 WG_IGNORED_REPLAY);
	assert_false(world->ends[1].last.authenticated);
	world_free(world);
}

/* 300 packets in reverse, then a jump by which all of them are too old. */
static void order_does_not_matter_within_the_window(void **state)
{
	static uint8_t packets[300][128];
	struct world *world = world_new(41, 0);
	uint8_t bytes[WORLD_BUFFER];
	ssize_t total = 0;

	(void)state;
	world_connect(world);
	for (size_t i = 0; i < 300; i++) {
		total = world_seal(world, 0, 8, bytes);
		assert_int_equal(total, 80);
		memcpy(packets[i], bytes, 80);
	}
	for (size_t i = 300; i-- > 1;)
		assert_int_equal(world_in(world, 1, packets[i], 80),
				 WG_IGNORED_NONE);
	assert_int_equal(world->ends[1].rx, 299);
	for (size_t i = 0; i < WG_COUNTER_WINDOW; i++)
		total = world_seal(world, 0, 8, bytes);
	assert_int_equal(world_in(world, 1, bytes, (size_t)total),
			 WG_IGNORED_NONE);
	assert_int_equal(world_in(world, 1, packets[0], 80),
			 WG_IGNORED_REPLAY);
	world_free(world);
}

/* Seals `len` raw bytes as the inner packet. */
static enum wg_ignored in_raw(struct world *world, const uint8_t *inner,
			      size_t len)
{
	uint8_t bytes[WORLD_BUFFER];
	ssize_t total;

	memcpy(bytes + WG_DATA_HEADER, inner, len);
	total = wg_seal(world->ends[0].peer, bytes, len, sizeof(bytes),
			world->now_us);
	assert_true(total > 0);
	return world_in(world, 1, bytes, (size_t)total);
}

static void the_inner_packet_must_be_whole_and_the_peers(void **state)
{
	struct world *world = world_new(42, 0);
	uint8_t inner[64] = { 0x60 };
	uint8_t two[2][16];

	(void)state;
	world_connect(world);
	memcpy(inner + 8, world->ends[0].address, 16);
	be_store(inner + 4, 8, 2);
	assert_int_equal(in_raw(world, inner, 48), WG_IGNORED_NONE);
	assert_int_equal(world->ends[1].last.len, 48);
	be_store(inner + 4, 9, 2);
	assert_int_equal(in_raw(world, inner, 48), WG_IGNORED_INNER);
	assert_true(world->ends[1].last.authenticated);
	assert_ptr_equal(world->ends[1].last.peer, world->ends[1].peer);
	be_store(inner + 4, 0xffff, 2);
	assert_int_equal(in_raw(world, inner, 48), WG_IGNORED_INNER);
	be_store(inner + 4, 8, 2);
	inner[0] = 0x45;
	assert_int_equal(in_raw(world, inner, 48), WG_IGNORED_INNER);
	assert_int_equal(in_raw(world, inner, 1), WG_IGNORED_INNER);
	inner[0] = 0x60;
	inner[23] ^= 1;
	assert_int_equal(in_raw(world, inner, 48), WG_IGNORED_SOURCE);
	assert_true(world->ends[1].last.authenticated);
	memcpy(two[0], world->ends[0].address, 16);
	memcpy(two[1], inner + 8, 16);
	assert_int_equal(wg_peer_set_sources(world->ends[1].peer,
					     (const uint8_t(*)[16])two, 2), 0);
	assert_int_equal(wg_peer_set_sources(world->ends[1].peer,
					     (const uint8_t(*)[16])two, 5),
			 ERR_LIMIT);
	assert_int_equal(in_raw(world, inner, 48), WG_IGNORED_NONE);
	assert_int_equal(wg_peer_set_sources(world->ends[1].peer, NULL, 0), 0);
	assert_int_equal(in_raw(world, inner, 48), WG_IGNORED_SOURCE);
	world_free(world);
}

static void an_unknown_index_or_type_is_ignored(void **state)
{
	struct world *world = world_new(43, 0);
	uint8_t bytes[WORLD_BUFFER] = { 4 };

	(void)state;
	world_connect(world);
	assert_int_equal(world_in(world, 1, bytes, 32), WG_IGNORED_INDEX);
	for (unsigned type = 0; type < 256; type++) {
		bytes[0] = (uint8_t)type;
		assert_int_not_equal(world_in(world, 1, bytes, 148),
				     WG_IGNORED_NONE);
	}
	bytes[0] = 4;
	bytes[3] = 1;
	assert_int_equal(world_in(world, 1, bytes, 32), WG_IGNORED_MALFORMED);
	assert_int_equal(world_in(world, 1, bytes, 0), WG_IGNORED_MALFORMED);
	world_free(world);
}

/* What was sealed before a rekey, and arrives after it, is opened. */
static void packets_in_flight_survive_a_rekey(void **state)
{
	struct world *world = world_new(44, 0);
	uint8_t early[2][WORLD_BUFFER];
	uint8_t late[WORLD_BUFFER];
	ssize_t len[2];

	(void)state;
	world_connect(world);
	for (int i = 0; i < 2; i++)
		len[i] = world_seal(world, i, 50, early[i]);
	world->now_us += 10 * US_PER_S;
	world_connect(world);
	assert_int_equal(world->ends[0].sessions_up, 2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(world_in(world, !i, early[i], (size_t)len[i]),
				 WG_IGNORED_NONE);
	/* After yet another the keys are gone. */
	len[0] = world_seal(world, 0, 50, late);
	for (int i = 0; i < 2; i++) {
		world->now_us += 10 * US_PER_S;
		world_connect(world);
	}
	assert_int_equal(world_in(world, 1, late, (size_t)len[0]),
			 WG_IGNORED_INDEX);
	world_free(world);
}

/* The responder may not seal before the initiator has shown its keys. */
static void the_responder_waits_for_confirmation(void **state)
{
	struct world *world = world_new(45, 0);
	uint8_t bytes[WORLD_BUFFER];
	uint8_t data[WORLD_BUFFER];

	(void)state;
	wg_peer_handshake(world->ends[0].peer, world->now_us);
	world_out(world, 0, bytes);
	world_in(world, 1, bytes, WG_INITIATION_LEN);
	assert_false(world->ends[1].last.session_up);
	assert_int_equal(world_seal(world, 1, 50, data), ERR_AGAIN);
	world_out(world, 1, bytes);
	world_in(world, 0, bytes, WG_RESPONSE_LEN);
	assert_true(world->ends[0].last.session_up);
	/* Data confirms, and takes the place of the keepalive. */
	world_in(world, 1, data, (size_t)world_seal(world, 0, 50, data));
	assert_true(world->ends[1].last.session_up);
	assert_int_equal(world->ends[1].last.kind, WG_IN_DATA);
	assert_int_equal(world_out(world, 0, bytes), 0);
	assert_true(world_seal(world, 1, 50, data) > 0);
	world_free(world);
}

static void counters_end_before_the_last(void **state)
{
	struct world *world = world_new(46, 0);
	uint8_t bytes[WORLD_BUFFER];
	struct wg_session *session;
	ssize_t total;

	(void)state;
	world_connect(world);
	world->now_us += 6 * US_PER_S;
	session = world->ends[0].peer->current;
	session->send_counter = WG_REKEY_AFTER_MESSAGES;
	total = world_seal(world, 0, 50, bytes);
	assert_int_equal(world_in(world, 1, bytes, (size_t)total),
			 WG_IGNORED_NONE);
	assert_true(world->ends[0].peer->pending & WG_PENDING_INITIATION);
	session->send_counter = WG_REJECT_AFTER_MESSAGES - 1;
	total = world_seal(world, 0, 50, bytes);
	assert_int_equal(world_in(world, 1, bytes, (size_t)total),
			 WG_IGNORED_NONE);
	assert_int_equal(world_seal(world, 0, 50, bytes), ERR_AGAIN);
	assert_false(wg_peer_ready(world->ends[0].peer, world->now_us));
	/* And a peer that goes on regardless is not heard. */
	bytes[0] = WG_MESSAGE_DATA;
	session->send_counter = WG_REJECT_AFTER_MESSAGES;
	total = wg_session_seal(session, bytes, 48);
	assert_int_equal(world_in(world, 1, bytes, (size_t)total),
			 WG_IGNORED_EXPIRED);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_tampered_byte_is_caught),
		cmocka_unit_test(order_does_not_matter_within_the_window),
		cmocka_unit_test(the_inner_packet_must_be_whole_and_the_peers),
		cmocka_unit_test(an_unknown_index_or_type_is_ignored),
		cmocka_unit_test(packets_in_flight_survive_a_rekey),
		cmocka_unit_test(the_responder_waits_for_confirmation),
		cmocka_unit_test(counters_end_before_the_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
