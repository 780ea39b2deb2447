/* Nodes, agents, and what runs between them. */
#include "core/tailnet/coordinate/node_message.h"
#include "tests/unit/tunnel/world.h"

static void member_session(void *user, const struct uuid *peer)
{
	struct member *member = user;

	member->sessions++;
	member->last_session = *peer;
	if (member->on_session)
		member->on_session(member);
}

static void member_silent(void *user, const struct uuid *peer)
{
	(void)peer;
	((struct member *)user)->silences++;
}

static void member_home(void *user)
{
	struct member *member = user;

	member->homes++;
	member->home = true;
}

static void member_changed(void *user)
{
	struct member *member = user;

	member->changes++;
}

static void member_path(void *user, const struct uuid *peer)
{
	struct member *member = user;

	(void)peer;
	member->ways++;
}

static const struct node_events node_events = {
	.on_changed = member_changed,
	.on_path = member_path,
	.on_session = member_session,
	.on_silent = member_silent,
	.on_home = member_home,
};

static void make_node(struct member *member, int64_t region)
{
	struct world *world = member->world;
	const struct node_config config = {
		.loop = world->loop,
		.network = world->network,
		.rng = &world->rng,
		.log = &world->log,
		.addresses = (const uint8_t (*)[16])member->address,
		.address_count = 1,
		.derp_map = &world->map,
		.home_region = region,
		.no_direct = !world->direct,
		.events = &node_events,
		.user = member,
	};
	struct error error;

	node_address_tailscale(&member->id, member->address[0]);
	assert_int_equal(node_new(&config, &member->node, &error), 0);
}

void member_init(struct member *member, struct world *world, int64_t region)
{
	*member = (struct member){ .world = world };
	uuid_random(&world->rng, &member->id);
	make_node(member, region);
}

void member_clear(struct member *member)
{
	node_free(member->node);
	member->node = NULL;
}

struct node_peer_config member_config(const struct member *peer)
{
	struct node_peer_config config = {
		.id = peer->id,
		.key = *node_public_key(peer->node),
		.disco_key = *node_disco_key(peer->node),
		.address_count = 1,
		.home_region = node_home_region(peer->node),
	};

	memcpy(config.addresses[0], peer->address[0], 16);
	return config;
}

void member_meet(struct member *a, struct member *b)
{
	struct node_peer_config of_a = member_config(a);
	struct node_peer_config of_b = member_config(b);

	assert_int_equal(node_peer_set(a->node, &of_b), 0);
	assert_int_equal(node_peer_set(b->node, &of_a), 0);
}

/* --- agents --------------------------------------------------------- */

static void take_node(struct test_agent *agent, const struct uuid *id,
		      const Tailnet__Node *message)
{
	struct coord_node *node = calloc(1, sizeof(*node));
	struct node_peer_config peer = { .id = *id };

	assert_non_null(node);
	assert_int_equal(coord_node_from_message(message, node, NULL), 0);
	peer.key = node->key;
	peer.disco_key = node->disco;
	peer.home_region = node->preferred_derp;
	peer.address_count = node->allowed_count;
	for (size_t i = 0; i < node->allowed_count; i++)
		memcpy(peer.addresses[i], node->allowed[i].address, 16);
	free(node);
	agent->nodes++;
	assert_int_equal(node_peer_set(agent->member.node, &peer), 0);
	if (!agent->silent)
		coordinator_ready(agent->peer, id,
				  loop_now_us(agent->member.world->loop));
}

static void take_update(struct test_agent *agent,
			const Tailnet__PeerUpdate *update)
{
	struct uuid id;

	if (!agent->member.node)	/* it is dead */
		return;
	memcpy(id.bytes, update->id.data, sizeof(id.bytes));
	if (update->kind == 1)
		take_node(agent, &id, update->node);
	agent->disconnected += update->kind == 2;
	agent->lost += update->kind == 3;
	if (update->kind == 2 && !agent->keep)
		node_peer_remove(agent->member.node, &id);
}

static int deliver(void *user, const void *data, size_t len, uint64_t now_us)
{
	struct test_agent *agent = user;
	ProtobufCMessage *message;
	const Tailnet__CoordinateResponse *response;
	struct arena arena;

	(void)now_us;
	world_has_memory++;
	arena_init(&arena, ARENA_MESSAGE_CAP);
	assert_int_equal(
		arena_decode(&arena, &tailnet__coordinate_response__descriptor,
			     data, len, "response", &message, NULL), 0);
	response = (const Tailnet__CoordinateResponse *)(void *)message;
	for (size_t i = 0; i < response->n_peer_updates; i++)
		take_update(agent, response->peer_updates[i]);
	arena_clear(&arena);
	world_has_memory--;
	return 0;
}

static void hang_up(void *user, uint64_t now_us)
{
	(void)now_us;
	((struct test_agent *)user)->peer = NULL;
}

static const struct coordinator_events coordinator_events = {
	.deliver = deliver,
	.hang_up = hang_up,
};

void agent_init(struct test_agent *agent, struct world *world, int64_t region)
{
	memset(agent, 0, sizeof(*agent));
	agent->member.world = world;
	agent->member.id = world->agent_id;
	make_node(&agent->member, region);
	assert_int_equal(coordinator_join(world->coordinator,
					  &agent->member.id, true, NULL,
					  &coordinator_events, agent,
					  loop_now_us(world->loop),
					  &agent->peer), 0);
}

void agent_announce(struct test_agent *agent)
{
	struct member *member = &agent->member;
	struct coord_node *node = calloc(1, sizeof(*node));

	assert_non_null(node);
	node->id = node_id_of_uuid(&member->id);
	node->as_of_s = loop_wall_us(member->world->loop) / 1000000;
	node->key = *node_public_key(member->node);
	node->disco = *node_disco_key(member->node);
	node->preferred_derp = (int32_t)node_home_region(member->node);
	node->address_count = node->allowed_count = 1;
	memcpy(node->addresses[0].address, member->address[0], 16);
	node->addresses[0].bits = 128;
	node->allowed[0] = node->addresses[0];
	assert_int_equal(coordinator_set_node(agent->peer, node,
					      loop_now_us(member->world->loop)),
			 0);
	free(node);
}

void agent_leave(struct test_agent *agent, bool in_order)
{
	struct coordinator_peer *peer = agent->peer;
	uint64_t now_us = loop_now_us(agent->member.world->loop);

	agent->peer = NULL;
	if (peer && in_order)
		coordinator_disconnect(peer, now_us);
	else if (peer)
		coordinator_leave(peer, now_us);
}

void agent_clear(struct test_agent *agent)
{
	agent_leave(agent, true);
	member_clear(&agent->member);
}

/* --- an echo service ------------------------------------------------ */

struct echo {
	struct ns_listener *listener;
	struct list streams;
};

struct echo_stream {
	struct list link;
	struct stream *stream;
};

static void end_echo(struct echo_stream *e, bool abort)
{
	stream_close(e->stream, abort);
	list_remove(&e->link);
	free(e);
}

static void echo_changed(struct stream *stream, void *user)
{
	const uint8_t *data;
	ssize_t len;

	while ((len = stream_peek(stream, &data)) > 0) {
		ssize_t sent = stream_write(stream, data, (size_t)len);

		if (sent <= 0)
			return;
		stream_consume(stream, (size_t)sent);
	}
	if (len != ERR_AGAIN)
		end_echo(user, len < 0);
}

static void echo_accept(void *user, struct stream *stream, uint16_t port)
{
	struct echo *echo = user;
	struct echo_stream *e = calloc(1, sizeof(*e));

	(void)port;
	assert_non_null(e);
	e->stream = stream;
	list_add_tail(&echo->streams, &e->link);
	stream->on_change = echo_changed;
	stream->user = e;
	echo_changed(stream, e);
}

WITH_MEMORY(echo_accept, (void *user, struct stream *stream, uint16_t port),
	    user, stream, port)

struct echo *echo_new(struct member *member, uint16_t port)
{
	struct echo *echo = calloc(1, sizeof(*echo));

	assert_non_null(echo);
	list_init(&echo->streams);
	assert_int_equal(ns_listen(node_netstack(member->node), port, 0,
				   echo_accept_served, echo, &echo->listener), 0);
	return echo;
}

void echo_free(struct echo *echo)
{
	while (!list_empty(&echo->streams))
		end_echo(container_of(echo->streams.next, struct echo_stream,
				      link), true);
	ns_listener_close(echo->listener);
	free(echo);
}

size_t echo_open(const struct echo *echo)
{
	size_t count = 0;

	for (struct list *at = echo->streams.next; at != &echo->streams;
	     at = at->next)
		count++;
	return count;
}

/* --- a stream that is checked --------------------------------------- */

static uint8_t byte_at(uint64_t seed, size_t at)
{
	uint64_t x = seed + (at >> 3) * 0x9e3779b97f4a7c15ull;

	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9ull;
	return (uint8_t)(x >> (8 * (at & 7)));
}

static void pump_write(struct pump *pump)
{
	uint8_t piece[4096];

	while (pump->written < pump->len) {
		size_t len = pump->len - pump->written;
		ssize_t sent;

		if (len > sizeof(piece))
			len = sizeof(piece);
		for (size_t i = 0; i < len; i++)
			piece[i] = byte_at(pump->seed, pump->written + i);
		sent = stream_write(pump->stream, piece, len);
		if (sent <= 0)
			return;
		pump->written += (size_t)sent;
	}
}

static void pump_read(struct pump *pump)
{
	const uint8_t *data;
	ssize_t len;

	while ((len = stream_peek(pump->stream, &data)) > 0) {
		for (size_t i = 0; i < (size_t)len; i++)
			pump->wrong |= data[i] !=
				       byte_at(pump->seed, pump->read + i);
		pump->read += (size_t)len;
		stream_consume(pump->stream, (size_t)len);
	}
	pump->done = pump->read >= pump->len || len != ERR_AGAIN;
	if (len < 0 && len != ERR_AGAIN)
		pump->failure = (int)len;
}

static void pump_changed(struct stream *stream, void *user)
{
	(void)stream;
	pump_write(user);
	pump_read(user);
}

void pump_start(struct pump *pump, struct stream *stream, size_t len,
		uint64_t seed)
{
	*pump = (struct pump){ .stream = stream, .len = len, .seed = seed };
	stream->on_change = pump_changed;
	stream->user = pump;
	pump_changed(stream, pump);
}
