#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/base/cursor.h"
#include "core/base/err.h"
#include "core/tailnet/disco/disco.h"
#include "tests/unit/disco/disco_vectors.h"

struct bytes {
	uint8_t at[512];
	size_t len;
};

static struct bytes bytes_of(const char *hex)
{
	struct bytes out = { .len = strlen(hex) / 2 };

	assert_true(out.len <= sizeof(out.at));
	assert_int_equal(hex_decode(hex, strlen(hex), out.at, out.len), 0);
	return out;
}

static struct key32 key_of(const char *hex)
{
	struct key32 out;

	assert_int_equal(hex_decode(hex, strlen(hex), out.bytes, 32), 0);
	return out;
}

static struct key32 shared_key(void)
{
	struct key32 a = key_of(DISCO_A_PRIVATE), b = key_of(DISCO_B_PUBLIC);
	struct key32 out;

	assert_int_equal(disco_shared_key(&a, &b, &out), 0);
	return out;
}

/* Repeats one nonce. */
struct nonce_rng {
	struct rng rng;
	const uint8_t *nonce;
};

static void nonce_bytes(struct rng *rng, uint8_t *out, size_t len)
{
	assert_int_equal(len, 24);
	memcpy(out, ((struct nonce_rng *)(void *)rng)->nonce, len);
}

/* Opens the vector as b, then makes the same bytes as a. */
static struct disco_message both_ways(const char *packet_hex,
				      const char *plain_hex)
{
	struct bytes packet = bytes_of(packet_hex);
	struct bytes plain = bytes_of(plain_hex);
	struct key32 a = key_of(DISCO_A_PUBLIC), b = key_of(DISCO_B_PRIVATE);
	struct nonce_rng rng = { .rng.bytes = nonce_bytes,
				 .nonce = packet.at + 38 };
	struct key32 shared, sender;
	struct disco_message message;
	uint8_t out[DISCO_PACKET_CAP];

	assert_true(disco_is(packet.at, packet.len));
	assert_true(disco_sender(packet.at, packet.len, &sender));
	assert_true(key_equal(&sender, &a));
	assert_int_equal(disco_shared_key(&b, &sender, &shared), 0);
	assert_int_equal(disco_open(&shared, packet.at, packet.len, &message),
			 0);
	assert_false(message.padded);
	if (strcmp(plain_hex, PING_PADDED_PLAIN) == 0)
		return message;
	assert_int_equal(disco_encode(&message, out, sizeof(out)), plain.len);
	assert_memory_equal(out, plain.at, plain.len);
	assert_int_equal(disco_packet(&shared, &a, &rng.rng, &message, out,
				      sizeof(out)), packet.len);
	assert_memory_equal(out, packet.at, packet.len);
	return message;
}

static void expect_endpoint(const struct endpoint *endpoint,
			    const char *address_hex, uint16_t port)
{
	struct bytes address = bytes_of(address_hex);

	assert_memory_equal(endpoint->address, address.at, 16);
	assert_int_equal(endpoint->port, port);
}

static void test_ping_vector(void **state)
{
	struct disco_message m = both_ways(PING_PACKET, PING_PLAIN);
	struct key32 node = key_of(NODE_A_PUBLIC);

	(void)state;
	assert_int_equal(m.type, DISCO_PING);
	assert_memory_equal(m.txid, "txid-txid-12", 12);
	assert_true(key_equal(&m.node_key, &node));
	m = both_ways(PING_PADDED_PACKET, PING_PADDED_PLAIN);
	assert_int_equal(m.type, DISCO_PING);
	assert_true(key_equal(&m.node_key, &node));
}

static void test_pong_vector(void **state)
{
	struct disco_message m = both_ways(PONG_PACKET, PONG_PLAIN);

	(void)state;
	assert_int_equal(m.type, DISCO_PONG);
	assert_memory_equal(m.txid, "txid-txid-12", 12);
	expect_endpoint(&m.source, "00000000000000000000ffff7f000001", 41641);
}

static void test_call_me_maybe_vector(void **state)
{
	struct disco_message m = both_ways(CALL_ME_MAYBE_PACKET,
					   CALL_ME_MAYBE_PLAIN);

	(void)state;
	assert_int_equal(m.type, DISCO_CALL_ME_MAYBE);
	assert_int_equal(m.endpoint_count, 2);
	expect_endpoint(&m.endpoints[0], "00000000000000000000ffff7f000001",
			41641);
	expect_endpoint(&m.endpoints[1], "00000000000000000000000000000001",
			41642);
}

/* Coder's form: version 1, zeroes up to a datagram of 1,310 bytes. */
static void test_padded(void **state)
{
	static const enum disco_type types[] = { DISCO_PING, DISCO_PONG };
	struct key32 shared = shared_key(), a = key_of(DISCO_A_PUBLIC);
	struct disco_message in = { .padded = true, .txid = "abcdefghijk",
				    .node_key = a, .source.port = 7 };
	struct disco_message out;
	uint8_t packet[DISCO_PACKET_CAP], plain[DISCO_PACKET_CAP];
	struct rng rng;

	(void)state;
	rng_seeded(&rng, 1);
	for (size_t i = 0; i < 2; i++) {
		in.type = types[i];
		assert_int_equal(disco_packet(&shared, &a, &rng, &in, packet,
					      sizeof(packet)),
				 DISCO_PADDED_LEN);
		assert_int_equal(disco_open(&shared, packet, DISCO_PADDED_LEN,
					    &out), 0);
		assert_int_equal(out.type, in.type);
		assert_true(out.padded);
		assert_memory_equal(out.txid, in.txid, 12);
		assert_int_equal(disco_encode(&in, plain, sizeof(plain)),
				 DISCO_PADDED_LEN - DISCO_OVERHEAD);
		assert_int_equal(plain[1], 1);
		assert_int_equal(disco_packet(&shared, &a, &rng, &in, packet,
					      DISCO_PADDED_LEN - 1),
				 ERR_LIMIT);
	}
	/* Through a relay only: never padded. */
	in.type = DISCO_CALL_ME_MAYBE;
	assert_int_equal(disco_encode(&in, plain, sizeof(plain)), 2);
	assert_int_equal(plain[1], 0);
}

static void test_lenient_reading(void **state)
{
	struct bytes ping = bytes_of("01077478696400000000000000"
				     "0001ffff");
	struct bytes calls = bytes_of("0300aabb");
	struct disco_message m;

	(void)state;
	/* An old ping without a key, version 7, something behind it. */
	assert_int_equal(disco_decode(ping.at, ping.len, &m), 0);
	assert_true(key_is_zero(&m.node_key));
	assert_int_equal(disco_decode(calls.at, calls.len, &m), 0);
	assert_int_equal(m.endpoint_count, 0);
	calls = bytes_of("0301" "00000000000000000000ffff7f00000100aa");
	assert_int_equal(disco_decode(calls.at, calls.len, &m), 0);
	assert_int_equal(m.endpoint_count, 0);
}

static void test_refusals(void **state)
{
	struct disco_message m;
	uint8_t plain[2 + 65 * 18] = { 0 };
	struct bytes pong = bytes_of(PONG_PLAIN);

	(void)state;
	assert_int_equal(disco_decode(plain, 0, &m), ERR_PROTOCOL);
	assert_int_equal(disco_decode(plain, 1, &m), ERR_PROTOCOL);
	assert_int_equal(disco_decode(plain, 2, &m), ERR_NOT_FOUND);
	plain[0] = 4;
	assert_int_equal(disco_decode(plain, 100, &m), ERR_NOT_FOUND);
	plain[0] = DISCO_PING;
	assert_int_equal(disco_decode(plain, 13, &m), ERR_PROTOCOL);
	assert_int_equal(disco_decode(pong.at, pong.len - 1, &m),
			 ERR_PROTOCOL);
	plain[0] = DISCO_CALL_ME_MAYBE;
	assert_int_equal(disco_decode(plain, 2 + 64 * 18, &m), 0);
	assert_int_equal(m.endpoint_count, 64);
	assert_int_equal(disco_decode(plain, 2 + 65 * 18, &m), ERR_TOO_LARGE);
	m.endpoint_count = 65;
	assert_int_equal(disco_encode(&m, plain, sizeof(plain)), ERR_MISUSE);
}

static void test_forgeries(void **state)
{
	struct bytes packet = bytes_of(PING_PACKET);
	struct key32 shared = shared_key(), zero = { .bytes = { 0 } };
	struct disco_message m;

	(void)state;
	for (size_t i = 0; i < packet.len; i++) {
		int want = i < 6 ? ERR_PROTOCOL : ERR_DENIED;

		/* The sender's key is not under the seal; whose key to use
		 * is decided by it. */
		if (i >= 6 && i < 38)
			continue;
		packet.at[i] ^= 0x40;
		assert_int_equal(disco_open(&shared, packet.at, packet.len,
					    &m), want);
		packet.at[i] ^= 0x40;
	}
	for (size_t len = 0; len < packet.len; len++)
		assert_int_equal(disco_open(&shared, packet.at, len, &m),
				 len < DISCO_OVERHEAD ? ERR_PROTOCOL :
				 ERR_DENIED);
	assert_false(disco_is(packet.at, 61));
	assert_true(disco_is(packet.at, 62));
	assert_false(disco_sender(packet.at, 61, &zero));
	assert_int_equal(disco_shared_key(&shared, &zero, &shared),
			 ERR_PROTOCOL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ping_vector),
		cmocka_unit_test(test_pong_vector),
		cmocka_unit_test(test_call_me_maybe_vector),
		cmocka_unit_test(test_padded),
		cmocka_unit_test(test_lenient_reading),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_forgeries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
