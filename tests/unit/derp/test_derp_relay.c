#include "tests/unit/derp/derp_wire.h"

#define DISCO_PACKET_LEN 80

static const struct key32 *key_at(struct wire *wire, size_t i)
{
	return &wire->nodes[i].client.public_key;
}

static void raw(struct node *node, enum derp_type type, const void *body,
		size_t len)
{
	uint8_t header[DERP_HEADER_LEN];

	derp_put_header(header, type, len);
	assert_int_equal(buf_append(&node->to_relay, header, 5), 0);
	assert_int_equal(buf_append(&node->to_relay, body, len), 0);
}

/* The relay is b of the vectors, the client a. */
static void test_handshake_is_the_vectors(void **state)
{
	struct vector key = vector_of(VECTOR_SERVER_KEY);
	struct vector info = vector_of(VECTOR_SERVER_INFO);
	struct vector client = vector_of(VECTOR_CLIENT_INFO);
	struct key32 b = key_of(VECTOR_B_PRIVATE);
	struct key32 a = key_of(VECTOR_A_PUBLIC);
	struct wire wire = { .now_us = 0 };
	struct node *node = &wire.nodes[0];
	struct scripted_rng rng;

	(void)state;
	scripted_rng_init(&rng, info.bytes + 5);
	derp_relay_init(&wire.relay, &b, &rng.rng);
	node->wire = &wire;
	buf_init(&node->to_client, 1000);
	assert_int_equal(derp_relay_conn_new(&wire.relay, &node_carrier, node,
					     0, &node->conn), 0);
	assert_int_equal(node->to_client.len, key.len);
	assert_memory_equal(buf_data(&node->to_client), key.bytes, key.len);
	assert_null(derp_relay_conn_key(node->conn));
	for (size_t i = 0; i < client.len; i++)
		assert_int_equal(derp_relay_conn_in(node->conn,
						    client.bytes + i, 1, 0,
						    NULL), 0);
	assert_true(key_equal(derp_relay_conn_key(node->conn), &a));
	assert_int_equal(node->to_client.len, key.len + info.len);
	assert_memory_equal(buf_data(&node->to_client) + key.len, info.bytes,
			    info.len);
	derp_relay_conn_free(node->conn, 0);
	buf_clear(&node->to_client);
	derp_relay_clear(&wire.relay);
}

/* 10,000 packets each way, in order, whatever the chunks. */
static void exchange(uint64_t seed, size_t chunk, uint64_t count)
{
	struct wire wire;

	wire_init(&wire, seed, chunk, 2);
	for (uint64_t i = 0; i < count; i++) {
		size_t len = 8 + rng_below(&wire.rng, 1400);

		wire_send(&wire, &wire.nodes[0], key_at(&wire, 1), i, len);
		wire_send(&wire, &wire.nodes[1], key_at(&wire, 0), i, 8);
		if (i % 20 == 19)
			wire_pump(&wire);
	}
	wire_pump(&wire);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(wire.nodes[i].packets, count);
		assert_false(wire.nodes[i].out_of_order);
		assert_true(key_equal(&wire.nodes[i].last_from,
				      key_at(&wire, 1 - i)));
	}
	assert_int_equal(wire.relay.stats.packets_in, 2 * count);
	assert_int_equal(wire.relay.stats.packets_out, 2 * count);
	assert_int_equal(wire.relay.stats.bytes_in,
			 wire.relay.stats.bytes_out);
	assert_int_equal(wire.relay.stats.dropped_queue, 0);
	wire_clear(&wire);
}

static void test_ten_thousand_packets_in_order(void **state)
{
	(void)state;
	exchange(1, 0, 10000);
	exchange(2, 16384, 10000);
	exchange(3, 65536, 10000);
	exchange(4, 1, 500);
	exchange(5, 5, 500);
}

/* One long input does not overflow a queue that could be emptied. */
static void test_long_input_needs_no_long_queue(void **state)
{
	static uint8_t input[2000 * 45];
	struct wire wire;
	struct node *to;

	(void)state;
	wire_init(&wire, 6, 0, 2);
	to = &wire.nodes[1];
	to->to_client.limit = 1024 * 1024;
	for (size_t i = 0; i < 2000; i++) {
		derp_send_header(input + i * 45, key_at(&wire, 1), 8);
		be_store(input + i * 45 + DERP_PACKET_OVERHEAD, i, 8);
	}
	assert_int_equal(derp_relay_conn_in(wire.nodes[0].conn, input,
					    sizeof(input), wire.now_us, NULL),
			 0);
	wire_pump(&wire);
	assert_int_equal(to->packets, 2000);
	assert_false(to->out_of_order);
	wire_clear(&wire);
}

static void test_frozen_reader_loses_its_own_packets_only(void **state)
{
	struct wire wire;
	struct node *frozen, *other;

	(void)state;
	wire_init(&wire, 7, 0, 3);
	frozen = &wire.nodes[1];
	other = &wire.nodes[2];
	frozen->frozen = true;
	for (uint64_t i = 0; i < 3000; i++) {
		wire_send(&wire, &wire.nodes[0], key_at(&wire, 1), i, 1280);
		wire_send(&wire, &wire.nodes[0], key_at(&wire, 2), i, 1280);
		wire_pump(&wire);
	}
	assert_int_equal(other->packets, 3000);
	assert_false(other->out_of_order);
	assert_true(wire.relay.stats.dropped_queue > 2000);
	assert_int_equal(frozen->packets, 0);
	/* It thaws in time: what is left is the newest, in order. */
	frozen->frozen = false;
	wire_pump(&wire);
	assert_int_equal(frozen->packets + wire.relay.stats.dropped_queue,
			 3000);
	assert_true(frozen->packets >= DERP_QUEUE_PACKETS_CAP);
	assert_int_equal(frozen->next, 3000);
	assert_false(frozen->out_of_order);
	wire_clear(&wire);
}

static void test_frozen_reader_is_given_up(void **state)
{
	struct wire wire;
	struct node *frozen;

	(void)state;
	wire_init(&wire, 8, 0, 3);
	frozen = &wire.nodes[1];
	frozen->frozen = true;
	for (uint64_t i = 0; i < 200; i++) {
		wire_send(&wire, frozen, key_at(&wire, 2), i, 8);
		wire_send(&wire, &wire.nodes[0], key_at(&wire, 1), i, 1280);
		wire_pump(&wire);
	}
	assert_int_equal(derp_relay_next_deadline(&wire.relay),
			 wire.now_us + DERP_WRITE_TIMEOUT_US);
	wire.now_us += DERP_WRITE_TIMEOUT_US;
	derp_relay_tick(&wire.relay, wire.now_us);
	assert_true(frozen->closed);
	assert_int_equal(wire.relay.stats.write_timeouts, 1);
	assert_int_equal(wire.relay.stats.conns, 2);
	assert_true(wire.relay.stats.dropped_gone > 0);
	/* Those that it has sent to hear of it. */
	wire_pump(&wire);
	assert_int_equal(wire.nodes[2].gone, 1);
	assert_int_equal(wire.nodes[0].gone, 0);
	wire_clear(&wire);
}

static void test_broken_carrier(void **state)
{
	struct wire wire;

	(void)state;
	wire_init(&wire, 9, 0, 2);
	wire.nodes[1].broken = true;
	wire_send(&wire, &wire.nodes[0], key_at(&wire, 1), 0, 100);
	wire_pump(&wire);
	assert_int_equal(wire.relay.clients.len, 1);
	assert_int_equal(wire.relay.stats.dropped_gone, 1);
	assert_int_equal(derp_relay_conn_in(wire.nodes[1].conn, "x", 1,
					    wire.now_us, NULL), ERR_CLOSED);
	assert_null(derp_relay_conn_key(wire.nodes[1].conn));
	derp_relay_conn_writable(wire.nodes[1].conn, wire.now_us);
	wire_clear(&wire);
}

static void test_peer_gone_when_it_leaves(void **state)
{
	struct wire wire;
	struct key32 left;

	(void)state;
	wire_init(&wire, 10, 0, 3);
	left = *key_at(&wire, 0);
	wire_send(&wire, &wire.nodes[0], key_at(&wire, 1), 0, 100);
	wire_send(&wire, &wire.nodes[2], &left, 0, 100);
	wire_pump(&wire);
	node_disconnect(&wire, &wire.nodes[0]);
	wire.nodes[0].wire = NULL;
	wire_pump(&wire);
	assert_int_equal(wire.nodes[1].gone, 1);
	assert_int_equal(wire.nodes[1].gone_reason, DERP_GONE_DISCONNECTED);
	assert_true(key_equal(&wire.nodes[1].gone_peer, &left));
	assert_int_equal(wire.nodes[2].gone, 0);
	wire_clear(&wire);
}

static void send_disco(struct wire *wire, struct node *from,
		       const struct key32 *to)
{
	uint8_t body[DERP_KEY_LEN + DISCO_PACKET_LEN] = { 0 };

	memcpy(body, to->bytes, DERP_KEY_LEN);
	memcpy(body + DERP_KEY_LEN, "TS\xf0\x9f\x92\xac", 6);
	raw(from, DERP_SEND_PACKET, body, sizeof(body));
	wire_pump(wire);
}

static void test_unknown_peer(void **state)
{
	struct key32 nobody = { .bytes = { 1, 2, 3 } };
	struct wire wire;
	struct node *node;

	(void)state;
	wire_init(&wire, 11, 0, 1);
	node = &wire.nodes[0];
	wire_send(&wire, node, &nobody, 0, 100);
	wire_pump(&wire);
	assert_int_equal(node->gone, 0);
	for (size_t i = 0; i < 10; i++)
		send_disco(&wire, node, &nobody);
	assert_int_equal(node->gone, 3);
	assert_int_equal(node->gone_reason, DERP_GONE_NOT_HERE);
	assert_true(key_equal(&node->gone_peer, &nobody));
	wire.now_us += US_PER_S;
	for (size_t i = 0; i < 10; i++)
		send_disco(&wire, node, &nobody);
	assert_int_equal(node->gone, 4);
	assert_int_equal(wire.relay.stats.dropped_unknown, 21);
	wire_clear(&wire);
}

/* The last that connected receives; the last that spoke; the last left. */
static void test_duplicate_connections(void **state)
{
	struct wire wire;
	struct node *first, *second, *other;
	struct key32 key;

	(void)state;
	wire_init(&wire, 12, 0, 1);
	other = &wire.nodes[0];
	first = &wire.nodes[1];
	second = &wire.nodes[2];
	key_private(&wire.rng, &key);
	node_connect(&wire, first, &key);
	wire_pump(&wire);
	wire_send(&wire, other, &first->client.public_key, 0, 8);
	wire_pump(&wire);
	node_connect(&wire, second, &key);
	wire_pump(&wire);
	assert_int_equal(wire.relay.stats.duplicates, 1);
	assert_int_equal(wire.relay.clients.len, 2);
	wire_send(&wire, other, &first->client.public_key, 1, 8);
	wire_pump(&wire);
	assert_int_equal(first->packets, 1);
	assert_int_equal(second->packets, 1);
	wire_send(&wire, first, &other->client.public_key, 0, 8);
	wire_pump(&wire);
	wire_send(&wire, other, &first->client.public_key, 2, 8);
	wire_pump(&wire);
	assert_int_equal(first->packets, 2);
	/* The active one leaves: nobody is told, the other takes over. */
	node_disconnect(&wire, first);
	first->wire = NULL;
	wire_send(&wire, other, &second->client.public_key, 3, 8);
	wire_pump(&wire);
	assert_int_equal(second->packets, 2);
	assert_int_equal(other->gone, 0);
	/* And what it had sent to is told when the last one goes. */
	node_disconnect(&wire, second);
	second->wire = NULL;
	wire_pump(&wire);
	assert_int_equal(other->gone, 1);
	wire_clear(&wire);
}

static void test_inactive_duplicate_leaves_first(void **state)
{
	struct wire wire;
	struct key32 key;

	(void)state;
	wire_init(&wire, 13, 0, 0);
	key_private(&wire.rng, &key);
	for (size_t i = 0; i < 3; i++) {
		node_connect(&wire, &wire.nodes[i], &key);
		wire_pump(&wire);
	}
	node_disconnect(&wire, &wire.nodes[1]);
	wire.nodes[1].wire = NULL;
	node_disconnect(&wire, &wire.nodes[0]);
	wire.nodes[0].wire = NULL;
	/* To itself, which is allowed. */
	wire_send(&wire, &wire.nodes[2], key_at(&wire, 2), 0, 8);
	wire_pump(&wire);
	assert_int_equal(wire.nodes[2].packets, 1);
	wire_clear(&wire);
	assert_int_equal(wire.relay.stats.conns, 0);
}

static void test_ping_and_keepalive(void **state)
{
	struct wire wire;
	struct node *node;
	uint64_t start_us;

	(void)state;
	wire_init(&wire, 14, 0, 1);
	node = &wire.nodes[0];
	start_us = wire.now_us;
	assert_int_equal(derp_client_ping(&node->client, wire.now_us), 0);
	wire.now_us += 3000;
	wire_pump(&wire);
	assert_int_equal(node->pongs, 1);
	assert_int_equal(node->pong_us, 3000);
	/* An hour of keepalives keeps the client alive. */
	while (wire.now_us < start_us + 3600 * US_PER_S) {
		wire.now_us = derp_relay_next_deadline(&wire.relay);
		derp_relay_tick(&wire.relay, wire.now_us);
		wire_pump(&wire);
		assert_int_equal(node->client.heard_us, wire.now_us);
		assert_int_equal(derp_client_tick(&node->client, wire.now_us,
						  NULL), 0);
	}
	/* The relay falls silent. */
	wire.now_us += DERP_SILENCE_US;
	assert_int_equal(derp_client_tick(&node->client, wire.now_us, NULL),
			 ERR_TIMEOUT);
	wire_clear(&wire);
}

static void test_handshake_deadline(void **state)
{
	struct wire wire;
	struct node *node;

	(void)state;
	wire_init(&wire, 15, 0, 0);
	node = &wire.nodes[0];
	node->wire = &wire;
	buf_init(&node->to_client, 1000);
	assert_int_equal(derp_relay_conn_new(&wire.relay, &node_carrier, node,
					     wire.now_us, &node->conn), 0);
	derp_relay_tick(&wire.relay, wire.now_us + 9 * US_PER_S);
	assert_false(node->closed);
	derp_relay_tick(&wire.relay, wire.now_us + 10 * US_PER_S);
	assert_true(node->closed);
	assert_int_equal(wire.relay.stats.handshakes_failed, 1);
	buf_clear(&node->to_client);
	node->wire = NULL;
	wire_clear(&wire);
}

static void expect_cut_off(const void *data, size_t len, bool ready)
{
	struct wire wire;
	struct node *node;

	wire_init(&wire, 16, 1, 2);
	node = &wire.nodes[0];
	if (!ready) {
		node_disconnect(&wire, node);
		node_connect(&wire, node, &wire.relay.private_key);
		/* Before its own client info. */
	}
	assert_int_equal(buf_append(&node->to_relay, data, len), 0);
	wire_pump(&wire);
	assert_true(node->closed);
	assert_false(wire.nodes[1].closed);
	wire_clear(&wire);
}

static void test_hostile_clients(void **state)
{
	uint8_t info[5 + DERP_CLIENT_INFO_CAP + 1] = { 0 };

	(void)state;
	expect_cut_off("\x04\x00\x00\x00\x03xyz", 8, true);
	expect_cut_off("\x04\x00\x01\x00\x21", 5, true);
	expect_cut_off("\x12\x00\x00\x00\x07zzzzzzz", 12, true);
	derp_put_header(info, DERP_PING, DERP_PING_BODY_CAP + 1);
	expect_cut_off(info, 5 + DERP_PING_BODY_CAP + 1, true);
	expect_cut_off("\x07\x00\x00\x00\x02zz", 7, true);
	expect_cut_off("\x7f\xff\xff\xff\xff", 5, true);
	expect_cut_off("GET / HTTP/1.1\r\n", 16, false);
	expect_cut_off("\x04\x00\x00\x00\x00", 5, false);
	expect_cut_off("\x02\x00\x00\x00\x00", 5, false);
	derp_put_header(info, DERP_CLIENT_INFO, DERP_CLIENT_INFO_CAP + 1);
	expect_cut_off(info, sizeof(info), false);
	derp_put_header(info, DERP_CLIENT_INFO, 120);
	expect_cut_off(info, 125, false);
	memset(info + 5, 9, 120);
	expect_cut_off(info, 125, false);
}

static void test_unknown_frames_are_skipped(void **state)
{
	struct wire wire;

	(void)state;
	wire_init(&wire, 17, 1, 1);
	raw(&wire.nodes[0], (enum derp_type)0x10, "", 0);
	raw(&wire.nodes[0], (enum derp_type)0x77, "abc", 3);
	raw(&wire.nodes[0], DERP_PONG, "abc", 3);
	assert_int_equal(derp_client_note_preferred(&wire.nodes[0].client,
						    true), 0);
	wire_pump(&wire);
	assert_false(wire.nodes[0].closed);
	wire_clear(&wire);
}

static void test_upgrade_response(void **state)
{
	struct key32 b = key_of(VECTOR_B_PRIVATE);
	char out[DERP_RELAY_UPGRADE_CAP];
	struct derp_relay relay;
	struct rng rng;
	size_t len;

	(void)state;
	rng_seeded(&rng, 1);
	derp_relay_init(&relay, &b, &rng);
	len = derp_relay_upgrade_response(&relay, out);
	assert_int_equal(len, strlen(out));
	assert_string_equal(out,
			    "HTTP/1.1 101 Switching Protocols\r\n"
			    "Upgrade: DERP\r\nConnection: Upgrade\r\n"
			    "Derp-Version: 2\r\n"
			    "Derp-Public-Key: " VECTOR_B_PUBLIC "\r\n\r\n");
	derp_relay_clear(&relay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshake_is_the_vectors),
		cmocka_unit_test(test_ten_thousand_packets_in_order),
		cmocka_unit_test(test_long_input_needs_no_long_queue),
		cmocka_unit_test(test_frozen_reader_loses_its_own_packets_only),
		cmocka_unit_test(test_frozen_reader_is_given_up),
		cmocka_unit_test(test_broken_carrier),
		cmocka_unit_test(test_peer_gone_when_it_leaves),
		cmocka_unit_test(test_unknown_peer),
		cmocka_unit_test(test_duplicate_connections),
		cmocka_unit_test(test_inactive_duplicate_leaves_first),
		cmocka_unit_test(test_ping_and_keepalive),
		cmocka_unit_test(test_handshake_deadline),
		cmocka_unit_test(test_hostile_clients),
		cmocka_unit_test(test_unknown_frames_are_skipped),
		cmocka_unit_test(test_upgrade_response),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
