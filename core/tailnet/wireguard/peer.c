#include "core/tailnet/wireguard/peer.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/tailnet/wireguard/timers.h"

static void peer_free(struct wg_peer *peer)
{
	wg_timers_stop(peer);
	sodium_memzero(peer, sizeof(*peer));
	free(peer);
}

static struct wg_peer *peer_new(struct wg *wg, const struct key32 *public_key)
{
	struct wg_peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	peer->wg = wg;
	peer->public_key = *public_key;
	peer->sent_stamp = wg->stamp_floor;
	peer->last_initiation_us = WG_NEVER;
	peer->last_sent_handshake_us = WG_NEVER;
	peer->stats.last_handshake_us = WG_NEVER;
	wg_cookie_maker_init(&peer->maker, public_key);
	return peer;
}

static int peer_register(struct wg_peer *peer)
{
	int rc = wg_timers_init(peer);

	if (rc == 0)
		rc = hash_put(&peer->wg->peers, peer->public_key.bytes,
			      WG_KEY_LEN, peer);
	return rc;
}

int wg_peer_add(struct wg *wg, const struct key32 *public_key,
		const uint8_t (*sources)[16], size_t source_count, void *user,
		struct wg_peer **out)
{
	struct wg_peer *peer;
	int rc;

	if (source_count > WG_SOURCES_CAP)
		return ERR_LIMIT;
	if (key_equal(public_key, &wg->identity.public_key))
		return ERR_PROTOCOL;
	if (wg_peer_find(wg, public_key))
		return ERR_CONFLICT;
	peer = peer_new(wg, public_key);
	if (!peer)
		return ERR_NOMEM;
	rc = wg_dh(&peer->static_static, &wg->identity.private_key,
		   public_key->bytes);
	if (rc == 0)
		rc = peer_register(peer);
	if (rc < 0) {
		peer_free(peer);
		return rc;
	}
	peer->user = user;
	wg_peer_set_sources(peer, sources, source_count);
	*out = peer;
	return 0;
}

void wg_peer_remove(struct wg_peer *peer)
{
	struct wg *wg = peer->wg;

	wg_session_wipe_all(peer);
	hash_remove(&wg->peers, peer->public_key.bytes, WG_KEY_LEN);
	list_remove(&peer->ready_link);
	list_remove(&peer->event_link);
	if (wg_stamp_after(&peer->sent_stamp, &wg->stamp_floor))
		wg->stamp_floor = peer->sent_stamp;
	peer_free(peer);
}

int wg_peer_set_sources(struct wg_peer *peer, const uint8_t (*sources)[16],
			size_t source_count)
{
	if (source_count > WG_SOURCES_CAP)
		return ERR_LIMIT;
	if (source_count)
		memcpy(peer->sources, sources, source_count * 16);
	peer->source_count = source_count;
	return 0;
}

void *wg_peer_user(const struct wg_peer *peer)
{
	return peer->user;
}

const struct key32 *wg_peer_key(const struct wg_peer *peer)
{
	return &peer->public_key;
}

void wg_peer_set_keepalive(struct wg_peer *peer, unsigned interval_s,
			   uint64_t now_us)
{
	bool was_off = peer->keepalive_interval_us == 0;

	peer->keepalive_interval_us = interval_s * US_PER_S;
	if (interval_s == 0)
		wg_timer_stop(peer, WG_TIMER_PERSISTENT_KEEPALIVE);
	else
		wg_timers_any_authenticated_packet_traversal(peer, now_us);
	if (was_off && interval_s)
		wg_peer_mark(peer, WG_PENDING_KEEPALIVE);
}

void wg_peer_handshake(struct wg_peer *peer, uint64_t now_us)
{
	wg_ask_handshake(peer, now_us, false);
}

bool wg_peer_ready(const struct wg_peer *peer, uint64_t now_us)
{
	return wg_session_usable(peer, now_us) != NULL;
}

void wg_peer_stats(const struct wg_peer *peer, struct wg_peer_stats *out)
{
	*out = peer->stats;
}
