/*
 * The peers of a node: their keys, addresses, home relays, and the packets
 * that wait for their sessions.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/cursor.h"
#include "core/base/err.h"
#include "core/tunnel/node_private.h"

#define KEEPALIVE_S 25
#define HELD_BYTES_CAP (NODE_HELD_CAP * (2 + 1280))

struct node_peer *node_peer_at(const struct node *node,
			       const uint8_t address[16])
{
	return hash_get(&node->by_address, address, 16);
}

static void unlink_lookups(struct node_peer *peer)
{
	struct node *node = peer->node;

	for (size_t i = 0; i < peer->config.address_count; i++)
		if (node_peer_at(node, peer->config.addresses[i]) == peer)
			hash_remove(&node->by_address,
				    peer->config.addresses[i], 16);
	if (peer->has_disco)
		hash_remove(&node->by_disco, peer->config.disco_key.bytes, 32);
	peer->has_disco = false;
	key_wipe(&peer->disco_shared);
}

static int link_addresses(struct node_peer *peer)
{
	for (size_t i = 0; i < peer->config.address_count; i++)
		if (hash_put(&peer->node->by_address,
			     peer->config.addresses[i], 16, peer) < 0)
			return ERR_NOMEM;
	return 0;
}

/* Without a usable disco key the peer is reached all the same. */
static int link_disco(struct node_peer *peer)
{
	struct node *node = peer->node;

	if (key_is_zero(&peer->config.disco_key) ||
	    disco_shared_key(&node->disco_private, &peer->config.disco_key,
			     &peer->disco_shared) < 0)
		return 0;
	if (hash_put(&node->by_disco, peer->config.disco_key.bytes, 32,
		     peer) < 0)
		return ERR_NOMEM;
	peer->has_disco = true;
	return 0;
}

static void free_peer(struct node_peer *peer)
{
	unlink_lookups(peer);
	hash_remove(&peer->node->by_id, peer->config.id.bytes, 16);
	list_remove(&peer->link);
	if (peer->wg)
		wg_peer_remove(peer->wg);
	buf_clear(&peer->held);
	free(peer);
}

static bool address_is_taken(const struct node *node,
			     const struct node_peer_config *config)
{
	for (size_t i = 0; i < config->address_count; i++) {
		struct node_peer *other =
			node_peer_at(node, config->addresses[i]);

		if (other && !uuid_equal(&other->config.id, &config->id))
			return true;
	}
	return false;
}

static struct node_peer *new_peer(struct node *node, const struct uuid *id)
{
	struct node_peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	peer->node = node;
	peer->config.id = *id;
	buf_init(&peer->held, HELD_BYTES_CAP);
	if (hash_put(&node->by_id, id->bytes, 16, peer) < 0) {
		free(peer);
		return NULL;
	}
	list_add_tail(&node->peers, &peer->link);
	return peer;
}

/* A peer with another key is another peer: its session means nothing. */
static int set_key(struct node_peer *peer,
		   const struct node_peer_config *config)
{
	struct node *node = peer->node;
	int err;

	if (peer->wg && key_equal(&peer->config.key, &config->key))
		return wg_peer_set_sources(peer->wg, config->addresses,
					   config->address_count);
	if (peer->wg)
		wg_peer_remove(peer->wg);
	peer->wg = NULL;
	err = wg_peer_add(node->wg, &config->key, config->addresses,
			  config->address_count, peer, &peer->wg);
	if (err < 0)
		return err;
	if (config->keepalive)
		wg_peer_set_keepalive(peer->wg, KEEPALIVE_S, node_now(node));
	return 0;
}

static int update_peer(struct node_peer *peer,
		       const struct node_peer_config *config)
{
	int err = set_key(peer, config);

	if (err < 0)
		return err;
	unlink_lookups(peer);
	peer->config = *config;
	peer->relay = config->home_region ?
		node_relay_for(peer->node, config->home_region) : NULL;
	if (peer->relay)
		peer->node->last = peer->relay;
	err = link_addresses(peer);
	return err < 0 ? err : link_disco(peer);
}

int node_peer_set(struct node *node, const struct node_peer_config *config)
{
	struct node_peer *peer = hash_get(&node->by_id, config->id.bytes, 16);
	int err;

	if (config->address_count > NODE_PEER_ADDRESS_CAP)
		return ERR_LIMIT;
	if (address_is_taken(node, config))
		return ERR_CONFLICT;
	if (!peer)
		peer = new_peer(node, &config->id);
	if (!peer)
		return ERR_NOMEM;
	err = update_peer(peer, config);
	if (err < 0)
		free_peer(peer);
	node_kick(node);
	return err;
}

void node_peer_remove(struct node *node, const struct uuid *id)
{
	struct node_peer *peer = hash_get(&node->by_id, id->bytes, 16);

	if (peer)
		free_peer(peer);
}

int node_peer_stats(const struct node *node, const struct uuid *id,
		    struct node_peer_stats *out)
{
	struct node_peer *peer = hash_get(&node->by_id, id->bytes, 16);
	struct wg_peer_stats stats;

	if (!peer)
		return ERR_NOT_FOUND;
	wg_peer_stats(peer->wg, &stats);
	*out = (struct node_peer_stats){
		.last_handshake_us = stats.last_handshake_us,
		.handshakes = stats.handshakes,
		.rx_bytes = stats.rx_bytes,
		.tx_bytes = stats.tx_bytes,
		.region = peer->config.home_region,
	};
	return 0;
}

/* Full: the newest is dropped; whoever sent it sends it again. */
void node_hold(struct node_peer *peer, const uint8_t *packet, size_t len)
{
	uint8_t head[2];

	if (buf_room(&peer->held) < sizeof(head) + len)
		return;
	be_store(head, len, sizeof(head));
	if (buf_append(&peer->held, head, sizeof(head)) == 0)
		(void)buf_append(&peer->held, packet, len);
}

void node_release_held(struct node_peer *peer)
{
	struct node *node = peer->node;
	struct buf held = peer->held;

	buf_init(&peer->held, HELD_BYTES_CAP);
	while (held.len >= 2) {
		size_t len = be_load(buf_data(&held), 2);
		ssize_t sealed;

		memcpy(node->scratch + WG_DATA_HEADER, buf_data(&held) + 2,
		       len);
		buf_consume(&held, 2 + len);
		sealed = wg_seal(peer->wg, node->scratch, len,
				 sizeof(node->scratch), node_now(node));
		if (sealed > 0)
			(void)node_send_datagram(peer, node->scratch,
						 (size_t)sealed);
	}
	buf_clear(&held);
}

void node_peers_free(struct node *node)
{
	list_each(at, next, &node->peers)
		free_peer(container_of(at, struct node_peer, link));
}
