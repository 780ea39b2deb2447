#include "tests/unit/base/test.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/tailnet/coordinate/node_message.h"
#include "tests/unit/coordinate/samples.h"

static void test_vector(void **state)
{
	struct bytes wire = unhex(VECTOR_NODE);
	struct buf out = { .limit = NODE_ENCODED_CAP };
	struct coord_node node, wanted;
	struct error error;

	(void)state;
	sample_node(&wanted);
	assert_int_equal(coord_node_encode(&wanted, &out), 0);
	assert_int_equal(out.len, wire.len);
	assert_memory_equal(buf_data(&out), wire.data, wire.len);
	assert_int_equal(coord_node_decode(wire.data, wire.len, &node, &error),
			 0);
	assert_memory_equal(&node, &wanted, sizeof(node));
	buf_clear(&out);
}

static void test_addresses_of_a_uuid(void **state)
{
	struct uuid id = sample_uuid(VECTOR_UUID);
	uint8_t address[16], wanted[16];

	(void)state;
	node_address_tailscale(&id, address);
	inet_pton(AF_INET6, VECTOR_IP, wanted);
	assert_memory_equal(address, wanted, 16);
	node_address_coder(&id, address);
	inet_pton(AF_INET6, VECTOR_IP_CODER, wanted);
	assert_memory_equal(address, wanted, 16);
	assert_true(node_id_of_uuid(&id) == VECTOR_NODE_ID);
}

static void test_prefixes(void **state)
{
	static const char *const good[] = { "fd7a::1/128", "::/0",
					    "10.1.2.3/32", "0.0.0.0/0" };
	static const char *const bad[] = {
		"", "/", "fd7a::1", "fd7a::1/", "fd7a::1/129", "fd7a::1/-1",
		"fd7a::1/01", "fd7a::1/1x", "10.0.0.1/33", "x/1", "fd7a::1/ 1",
		"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/1",
	};
	struct node_prefix prefix;
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(node_prefix_from_text(good[i], &prefix), 0);
		node_prefix_to_text(&prefix, text, sizeof(text));
		assert_string_equal(text, good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(node_prefix_from_text(bad[i], &prefix),
				 ERR_PROTOCOL);
}

/* Encodes a message that was spoilt by hand, and decodes it. */
static int spoil(void (*change)(Tailnet__Node *), struct error *error)
{
	struct coord_node node, decoded;
	struct buf out = { .limit = 1u << 20 };
	Tailnet__Node *message;
	struct arena arena;
	int err;

	sample_node(&node);
	arena_init(&arena, ARENA_MESSAGE_CAP);
	message = coord_node_to_message(&node, &arena);
	assert_non_null(message);
	change(message);
	assert_int_equal(message_append(&message->base, &out), 0);
	err = coord_node_decode(buf_data(&out), out.len, &decoded, error);
	arena_clear(&arena);
	buf_clear(&out);
	return err;
}

static void short_key(Tailnet__Node *m)
{
	m->key.len = 33;
}

static void wrong_key(Tailnet__Node *m)
{
	m->key.data[0] = 'N';
}

static void zero_key(Tailnet__Node *m)
{
	memset(m->key.data + 2, 0, 32);
}

static void no_key(Tailnet__Node *m)
{
	m->key.len = 0;
}

static void no_disco(Tailnet__Node *m)
{
	m->disco = "";
}

static void long_disco(Tailnet__Node *m)
{
	m->disco = "discokey:" VECTOR_DISCO_KEY "0";
}

static void other_disco(Tailnet__Node *m)
{
	m->disco = "diskokey:" VECTOR_DISCO_KEY;
}

static void zero_disco(Tailnet__Node *m)
{
	memset(m->disco + 9, '0', 64);
}

static void bad_address(Tailnet__Node *m)
{
	m->addresses[0] = "fd7a::1";
}

static void bad_endpoint(Tailnet__Node *m)
{
	m->endpoints[1] = "with blank:1";
}

static void long_endpoint(Tailnet__Node *m)
{
	m->endpoints[1] = "[0123456789012345678901234567890123456789"
			  "0123456789]:12345";
}

static void nan_latency(Tailnet__Node *m)
{
	m->derp_latency[0]->value = NAN;
}

static void unnamed_latency(Tailnet__Node *m)
{
	m->derp_latency[0]->key = "";
}

static void test_bad_nodes_say_why(void **state)
{
	static void (*const changes[])(Tailnet__Node *) = {
		short_key, wrong_key, zero_key, no_key, no_disco, long_disco,
		other_disco, zero_disco, bad_address, bad_endpoint,
		long_endpoint, nan_latency, unnamed_latency,
	};
	struct error error;

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		error.code = 0;
		assert_int_equal(spoil(changes[i], &error), ERR_PROTOCOL);
		assert_int_equal(error.code, ERR_PROTOCOL);
	}
}

static void many_addresses(Tailnet__Node *m)
{
	static char *texts[NODE_PREFIX_CAP + 1];

	for (size_t i = 0; i <= NODE_PREFIX_CAP; i++)
		texts[i] = "fd7a::1/128";
	m->allowed_ips = texts;
	m->n_allowed_ips = NODE_PREFIX_CAP + 1;
}

static void many_endpoints(Tailnet__Node *m)
{
	static char *texts[NODE_ENDPOINT_CAP + 1];

	for (size_t i = 0; i <= NODE_ENDPOINT_CAP; i++)
		texts[i] = "1.2.3.4:5";
	m->endpoints = texts;
	m->n_endpoints = NODE_ENDPOINT_CAP + 1;
}

static void many_latencies(Tailnet__Node *m)
{
	static Tailnet__LatencyEntry *entries[NODE_LATENCY_CAP + 1];

	for (size_t i = 0; i <= NODE_LATENCY_CAP; i++)
		entries[i] = m->derp_latency[0];
	m->derp_latency = entries;
	m->n_derp_latency = NODE_LATENCY_CAP + 1;
}

static void test_caps(void **state)
{
	struct coord_node node;
	struct buf out = { .limit = NODE_ENCODED_CAP };

	(void)state;
	assert_int_equal(spoil(many_addresses, NULL), ERR_TOO_LARGE);
	assert_int_equal(spoil(many_endpoints, NULL), ERR_TOO_LARGE);
	assert_int_equal(spoil(many_latencies, NULL), ERR_TOO_LARGE);
	/* The fullest node that a struct can hold still encodes. */
	sample_node(&node);
	node.latency_count = NODE_LATENCY_CAP;
	node.endpoint_count = NODE_ENDPOINT_CAP;
	node.address_count = node.allowed_count = NODE_PREFIX_CAP;
	for (size_t i = 0; i < NODE_LATENCY_CAP; i++)
		memset(node.latency[i].key, 'k', NODE_LATENCY_KEY_CAP - 1);
	for (size_t i = 0; i < NODE_ENDPOINT_CAP; i++)
		memset(node.endpoints[i], 'e', NODE_ENDPOINT_TEXT_CAP - 1);
	assert_int_equal(coord_node_encode(&node, &out), 0);
	buf_clear(&out);
	out.limit = 100;
	assert_int_equal(coord_node_encode(&node, &out), ERR_LIMIT);
	buf_clear(&out);
}

/* Two bytes a field, 72 bytes of memory each: the arena says no. */
static void test_arena_bounds_a_hostile_message(void **state)
{
	const size_t len = 4u << 20;
	uint8_t *data = malloc(len);
	struct coord_node node;
	struct error error;

	(void)state;
	for (size_t i = 0; i < len; i += 2) {
		data[i] = 6 << 3 | 2;
		data[i + 1] = 0;
	}
	assert_int_equal(coord_node_decode(data, len, &node, &error),
			 ERR_TOO_LARGE);
	assert_int_equal(coord_node_decode("\xff", 1, &node, &error),
			 ERR_PROTOCOL);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector),
		cmocka_unit_test(test_addresses_of_a_uuid),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_bad_nodes_say_why),
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_arena_bounds_a_hostile_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
