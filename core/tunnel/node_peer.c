/* The peers of a node: their keys, addresses and home relays. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/tunnel/node_private.h"

static_assert(NODE_PEER_ADDRESS_CAP <= WG_SOURCES_CAP,
	      "every address of a peer is an allowed source");

#define KEEPALIVE_S 25
#define HELD_BYTES_CAP (NODE_HELD_CAP * (2 + 1280))

struct node_peer *node_peer_at(const struct node *node,
			       const uint8_t address[16])
{
	return hash_get(&node->by_address, address, 16);
}

static bool has_address(const struct node_peer_config *config,
			const uint8_t address[16])
{
	for (size_t i = 0; i < config->address_count; i++)
		if (memcmp(config->addresses[i], address, 16) == 0)
			return true;
	return false;
}

/* Takes the peer's mark from the addresses in `from` that `but` has not. */
static void unlink_addresses(struct node_peer *peer,
			     const struct node_peer_config *from,
			     const struct node_peer_config *but)
{
	struct node *node = peer->node;

	for (size_t i = 0; i < from->address_count; i++)
		if (!has_address(but, from->addresses[i]) &&
		    node_peer_at(node, from->addresses[i]) == peer)
			hash_remove(&node->by_address, from->addresses[i], 16);
}

static int link_addresses(struct node_peer *peer,
			  const struct node_peer_config *config)
{
	for (size_t i = 0; i < config->address_count; i++) {
		if (node_peer_at(peer->node, config->addresses[i]) == peer)
			continue;
		if (hash_put(&peer->node->by_address, config->addresses[i],
			     16, peer) < 0) {
			unlink_addresses(peer, config, &peer->config);
			return ERR_NOMEM;
		}
	}
	return 0;
}

/* Without a usable disco key the peer is reached all the same, by relay. */
static bool take_disco_key(struct node_peer *peer, const struct key32 *key)
{
	if (peer->has_disco && key_equal(&peer->config.disco_key, key))
		return false;
	node_disco_unlink(peer);
	key_wipe(&peer->disco_shared);
	peer->config.disco_key = *key;
	peer->has_disco =
		!key_is_zero(key) &&
		disco_shared_key(&peer->node->disco_private, key,
				 &peer->disco_shared) == 0 &&
		node_disco_link(peer) == 0;
	return true;
}

static void free_peer(struct node_peer *peer)
{
	const struct node_peer_config none = { .address_count = 0 };

	unlink_addresses(peer, &peer->config, &none);
	hash_remove(&peer->node->by_id, peer->config.id.bytes, 16);
	node_use_relay(peer, 0);
	list_remove(&peer->link);
	list_remove(&peer->waiting);
	node_path_clear(peer);
	node_message_forget(peer);
	if (peer->wg)
		wg_peer_remove(peer->wg);
	key_wipe(&peer->disco_shared);
	buf_clear(&peer->held);
	free(peer);
}

static bool same_addresses(const struct node_peer_config *a,
			   const struct node_peer_config *b)
{
	if (a->address_count != b->address_count)
		return false;
	for (size_t i = 0; i < a->address_count; i++)
		if (!has_address(b, a->addresses[i]))
			return false;
	return true;
}

/*
 * A machine whose resume token was refused comes back under another id, with
 * the key and the addresses that it had: its session goes on.
 */
static struct node_peer *rename_peer(struct node *node,
				     const struct node_peer_config *config)
{
	struct wg_peer *wg = wg_peer_find(node->wg, &config->key);
	struct node_peer *peer = wg ? wg_peer_user(wg) : NULL;

	if (!peer || !same_addresses(&peer->config, config) ||
	    hash_put(&node->by_id, config->id.bytes, 16, peer) < 0)
		return NULL;
	hash_remove(&node->by_id, peer->config.id.bytes, 16);
	peer->config.id = config->id;
	return peer;
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
	node_path_init(peer);
	node_resend_init(peer);
	if (hash_put(&node->by_id, id->bytes, 16, peer) < 0) {
		free(peer);
		return NULL;
	}
	list_add_tail(&node->peers, &peer->link);
	return peer;
}

/* A peer with another key is another peer: its session means nothing. */
static void take_wireguard_peer(struct node_peer *peer, struct wg_peer *wg,
				const struct node_peer_config *config)
{
	bool was_kept_alive = peer->wg == wg && peer->config.keepalive;

	if (peer->wg == wg) {
		/* The caps are the same: this cannot fail. */
		(void)wg_peer_set_sources(wg, config->addresses,
					  config->address_count);
	} else if (peer->wg) {
		wg_peer_remove(peer->wg);
		node_message_forget(peer);
	}
	peer->wg = wg;
	if (config->keepalive != was_kept_alive)
		wg_peer_set_keepalive(wg, config->keepalive ? KEEPALIVE_S : 0,
				      node_now(peer->node));
}

/* All that can fail comes first, and is undone if it does. */
static int update_peer(struct node_peer *peer,
		       const struct node_peer_config *config)
{
	struct wg_peer *wg = peer->wg;
	bool is_new = !wg || !key_equal(&peer->config.key, &config->key);
	int err;

	if (is_new) {
		err = wg_peer_add(peer->node->wg, &config->key,
				  config->addresses, config->address_count,
				  peer, &wg);
		if (err < 0)
			return err;
	}
	err = link_addresses(peer, config);
	if (err < 0) {
		if (is_new)
			wg_peer_remove(wg);
		return err;
	}
	unlink_addresses(peer, &peer->config, config);
	take_wireguard_peer(peer, wg, config);
	is_new |= take_disco_key(peer, &config->disco_key);
	peer->config = *config;
	peer->config.endpoints = NULL;	/* were the caller's */
	node_use_relay(peer, config->home_region);
	node_path_set(peer, config->endpoints, config->endpoint_count, is_new);
	return 0;
}

int node_peer_set(struct node *node, const struct node_peer_config *config)
{
	struct node_peer *peer = hash_get(&node->by_id, config->id.bytes, 16);
	bool is_new;
	int err;

	if (config->address_count > NODE_PEER_ADDRESS_CAP)
		return ERR_LIMIT;
	if (!peer)
		peer = rename_peer(node, config);
	is_new = !peer;
	if (address_is_taken(node, config))
		return ERR_CONFLICT;
	if (is_new)
		peer = new_peer(node, &config->id);
	if (!peer)
		return ERR_NOMEM;
	err = update_peer(peer, config);
	if (err < 0 && is_new)
		free_peer(peer);
	node->room_again = true;
	node_kick(node);
	return err;
}

void node_peer_remove(struct node *node, const struct uuid *id)
{
	struct node_peer *peer = hash_get(&node->by_id, id->bytes, 16);

	if (!peer)
		return;
	free_peer(peer);
	node->room_again = true;	/* what was for it, to be dropped */
	node_kick(node);
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
		.direct_rx_bytes = peer->direct_rx_bytes,
		.direct_tx_bytes = peer->direct_tx_bytes,
		.region = peer->config.home_region,
		.direct = peer->direct,
		.endpoint = peer->endpoint,
		.direct_us = peer->direct_us,
	};
	if (peer->direct && peer->path.best_latency_us != PATH_NEVER)
		out->latency_us = peer->path.best_latency_us;
	return 0;
}

void node_peers_free(struct node *node)
{
	list_each(at, next, &node->peers)
		free_peer(container_of(at, struct node_peer, link));
}
