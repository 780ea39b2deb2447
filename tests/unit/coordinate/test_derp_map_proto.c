#include "tests/unit/base/test.h"

#include <string.h>

#include "core/tailnet/coordinate/derp_map_proto.h"
#include "tests/unit/coordinate/vectors.h"

static void test_vector(void **state)
{
	struct bytes wire = unhex(VECTOR_DERP_MAP);
	struct buf out = { .limit = 4096 };
	const struct derp_map_node *node;
	struct derp_map map;

	(void)state;
	assert_int_equal(derp_map_decode(wire.data, wire.len, &map, NULL), 0);
	assert_int_equal(map.region_count, 1);
	assert_int_equal(map.regions[0].region_id, 999);
	assert_true(map.regions[0].embedded_relay);
	assert_string_equal(map.regions[0].code, "coder");
	assert_string_equal(map.regions[0].name, "Coder Embedded Relay");
	assert_int_equal(map.regions[0].node_count, 1);
	node = &map.regions[0].nodes[0];
	assert_string_equal(node->name, "999b");
	assert_string_equal(node->host_name, "127.0.0.1");
	assert_int_equal(node->stun_port, -1);
	assert_int_equal(node->derp_port, 3000);
	assert_true(node->force_http);
	assert_int_equal(derp_map_encode(&map, &out), 0);
	assert_int_equal(out.len, wire.len);
	assert_memory_equal(buf_data(&out), wire.data, wire.len);
	derp_map_clear(&map);
	buf_clear(&out);
}

static void test_round_trip_sorts(void **state)
{
	struct buf out = { .limit = 1u << 20 };
	struct derp_map map = { .region_count = 0 }, again;
	struct derp_map_region *region;
	struct derp_map_node *node;

	(void)state;
	for (int64_t id = 5; id > 0; id--) {
		region = derp_map_add_region(&map, id * 3);
		region->avoid = id == 2;
		strcpy(region->name, "Somewhere");
		for (int i = 0; i < 3; i++) {
			node = derp_map_add_node(region);
			strcpy(node->host_name, "relay.example");
			strcpy(node->cert_name, "cert.example");
			strcpy(node->ipv4, "192.0.2.1");
			strcpy(node->ipv6, "2001:db8::1");
			strcpy(node->stun_test_ip, "192.0.2.2");
			node->stun_only = i == 0;
			node->can_port_80 = node->insecure_for_tests = i == 1;
			node->stun_port = i;
		}
	}
	assert_int_equal(derp_map_encode(&map, &out), 0);
	assert_int_equal(derp_map_decode(buf_data(&out), out.len, &again,
					 NULL), 0);
	assert_true(derp_map_equal(&map, &again));
	derp_map_clear(&map);
	derp_map_clear(&again);
	buf_clear(&out);
}

/* `count` regions of two bytes each: {key: i} and an empty value. */
static int decode_regions(int first, int count, struct error *error)
{
	struct buf out = { .limit = 1u << 20 };
	struct derp_map map = { .region_count = 0 };
	int err;

	for (int i = first; i < first + count; i++) {
		const uint8_t entry[] = { 0x12, 5, 0x08,
					  (uint8_t)(0x80 | (i & 0x7f)),
					  (uint8_t)(i >> 7), 0x12, 0 };

		buf_append(&out, entry, sizeof(entry));
	}
	err = derp_map_decode(buf_data(&out), out.len, &map, error);
	derp_map_clear(&map);
	buf_clear(&out);
	return err;
}

static void test_caps(void **state)
{
	struct derp_map map = { .region_count = 0 };
	uint8_t nodes[2 + 4 + 2 * (DERP_MAP_NODE_CAP + 1)] = {
		0x12, sizeof(nodes) - 2, 0x08, 1, 0x12, sizeof(nodes) - 6 };
	uint8_t host[2 + 2 + 4 + 4 + 4 + 300];
	struct error error;

	(void)state;
	assert_int_equal(decode_regions(0, DERP_MAP_REGION_CAP, &error), 0);
	assert_int_equal(decode_regions(0, DERP_MAP_REGION_CAP + 1, &error),
			 ERR_TOO_LARGE);
	for (size_t i = 0; i <= DERP_MAP_NODE_CAP; i++)
		nodes[6 + 2 * i] = 0x32;
	assert_int_equal(derp_map_decode(nodes, sizeof(nodes), &map, &error),
			 ERR_TOO_LARGE);
	nodes[1] -= 2;
	nodes[5] -= 2;
	assert_int_equal(derp_map_decode(nodes, sizeof(nodes) - 2, &map,
					 &error), 0);
	assert_int_equal(map.regions[0].node_count, DERP_MAP_NODE_CAP);
	derp_map_clear(&map);
	/* entry {1, region {nodes {host_name: 300 times h}}} */
	memset(host, 'h', sizeof(host));
	memcpy(host, "\x12\xb7\x02\x08\x01\x12\xb2\x02\x32\xaf\x02\x1a\xac\x02",
	       14);
	assert_int_equal(derp_map_decode(host, 14 + 300, &map, &error),
			 ERR_TOO_LARGE);
	assert_int_equal(map.region_count, 0);
}

static void test_twice_and_rubbish(void **state)
{
	static const uint8_t twice[] = { 0x12, 4, 0x08, 1, 0x12, 0,
					 0x12, 4, 0x08, 1, 0x12, 0 };
	struct derp_map map;
	struct error error;

	(void)state;
	assert_int_equal(derp_map_decode(twice, sizeof(twice), &map, &error),
			 ERR_PROTOCOL);
	assert_int_equal(derp_map_decode("\x12\x09", 2, &map, &error),
			 ERR_PROTOCOL);
	assert_int_equal(derp_map_decode(NULL, 0, &map, &error), 0);
	assert_int_equal(map.region_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector),
		cmocka_unit_test(test_round_trip_sorts),
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_twice_and_rubbish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
