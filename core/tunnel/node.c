/*
 * Theory of operation. Everything that changes something (a packet, a
 * deadline, a call from above) ends in node_kick(), which posts one task. The
 * task tells the netstack's users, carries WireGuard's own messages, pulls
 * packets while there is room, flushes socket and relays once, and sets the
 * one timer. So a burst costs one pass, and an idle node nothing.
 */
#include "core/tunnel/node.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/tunnel/node_private.h"
#include "core/tunnel/tsmp.h"

void node_kick(struct node *node)
{
	task_post(node->config.loop, &node->work);
}

static void wake(void *user)
{
	node_kick(user);
}

/* The id is copied: a callback may remove the peer. */
static void tell_session(struct node *node, struct node_peer *peer)
{
	struct uuid id = peer->config.id;

	peer->message_len = 0;
	peer->message_owed = false;
	node_release_held(peer);
	node->room_again = true;
	if (node->config.events->on_session)
		node->config.events->on_session(node->config.user, &id);
}

static void tell_silent(struct node *node, struct node_peer *peer)
{
	struct uuid id = peer->config.id;

	buf_clear(&peer->held);
	node->room_again = true;
	peer->message_len = 0;
	peer->message_owed = false;
	if (node->config.events->on_silent)
		node->config.events->on_silent(node->config.user, &id);
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
			tell_silent(node, peer);
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
					  message.len,
					  message.kind != WG_OUT_KEEPALIVE);
		else
			node_send_cookie(node, message.from, out, message.len);
}

static void set_deadline(struct node *node)
{
	uint64_t deadline = deadline_min(wg_next_deadline(node->wg),
					 ns_next_deadline(node->ns));

	deadline = deadline_min(deadline, node_relays_deadline(node));
	timer_set(node->config.loop, &node->deadline,
		  deadline_min(deadline, node_pings_deadline(node)));
}

static void run_work(struct task *task)
{
	struct node *node = task->user;

	ns_dispatch(node->ns);
	take_wireguard_events(node);
	send_wireguard_messages(node);
	node_serve_waiting(node);
	if (node_send_packets(node))
		node_kick(node);
	send_wireguard_messages(node);
	node->taken = 0;
	node_udp_flush(node);
	node_relays_flush(node);
	node_relays_tick(node);
	set_deadline(node);
	node_paths_tell(node);
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

/* First where it came from: what is in it may remove the peer. */
bool node_take_wireguard(struct node *node, uint8_t *data, size_t len,
			 uint64_t token, const struct endpoint *from)
{
	struct wg_in_result result;
	int err = wg_in(node->wg, data, len, token, node_now(node), &result);

	if (result.authenticated && from) {
		struct node_peer *peer = wg_peer_user(result.peer);

		peer->direct_rx_bytes += len;
		node_path_data_in(peer, from);
	}
	if (err < 0)
		log_debug(node->config.log, "wireguard", "ignored: %s",
			  wg_ignored_name(result.reason));
	else if (result.kind == WG_IN_DATA)
		ns_in(node->ns, result.data, result.len, node_now(node));
	node_took_packet(node, from != NULL);

	return result.reason == WG_IGNORED_COOKIE_SENT;
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
		.rekey_after_us = node->config.rekey_after_us,
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

	if (err == 0)
		ns_set_gate(node->ns, node_gate, node);
	return err < 0 ? err : ns_set_raw(node->ns, TSMP_NEXT_HEADER,
					  node_on_tsmp, node);
}

static void init_containers(struct node *node)
{
	list_init(&node->peers);
	list_init(&node->waiting);
	list_init(&node->pings);
	hash_init(&node->by_id, node->config.rng);
	hash_init(&node->by_address, node->config.rng);
	hash_init(&node->by_disco, node->config.rng);
	node->work = (struct task){ .run = run_work, .user = node };
	node->deadline = (struct timer){ .fire = deadline_fired, .user = node };
}

static int build(struct node *node, struct error *error)
{
	int err = derp_map_copy(node->config.derp_map, &node->derp_map);

	if (err == 0)
		err = make_wireguard(node);
	if (err == 0)
		err = make_netstack(node);
	if (err < 0)
		return error_set(error, err, "cannot make a tailnet node: %s",
				 err_name(err));
	if (node_survey_begin(node) < 0)
		return error_set(error, ERR_NOMEM,
				 "no memory for a tailnet node");
	err = node_open_home(node, error);
	if (err < 0)
		return err;
	node_paths_begin(node);
	node_home_begin(node);
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
	node->closing = true;
	node_pings_free(node);
	task_cancel(&node->work);
	timer_stop(node->config.loop, &node->deadline);
	node_peers_free(node);
	node_paths_end(node);
	node_home_end(node);
	node_survey_end(node);
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
