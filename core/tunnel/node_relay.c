/*
 * The relays of a node, and what comes from them: disco answered, WireGuard
 * opened, packets to the netstack.
 */
#include <string.h>

#include "core/tunnel/node_private.h"

#define RELAY_IDLE_US (60 * US_PER_S)

/* How Tailscale writes "came by relay N" as an address: 127.3.3.40:N. */
static const uint8_t relay_address[16] = { [10] = 0xff, 0xff, 127, 3, 3, 40 };

static void answer_disco_ping(struct node_peer *peer, struct relay *relay,
			      const struct disco_message *ping)
{
	struct disco_message pong = { .type = DISCO_PONG };
	uint8_t *to = relay_reserve(relay, DISCO_PACKET_CAP);
	int len;

	if (!to)
		return;
	memcpy(pong.txid, ping->txid, sizeof(pong.txid));
	memcpy(pong.source.address, relay_address, sizeof(relay_address));
	pong.source.port = (uint16_t)relay_region(relay);
	len = disco_packet(&peer->disco_shared, &peer->node->disco_public,
			   peer->node->config.rng, &pong, to,
			   DISCO_PACKET_CAP);
	if (len > 0)
		relay_commit(relay, &peer->config.key, (size_t)len);
}

/*
 * Found by the node key that the relay vouches for: several peers may share
 * a disco key (those of one worker do).
 */
static struct node_peer *disco_peer(const struct node *node,
				    const struct key32 *from,
				    const struct key32 *sender)
{
	struct wg_peer *wg = wg_peer_find(node->wg, from);
	struct node_peer *peer = wg ? wg_peer_user(wg) : NULL;

	return peer && peer->has_disco &&
			       key_equal(&peer->config.disco_key, sender) ?
		       peer : NULL;
}

static void take_disco(struct node *node, struct relay *relay,
		       const struct key32 *from, const uint8_t *data,
		       size_t len)
{
	struct disco_message message;
	struct node_peer *peer;
	struct key32 sender;

	if (!disco_sender(data, len, &sender))
		return;
	peer = disco_peer(node, from, &sender);
	if (!peer || disco_open(&peer->disco_shared, data, len, &message) < 0)
		return;
	if (message.type == DISCO_PING)
		answer_disco_ping(peer, relay, &message);
	else
		node_path_disco_relayed(peer, &message);
}

/* What stands for the sender in WireGuard's rate limits. */
static uint64_t source_token(const struct key32 *from)
{
	uint64_t token;

	memcpy(&token, from->bytes, sizeof(token));
	return token;
}

static void take_wireguard(struct node *node, const struct relay *relay,
			   const struct key32 *from, const uint8_t *data,
			   size_t len)
{
	if (len > sizeof(node->scratch))
		return;
	memcpy(node->scratch, data, len);
	if (node_take_wireguard(node, node->scratch, len, source_token(from),
				NULL))
		node_cookie_to_relay(node, source_token(from), relay, from);
}

static void on_packet(void *user, struct relay *relay,
		      const struct key32 *from, const uint8_t *data, size_t len)
{
	struct node *node = user;

	if (disco_is(data, len))
		take_disco(node, relay, from, data, len);
	else
		take_wireguard(node, relay, from, data, len);
	node_kick(node);
}

static void on_writable(void *user, struct relay *relay)
{
	struct node *node = user;

	node->room_again = true;
	node_kick(node);
	if (relay != node->home || node->home_seen)
		return;
	node->home_seen = true;
	if (node->config.events->on_home)
		node->config.events->on_home(node->config.user);
}

/*
 * Said for the log alone: the peer may be reached directly, or come back to
 * the relay in a moment. Tailscale's client does as little: it forgets by which
 * relay the peer was heard, which is not remembered here.
 */
static void on_peer_gone(void *user, struct relay *relay,
			 const struct key32 *key)
{
	struct node *node = user;
	struct wg_peer *known = wg_peer_find(node->wg, key);
	char text[9];

	hex_encode(key->bytes, 4, text);
	log_at(node->config.log, known ? LOG_INFO : LOG_DEBUG, "derp",
		  "relay %lld: %s is not connected to it",
		  (long long)relay_region(relay), text);
}

static const struct relay_events events = {
	.on_packet = on_packet,
	.on_writable = on_writable,
	.on_peer_gone = on_peer_gone,
};

/* --- which relays there are ----------------------------------------- */

static int open_relay(struct node *node, int64_t region, struct relay **out,
		      struct error *error)
{
	const struct derp_map_region *entry =
		derp_map_region(&node->derp_map, region);
	const struct relay_config config = {
		.loop = node->config.loop,
		.network = node->config.network,
		.rng = node->config.rng,
		.log = node->config.log,
		.private_key = &node->private_key,
		.region = entry,
		.force_websocket = node->config.force_websockets,
		.home = region == node->config.home_region,
		.events = &events,
		.user = node,
	};

	if (!entry || !derp_map_relay(entry))
		return error_set(error, ERR_UNREACHABLE,
				 "the DERP map has no relay in region %lld",
				 (long long)region);
	if (node->relay_count == NODE_RELAY_CAP)
		return error_set(error, ERR_LIMIT,
				 "more than %d regions in use", NODE_RELAY_CAP);
	return relay_new(&config, out, error);
}

static struct node_relay *find_slot(struct node *node, int64_t region)
{
	for (size_t i = 0; i < node->relay_count; i++)
		if (relay_region(node->relays[i].relay) == region)
			return &node->relays[i];
	return NULL;
}

static void add_slot(struct node *node, struct relay *relay)
{
	node->relays[node->relay_count++] = (struct node_relay){
		.relay = relay, .idle_us = node_now(node),
	};
}

int node_open_home(struct node *node, struct error *error)
{
	int err = open_relay(node, node->config.home_region, &node->home,
			     error);

	if (err < 0)
		return err;
	add_slot(node, node->home);
	return 0;
}

static struct node_relay *slot_for(struct node *node, int64_t region)
{
	struct node_relay *slot = region ? find_slot(node, region) : NULL;
	struct relay *relay;
	struct error error;

	if (slot || !region)
		return slot;
	if (open_relay(node, region, &relay, &error) < 0) {
		log_warn(node->config.log, "derp", "relay %lld: %s",
			 (long long)region, error.message);
		return NULL;
	}
	add_slot(node, relay);
	return &node->relays[node->relay_count - 1];
}

struct relay *node_relay_of(struct node *node, int64_t region)
{
	struct node_relay *slot = slot_for(node, region);

	return slot ? slot->relay : NULL;
}

/* `last` is a relay that peers use, or NULL. */
static void choose_last(struct node *node)
{
	struct relay *first = NULL;
	bool last_is_used = false;

	for (size_t i = 0; i < node->relay_count; i++) {
		struct node_relay *slot = &node->relays[i];

		if (!slot->peers)
			continue;
		first = first ? first : slot->relay;
		last_is_used |= slot->relay == node->last;
	}
	if (!last_is_used)
		node->last = first;
}

static void leave_relay(struct node_peer *peer)
{
	struct node *node = peer->node;
	struct node_relay *slot =
		find_slot(node, relay_region(peer->relay));

	peer->relay = NULL;
	if (--slot->peers == 0)
		slot->idle_us = node_now(node);
}

void node_use_relay(struct node_peer *peer, int64_t region)
{
	struct node *node = peer->node;
	struct node_relay *slot;

	if (peer->relay && relay_region(peer->relay) == region)
		return;
	if (peer->relay)
		leave_relay(peer);
	slot = slot_for(node, region);
	if (slot) {
		slot->peers++;
		peer->relay = slot->relay;
		node->last = slot->relay;
		node->room_again = true;
	}
	choose_last(node);
}

void node_relays_flush(struct node *node)
{
	for (size_t i = 0; i < node->relay_count; i++)
		relay_flush(node->relays[i].relay);
}

/* When it may be closed. */
static uint64_t slot_deadline(const struct node *node,
			      const struct node_relay *slot)
{
	return slot->peers || slot->relay == node->home ||
			       slot->relay == node->next_home ?
		       DEADLINE_NONE : slot->idle_us + RELAY_IDLE_US;
}

static void close_slot(struct node *node, struct node_relay *slot)
{
	relay_free(slot->relay);
	*slot = node->relays[--node->relay_count];
}

void node_relays_tick(struct node *node)
{
	for (size_t i = node->relay_count; i > 0; i--)
		if (slot_deadline(node, &node->relays[i - 1]) <=
		    node_now(node))
			close_slot(node, &node->relays[i - 1]);
	node_home_turn(node);
}

uint64_t node_relays_deadline(const struct node *node)
{
	uint64_t deadline = DEADLINE_NONE;

	for (size_t i = 0; i < node->relay_count; i++)
		deadline = deadline_min(deadline,
					slot_deadline(node, &node->relays[i]));
	return deadline;
}

void node_relays_free(struct node *node)
{
	while (node->relay_count)
		relay_free(node->relays[--node->relay_count].relay);
	node->home = node->next_home = node->last = NULL;
}

/* A region without a relay now: the one that is in use goes on. */
static void move_relays(struct node *node)
{
	for (size_t i = 0; i < node->relay_count; i++) {
		struct relay *relay = node->relays[i].relay;
		const struct derp_map_region *entry = derp_map_region(
			&node->derp_map, relay_region(relay));
		int err = entry ? relay_set_region(relay, entry) : 0;

		if (err < 0)
			log_warn(node->config.log, "derp",
				 "relay %lld: its new description cannot be "
				 "used: %s",
				 (long long)relay_region(relay), err_name(err));
	}
}

int node_set_derp_map(struct node *node, const struct derp_map *map)
{
	struct derp_map copy = { .region_count = 0 };
	int err = derp_map_copy(map, &copy);

	if (err < 0)
		return err;
	derp_map_clear(&node->derp_map);
	node->derp_map = copy;
	move_relays(node);
	err = node_survey_anew(node);
	if (err < 0)
		log_warn(node->config.log, "derp", "no memory for a survey");
	node_home_choose(node);
	if (!node->udp.socket)
		node_latency_soon(node);
	list_each(at, next, &node->peers) {
		struct node_peer *peer =
			container_of(at, struct node_peer, link);

		if (!peer->relay)
			node_use_relay(peer, peer->config.home_region);
	}
	node_kick(node);
	return 0;
}
