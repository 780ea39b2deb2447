#include "tests/unit/derp/derp_wire.h"

/* Node a of the vectors, up to a ready connection with server b. */
struct fixture {
	struct scripted_rng rng;
	struct node node;
	struct vector info;
};

static int feed(struct fixture *f, const char *hex, uint64_t now_us)
{
	struct vector v = vector_of(hex);

	return derp_client_in(&f->node.client, v.bytes, v.len, now_us, NULL);
}

static void begin(struct fixture *f)
{
	struct key32 a = key_of(VECTOR_A_PRIVATE);

	*f = (struct fixture){ .info = vector_of(VECTOR_CLIENT_INFO) };
	scripted_rng_init(&f->rng, f->info.bytes + 5 + 32);
	derp_client_init(&f->node.client, &a, &f->rng.rng, &node_events,
			 &f->node, 0);
}

static void make_ready(struct fixture *f)
{
	begin(f);
	assert_int_equal(feed(f, VECTOR_SERVER_KEY, 0), 0);
	assert_int_equal(feed(f, VECTOR_SERVER_INFO, 0), 0);
	assert_true(f->node.ready);
	buf_clear(&f->node.client.out);
}

static void end(struct fixture *f)
{
	derp_client_clear(&f->node.client);
}

static void test_handshake_is_the_vectors(void **state)
{
	struct fixture f;
	struct derp_client *client = &f.node.client;
	struct key32 b = key_of(VECTOR_B_PUBLIC);
	uint8_t out[64];

	(void)state;
	begin(&f);
	assert_int_equal(derp_client_send(client, &b, "x", 1, out, 64),
			 ERR_AGAIN);
	assert_int_equal(derp_client_ping(client, 0), ERR_AGAIN);
	assert_int_equal(feed(&f, VECTOR_SERVER_KEY, 0), 0);
	assert_int_equal(client->out.len, f.info.len);
	assert_memory_equal(buf_data(&client->out), f.info.bytes, f.info.len);
	assert_true(derp_client_can_send(client));
	assert_false(f.node.ready);
	assert_int_equal(feed(&f, VECTOR_SERVER_INFO, 0), 0);
	assert_true(f.node.ready);
	assert_int_equal(client->server_version, 2);
	assert_true(key_is_zero(&client->private_key));
	assert_true(key_equal(&client->server_key, &b));
	/* A second one is harmless. */
	assert_int_equal(feed(&f, VECTOR_SERVER_INFO, 0), 0);
	end(&f);
}

static void test_handshake_by_single_bytes(void **state)
{
	struct vector key = vector_of(VECTOR_SERVER_KEY);
	struct vector info = vector_of(VECTOR_SERVER_INFO);
	struct fixture f;

	(void)state;
	begin(&f);
	for (size_t i = 0; i < key.len; i++)
		assert_int_equal(derp_client_in(&f.node.client, key.bytes + i,
						1, 0, NULL), 0);
	for (size_t i = 0; i < info.len; i++)
		assert_int_equal(derp_client_in(&f.node.client, info.bytes + i,
						1, 0, NULL), 0);
	assert_true(f.node.ready);
	end(&f);
}

static void expect_refused(const char *first, const char *second, size_t flip,
			   int code)
{
	struct vector v = vector_of(first);
	struct fixture f;
	struct error error;
	int err;

	begin(&f);
	if (!second)
		v.bytes[flip] ^= 1;
	err = derp_client_in(&f.node.client, v.bytes, v.len, 0, &error);
	if (second) {
		assert_int_equal(err, 0);
		v = vector_of(second);
		v.bytes[flip] ^= 1;
		err = derp_client_in(&f.node.client, v.bytes, v.len, 0,
				     &error);
	}
	assert_int_equal(err, code);
	assert_int_equal(error.code, code);
	assert_false(f.node.ready);
	assert_int_equal(f.node.client.state, DERP_CLIENT_DEAD);
	assert_int_equal(feed(&f, VECTOR_PING, 0), ERR_CLOSED);
	assert_int_equal(derp_client_note_preferred(&f.node.client, true),
			 ERR_CLOSED);
	end(&f);
}

static void test_bad_handshakes(void **state)
{
	(void)state;
	expect_refused(VECTOR_SERVER_KEY, NULL, 0, ERR_PROTOCOL);
	expect_refused(VECTOR_SERVER_KEY, NULL, 6, ERR_PROTOCOL);
	expect_refused(VECTOR_SERVER_KEY, NULL, 1, ERR_TOO_LARGE);
	expect_refused(VECTOR_SERVER_KEY, VECTOR_SERVER_INFO, 40,
		       ERR_PROTOCOL);
	/* Short server info; HTTP where DERP should be. */
	expect_refused(VECTOR_SERVER_KEY, "0300000002aa00", 5,
		       ERR_PROTOCOL);
	expect_refused("485454502f312e3120343030", NULL, 11, ERR_TOO_LARGE);
	/* A server key of low order, once its last bit is flipped. */
	expect_refused("010000002844455250f09f9491"
		       "0000000000000000000000000000000000000000000000000000"
		       "000000000001", NULL, 44, ERR_PROTOCOL);
}

static void test_control_frames(void **state)
{
	struct vector pong = vector_of(VECTOR_PONG);
	struct vector preferred = vector_of(VECTOR_NOTE_PREFERRED);
	struct fixture f;
	struct buf *out = &f.node.client.out;

	(void)state;
	make_ready(&f);
	assert_int_equal(feed(&f, VECTOR_PING, 0), 0);
	assert_int_equal(out->len, pong.len);
	assert_memory_equal(buf_data(out), pong.bytes, pong.len);
	buf_consume(out, out->len);
	assert_int_equal(derp_client_note_preferred(&f.node.client, true), 0);
	assert_memory_equal(buf_data(out), preferred.bytes, preferred.len);
	buf_consume(out, out->len);
	/* keepalive, an unknown type, health, restarting */
	assert_int_equal(feed(&f, "0600000000", 0), 0);
	assert_int_equal(feed(&f, "7700000003aabbcc", 0), 0);
	assert_int_equal(feed(&f, "1400000003647570", 0), 0);
	assert_string_equal(f.node.health, "dup");
	assert_int_equal(feed(&f, "15000000080000000100000200", 0), 0);
	assert_int_equal(f.node.restart_ms, 0x201);
	/* Short ones are skipped. */
	assert_int_equal(feed(&f, "1500000001aa", 0), 0);
	assert_int_equal(feed(&f, "1200000001aa", 0), 0);
	assert_int_equal(feed(&f, "0500000001aa", 0), 0);
	assert_int_equal(feed(&f, "0800000001aa", 0), 0);
	assert_int_equal(out->len, 0);
	end(&f);
}

static void test_ping_measures(void **state)
{
	struct fixture f;

	(void)state;
	make_ready(&f);
	assert_int_equal(derp_client_ping(&f.node.client, 1000), 0);
	/* Not ours (the scripted ping is eight zeroes), then ours, twice. */
	assert_int_equal(feed(&f, VECTOR_PONG, 2000), 0);
	assert_int_equal(f.node.pongs, 0);
	assert_int_equal(feed(&f, "13000000080000000000000000", 26000), 0);
	assert_int_equal(feed(&f, "13000000080000000000000000", 27000), 0);
	assert_int_equal(f.node.pongs, 1);
	assert_int_equal(f.node.pong_us, 25000);
	end(&f);
}

static void test_pings_that_nobody_fetches_are_bounded(void **state)
{
	struct fixture f;

	(void)state;
	make_ready(&f);
	for (size_t i = 0; i < 10000; i++)
		assert_int_equal(feed(&f, VECTOR_PING, 0), 0);
	assert_true(f.node.client.out.len <= DERP_CLIENT_OUT_CAP);
	assert_int_equal(derp_client_ping(&f.node.client, 0), ERR_LIMIT);
	end(&f);
}

static void test_packets(void **state)
{
	struct vector expected = vector_of(VECTOR_SEND_PACKET);
	struct key32 b = key_of(VECTOR_B_PUBLIC);
	struct key32 a = key_of(VECTOR_A_PUBLIC);
	struct fixture f;
	uint8_t out[64];

	(void)state;
	make_ready(&f);
	assert_int_equal(derp_client_send(&f.node.client, &b, "payload", 7,
					  out, sizeof(out)), expected.len);
	assert_memory_equal(out, expected.bytes, expected.len);
	assert_int_equal(derp_client_send(&f.node.client, &b, "payload", 7,
					  out, expected.len - 1), ERR_LIMIT);
	assert_int_equal(derp_client_send(&f.node.client, &b, out,
					  DERP_PACKET_CAP + 1, out, 64),
			 ERR_TOO_LARGE);
	assert_int_equal(feed(&f, "0500000020"
			      VECTOR_A_PUBLIC, 0), 0);
	assert_int_equal(f.node.packets, 1);
	assert_true(key_equal(&f.node.last_from, &a));
	assert_int_equal(feed(&f, "0800000021" VECTOR_B_PUBLIC "01", 0), 0);
	assert_int_equal(f.node.gone_reason, DERP_GONE_NOT_HERE);
	assert_int_equal(feed(&f, "0800000020" VECTOR_A_PUBLIC, 0), 0);
	assert_int_equal(f.node.gone_reason, DERP_GONE_DISCONNECTED);
	assert_true(key_equal(&f.node.gone_peer, &a));
	end(&f);
}

static void test_silence_is_death(void **state)
{
	struct fixture f;
	struct derp_client *client = &f.node.client;
	struct error error;

	(void)state;
	make_ready(&f);
	assert_int_equal(derp_client_next_deadline(client), 120 * US_PER_S);
	assert_int_equal(feed(&f, "0600000000", 60 * US_PER_S), 0);
	assert_int_equal(derp_client_tick(client, 120 * US_PER_S, &error), 0);
	assert_int_equal(derp_client_next_deadline(client), 180 * US_PER_S);
	assert_int_equal(derp_client_tick(client, 180 * US_PER_S, &error),
			 ERR_TIMEOUT);
	assert_non_null(strstr(error.message, "120 s"));
	assert_int_equal(derp_client_next_deadline(client), DEADLINE_NONE);
	assert_int_equal(derp_client_tick(client, 200 * US_PER_S, &error),
			 ERR_CLOSED);
	end(&f);
}

/* A relay that drips bytes does not get more than its 10 s. */
static void test_handshake_deadline(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	assert_int_equal(feed(&f, VECTOR_SERVER_KEY, 9 * US_PER_S), 0);
	assert_int_equal(derp_client_tick(&f.node.client, 10 * US_PER_S, NULL),
			 ERR_TIMEOUT);
	assert_true(key_is_zero(&f.node.client.private_key));
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshake_is_the_vectors),
		cmocka_unit_test(test_handshake_by_single_bytes),
		cmocka_unit_test(test_bad_handshakes),
		cmocka_unit_test(test_control_frames),
		cmocka_unit_test(test_ping_measures),
		cmocka_unit_test(test_pings_that_nobody_fetches_are_bounded),
		cmocka_unit_test(test_packets),
		cmocka_unit_test(test_silence_is_death),
		cmocka_unit_test(test_handshake_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
