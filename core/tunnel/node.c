/*
 * Theory of operation. Everything that changes something (a packet, a
 * deadline, a call from above) ends in node_kick(), which posts one task. The
 * task tells the netstack's users, carries WireGuard's own messages, pulls
 * packets while the relay has room, flushes the relays once, and sets the
 * one timer. So a burst costs one pass, and an idle node nothing.
 */
#include "core/tunnel/node.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/tunnel/node_private.h"
#include "core/tunnel/tsmp.h"

#define PACKET_ROOM (WG_DATA_OVERHEAD + NS_MTU_MIN)
#define IPV6_DESTINATION 24	/* offset in the header */
#define PACKETS_PER_TURN 1024	/* then the loop's other users have a turn */

void node_kick(struct node *node)
{
	task_post(node->config.loop, &node->work);
}

static void wake(void *user)
{
	node_kick(user);
}

static void tell_session(struct node *node, struct node_peer *peer)
{
	node_release_held(peer);
	if (node->config.events->on_session)
		node->config.events->on_session(node->config.user,
						&peer->config.id);
}

static void take_wireguard_events(struct node *node)
{
	struct wg_event event;

	while (wg_event(node->wg, &event)) {
		struct node_peer *peer = wg_peer_user(event.peer);

		switch (event.kind) {
		case WG_EVENT_SESSION_UP:
			tell_session(node, peer);
			break;
		case WG_EVENT_HANDSHAKE_FAILED:
			if (node->config.events->on_silent)
				node->config.events->on_silent(
					node->config.user, &peer->config.id);
			break;
		case WG_EVENT_KEYS_WIPED:
		case WG_EVENT_KIND_COUNT:
			break;
		}
	}
}

static void send_wireguard_messages(struct node *node)
{
	struct wg_out_message message;
	uint8_t out[WG_MESSAGE_CAP];

	while (wg_out(node->wg, node_now(node), out, sizeof(out), &message) ==
	       0)
		if (message.peer)
			node_send_message(wg_peer_user(message.peer), out,
					  message.len);
}

static struct relay *relay_to_fill(struct node *node)
{
	return node->last && relay_up(node->last) ? node->last : node->home;
}

/* Seals the packet at `room` and lets it go where its peer is at home. */
static void send_packet(struct node *node, struct relay *relay, uint8_t *room,
			size_t len)
{
	uint8_t *packet = room + WG_DATA_HEADER;
	struct node_peer *peer = node_peer_at(node, packet + IPV6_DESTINATION);
	ssize_t sealed;

	if (!peer || !peer->relay)
		return;
	sealed = wg_seal(peer->wg, room, len, PACKET_ROOM, node_now(node));
	if (sealed == ERR_AGAIN)
		node_hold(peer, packet, len);
	if (sealed < 0)
		return;
	if (peer->relay == relay)
		relay_commit(relay, &peer->config.key, (size_t)sealed);
	else
		(void)node_send_datagram(peer, room, (size_t)sealed);
	node->last = peer->relay;
}

/* False: nothing to send, or no room (the relay will say when). */
static bool send_next(struct node *node)
{
	struct relay *relay = relay_to_fill(node);
	uint8_t *room = relay ? relay_reserve(relay, PACKET_ROOM) : NULL;
	size_t len;

	if (!room)
		return false;
	len = ns_out(node->ns, room + WG_DATA_HEADER, NS_MTU_MIN,
		     node_now(node));
	if (len == 0)
		return false;
	send_packet(node, relay, room, len);
	return true;
}

static void send_packets(struct node *node)
{
	for (int i = 0; i < PACKETS_PER_TURN; i++)
		if (!send_next(node))
			return;
	node_kick(node);
}

static void set_deadline(struct node *node)
{
	uint64_t deadline = deadline_min(wg_next_deadline(node->wg),
					 ns_next_deadline(node->ns));

	timer_set(node->config.loop, &node->deadline,
		  deadline_min(deadline, node_pings_deadline(node)));
}

static void run_work(struct task *task)
{
	struct node *node = task->user;

	ns_dispatch(node->ns);
	take_wireguard_events(node);
	send_wireguard_messages(node);
	send_packets(node);
	send_wireguard_messages(node);
	for (size_t i = 0; i < node->relay_count; i++)
		relay_flush(node->relays[i]);
	set_deadline(node);
	if (node->config.events->on_turn)
		node->config.events->on_turn(node->config.user);
}

static void deadline_fired(struct timer *timer)
{
	struct node *node = timer->user;

	wg_tick(node->wg, node_now(node));
	ns_tick(node->ns, node_now(node));
	node_pings_tick(node);
	node_kick(node);
}

static int64_t wall_us(void *user)
{
	struct node *node = user;

	return loop_wall_us(node->config.loop);
}

static int make_wireguard(struct node *node)
{
	struct wg_config config = {
		.rng = node->config.rng,
		.wall_us = wall_us,
		.user = node,
		.mtu = NS_MTU_MIN,
	};
	int err;

	config.private_key = node->private_key;
	err = wg_new(&config, &node->wg);
	key_wipe(&config.private_key);
	return err;
}

static int make_netstack(struct node *node)
{
	const struct ns_config config = {
		.addresses = node->config.addresses,
		.address_count = node->config.address_count,
		.mtu = NS_MTU_MIN,
		.rng = node->config.rng,
		.wake = wake,
		.user = node,
	};
	int err = ns_new(&config, &node->ns);

	return err < 0 ? err : ns_set_raw(node->ns, TSMP_NEXT_HEADER,
					  node_on_tsmp, node);
}

static void init_containers(struct node *node)
{
	list_init(&node->peers);
	list_init(&node->pings);
	hash_init(&node->by_id, node->config.rng);
	hash_init(&node->by_address, node->config.rng);
	hash_init(&node->by_disco, node->config.rng);
	node->work = (struct task){ .run = run_work, .user = node };
	node->deadline = (struct timer){ .fire = deadline_fired, .user = node };
}

static int build(struct node *node, struct error *error)
{
	if (derp_map_copy(node->config.derp_map, &node->derp_map) < 0 ||
	    make_wireguard(node) < 0 || make_netstack(node) < 0)
		return error_set(error, ERR_NOMEM,
				 "no memory for a tailnet node");
	node->home = node_relay_for(node, node->config.home_region);
	if (!node->home)
		return error_set(error, ERR_UNREACHABLE,
				 "the DERP map has no relay in region %lld",
				 (long long)node->config.home_region);
	node->last = node->home;
	return 0;
}

int node_new(const struct node_config *config, struct node **out,
	     struct error *error)
{
	struct node *node = calloc(1, sizeof(*node));
	int err;

	if (!node)
		return error_set(error, ERR_NOMEM,
				 "no memory for a tailnet node");
	node->config = *config;
	key_private(config->rng, &node->private_key);
	key_private(config->rng, &node->disco_private);
	key_public(&node->disco_private, &node->disco_public);
	init_containers(node);
	err = build(node, error);
	if (err < 0) {
		node_free(node);
		return err;
	}
	*out = node;
	return 0;
}

void node_free(struct node *node)
{
	if (!node)
		return;
	node_pings_free(node);
	task_cancel(&node->work);
	timer_stop(node->config.loop, &node->deadline);
	node_peers_free(node);
	node_relays_free(node);
	if (node->ns)
		ns_free(node->ns);
	task_cancel(&node->work);	/* ns_free() may have woken us */
	wg_free(node->wg);
	hash_clear(&node->by_id);
	hash_clear(&node->by_address);
	hash_clear(&node->by_disco);
	derp_map_clear(&node->derp_map);
	key_wipe(&node->private_key);
	key_wipe(&node->disco_private);
	free(node);
}

const struct key32 *node_public_key(const struct node *node)
{
	return wg_public_key(node->wg);
}

const struct key32 *node_disco_key(const struct node *node)
{
	return &node->disco_public;
}

struct ns *node_netstack(struct node *node)
{
	return node->ns;
}

int64_t node_home_region(const struct node *node)
{
	return node->config.home_region;
}

bool node_home_up(const struct node *node)
{
	return node->home && relay_up(node->home);
}

int node_set_derp_map(struct node *node, const struct derp_map *map)
{
	return derp_map_copy(map, &node->derp_map);
}
