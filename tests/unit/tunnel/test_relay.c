#include "core/tunnel/relay.h"

#include "tests/unit/tunnel/world.h"

/* One relay connection and what it has said. */
struct end {
	struct world *world;
	struct relay *relay;
	struct key32 private_key, key;
	unsigned packets, writables, stalls, gone;
	uint8_t last[2048];
	size_t last_len;
	struct key32 last_from;
	size_t bytes;
	bool got;
};

static void on_packet(void *user, struct relay *relay,
		      const struct key32 *from, const uint8_t *data, size_t len)
{
	struct end *end = user;

	assert_ptr_equal(relay, end->relay);
	assert_true(len <= sizeof(end->last));
	memcpy(end->last, data, len);
	end->last_len = len;
	end->last_from = *from;
	end->bytes += len;
	end->packets++;
	end->got = true;
}

static void on_writable(void *user, struct relay *relay)
{
	struct end *end = user;

	assert_ptr_equal(relay, end->relay);
	end->writables++;
}

static void on_stalled(void *user, struct relay *relay)
{
	struct end *end = user;

	assert_true(relay_stalled(relay));
	end->stalls++;
}

static void on_peer_gone(void *user, struct relay *relay,
			 const struct key32 *peer)
{
	struct end *end = user;

	(void)relay;
	(void)peer;
	end->gone++;
}

static const struct relay_events events = {
	.on_packet = on_packet,
	.on_writable = on_writable,
	.on_stalled = on_stalled,
	.on_peer_gone = on_peer_gone,
};

static struct relay_config config_of(struct end *end)
{
	struct world *world = end->world;

	return (struct relay_config){
		.loop = world->loop,
		.network = world->network,
		.rng = &world->rng,
		.log = &world->log,
		.private_key = &end->private_key,
		.region = derp_map_region(&world->map, 1),
		.home = true,
		.events = &events,
		.user = end,
	};
}

static void end_open(struct end *end, struct world *world, bool websocket)
{
	struct relay_config config;
	struct error error;

	*end = (struct end){ .world = world };
	key_private(&world->rng, &end->private_key);
	key_public(&end->private_key, &end->key);
	config = config_of(end);
	config.force_websocket = websocket;
	assert_int_equal(relay_new(&config, &end->relay, &error), 0);
}

static bool send_to(struct end *from, const struct end *to, const void *data,
		    size_t len)
{
	uint8_t *room = relay_reserve(from->relay, len);

	if (!room)
		return false;
	memcpy(room, data, len);
	relay_commit(from->relay, &to->key, len);
	return true;
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	world_init(world, 7);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	world_clear(*state);
	free(*state);
	return 0;
}

static void check_talk(struct end *a, struct end *b)
{
	b->got = false;
	assert_true(send_to(a, b, "hello", 5));
	relay_flush(a->relay);
	world_until(a->world, &b->got, US_PER_S);
	assert_int_equal(b->last_len, 5);
	assert_memory_equal(b->last, "hello", 5);
	assert_true(key_equal(&b->last_from, &a->key));
}

static void upgrade_first(void **state)
{
	struct world *world = *state;
	struct end a, b;

	end_open(&a, world, false);
	end_open(&b, world, false);
	assert_false(relay_up(a.relay));
	assert_null(relay_reserve(a.relay, 5));
	assert_int_equal(a.writables, 0);
	world_run(world, US_PER_S);
	assert_true(relay_up(a.relay));
	assert_int_equal(a.writables, 1);
	assert_int_equal(relay_region(a.relay), 1);
	assert_int_equal(world->sites[1].upgrades, 2);
	assert_int_equal(world->sites[1].websockets, 0);
	check_talk(&a, &b);
	check_talk(&b, &a);
	relay_free(a.relay);
	world_run(world, US_PER_S);
	assert_int_equal(b.gone, 1);
	relay_free(b.relay);
}

static void websocket_after_4xx(void **state)
{
	struct world *world = *state;
	struct end a, b;

	world->sites[1].refuse_upgrade = 426;
	end_open(&a, world, false);
	end_open(&b, world, false);
	world_run(world, US_PER_S / 10);
	assert_int_equal(world->sites[1].upgrades, 2);
	assert_int_equal(world->sites[1].websockets, 2);
	check_talk(&a, &b);
	/* It stays with what works. */
	site_cut(&world->sites[1]);
	world_run(world, US_PER_S);
	assert_int_equal(world->sites[1].upgrades, 2);
	check_talk(&a, &b);
	relay_free(a.relay);
	relay_free(b.relay);
}

/* A relay that refuses all for a moment may know no WebSockets. */
static void refused_both_ways(void **state)
{
	struct world *world = *state;
	struct end a;

	world->sites[1].refuse = 404;
	end_open(&a, world, false);
	world_run(world, US_PER_S);
	assert_true(world->sites[1].upgrades > 1);
	assert_int_equal(world->sites[1].upgrades,
			 world->sites[1].websockets);
	world->sites[1].refuse = 0;
	world_run(world, 5 * US_PER_S);
	assert_true(relay_up(a.relay));
	assert_int_equal(world->sites[1].upgrades,
			 world->sites[1].websockets + 1);
	relay_free(a.relay);
}

static void no_websocket_after_5xx(void **state)
{
	struct world *world = *state;
	struct end a;

	world->sites[1].refuse = 503;
	end_open(&a, world, false);
	world_run(world, 60 * US_PER_S);
	assert_int_equal(world->sites[1].websockets, 0);
	/* 0.25, 0.5 … 15 s, with jitter between half and the whole. */
	assert_in_range(world->sites[1].upgrades, 7, 14);
	world->sites[1].refuse = 0;
	world_run(world, 16 * US_PER_S);
	assert_true(relay_up(a.relay));
	relay_free(a.relay);
}

static void forced_websocket(void **state)
{
	struct world *world = *state;
	struct end a, b;

	end_open(&a, world, true);
	end_open(&b, world, true);
	world_run(world, US_PER_S);
	assert_int_equal(world->sites[1].upgrades, 0);
	assert_int_equal(world->sites[1].websockets, 2);
	check_talk(&a, &b);
	relay_free(a.relay);
	relay_free(b.relay);
}

static void flapping_backs_off(void **state)
{
	struct world *world = *state;
	struct end a;

	end_open(&a, world, false);
	for (int i = 0; i < 600; i++) {
		world_run(world, US_PER_S / 10);
		if (relay_up(a.relay))
			site_cut(&world->sites[1]);
	}
	assert_in_range(world->sites[1].upgrades, 7, 20);
	/* One that has held is dialled again soon. */
	world_run(world, 60 * US_PER_S);
	assert_true(relay_up(a.relay));
	site_cut(&world->sites[1]);
	world_run(world, 300 * US_PER_MS);
	assert_true(relay_up(a.relay));
	relay_free(a.relay);
}

/* Many packets leave as few messages, and none is lost in a full queue. */
static void back_pressure(void **state)
{
	struct world *world = *state;
	uint8_t packet[1300] = { 1 };
	unsigned sent = 0;
	struct end a, b;
	unsigned before;

	end_open(&a, world, false);
	end_open(&b, world, false);
	world_run(world, US_PER_S);
	site_freeze(&world->sites[1], true);
	while (send_to(&a, &b, packet, sizeof(packet)))
		sent++;
	assert_in_range(sent, 150, 250);
	before = a.writables;
	relay_flush(a.relay);
	assert_null(relay_reserve(a.relay, 100));
	world_run(world, US_PER_S);
	assert_int_equal(a.writables, before);
	site_freeze(&world->sites[1], false);
	world_run(world, US_PER_S);
	assert_int_equal(a.writables, before + 1);
	assert_int_equal(b.packets, sent);
	assert_non_null(relay_reserve(a.relay, 100));
	relay_free(a.relay);
	relay_free(b.relay);
}

static void silence_without_traffic(void **state)
{
	struct world *world = *state;
	struct end a;

	end_open(&a, world, false);
	world_run(world, US_PER_S);
	world->sites[1].deaf = true;
	world_run(world, 115 * US_PER_S);
	assert_true(relay_up(a.relay));
	world_run(world, 10 * US_PER_S);
	assert_false(relay_up(a.relay));
	assert_true(world_logged(world, "silent for 120 s"));
	world->sites[1].deaf = false;
	world_run(world, 20 * US_PER_S);
	assert_true(relay_up(a.relay));
	relay_free(a.relay);
}

static void silence_under_traffic(void **state)
{
	struct world *world = *state;
	struct end a, b;

	end_open(&a, world, false);
	end_open(&b, world, false);
	world_run(world, US_PER_S);
	world->sites[1].deaf = true;
	assert_true(send_to(&a, &b, "x", 1));
	relay_flush(a.relay);
	world_run(world, 4400 * US_PER_MS);
	assert_true(relay_up(a.relay));
	world_run(world, 200 * US_PER_MS);
	assert_false(relay_up(a.relay));
	assert_true(world_logged(world, "no answer to a ping"));
	relay_free(a.relay);
	relay_free(b.relay);
}

/* Nothing comes back from the peer, but the relay answers: it stays. */
static void a_quiet_peer_is_no_silence(void **state)
{
	struct world *world = *state;
	struct end a, b;

	end_open(&a, world, false);
	end_open(&b, world, false);
	world_run(world, US_PER_S);
	for (int i = 0; i < 60; i++) {
		assert_true(send_to(&a, &b, "x", 1));
		relay_flush(a.relay);
		world_run(world, US_PER_S);
	}
	assert_int_equal(b.packets, 60);
	assert_int_equal(world->sites[1].upgrades, 2);
	assert_true(world->sites[1].relay.stats.pings >= 5);
	relay_free(a.relay);
	relay_free(b.relay);
}

static void no_derp_there(void **state)
{
	struct world *world = *state;
	struct end a;

	world->sites[1].garbage = "HTTP/1.1 200 OK, hello hello hello\r\n\r\n";
	end_open(&a, world, false);
	world_run(world, 20 * US_PER_S);
	assert_false(relay_up(a.relay));
	assert_true(world->sites[1].upgrades > 3);
	world->sites[1].garbage = NULL;
	world_run(world, 20 * US_PER_S);
	assert_true(relay_up(a.relay));
	relay_free(a.relay);
}

static void says_nothing(void **state)
{
	struct world *world = *state;
	struct end a;

	world->sites[1].deaf = true;
	end_open(&a, world, false);
	world_run(world, 9 * US_PER_S);
	assert_int_equal(world->sites[1].upgrades, 1);
	world_run(world, 2 * US_PER_S);
	assert_int_equal(world->sites[1].upgrades, 2);
	assert_true(world_logged(world, "no DERP handshake within 10 s"));
	relay_free(a.relay);
}

/* A node in the region that is served by the site of that number. */
static struct derp_map_node *add_node(struct derp_map_region *region,
				      int site)
{
	struct derp_map_node *node = derp_map_add_node(region);

	assert_non_null(node);
	snprintf(node->host_name, sizeof(node->host_name), "r%d/%d", site,
		 site);
	node->derp_port = 1;
	return node;
}

static struct derp_map_region *region_1(struct world *world)
{
	return (struct derp_map_region *)derp_map_region(&world->map, 1);
}

static void moves_with_the_map(void **state)
{
	struct world *world = *state;
	struct derp_map_region *region = region_1(world);
	struct end a;

	end_open(&a, world, false);
	world_run(world, US_PER_S);
	/* Another node before it, another name: it stays where it is. */
	add_node(region, 2);
	strcpy(region->name, "another");
	assert_int_equal(relay_set_region(a.relay, region), 0);
	world_run(world, US_PER_S);
	assert_int_equal(world->sites[1].upgrades, 1);
	/* The one in use is no longer there. */
	region->nodes[0] = region->nodes[1];
	assert_int_equal(relay_set_region(a.relay, region), 0);
	assert_false(relay_up(a.relay));
	world_run(world, 100 * US_PER_MS);
	assert_true(relay_up(a.relay));
	assert_int_equal(site_conns(&world->sites[1]), 0);
	assert_int_equal(site_conns(&world->sites[2]), 1);
	/* What cannot be used changes nothing. */
	region->nodes[0].stun_only = region->nodes[1].stun_only = true;
	assert_int_equal(relay_set_region(a.relay, region), ERR_UNREACHABLE);
	assert_true(relay_up(a.relay));
	memset(region->nodes[0].host_name, 'h',
	       sizeof(region->nodes[0].host_name) - 1);
	region->nodes[0].stun_only = false;
	assert_int_equal(relay_set_region(a.relay, region), 0);
	relay_free(a.relay);
}

static void next_node_when_one_fails(void **state)
{
	struct world *world = *state;
	struct derp_map_region *region = region_1(world);
	struct end a;

	add_node(region, 2)->stun_only = true;
	add_node(region, 3);
	world->sites[1].refuse = 503;
	end_open(&a, world, false);
	world_run(world, 50 * US_PER_MS);
	assert_true(relay_up(a.relay));
	assert_int_equal(site_conns(&world->sites[2]), 0);
	assert_int_equal(site_conns(&world->sites[3]), 1);
	/* In their order again, each time. */
	world->sites[1].refuse = 0;
	site_cut(&world->sites[3]);
	world_run(world, US_PER_S);
	assert_int_equal(site_conns(&world->sites[1]), 1);
	relay_free(a.relay);
}

/* A node that takes the upgrade and then says nothing is given up, too. */
static void next_node_when_one_is_silent(void **state)
{
	struct world *world = *state;
	struct end a;

	add_node(region_1(world), 2);
	world->sites[1].deaf = true;
	end_open(&a, world, false);
	world_run(world, 11 * US_PER_S);
	assert_true(relay_up(a.relay));
	assert_int_equal(site_conns(&world->sites[2]), 1);
	relay_free(a.relay);
}

static void all_nodes_fail(void **state)
{
	struct world *world = *state;
	struct end a;

	add_node(region_1(world), 2);
	world->sites[1].refuse = world->sites[2].refuse = 503;
	end_open(&a, world, false);
	world_run(world, 60 * US_PER_S);
	assert_in_range(world->sites[1].upgrades, 7, 14);
	assert_in_range(world->sites[2].upgrades, world->sites[1].upgrades - 1,
			world->sites[1].upgrades);
	relay_free(a.relay);
}

/* It has no family, or only what no request can be made of. */
static void nodes_without_address(void **state)
{
	struct world *world = *state;
	struct derp_map_region *region = region_1(world);
	struct end a = { .world = world };
	struct relay_config config = config_of(&a);
	struct error error;

	strcpy(region->nodes[0].ipv4, "none");
	strcpy(region->nodes[0].ipv6, "none");
	assert_int_equal(relay_new(&config, &a.relay, &error),
			 ERR_UNREACHABLE);
	assert_string_equal(error.message, "the region has no relay");
	strcpy(region->nodes[0].ipv6, "");
	assert_int_equal(relay_new(&config, &a.relay, &error), 0);
	relay_free(a.relay);
}

static void tells_what_is_home(void **state)
{
	struct world *world = *state;
	struct end a;

	end_open(&a, world, false);
	world_run(world, US_PER_S);
	assert_int_equal(world->sites[1].relay.stats.homes, 1);
	relay_set_home(a.relay, false);
	world_run(world, US_PER_S);
	assert_int_equal(world->sites[1].relay.stats.homes, 0);
	site_cut(&world->sites[1]);
	world_run(world, US_PER_S);
	assert_int_equal(world->sites[1].relay.stats.homes, 0);
	relay_set_home(a.relay, true);
	world_run(world, US_PER_S);
	assert_int_equal(world->sites[1].relay.stats.homes, 1);
	relay_free(a.relay);
}

static void restarts_as_it_said(void **state)
{
	struct world *world = *state;
	struct end a;

	end_open(&a, world, false);
	world_run(world, US_PER_S);
	site_say_restarting(&world->sites[1], 3000, 20000);
	world_run(world, 100 * US_PER_MS);
	world->sites[1].refuse = 503;
	site_cut(&world->sites[1]);
	world_run(world, 3 * US_PER_S);
	assert_int_equal(world->sites[1].upgrades, 1);
	/* Then again and again, without losing patience. */
	world_run(world, 10 * US_PER_S);
	assert_true(world->sites[1].upgrades > 30);
	world->sites[1].refuse = 0;
	world_run(world, 300 * US_PER_MS);
	assert_true(relay_up(a.relay));
	relay_free(a.relay);
}

static void health_is_logged(void **state)
{
	struct world *world = *state;
	struct end a;

	end_open(&a, world, false);
	world_run(world, US_PER_S);
	site_say_health(&world->sites[1], "two of \"you\"\n");
	site_say_health(&world->sites[1], "");
	world_run(world, US_PER_S);
	assert_true(world_logged(world, "warn derp: relay 1 says: two of"));
	assert_true(world_logged(world, "relay 1 is well again"));
	relay_free(a.relay);
}

static void no_room_for_long(void **state)
{
	struct world *world = *state;
	uint8_t packet[1300] = { 1 };
	struct end a, b;

	end_open(&a, world, false);
	end_open(&b, world, false);
	world_run(world, US_PER_S);
	site_freeze(&world->sites[1], true);
	while (send_to(&a, &b, packet, sizeof(packet)))
		;
	world_run(world, 90 * US_PER_MS);
	assert_false(relay_stalled(a.relay));
	world_run(world, 20 * US_PER_MS);
	assert_int_equal(a.stalls, 1);
	site_freeze(&world->sites[1], false);
	world_run(world, US_PER_S);
	assert_false(relay_stalled(a.relay));
	assert_true(relay_up(a.relay));
	relay_free(a.relay);
	relay_free(b.relay);
}

static void after_a_change_of_the_network(void **state)
{
	struct world *world = *state;
	struct end a;

	end_open(&a, world, false);
	world_run(world, US_PER_S);
	relay_network_changed(a.relay, NULL, 0);
	world_run(world, 3 * US_PER_S);
	assert_true(relay_up(a.relay));
	assert_int_equal(world->sites[1].upgrades, 1);
	/* The old connection leads nowhere now. */
	site_mute(&world->sites[1]);
	relay_network_changed(a.relay, NULL, 0);
	world_run(world, 1900 * US_PER_MS);
	assert_true(relay_up(a.relay));
	world_run(world, 500 * US_PER_MS);
	assert_true(relay_up(a.relay));
	assert_int_equal(world->sites[1].upgrades, 2);
	assert_true(world_logged(world, "no answer to a ping"));
	/* One that waits long does not wait any longer. */
	world->sites[1].refuse = 503;
	site_cut(&world->sites[1]);
	world_run(world, 30 * US_PER_S);
	world->sites[1].refuse = 0;
	relay_network_changed(a.relay, NULL, 0);
	world_run(world, 100 * US_PER_MS);
	assert_true(relay_up(a.relay));
	relay_free(a.relay);
}

static void full_records(void **state)
{
	struct world *world = *state;
	const struct relay_stats *stats;
	uint8_t packet[1312] = { 1 };
	struct end a, b;

	end_open(&a, world, false);
	end_open(&b, world, false);
	world_run(world, US_PER_S);
	for (int i = 0; i < 120; i++)
		assert_true(send_to(&a, &b, packet, sizeof(packet)));
	relay_flush(a.relay);
	stats = relay_stats(a.relay);
	assert_int_equal(stats->frames, 120);
	assert_int_equal(stats->records, 10);
	assert_int_equal(stats->bytes, 120 * (1312 + 37));
	relay_free(a.relay);
	relay_free(b.relay);
}

/* At every millisecond of a life, and with something in the slab. */
static void free_in_every_phase(void **state)
{
	struct world *world = *state;

	world->sites[1].refuse_upgrade = 404;
	for (unsigned ms = 0; ms < 12; ms++) {
		struct end a;

		end_open(&a, world, false);
		world_run(world, ms * US_PER_MS);
		(void)send_to(&a, &a, "bye", 3);
		relay_free(a.relay);
	}
	relay_free(NULL);
}

struct refusing {
	struct network network;
	int with;
	unsigned dials;
};

static int refuse_channel(struct network *network,
			  const struct channel_request *request,
			  struct channel **out, struct error *error)
{
	struct refusing *refusing = (struct refusing *)(void *)network;

	(void)out;
	refusing->dials++;
	return error_set(error, refusing->with, "no %s", request->url);
}

static const struct network_ops refusing_ops = {
	.open_channel = refuse_channel,
};

static void bad_address(void **state)
{
	struct end a = { .world = *state };
	struct refusing refusing = { .network.ops = &refusing_ops,
				     .with = ERR_DENIED };
	struct relay_config config = config_of(&a);
	struct error error;

	config.network = &refusing.network;
	assert_int_equal(relay_new(&config, &a.relay, &error), ERR_DENIED);
	assert_string_equal(error.message, "no https://r1/1:1/derp");
	/* But no memory now is not no memory for ever. */
	refusing.with = ERR_NOMEM;
	assert_int_equal(relay_new(&config, &a.relay, &error), 0);
	world_run(a.world, 5 * US_PER_S);
	assert_true(refusing.dials > 3);
	relay_free(a.relay);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(upgrade_first),
		TEST(websocket_after_4xx),
		TEST(refused_both_ways),
		TEST(no_websocket_after_5xx),
		TEST(forced_websocket),
		TEST(flapping_backs_off),
		TEST(back_pressure),
		TEST(silence_without_traffic),
		TEST(silence_under_traffic),
		TEST(a_quiet_peer_is_no_silence),
		TEST(no_derp_there),
		TEST(says_nothing),
		TEST(moves_with_the_map),
		TEST(next_node_when_one_fails),
		TEST(next_node_when_one_is_silent),
		TEST(all_nodes_fail),
		TEST(nodes_without_address),
		TEST(tells_what_is_home),
		TEST(restarts_as_it_said),
		TEST(health_is_logged),
		TEST(no_room_for_long),
		TEST(after_a_change_of_the_network),
		TEST(full_records),
		TEST(free_in_every_phase),
		TEST(bad_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
