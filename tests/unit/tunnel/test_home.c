/* The home region, what the relays' failures do to others, and the network. */
#include "core/tunnel/node.h"
#include "tests/unit/tunnel/world.h"

#define MIB (1024 * 1024)

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	world_init(world, 23);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	world_clear(*state);
	free(*state);
	return 0;
}

static struct stream *dial(struct member *from, const struct member *to)
{
	struct stream *stream;

	assert_int_equal(ns_connect(node_netstack(from->node), to->address[0],
				    80, loop_now_us(from->world->loop),
				    &stream), 0);
	node_kick(from->node);
	return stream;
}

static size_t homes(const struct world *world, int region)
{
	return world->sites[region].relay.stats.homes;
}

/* While data flows both ways; whoever is told late still reaches us. */
static void home_moves_without_a_loss(void **state)
{
	struct world *world = *state;
	struct member a, b;
	struct node_peer_config of_a;
	struct stream *stream;
	struct pump pump;
	struct echo *echo;

	member_init(&a, world, 1);
	member_init(&b, world, 1);
	member_meet(&a, &b);
	echo = echo_new(&b, 80);
	stream = dial(&a, &b);
	pump_start(&pump, stream, 4 * MIB, 5);
	world_run(world, 20 * US_PER_MS);
	assert_true(pump.written > 0 && !pump.done);
	assert_int_equal(homes(world, 1), 2);

	assert_int_equal(node_set_home(a.node, 2), 0);
	assert_int_equal(node_home_region(a.node), 1);
	assert_int_equal(a.changes, 0);
	world_run(world, 20 * US_PER_MS);
	assert_int_equal(a.changes, 1);
	assert_int_equal(node_home_region(a.node), 2);
	assert_true(node_home_up(a.node));
	assert_int_equal(homes(world, 1), 1);
	assert_int_equal(homes(world, 2), 1);
	assert_true(!pump.done);
	world_run(world, 20 * US_PER_MS);
	of_a = member_config(&a);
	assert_int_equal(node_peer_set(b.node, &of_a), 0);
	world_until(world, &pump.done, 20 * US_PER_S);
	assert_int_equal(pump.failure, 0);
	assert_false(pump.wrong);
	assert_int_equal(world->sites[1].upgrades, 2);

	/* Each still has a use for the other's home, until it has none. */
	stream_close(stream, false);
	node_peer_remove(a.node, &b.id);
	world_run(world, 59 * US_PER_S);
	assert_int_equal(site_conns(&world->sites[1]), 2);
	world_run(world, 2 * US_PER_S);
	assert_int_equal(site_conns(&world->sites[1]), 1);
	echo_free(echo);
	member_clear(&a);
	member_clear(&b);
}

static void home_waits_for_its_relay(void **state)
{
	struct world *world = *state;
	struct member a;

	member_init(&a, world, 1);
	world_run(world, US_PER_S / 2);
	world->sites[3].refuse = 503;
	assert_int_equal(node_set_home(a.node, 3), 0);
	world_run(world, 90 * US_PER_S);
	assert_int_equal(node_home_region(a.node), 1);
	assert_int_equal(homes(world, 1), 1);
	world->sites[3].refuse = 0;
	world_run(world, 16 * US_PER_S);
	assert_int_equal(node_home_region(a.node), 3);
	assert_int_equal(a.changes, 1);
	/* And back, and a thought better of. */
	assert_int_equal(node_set_home(a.node, 1), 0);
	assert_int_equal(node_set_home(a.node, 3), 0);
	world_run(world, US_PER_S);
	assert_int_equal(node_home_region(a.node), 3);
	assert_int_equal(node_set_home(a.node, 77), ERR_UNREACHABLE);
	member_clear(&a);
}

/* No UDP: the relays are asked by HTTP, not while the first byte waits. */
static void nearest_by_http(void **state)
{
	struct world *world = *state;
	struct member a;

	world->sites[1].far_us = 90 * US_PER_MS;
	world->sites[2].far_us = 60 * US_PER_MS;
	world->sites[3].far_us = 20 * US_PER_MS;
	member_init(&a, world, 1);
	world_run(world, 900 * US_PER_MS);
	assert_true(node_home_up(a.node));
	assert_int_equal(world->sites[1].latency_checks, 0);
	world_run(world, 400 * US_PER_MS);
	assert_int_equal(node_home_region(a.node), 3);
	assert_int_equal(world->sites[1].latency_checks, 1);
	assert_int_equal(world->sites[3].latency_checks, 1);
	/* Asked again when the network is another; a little is no reason. */
	world->sites[2].far_us = 18 * US_PER_MS;
	memory_network_change(world->memory);
	world_run(world, 2 * US_PER_S);
	assert_int_equal(world->sites[2].latency_checks, 2);
	assert_int_equal(node_home_region(a.node), 3);
	member_clear(&a);
}

static void latency_checks_end_with_the_node(void **state)
{
	struct world *world = *state;

	for (unsigned ms = 0; ms < 8; ms++) {
		struct member a;

		member_init(&a, world, 1);
		world_run(world, US_PER_S + ms * US_PER_MS);
		member_clear(&a);
	}
}

static void home_leaves_the_map(void **state)
{
	struct world *world = *state;
	struct derp_map map = { .region_count = 0 };
	struct member a, b;

	member_init(&a, world, 1);
	member_init(&b, world, 1);
	member_meet(&a, &b);
	world_run(world, US_PER_S / 2);
	assert_int_equal(derp_map_copy(&world->map, &map), 0);
	map.regions[0].nodes[0].stun_only = true;
	assert_int_equal(node_set_derp_map(a.node, &map), 0);
	world_run(world, US_PER_S / 2);
	assert_int_equal(node_home_region(a.node), 2);
	/* Its peer is still reached where it is. */
	assert_int_equal(site_conns(&world->sites[1]), 2);
	derp_map_clear(&map);
	member_clear(&a);
	member_clear(&b);
}

/* A relay that takes nothing delays the others by 100 ms, not by seconds. */
static void frozen_relay_blocks_nobody(void **state)
{
	struct world *world = *state;
	struct member hub, near, far;
	struct stream *stuck, *stream;
	struct pump pump, other;
	struct echo *echo, *near_echo;
	uint64_t began_us;

	member_init(&hub, world, 1);
	member_init(&near, world, 1);
	member_init(&far, world, 2);
	member_meet(&hub, &near);
	member_meet(&hub, &far);
	echo = echo_new(&far, 80);
	near_echo = echo_new(&near, 80);
	stuck = dial(&hub, &far);
	stream = dial(&hub, &near);
	pump_start(&pump, stuck, 32 * MIB, 9);
	world_run(world, 50 * US_PER_MS);
	assert_true(pump.read > 0 && !pump.done);
	site_freeze(&world->sites[2], true);
	began_us = loop_now_us(world->loop);
	pump_start(&other, stream, MIB, 10);
	world_until(world, &other.done, US_PER_S);
	assert_false(other.wrong);
	/* It was frozen indeed, and not yet found dead. */
	assert_true(loop_now_us(world->loop) - began_us < US_PER_S);
	assert_false(pump.done);
	site_freeze(&world->sites[2], false);
	world_until(world, &pump.done, 60 * US_PER_S);
	assert_int_equal(pump.failure, 0);
	assert_false(pump.wrong);
	stream_close(stuck, false);
	stream_close(stream, false);
	world_run(world, US_PER_S);
	echo_free(echo);
	echo_free(near_echo);
	member_clear(&hub);
	member_clear(&near);
	member_clear(&far);
}

/* Our address changed and the NAT forgot us: data within five seconds. */
static void network_change_under_data(void **state)
{
	struct world *world = *state;
	struct member a, b;
	struct stream *stream;
	struct pump pump;
	struct echo *echo;
	size_t before;

	member_init(&a, world, 1);
	member_init(&b, world, 2);
	member_meet(&a, &b);
	echo = echo_new(&b, 80);
	stream = dial(&a, &b);
	pump_start(&pump, stream, 64 * MIB, 5);
	world_run(world, 50 * US_PER_MS);
	site_mute(&world->sites[1]);
	site_mute(&world->sites[2]);
	memory_network_change(world->memory);
	world_run(world, US_PER_S);
	before = pump.read;
	world_run(world, US_PER_S);
	assert_true(pump.read == before && !pump.done);
	world_run(world, 3 * US_PER_S);
	assert_true(pump.read > before);
	assert_int_equal(pump.failure, 0);
	stream_close(stream, true);
	world_run(world, US_PER_S);
	echo_free(echo);
	member_clear(&a);
	member_clear(&b);
}

static void peer_gone_is_logged(void **state)
{
	struct world *world = *state;
	struct stream *stream;
	struct member a, b;

	member_init(&a, world, 1);
	member_init(&b, world, 1);
	member_meet(&a, &b);
	stream = dial(&a, &b);
	world_run(world, US_PER_S);
	stream_close(stream, true);
	member_clear(&b);
	world_run(world, US_PER_S);
	assert_true(world_logged(world, "is not connected to it"));
	member_clear(&a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(home_moves_without_a_loss),
		TEST(home_waits_for_its_relay),
		TEST(nearest_by_http),
		TEST(latency_checks_end_with_the_node),
		TEST(home_leaves_the_map),
		TEST(frozen_relay_blocks_nobody),
		TEST(network_change_under_data),
		TEST(peer_gone_is_logged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
