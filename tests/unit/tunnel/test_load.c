/*
 * A node under a flood of WireGuard initiations by relay answers with cookie
 * replies, to where they came from.
 */
#include "core/tailnet/wireguard/wireguard.h"
#include "core/tunnel/relay.h"
#include "tests/unit/tunnel/world.h"

#define FLOOD 200

/* Knows the node's key, has one of its own, and is no peer. */
struct stranger {
	struct world *world;
	struct relay *relay;
	struct datagram *socket;
	struct key32 private_key;
	struct wg *wg;
	struct wg_peer *peer;
	unsigned replies, accepted, others;
	bool up;
};

static void take(struct stranger *stranger, const uint8_t *data, size_t len)
{
	struct wg_in_result result;
	uint8_t copy[WG_MESSAGE_CAP];

	if (len != 64 || data[0] != 3) {
		stranger->others++;
		return;
	}
	memcpy(copy, data, len);
	wg_in(stranger->wg, copy, len, 1, loop_now_us(stranger->world->loop),
	      &result);
	stranger->replies++;
	stranger->accepted += result.kind == WG_IN_COOKIE;
}

static void on_packet(void *user, struct relay *relay,
		      const struct key32 *from, const uint8_t *data, size_t len)
{
	(void)relay;
	(void)from;
	take(user, data, len);
}

static void on_receive(void *user, const struct sockaddr *from,
		       uint8_t *data, size_t len, size_t segment)
{
	(void)from;
	(void)segment;
	take(user, data, len);
}

static const struct datagram_events socket_events = {
	.on_receive = on_receive,
};

static void on_writable(void *user, struct relay *relay)
{
	(void)relay;
	((struct stranger *)user)->up = true;
}

static const struct relay_events events = {
	.on_packet = on_packet,
	.on_writable = on_writable,
};

static int64_t wall(void *user)
{
	return loop_wall_us(((struct stranger *)user)->world->loop);
}

static void make_wireguard(struct stranger *stranger,
			   const struct member *target)
{
	const struct wg_config config = {
		.private_key = stranger->private_key,
		.rng = &stranger->world->rng,
		.wall_us = wall,
		.user = stranger,
	};

	assert_int_equal(wg_new(&config, &stranger->wg), 0);
	assert_int_equal(wg_peer_add(stranger->wg,
				     node_public_key(target->node), NULL, 0,
				     NULL, &stranger->peer), 0);
}

static void stranger_init(struct stranger *stranger, struct world *world,
			  const struct member *target)
{
	const struct relay_config config = {
		.loop = world->loop,
		.network = world->network,
		.rng = &world->rng,
		.log = &world->log,
		.private_key = &stranger->private_key,
		.region = derp_map_region(&world->map, 1),
		.home = true,
		.events = &events,
		.user = stranger,
	};
	struct error error;

	*stranger = (struct stranger){ .world = world };
	key_private(&world->rng, &stranger->private_key);
	assert_int_equal(relay_new(&config, &stranger->relay, &error), 0);
	assert_int_equal(network_open_datagram(world->network, NULL,
					       &socket_events, stranger,
					       &stranger->socket, &error), 0);
	make_wireguard(stranger, target);
}

static void stranger_clear(struct stranger *stranger)
{
	relay_free(stranger->relay);
	stranger->socket->ops->close(stranger->socket);
	wg_free(stranger->wg);
}

static size_t write_initiation(struct stranger *stranger,
			       uint8_t bytes[WG_MESSAGE_CAP])
{
	uint64_t now_us = loop_now_us(stranger->world->loop);
	struct wg_out_message message;

	wg_peer_handshake(stranger->peer, now_us);
	assert_int_equal(wg_out(stranger->wg, now_us, bytes, WG_MESSAGE_CAP,
				&message), 0);
	return message.len;
}

/* One initiation, again and again. */
static void flood(struct stranger *stranger, const struct member *target,
		  unsigned count)
{
	uint8_t bytes[WG_MESSAGE_CAP];
	size_t len = write_initiation(stranger, bytes);

	for (unsigned i = 0; i < count; i++) {
		uint8_t *to = relay_reserve(stranger->relay, len);

		assert_non_null(to);
		memcpy(to, bytes, len);
		relay_commit(stranger->relay, node_public_key(target->node),
			     len);
	}
	relay_flush(stranger->relay);
	world_run(stranger->world, US_PER_S / 10);
}

static void flood_by_udp(struct stranger *stranger,
			 const struct endpoint *target, unsigned count)
{
	struct sockaddr_storage to;
	uint8_t bytes[WG_MESSAGE_CAP];
	size_t len = write_initiation(stranger, bytes);

	endpoint_to_sockaddr(target, &to);
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(stranger->socket->ops->send(
					 stranger->socket,
					 (const struct sockaddr *)&to, bytes,
					 len, 0), 0);
		world_run(stranger->world, 100);
	}
	world_run(stranger->world, US_PER_S / 10);
}

static void a_flood_by_relay_gets_cookies(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct stranger stranger;
	struct member member;

	(void)state;
	world_init(world, 21);
	member_init(&member, world, 1);
	stranger_init(&stranger, world, &member);
	world_until(world, &member.home, US_PER_S);
	world_until(world, &stranger.up, US_PER_S);
	flood(&stranger, &member, FLOOD);
	/* Up to the cap in one turn of the loop; the first is accepted. */
	assert_in_range(stranger.replies, 1, FLOOD - 128);
	assert_int_equal(stranger.accepted, 1);
	assert_int_equal(stranger.others, 0);
	stranger_clear(&stranger);
	member_clear(&member);
	world_clear(world);
	free(world);
}

static void a_flood_by_udp_gets_cookies(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct node_report report;
	struct stranger stranger;
	struct member member;

	(void)state;
	world_init(world, 22);
	world->direct = true;
	member_init(&member, world, 1);
	stranger_init(&stranger, world, &member);
	world_until(world, &member.home, US_PER_S);
	node_report(member.node, &report);
	assert_true(report.enabled && report.endpoint_count > 0);
	flood_by_udp(&stranger, &report.endpoints[0], FLOOD);
	assert_in_range(stranger.replies, FLOOD - 160, FLOOD - 128);
	assert_int_equal(stranger.accepted, 1);
	assert_int_equal(stranger.others, 0);
	stranger_clear(&stranger);
	member_clear(&member);
	world_clear(world);
	free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flood_by_relay_gets_cookies),
		cmocka_unit_test(a_flood_by_udp_gets_cookies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
