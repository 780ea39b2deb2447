#include "tests/unit/base/test.h"

#include <string.h>

#include "core/base/derp_map.h"
#include "core/base/err.h"

/* As Coder's: the embedded relay 999, its STUN-only node first. */
static void build(struct derp_map *map)
{
	struct derp_map_region *region;
	struct derp_map_node *node;

	memset(map, 0, sizeof(*map));
	region = derp_map_add_region(map, 1001);
	strcpy(derp_map_add_node(region)->host_name, "far.example");
	region = derp_map_add_region(map, 999);
	region->embedded_relay = true;
	node = derp_map_add_node(region);
	strcpy(node->host_name, "stun.example");
	node->stun_only = true;
	node = derp_map_add_node(region);
	strcpy(node->host_name, "old.example");
	node->stun_port = -1;
	assert_non_null(derp_map_add_region(map, 998));
}

static void regions_are_sorted_and_unique(void **state)
{
	struct derp_map map;

	(void)state;
	build(&map);
	assert_int_equal(map.regions[0].region_id, 998);
	assert_int_equal(map.regions[1].region_id, 999);
	assert_int_equal(map.regions[2].region_id, 1001);
	assert_null(derp_map_add_region(&map, 999));
	assert_null(derp_map_region(&map, 5));
	derp_map_clear(&map);
}

static void home_is_the_lowest_region_with_a_relay(void **state)
{
	struct derp_map map;

	(void)state;
	build(&map);
	assert_int_equal(derp_map_first_home(&map), 999);
	assert_string_equal(
		derp_map_relay(derp_map_region(&map, 999))->host_name,
		"old.example");
	derp_map_clear(&map);
	assert_int_equal(derp_map_first_home(&map), 0);
}

static void only_embedded_relays_are_rewritten(void **state)
{
	struct derp_map map, copy = { .regions = NULL };

	(void)state;
	build(&map);
	assert_int_equal(derp_map_copy(&map, &copy), 0);
	assert_true(derp_map_equal(&map, &copy));
	assert_int_equal(derp_map_rewrite_embedded(&map, "here", 8080, true),
			 0);
	assert_false(derp_map_equal(&map, &copy));
	assert_string_equal(map.regions[1].nodes[0].host_name, "stun.example");
	assert_string_equal(map.regions[1].nodes[1].host_name, "here");
	assert_int_equal(map.regions[1].nodes[1].derp_port, 8080);
	assert_true(map.regions[1].nodes[1].force_http);
	assert_string_equal(map.regions[2].nodes[0].host_name, "far.example");
	derp_map_clear(&map);
	derp_map_clear(&copy);
}

static void too_many_are_refused(void **state)
{
	struct derp_map map = { .regions = NULL };
	char host[DERP_MAP_HOST_CAP + 1];
	struct derp_map_region *region;

	(void)state;
	for (int i = 0; i < DERP_MAP_REGION_CAP; i++)
		assert_non_null(derp_map_add_region(&map, i + 1));
	assert_null(derp_map_add_region(&map, 5000));
	region = &map.regions[0];
	for (int i = 0; i < DERP_MAP_NODE_CAP; i++)
		assert_non_null(derp_map_add_node(region));
	assert_null(derp_map_add_node(region));
	memset(host, 'a', sizeof(host));
	host[DERP_MAP_HOST_CAP] = '\0';
	assert_int_equal(derp_map_rewrite_embedded(&map, host, 1, false),
			 ERR_TOO_LARGE);
	derp_map_clear(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(regions_are_sorted_and_unique),
		cmocka_unit_test(home_is_the_lowest_region_with_a_relay),
		cmocka_unit_test(only_embedded_relays_are_rewritten),
		cmocka_unit_test(too_many_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
