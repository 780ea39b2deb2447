#include "core/tunnel/node.h"

#include "core/tailnet/disco/disco.h"
#include "core/tailnet/wireguard/wireguard.h"
#include "core/tunnel/relay.h"
#include "tests/unit/tunnel/world.h"

#define MIB (1024 * 1024)

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	world_init(world, 11);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	world_clear(*state);
	free(*state);
	return 0;
}

static struct stream *dial(struct member *from, const struct member *to,
			   uint16_t port)
{
	struct stream *stream;

	assert_int_equal(ns_connect(node_netstack(from->node), to->address[0],
				    port, loop_now_us(from->world->loop),
				    &stream), 0);
	node_kick(from->node);
	return stream;
}

/* `len` bytes there and back. */
static void check_transfer(struct member *from, struct member *to, size_t len,
			   uint64_t within_us)
{
	struct echo *echo = echo_new(to, 80);
	struct stream *stream = dial(from, to, 80);
	struct pump pump;

	pump_start(&pump, stream, len, len);
	world_until(from->world, &pump.done, within_us);
	assert_int_equal(pump.failure, 0);
	assert_int_equal(pump.read, len);
	assert_false(pump.wrong);
	stream_close(stream, false);
	world_run(from->world, US_PER_S);
	assert_int_equal(echo_open(echo), 0);
	echo_free(echo);
}

struct pinged {
	int err;
	uint64_t latency_us;
	unsigned count;
	bool done;
	struct node *again;	/* ping once more from inside */
	int again_err;
};

static void on_ping(void *user, int err, uint64_t latency_us)
{
	struct pinged *pinged = user;
	static const uint8_t nobody[16] = { 0xfd };

	pinged->err = err;
	pinged->latency_us = latency_us;
	pinged->count++;
	pinged->done = true;
	if (pinged->again && pinged->count < 2000)
		pinged->again_err = node_ping(pinged->again, nobody, 0,
					      on_ping, pinged);
}

static void check_ping(struct member *from, const struct member *to)
{
	struct pinged pinged = { .err = 1 };

	assert_int_equal(node_ping(from->node, to->address[0], 5 * US_PER_S,
				   on_ping, &pinged), 0);
	world_until(from->world, &pinged.done, 10 * US_PER_S);
	assert_int_equal(pinged.err, 0);
	assert_in_range(pinged.latency_us, 1, US_PER_S);
}

static void data_both_ways(void **state)
{
	struct world *world = *state;
	struct member a, b;
	struct node_peer_stats stats;

	member_init(&a, world, 1);
	member_init(&b, world, 1);
	member_meet(&a, &b);
	world_run(world, US_PER_S);
	assert_int_equal(a.homes, 1);
	assert_true(node_home_up(a.node));
	check_transfer(&a, &b, 3 * MIB, 60 * US_PER_S);
	check_transfer(&b, &a, 3 * MIB, 60 * US_PER_S);
	check_ping(&a, &b);
	check_ping(&b, &a);
	assert_true(a.sessions >= 1 && b.sessions >= 1);
	assert_true(uuid_equal(&a.last_session, &b.id));
	assert_int_equal(node_peer_stats(a.node, &b.id, &stats), 0);
	assert_true(stats.last_handshake_us != WG_NEVER);
	assert_true(stats.tx_bytes > 6 * MIB && stats.rx_bytes > 6 * MIB);
	assert_int_equal(stats.region, 1);
	assert_int_equal(node_peer_stats(a.node, &a.id, &stats),
			 ERR_NOT_FOUND);
	member_clear(&a);
	member_clear(&b);
}

/* The first initiation waits for the relay, not for the retry in 5 s. */
static void asked_before_the_relay_is_up(void **state)
{
	struct world *world = *state;
	struct pinged pinged = { .err = 1 };
	struct node_peer_config of_b;
	struct member a, b;

	member_init(&b, world, 2);
	member_init(&a, world, 1);
	world_run(world, US_PER_S);
	world->sites[2].refuse = 503;
	member_meet(&a, &b);
	of_b = member_config(&b);
	of_b.keepalive = true;
	assert_int_equal(node_peer_set(a.node, &of_b), 0);
	assert_int_equal(node_ping(a.node, b.address[0], 10 * US_PER_S,
				   on_ping, &pinged), 0);
	world_run(world, 500 * US_PER_MS);
	world->sites[2].refuse = 0;
	world_until(world, &pinged.done, 2 * US_PER_S);
	assert_int_equal(pinged.err, 0);
	member_clear(&a);
	member_clear(&b);
}

/* The packets before the session all arrive, as far as the cap goes. */
static void held_packets_leave(void **state)
{
	struct world *world = *state;
	struct pinged pinged[NODE_HELD_CAP] = { { .err = 1 } };
	struct member a, b;

	member_init(&a, world, 1);
	member_init(&b, world, 1);
	world_run(world, US_PER_S);
	member_meet(&a, &b);
	for (int i = 0; i < NODE_HELD_CAP; i++)
		assert_int_equal(node_ping(a.node, b.address[0],
					   10 * US_PER_S, on_ping,
					   &pinged[i]), 0);
	world_run(world, US_PER_S);
	for (int i = 0; i < NODE_HELD_CAP; i++) {
		assert_int_equal(pinged[i].count, 1);
		assert_int_equal(pinged[i].err, 0);
	}
	member_clear(&a);
	member_clear(&b);
}

static void restarted_with_another_key(void **state)
{
	struct world *world = *state;
	struct member a, b;
	struct uuid id;
	uint8_t address[16];

	member_init(&a, world, 1);
	member_init(&b, world, 1);
	member_meet(&a, &b);
	check_transfer(&a, &b, MIB, 60 * US_PER_S);
	id = b.id;
	memcpy(address, b.address[0], 16);
	member_clear(&b);
	member_init(&b, world, 2);	/* and at home elsewhere now */
	member_clear(&b);
	world_run(world, US_PER_S);
	b.id = id;
	{
		struct member fresh;

		member_init(&fresh, world, 2);
		fresh.id = id;	/* the node of `fresh` under b's id */
		member_meet(&a, &fresh);
		check_ping(&a, &fresh);
		check_transfer(&fresh, &a, MIB, 60 * US_PER_S);
		check_transfer(&a, &fresh, MIB, 60 * US_PER_S);
		member_clear(&fresh);
	}
	member_clear(&a);
}

/* What cannot be taken changes nothing, least of all a peer that works. */
static void conflicts(void **state)
{
	struct world *world = *state;
	struct node_peer_config config;
	struct member a, b, c;

	member_init(&a, world, 1);
	member_init(&b, world, 1);
	member_init(&c, world, 1);
	member_meet(&a, &b);
	member_meet(&a, &c);
	check_ping(&a, &b);

	config = member_config(&c);
	memcpy(config.addresses[0], b.address[0], 16);
	assert_int_equal(node_peer_set(a.node, &config), ERR_CONFLICT);
	config = member_config(&c);
	config.key = *node_public_key(b.node);
	assert_int_equal(node_peer_set(a.node, &config), ERR_CONFLICT);
	config.key = *node_public_key(a.node);
	assert_int_equal(node_peer_set(a.node, &config), ERR_PROTOCOL);
	memset(&config.key, 0, sizeof(config.key));
	assert_int_equal(node_peer_set(a.node, &config), ERR_PROTOCOL);
	config = member_config(&c);
	config.address_count = NODE_PEER_ADDRESS_CAP + 1;
	assert_int_equal(node_peer_set(a.node, &config), ERR_LIMIT);
	check_ping(&a, &b);
	check_ping(&a, &c);

	/* An address that is given up may be another's. */
	config = member_config(&c);
	config.address_count = 0;
	assert_int_equal(node_peer_set(a.node, &config), 0);
	config = member_config(&b);
	config.address_count = 2;
	memcpy(config.addresses[1], c.address[0], 16);
	assert_int_equal(node_peer_set(a.node, &config), 0);
	check_ping(&a, &b);
	member_clear(&a);
	member_clear(&b);
	member_clear(&c);
}

/* As after a refused resume token: the session goes on under the new id. */
static void renamed(void **state)
{
	struct world *world = *state;
	struct node_peer_config config;
	struct node_peer_stats stats;
	struct member a, b;

	member_init(&a, world, 1);
	member_init(&b, world, 1);
	member_meet(&a, &b);
	check_ping(&a, &b);
	config = member_config(&b);
	uuid_random(&world->rng, &config.id);
	config.address_count = 0;	/* a key alone is not enough */
	assert_int_equal(node_peer_set(a.node, &config), ERR_CONFLICT);
	config.address_count = 1;
	assert_int_equal(node_peer_set(a.node, &config), 0);
	node_peer_remove(a.node, &b.id);
	assert_int_equal(node_peer_stats(a.node, &b.id, &stats),
			 ERR_NOT_FOUND);
	assert_int_equal(node_peer_stats(a.node, &config.id, &stats), 0);
	assert_int_equal(stats.handshakes, 1);
	check_ping(&a, &b);
	assert_int_equal(a.sessions, 1);
	member_clear(&a);
	member_clear(&b);
}

static void pings_end_once(void **state)
{
	struct world *world = *state;
	struct pinged late = { .err = 1 }, gone = { .err = 1 };
	struct pinged forgotten = { .err = 1 }, loop = { .err = 1 };
	struct member a, b;

	member_init(&a, world, 1);
	member_init(&b, world, 1);
	assert_int_equal(node_ping(a.node, b.address[0], US_PER_S, on_ping,
				   &late), 0);
	assert_int_equal(node_ping(a.node, b.address[0], UINT64_MAX, on_ping,
				   &gone), 0);
	assert_int_equal(node_ping(a.node, b.address[0], US_PER_S, on_ping,
				   &forgotten), 0);
	node_ping_forget(a.node, &forgotten);
	loop.again = a.node;
	assert_int_equal(node_ping(a.node, b.address[0], 0, on_ping, &loop),
			 0);
	world_run(world, 100);
	assert_true(loop.count >= 1);
	loop.again = NULL;
	world_run(world, 2 * US_PER_S);
	assert_int_equal(late.count, 1);
	assert_int_equal(late.err, ERR_TIMEOUT);
	assert_int_equal(forgotten.count, 0);
	assert_int_equal(gone.count, 0);
	gone.again = a.node;
	member_clear(&a);
	assert_int_equal(gone.count, 1);
	assert_int_equal(gone.err, ERR_CANCELED);
	assert_int_equal(gone.again_err, ERR_CLOSED);
	member_clear(&b);
}

/* A peer that is nothing but a relay client with a disco key. */
struct stranger {
	struct relay *relay;
	struct key32 private_key, key, disco_private, disco;
	struct key32 shared;
	struct disco_message pong;
	unsigned pongs;
};

static void stranger_packet(void *user, struct relay *relay,
			    const struct key32 *from, const uint8_t *data,
			    size_t len)
{
	struct stranger *s = user;

	(void)relay;
	(void)from;
	if (disco_is(data, len) &&
	    disco_open(&s->shared, data, len, &s->pong) == 0)
		s->pongs++;
}

static void stranger_writable(void *user, struct relay *relay)
{
	(void)user;
	(void)relay;
}

static void stranger_gone(void *user, struct relay *relay,
			  const struct key32 *peer)
{
	(void)user;
	(void)relay;
	(void)peer;
}

static const struct relay_events stranger_events = {
	.on_packet = stranger_packet,
	.on_writable = stranger_writable,
	.on_peer_gone = stranger_gone,
};

static void stranger_init(struct stranger *s, struct member *member,
			  const struct key32 *disco_private)
{
	struct world *world = member->world;
	struct relay_config config = {
		.loop = world->loop,
		.network = world->network,
		.rng = &world->rng,
		.log = &world->log,
		.private_key = &s->private_key,
		.region = derp_map_region(&world->map, 1),
		.events = &stranger_events,
		.user = s,
	};
	struct error error;

	memset(s, 0, sizeof(*s));
	key_private(&world->rng, &s->private_key);
	key_public(&s->private_key, &s->key);
	s->disco_private = *disco_private;
	key_public(&s->disco_private, &s->disco);
	assert_int_equal(disco_shared_key(&s->disco_private,
					  node_disco_key(member->node),
					  &s->shared), 0);
	assert_int_equal(relay_new(&config, &s->relay, &error), 0);
}

static void stranger_ping(struct stranger *s, struct member *to,
			  const struct disco_message *ping)
{
	struct world *world = to->world;
	uint8_t *room = relay_reserve(s->relay, DISCO_PACKET_CAP);
	int len;

	assert_non_null(room);
	len = disco_packet(&s->shared, &s->disco, &world->rng, ping, room,
			   DISCO_PACKET_CAP);
	assert_true(len > 0);
	relay_commit(s->relay, node_public_key(to->node), (size_t)len);
	relay_flush(s->relay);
	world_run(world, US_PER_S);
}

/* Two peers may have one disco key; each gets its own answers. */
static void disco_is_answered(void **state)
{
	struct world *world = *state;
	struct disco_message ping = { .type = DISCO_PING, .txid = "abcdefghijk" };
	struct node_peer_config config = { .home_region = 1 };
	struct stranger first, second, unknown;
	struct key32 disco;
	struct member a;

	key_private(&world->rng, &disco);
	member_init(&a, world, 1);
	stranger_init(&first, &a, &disco);
	stranger_init(&second, &a, &disco);
	stranger_init(&unknown, &a, &disco);
	world_run(world, US_PER_S);
	config.disco_key = first.disco;
	uuid_random(&world->rng, &config.id);
	config.key = first.key;
	assert_int_equal(node_peer_set(a.node, &config), 0);
	uuid_random(&world->rng, &config.id);
	config.key = second.key;
	assert_int_equal(node_peer_set(a.node, &config), 0);

	stranger_ping(&first, &a, &ping);
	assert_int_equal(first.pongs, 1);
	assert_int_equal(second.pongs, 0);
	assert_int_equal(first.pong.type, DISCO_PONG);
	assert_memory_equal(first.pong.txid, ping.txid, sizeof(ping.txid));
	assert_int_equal(first.pong.source.address[12], 127);
	assert_int_equal(first.pong.source.port, 1);
	ping.padded = true;
	stranger_ping(&second, &a, &ping);
	assert_int_equal(second.pongs, 1);
	stranger_ping(&unknown, &a, &ping);
	assert_int_equal(unknown.pongs, 0);

	node_peer_remove(a.node, &config.id);
	stranger_ping(&second, &a, &ping);
	assert_int_equal(second.pongs, 1);
	stranger_ping(&first, &a, &ping);
	assert_int_equal(first.pongs, 2);
	relay_free(first.relay);
	relay_free(second.relay);
	relay_free(unknown.relay);
	member_clear(&a);
}

static void far_relay(void **state)
{
	struct world *world = *state;
	struct member a, b;

	member_init(&a, world, 1);
	member_init(&b, world, 2);
	member_meet(&a, &b);
	check_transfer(&a, &b, 2 * MIB, 60 * US_PER_S);
	check_transfer(&b, &a, 2 * MIB, 60 * US_PER_S);
	assert_int_equal(site_conns(&world->sites[1]), 2);
	assert_int_equal(site_conns(&world->sites[2]), 2);
	/* Nobody there any more: closed a minute later, home stays. */
	node_peer_remove(a.node, &b.id);
	world_run(world, 50 * US_PER_S);
	assert_int_equal(site_conns(&world->sites[2]), 2);
	world_run(world, 15 * US_PER_S);
	assert_int_equal(site_conns(&world->sites[2]), 1);
	assert_int_equal(site_conns(&world->sites[1]), 2);
	member_meet(&a, &b);
	check_ping(&a, &b);
	member_clear(&a);
	member_clear(&b);
}

static void relay_lost_while_data_flows(void **state)
{
	struct world *world = *state;
	struct stream *stream;
	struct member a, b;
	struct echo *echo;
	struct pump pump;

	member_init(&a, world, 1);
	member_init(&b, world, 2);
	member_meet(&a, &b);
	echo = echo_new(&b, 80);
	stream = dial(&a, &b, 80);
	pump_start(&pump, stream, 4 * MIB, 5);
	for (int i = 0; i < 6; i++) {
		world_run(world, 150 * US_PER_MS);
		site_cut(&world->sites[1 + i % 2]);
	}
	world_until(world, &pump.done, 60 * US_PER_S);
	assert_int_equal(pump.read, 4 * MIB);
	assert_false(pump.wrong);
	stream_close(stream, false);
	world_run(world, US_PER_S);
	echo_free(echo);
	member_clear(&a);
	member_clear(&b);
}

/* While the relay is away nothing spins, and afterwards data flows at once. */
static void relay_away_for_a_while(void **state)
{
	struct world *world = *state;
	struct ns_stats before, after;
	struct stream *stream;
	struct member a, b;
	struct echo *echo;
	struct pump pump;
	size_t read;

	member_init(&a, world, 1);
	member_init(&b, world, 1);
	member_meet(&a, &b);
	echo = echo_new(&b, 80);
	stream = dial(&a, &b, 80);
	pump_start(&pump, stream, 64 * MIB, 5);
	world_run(world, 40 * US_PER_MS);
	read = pump.read;
	assert_true(read > 0 && !pump.done);
	world->sites[1].refuse = 503;
	site_cut(&world->sites[1]);
	ns_get_stats(node_netstack(a.node), &before);
	world_run(world, 20 * US_PER_S);
	ns_get_stats(node_netstack(a.node), &after);
	/* Nothing was pulled to be thrown away. */
	assert_int_equal(after.packets_out, before.packets_out);
	world->sites[1].refuse = 0;
	read = pump.read;
	world_run(world, 16 * US_PER_S);
	assert_true(pump.read > read + MIB || pump.done);
	assert_int_equal(pump.failure, 0);
	assert_false(pump.wrong);
	stream_close(stream, true);
	world_run(world, US_PER_S);
	echo_free(echo);
	member_clear(&a);
	member_clear(&b);
}

static void one_relay_down_others_go_on(void **state)
{
	struct world *world = *state;
	struct member hub, near, far;
	struct stream *stuck;
	struct pump pump;
	struct echo *echo;

	member_init(&hub, world, 1);
	member_init(&near, world, 1);
	member_init(&far, world, 2);
	member_meet(&hub, &near);
	member_meet(&hub, &far);
	echo = echo_new(&far, 80);
	stuck = dial(&hub, &far, 80);
	pump_start(&pump, stuck, 32 * MIB, 9);
	world_run(world, 300 * US_PER_MS);
	world->sites[2].refuse = 503;
	site_cut(&world->sites[2]);
	check_transfer(&hub, &near, MIB, 20 * US_PER_S);
	check_transfer(&near, &hub, MIB, 20 * US_PER_S);
	/* One that is up and reads nothing is found out. */
	world->sites[2].refuse = 0;
	world_run(world, 20 * US_PER_S);
	assert_true(pump.read > 0 && !pump.failure);
	site_freeze(&world->sites[2], true);
	world_run(world, 15 * US_PER_S);
	check_transfer(&hub, &near, MIB, 40 * US_PER_S);
	site_freeze(&world->sites[2], false);
	stream_close(stuck, true);
	world_run(world, US_PER_S);
	echo_free(echo);
	member_clear(&hub);
	member_clear(&near);
	member_clear(&far);
}

static void many_peers(void **state)
{
	struct world *world = *state;
	struct member hub, peers[12];
	struct stream *streams[12];
	struct pump pumps[12];
	struct echo *echo;

	member_init(&hub, world, 1);
	echo = echo_new(&hub, 80);
	for (int i = 0; i < 12; i++) {
		member_init(&peers[i], world, 1 + i % WORLD_REGIONS);
		member_meet(&hub, &peers[i]);
		streams[i] = dial(&peers[i], &hub, 80);
		pump_start(&pumps[i], streams[i], MIB / 2, (uint64_t)i);
	}
	world_run(world, 60 * US_PER_S);
	for (int i = 0; i < 12; i++) {
		assert_true(pumps[i].done);
		assert_false(pumps[i].wrong);
		assert_int_equal(pumps[i].failure, 0);
		stream_close(streams[i], false);
	}
	world_run(world, US_PER_S);
	assert_int_equal(echo_open(echo), 0);
	echo_free(echo);
	for (int i = 0; i < 12; i++) {
		node_peer_remove(hub.node, &peers[i].id);
		member_clear(&peers[i]);
	}
	member_clear(&hub);
}

static void remove_last(struct member *member)
{
	node_peer_remove(member->node, &member->last_session);
}

static void removed_from_a_callback(void **state)
{
	struct world *world = *state;
	struct node_peer_stats stats;
	struct member a, b, c;

	member_init(&a, world, 1);
	member_init(&b, world, 1);
	member_init(&c, world, 1);
	world_run(world, US_PER_S);
	a.on_session = remove_last;
	member_meet(&a, &b);
	member_meet(&a, &c);
	assert_int_equal(node_ping(b.node, a.address[0], US_PER_S, NULL,
				   NULL), 0);
	assert_int_equal(node_ping(c.node, a.address[0], US_PER_S, NULL,
				   NULL), 0);
	world_run(world, 2 * US_PER_S);
	assert_int_equal(a.sessions, 2);
	assert_int_equal(node_peer_stats(a.node, &b.id, &stats),
			 ERR_NOT_FOUND);
	assert_int_equal(node_peer_stats(a.node, &c.id, &stats),
			 ERR_NOT_FOUND);
	member_clear(&a);
	member_clear(&b);
	member_clear(&c);
}

static void removed_with_connections(void **state)
{
	struct world *world = *state;
	struct member a, b;
	struct stream *stream;
	struct echo *echo;
	struct pump pump;

	member_init(&a, world, 1);
	member_init(&b, world, 1);
	member_meet(&a, &b);
	echo = echo_new(&b, 80);
	stream = dial(&a, &b, 80);
	pump_start(&pump, stream, 64 * MIB, 3);
	world_run(world, 40 * US_PER_MS);
	assert_true(pump.read > 0 && !pump.done);
	node_peer_remove(b.node, &a.id);
	world_run(world, 5 * US_PER_S);
	member_meet(&a, &b);	/* back: the same connection goes on */
	world_run(world, 20 * US_PER_S);
	assert_int_equal(pump.failure, 0);
	assert_false(pump.wrong);
	node_peer_remove(a.node, &b.id);
	node_peer_remove(a.node, &b.id);
	stream_close(stream, true);
	echo_free(echo);
	member_clear(&a);
	member_clear(&b);
}

static void nobody_answers(void **state)
{
	struct world *world = *state;
	struct pinged pinged = { .err = 1 };
	struct member a, b;

	member_init(&a, world, 1);
	member_init(&b, world, 1);
	member_meet(&a, &b);
	check_ping(&a, &b);
	member_clear(&b);
	world_run(world, 200 * US_PER_S);	/* the session ages */
	assert_int_equal(node_ping(a.node, b.address[0], US_PER_S, on_ping,
				   &pinged), 0);
	world_run(world, 89 * US_PER_S);
	assert_int_equal(a.silences, 0);
	world_run(world, 4 * US_PER_S);
	assert_int_equal(a.silences, 1);
	assert_int_equal(pinged.err, ERR_TIMEOUT);
	member_clear(&a);
}

static void relays_of_a_new_map(void **state)
{
	struct world *world = *state;
	struct derp_map small = { .region_count = 0 };
	struct member a, b;
	struct pinged pinged = { .err = 1 };
	struct node_config config;
	struct error error;
	struct node *node;

	/* A map that knows region 1 alone; the peer is in 3. */
	*derp_map_add_node(derp_map_add_region(&small, 1)) =
		*derp_map_relay(derp_map_region(&world->map, 1));
	member_init(&a, world, 1);
	assert_int_equal(node_set_derp_map(a.node, &small), 0);
	member_init(&b, world, 3);
	member_meet(&a, &b);
	assert_int_equal(node_ping(a.node, b.address[0], 10 * US_PER_S,
				   on_ping, &pinged), 0);
	world_run(world, 5 * US_PER_S);
	assert_int_equal(site_conns(&world->sites[3]), 1);
	/* What was asked meanwhile has waited. */
	assert_int_equal(node_set_derp_map(a.node, &world->map), 0);
	world_until(world, &pinged.done, US_PER_S);
	assert_int_equal(pinged.err, 0);
	check_ping(&a, &b);

	config = (struct node_config){
		.loop = world->loop, .network = world->network,
		.rng = &world->rng, .log = &world->log,
		.addresses = (const uint8_t (*)[16])a.address,
		.address_count = 1, .derp_map = &small, .home_region = 2,
	};
	assert_int_equal(node_new(&config, &node, &error), ERR_UNREACHABLE);
	assert_non_null(strstr(error.message, "no relay in region 2"));
	config.address_count = NS_ADDRESS_CAP + 1;
	assert_int_equal(node_new(&config, &node, &error), ERR_MISUSE);
	derp_map_clear(&small);
	member_clear(&a);
	member_clear(&b);
}

static void an_idle_node_is_quiet(void **state)
{
	struct world *world = *state;
	struct node_peer_config of_b;
	struct member a, b;
	size_t bytes;

	member_init(&a, world, 1);
	member_init(&b, world, 1);
	member_meet(&a, &b);
	of_b = member_config(&b);
	of_b.keepalive = true;
	assert_int_equal(node_peer_set(a.node, &of_b), 0);
	check_ping(&a, &b);
	world_run(world, 15 * US_PER_S);
	bytes = world->sites[1].bytes_in;
	world_run(world, 100 * US_PER_S);
	/* Keepalives, relay pings, at most one new handshake. */
	assert_in_range(world->sites[1].bytes_in - bytes, 4 * 69, 1200);
	/* Switched off again. */
	of_b.keepalive = false;
	assert_int_equal(node_peer_set(a.node, &of_b), 0);
	world_run(world, 300 * US_PER_S);
	bytes = world->sites[1].bytes_in;
	world_run(world, 300 * US_PER_S);
	assert_int_equal(world->sites[1].bytes_in, bytes);
	member_clear(&a);
	member_clear(&b);
}

static void free_at_any_time(void **state)
{
	struct world *world = *state;

	for (unsigned ms = 0; ms < 30; ms++) {
		struct pinged pinged = { .err = 1 };
		struct stream *stream;
		struct member a, b;

		member_init(&a, world, 1);
		member_init(&b, world, 2);
		member_meet(&a, &b);
		stream = dial(&a, &b, 80);
		assert_int_equal(node_ping(a.node, b.address[0], US_PER_S,
					   on_ping, &pinged), 0);
		world_run(world, ms * US_PER_MS);
		member_clear(&a);
		assert_int_equal(pinged.count, 1);
		assert_int_equal(ns_stream_state(stream) < 0, 1);
		stream_close(stream, ms % 2);
		member_clear(&b);
	}
	node_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(data_both_ways),
		TEST(asked_before_the_relay_is_up),
		TEST(held_packets_leave),
		TEST(restarted_with_another_key),
		TEST(conflicts),
		TEST(renamed),
		TEST(pings_end_once),
		TEST(disco_is_answered),
		TEST(far_relay),
		TEST(relay_lost_while_data_flows),
		TEST(relay_away_for_a_while),
		TEST(one_relay_down_others_go_on),
		TEST(many_peers),
		TEST(removed_from_a_callback),
		TEST(removed_with_connections),
		TEST(nobody_answers),
		TEST(relays_of_a_new_map),
		TEST(an_idle_node_is_quiet),
		TEST(free_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
