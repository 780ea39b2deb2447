/*
 * The relays of a node, and what comes from them: disco answered, WireGuard
 * opened, packets to the netstack.
 */
#include <string.h>

#include "core/tunnel/node_private.h"

/* How Tailscale writes "came by relay N" as an address: 127.3.3.40:N. */
static const uint8_t relay_address[16] = { [10] = 0xff, 0xff, 127, 3, 3, 40 };

static void answer_disco_ping(struct node_peer *peer, struct relay *relay,
			      const struct disco_message *ping)
{
	struct disco_message pong = { .type = DISCO_PONG };
	uint8_t out[DISCO_PACKET_CAP];
	uint8_t *to;
	int len;

	memcpy(pong.txid, ping->txid, sizeof(pong.txid));
	memcpy(pong.source.address, relay_address, sizeof(relay_address));
	pong.source.port = (uint16_t)relay_region(relay);
	len = disco_packet(&peer->disco_shared, &peer->node->disco_public,
			   peer->node->config.rng, &pong, out, sizeof(out));
	if (len < 0)
		return;
	to = relay_reserve(relay, (size_t)len);
	if (!to)
		return;
	memcpy(to, out, (size_t)len);
	relay_commit(relay, &peer->config.key, (size_t)len);
}

static void take_disco(struct node *node, struct relay *relay,
		       const uint8_t *data, size_t len)
{
	struct disco_message message;
	struct node_peer *peer;
	struct key32 sender;

	if (!disco_sender(data, len, &sender))
		return;
	peer = hash_get(&node->by_disco, sender.bytes, sizeof(sender.bytes));
	if (!peer || disco_open(&peer->disco_shared, data, len, &message) < 0)
		return;
	if (message.type == DISCO_PING)
		answer_disco_ping(peer, relay, &message);
}

/* What stands for the sender in WireGuard's rate limits. */
static uint64_t source_token(const struct key32 *from)
{
	uint64_t token;

	memcpy(&token, from->bytes, sizeof(token));
	return token;
}

static void take_wireguard(struct node *node, const struct key32 *from,
			   const uint8_t *data, size_t len)
{
	struct wg_in_result result;

	if (len > sizeof(node->scratch))
		return;
	memcpy(node->scratch, data, len);
	if (wg_in(node->wg, node->scratch, len, source_token(from),
		  node_now(node), &result) < 0) {
		log_debug(node->config.log, "wireguard", "ignored: %s",
			  wg_ignored_name(result.reason));
		return;
	}
	if (result.kind == WG_IN_DATA)
		ns_in(node->ns, result.data, result.len, node_now(node));
}

static void on_packet(void *user, struct relay *relay,
		      const struct key32 *from, const uint8_t *data, size_t len)
{
	struct node *node = user;

	if (disco_is(data, len))
		take_disco(node, relay, data, len);
	else
		take_wireguard(node, from, data, len);
	node_kick(node);
}

static void send_waiting(struct node *node, struct relay *relay)
{
	list_each(at, next, &node->peers) {
		struct node_peer *peer =
			container_of(at, struct node_peer, link);

		if (peer->relay == relay && peer->waiting_len &&
		    node_send_datagram(peer, peer->waiting, peer->waiting_len))
			peer->waiting_len = 0;
	}
}

static void on_writable(void *user, struct relay *relay)
{
	struct node *node = user;

	send_waiting(node, relay);
	node_kick(node);
	if (relay != node->home || node->home_seen)
		return;
	node->home_seen = true;
	if (node->config.events->on_home)
		node->config.events->on_home(node->config.user);
}

static void on_peer_gone(void *user, struct relay *relay,
			 const struct key32 *peer)
{
	struct node *node = user;
	char text[17];

	hex_encode(peer->bytes, 8, text);
	log_debug(node->config.log, "derp", "relay %lld does not know %s",
		  (long long)relay_region(relay), text);
}

static const struct relay_events events = {
	.on_packet = on_packet,
	.on_writable = on_writable,
	.on_peer_gone = on_peer_gone,
};

static struct relay *open_relay(struct node *node, int64_t region)
{
	const struct derp_map_region *entry =
		derp_map_region(&node->derp_map, region);
	const struct derp_map_node *relay_node =
		entry ? derp_map_relay(entry) : NULL;
	struct relay_config config = {
		.loop = node->config.loop,
		.network = node->config.network,
		.rng = node->config.rng,
		.log = node->config.log,
		.private_key = &node->private_key,
		.region_id = region,
		.node = relay_node,
		.force_websocket = node->config.force_websockets,
		.home = region == node->config.home_region,
		.events = &events,
		.user = node,
	};
	struct relay *relay;
	struct error error;

	if (!relay_node || node->relay_count == NODE_RELAY_CAP) {
		log_warn(node->config.log, "derp", "no relay in region %lld",
			 (long long)region);
		return NULL;
	}
	if (relay_new(&config, &relay, &error) < 0) {
		log_warn(node->config.log, "derp", "relay %lld: %s",
			 (long long)region, error.message);
		return NULL;
	}
	node->relays[node->relay_count++] = relay;
	return relay;
}

struct relay *node_relay_for(struct node *node, int64_t region)
{
	for (size_t i = 0; i < node->relay_count; i++)
		if (relay_region(node->relays[i]) == region)
			return node->relays[i];
	return open_relay(node, region);
}

bool node_send_datagram(struct node_peer *peer, const uint8_t *data,
			size_t len)
{
	uint8_t *to = peer->relay ? relay_reserve(peer->relay, len) : NULL;

	if (!to)
		return false;
	memcpy(to, data, len);
	relay_commit(peer->relay, &peer->config.key, len);
	return true;
}

/* A lost initiation costs the 5 s until the next: it waits instead. */
void node_send_message(struct node_peer *peer, const uint8_t *data, size_t len)
{
	peer->waiting_len = 0;
	if (node_send_datagram(peer, data, len))
		return;
	memcpy(peer->waiting, data, len);
	peer->waiting_len = len;
}

void node_relays_free(struct node *node)
{
	for (size_t i = 0; i < node->relay_count; i++)
		relay_free(node->relays[i]);
	node->relay_count = 0;
	node->home = node->last = NULL;
}
