/* Paths without a relay: found, used, lost, found again. */
#include "core/tailnet/coordinate/node.h"
#include "core/tailnet/disco/disco.h"
#include "tests/unit/tunnel/world.h"

#define MIB (1024 * 1024)

struct pair {
	struct world world;
	struct member a, b;
	struct echo *echo;
	struct stream *stream;
	struct pump pump;
};

static int setup(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	world_init(&pair->world, 23);
	pair->world.direct = true;
	*state = pair;
	return 0;
}

static int teardown(void **state)
{
	struct pair *pair = *state;

	if (pair->stream)
		stream_close(pair->stream, true);
	if (pair->echo) {
		world_run(&pair->world, US_PER_S);
		echo_free(pair->echo);
	}
	member_clear(&pair->a);
	member_clear(&pair->b);
	world_clear(&pair->world);
	free(pair);
	return 0;
}

static void meet(struct pair *pair)
{
	member_init(&pair->a, &pair->world, 1);
	member_init(&pair->b, &pair->world, 1);
	member_meet(&pair->a, &pair->b);
	pair->echo = echo_new(&pair->b, 80);
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

static void begin(struct pair *pair, size_t len)
{
	if (pair->stream)
		stream_close(pair->stream, true);
	pair->stream = dial(&pair->a, &pair->b);
	pair->pump = (struct pump){ .stream = NULL };
	pump_start(&pair->pump, pair->stream, len, len);
}

static void finish(struct pair *pair, uint64_t within_us)
{
	world_until(&pair->world, &pair->pump.done, within_us);
	assert_int_equal(pair->pump.failure, 0);
	assert_int_equal(pair->pump.read, pair->pump.len);
	assert_false(pair->pump.wrong);
}

static struct node_peer_stats stats_of(const struct pair *pair)
{
	struct node_peer_stats stats;

	assert_int_equal(node_peer_stats(pair->a.node, &pair->b.id, &stats), 0);
	return stats;
}

static uint16_t port_of(const struct member *member)
{
	struct node_report *report = malloc(sizeof(*report));
	uint16_t port;

	node_report(member->node, report);
	port = report->port;
	free(report);
	return port;
}

/* Neither was told the other's endpoints: call-me-maybe brings them. */
static void found_by_calling(void **state)
{
	struct pair *pair = *state;
	struct node_peer_stats stats;
	size_t relayed;

	meet(pair);
	begin(pair, 4 * MIB);
	finish(pair, 60 * US_PER_S);
	stats = stats_of(pair);
	assert_true(stats.direct);
	assert_true(endpoint_is_ipv4(&stats.endpoint));
	assert_int_equal(stats.endpoint.port, port_of(&pair->b));
	assert_true(stats.direct_us > 0);
	assert_true(stats.latency_us > 0);
	assert_in_range(pair->a.ways, 1, 2);
	assert_true(world_logged(&pair->world, "directly at 127.0.0.1:"));
	assert_true(stats.direct_tx_bytes > 3 * MIB);
	assert_true(stats.direct_rx_bytes > 3 * MIB);
	relayed = pair->world.sites[1].bytes_in;
	begin(pair, 4 * MIB);
	finish(pair, 60 * US_PER_S);
	assert_true(pair->world.sites[1].bytes_in - relayed < 1000);
}

/* With the endpoints that a coordinator tells, the relay is not needed. */
static void found_without_a_relay(void **state)
{
	struct pair *pair = *state;
	struct endpoint of_b;
	struct node_peer_config config;

	pair->world.sites[1].refuse = 503;
	meet(pair);
	config = member_config(&pair->b);
	assert_true(endpoint_parse("127.0.0.1:1", &of_b));
	of_b.port = port_of(&pair->b);
	config.endpoints = &of_b;
	config.endpoint_count = 1;
	assert_int_equal(node_peer_set(pair->a.node, &config), 0);
	begin(pair, MIB);
	finish(pair, 10 * US_PER_S);
	assert_true(stats_of(pair).direct);
	pair->world.sites[1].refuse = 0;
	world_run(&pair->world, 20 * US_PER_S);
}

static void block_udp(struct pair *pair, bool blocked)
{
	const struct memory_udp_faults faults = { .blocked = blocked };

	assert_int_equal(memory_network_set_udp(pair->world.memory, 0,
						&faults), 0);
}

static void blocked_and_back(void **state)
{
	struct pair *pair = *state;
	struct node_peer_stats stats;
	unsigned ways;

	meet(pair);
	begin(pair, 64 * MIB);
	world_run(&pair->world, 100 * US_PER_MS);
	assert_true(stats_of(pair).direct);
	block_udp(pair, true);
	world_run(&pair->world, 8 * US_PER_S);
	stats = stats_of(pair);
	assert_false(stats.direct);
	ways = pair->a.ways;
	block_udp(pair, false);
	finish(pair, 300 * US_PER_S);
	begin(pair, MIB);
	world_run(&pair->world, 61 * US_PER_S);
	finish(pair, US_PER_S);
	begin(pair, MIB);
	finish(pair, 60 * US_PER_S);
	assert_true(stats_of(pair).direct);
	assert_true(pair->a.ways > ways);
}

/* The relay goes: what flows directly goes on as if nothing had happened. */
static void relay_lost_under_a_direct_path(void **state)
{
	struct pair *pair = *state;

	meet(pair);
	begin(pair, 16 * MIB);
	world_run(&pair->world, 100 * US_PER_MS);
	assert_true(stats_of(pair).direct);
	pair->world.sites[1].refuse = 503;
	site_cut(&pair->world.sites[1]);
	finish(pair, 60 * US_PER_S);
	assert_true(stats_of(pair).direct);
	pair->world.sites[1].refuse = 0;
	world_run(&pair->world, 20 * US_PER_S);
}

static void one_side_without_udp(void **state)
{
	struct pair *pair = *state;
	struct node_report *report = malloc(sizeof(*report));
	struct coord_node *node = calloc(1, sizeof(*node));

	member_init(&pair->a, &pair->world, 1);
	pair->world.direct = false;
	member_init(&pair->b, &pair->world, 1);
	member_meet(&pair->a, &pair->b);
	pair->echo = echo_new(&pair->b, 80);
	begin(pair, 4 * MIB);
	finish(pair, 60 * US_PER_S);
	assert_false(stats_of(pair).direct);
	assert_int_equal(stats_of(pair).direct_rx_bytes, 0);
	assert_int_equal(pair->a.ways, 0);
	node_report(pair->b.node, report);
	assert_false(report->enabled);
	assert_int_equal(report->endpoint_count, 0);
	node_describe(pair->b.node, node);
	assert_int_equal(node->endpoint_count, 0);
	node_describe(pair->a.node, node);
	assert_int_equal(node->endpoint_count, 1);
	free(node);
	free(report);
}

/* A relay that takes nothing stops its own peers, and no others. */
static void frozen_relay_blocks_nobody_else(void **state)
{
	struct pair *pair = *state;
	struct stream *stream;
	struct member c;
	struct echo *echo;
	struct pump pump;

	meet(pair);
	pair->world.direct = false;
	member_init(&c, &pair->world, 2);
	member_meet(&pair->a, &c);
	echo = echo_new(&c, 80);
	begin(pair, MIB);
	finish(pair, 60 * US_PER_S);
	assert_true(stats_of(pair).direct);
	stream = dial(&pair->a, &c);
	pump_start(&pump, stream, 16 * MIB, 3);
	world_run(&pair->world, 100 * US_PER_MS);
	site_freeze(&pair->world.sites[2], true);
	world_run(&pair->world, 50 * US_PER_MS);
	assert_false(pump.done);
	begin(pair, 16 * MIB);
	finish(pair, 10 * US_PER_S);
	site_freeze(&pair->world.sites[2], false);
	world_until(&pair->world, &pump.done, 120 * US_PER_S);
	assert_int_equal(pump.failure, 0);
	assert_false(pump.wrong);
	stream_close(stream, false);
	world_run(&pair->world, US_PER_S);
	echo_free(echo);
	member_clear(&c);
}

/* Another network: the same port, and direct again soon. */
static void network_changes(void **state)
{
	struct pair *pair = *state;
	uint16_t port;

	meet(pair);
	begin(pair, MIB);
	finish(pair, 60 * US_PER_S);
	port = port_of(&pair->a);
	begin(pair, 32 * MIB);
	world_run(&pair->world, 50 * US_PER_MS);
	memory_network_change(pair->world.memory);
	assert_false(stats_of(pair).direct);
	finish(pair, 60 * US_PER_S);
	/* Both change at once here: the first pings meet a closed socket. */
	for (int i = 0; i < 10 && !stats_of(pair).direct; i++) {
		begin(pair, MIB);
		world_run(&pair->world, US_PER_S);
		finish(pair, 60 * US_PER_S);
	}
	assert_true(stats_of(pair).direct);
	assert_int_equal(port_of(&pair->a), port);
}

/* A restarted agent has other keys, and another port. */
static void peer_restarts(void **state)
{
	struct pair *pair = *state;
	struct node_peer_config config;
	struct uuid id;

	meet(pair);
	begin(pair, MIB);
	finish(pair, 60 * US_PER_S);
	id = pair->b.id;
	echo_free(pair->echo);
	member_clear(&pair->b);
	member_init(&pair->b, &pair->world, 1);
	pair->echo = echo_new(&pair->b, 80);
	config = member_config(&pair->b);
	config.id = pair->b.id = id;
	assert_int_equal(node_peer_set(pair->a.node, &config), 0);
	config = member_config(&pair->a);
	assert_int_equal(node_peer_set(pair->b.node, &config), 0);
	begin(pair, MIB);
	finish(pair, 20 * US_PER_S);
	assert_true(stats_of(pair).direct);
	assert_int_equal(stats_of(pair).endpoint.port, port_of(&pair->b));
}

/* Two peers under one disco key, as those of one worker are. */
static void shared_disco_key(void **state)
{
	struct pair *pair = *state;
	struct node_peer_config twin;
	struct key32 secret;

	meet(pair);
	twin = member_config(&pair->b);
	uuid_random(&pair->world.rng, &twin.id);
	node_address_tailscale(&twin.id, twin.addresses[0]);
	key_private(&pair->world.rng, &secret);
	key_public(&secret, &twin.key);
	assert_int_equal(node_peer_set(pair->a.node, &twin), 0);
	begin(pair, 4 * MIB);
	finish(pair, 60 * US_PER_S);
	assert_true(stats_of(pair).direct);
	node_peer_remove(pair->a.node, &twin.id);
	begin(pair, 4 * MIB);
	finish(pair, 60 * US_PER_S);
	assert_int_equal(node_peer_set(pair->a.node, &twin), 0);
	node_peer_remove(pair->a.node, &pair->b.id);
	node_peer_remove(pair->a.node, &twin.id);
	stream_close(pair->stream, true);
	pair->stream = NULL;
}

/* Nothing to say: no pings, no surveys, no timer but the relays'. */
static void idle_is_quiet(void **state)
{
	struct pair *pair = *state;
	struct ns_stats before, after;
	uint64_t deadline;

	meet(pair);
	begin(pair, MIB);
	finish(pair, 60 * US_PER_S);
	stream_close(pair->stream, false);
	pair->stream = NULL;
	world_run(&pair->world, 900 * US_PER_S);
	assert_false(stats_of(pair).direct);
	ns_get_stats(node_netstack(pair->a.node), &before);
	deadline = pair->world.v.now_us + 50 * US_PER_S;
	world_run(&pair->world, 50 * US_PER_S);
	assert_true(pair->world.v.now_us >= deadline);
	ns_get_stats(node_netstack(pair->a.node), &after);
	assert_int_equal(before.packets_out, after.packets_out);
	begin(pair, 4 * MIB);
	finish(pair, 60 * US_PER_S);
	assert_true(stats_of(pair).direct);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(found_by_calling),
		TEST(found_without_a_relay),
		TEST(blocked_and_back),
		TEST(relay_lost_under_a_direct_path),
		TEST(one_side_without_udp),
		TEST(frozen_relay_blocks_nobody_else),
		TEST(network_changes),
		TEST(peer_restarts),
		TEST(shared_disco_key),
		TEST(idle_is_quiet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
