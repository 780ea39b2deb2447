#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cursor.h"
#include "core/base/err.h"
#include "core/tailnet/wireguard/peer.h"
#include "core/tailnet/wireguard/timers.h"

static void set_rekey(struct wg *wg, uint64_t for_tests_us)
{
	wg->rekey_after_us = for_tests_us ? for_tests_us : WG_REKEY_AFTER_TIME;
	wg->rekey_timeout_us =
		wg->rekey_after_us / 2 < WG_REKEY_TIMEOUT ?
			wg->rekey_after_us / 2 : WG_REKEY_TIMEOUT;
}

int wg_new(const struct wg_config *config, struct wg **out)
{
	struct wg *wg;
	int rc = wg_crypto_init();

	if (rc < 0)
		return rc;
	wg = calloc(1, sizeof(*wg));
	if (!wg)
		return ERR_NOMEM;
	if (wg_mac_init(&wg->mac) < 0) {
		free(wg);
		return ERR_NOMEM;
	}
	wg->identity.private_key = config->private_key;
	key_public(&wg->identity.private_key, &wg->identity.public_key);
	wg->rng = config->rng;
	wg->wall_us = config->wall_us;
	wg->user = config->user;
	wg->mtu = config->mtu ? config->mtu : WG_MTU;
	set_rekey(wg, config->rekey_after_us);
	hash_init(&wg->peers, wg->rng);
	hash_init(&wg->indices, wg->rng);
	list_init(&wg->ready);
	list_init(&wg->events);
	rng_bytes(wg->rng, wg->place_key, sizeof(wg->place_key));
	wg_cookie_checker_init(&wg->checker, &wg->identity.public_key);
	*out = wg;
	return 0;
}

void wg_free(struct wg *wg)
{
	struct wg_peer *peer;
	size_t position = 0;

	if (!wg)
		return;
	while ((peer = hash_next(&wg->peers, &position)) != NULL)
		wg_peer_remove(peer);
	hash_clear(&wg->peers);
	hash_clear(&wg->indices);
	heap_clear(&wg->timers);
	wg_mac_clear(&wg->mac);
	if (wg->rate)
		sodium_memzero(wg->rate, sizeof(*wg->rate));
	free(wg->rate);
	sodium_memzero(wg, sizeof(*wg));
	free(wg);
}

const struct key32 *wg_public_key(const struct wg *wg)
{
	return &wg->identity.public_key;
}

int wg_need_rate(struct wg *wg)
{
	if (wg->rate)
		return 0;
	wg->rate = malloc(sizeof(*wg->rate));
	if (!wg->rate)
		return ERR_NOMEM;
	wg_rate_init(wg->rate, wg->rng);
	return 0;
}

int wg_set_under_load(struct wg *wg, bool under_load)
{
	if (under_load && wg_need_rate(wg) < 0)
		return ERR_NOMEM;
	wg->under_load = under_load;
	return 0;
}

static uint64_t place_hash(const struct wg *wg, const void *data, size_t len)
{
	uint8_t digest[crypto_shorthash_BYTES];

	crypto_shorthash(digest, data, len, wg->place_key);
	return le_load(digest, 8);
}

uint64_t wg_place(const struct wg *wg, const uint8_t address[16],
		  uint16_t port)
{
	static const uint8_t mapped[12] = { [10] = 0xff, 0xff };
	bool ipv4 = memcmp(address, mapped, sizeof(mapped)) == 0;
	uint8_t place[18];

	memcpy(place, address, 16);
	be_store(place + 16, port, 2);
	return place_hash(wg, address, ipv4 ? 16 : 8) << WG_PLACE_PORT_BITS |
	       (place_hash(wg, place, sizeof(place)) &
		((1u << WG_PLACE_PORT_BITS) - 1));
}

struct wg_peer *wg_peer_find(const struct wg *wg,
			     const struct key32 *public_key)
{
	return hash_get(&wg->peers, public_key->bytes, WG_KEY_LEN);
}

uint64_t wg_next_deadline(const struct wg *wg)
{
	uint64_t deadline_us = heap_next_deadline(&wg->timers);

	/* Peers without a timer are in the heap at the far end of time. */
	return deadline_us < DEADLINE_NONE - 1 ? deadline_us : DEADLINE_NONE;
}

void wg_tick(struct wg *wg, uint64_t now_us)
{
	while (heap_next_deadline(&wg->timers) <= now_us)
		wg_timers_run(container_of(heap_first(&wg->timers),
					   struct wg_peer, node), now_us);
}

void wg_peer_tell(struct wg_peer *peer, enum wg_event_kind kind)
{
	/* A failure before it is no longer true, and would come after it. */
	if (kind == WG_EVENT_SESSION_UP)
		peer->events = 0;
	peer->events |= 1u << kind;
	if (!list_linked(&peer->event_link))
		list_add_tail(&peer->wg->events, &peer->event_link);
}

bool wg_event(struct wg *wg, struct wg_event *out)
{
	struct wg_peer *peer;
	unsigned kind;

	if (list_empty(&wg->events))
		return false;
	peer = container_of(wg->events.next, struct wg_peer, event_link);
	kind = (unsigned)__builtin_ctz(peer->events);
	peer->events &= peer->events - 1;
	if (!peer->events)
		list_remove(&peer->event_link);
	out->kind = (enum wg_event_kind)kind;
	out->peer = peer;
	return true;
}

void wg_stats(const struct wg *wg, struct wg_stats *out)
{
	*out = wg->stats;
	out->peers = wg->peers.len;
	out->indices = wg->indices.len;
}

static const char *const ignored_names[] = {
	[WG_IGNORED_NONE] = "not ignored",
	[WG_IGNORED_MALFORMED] = "malformed",
	[WG_IGNORED_MAC1] = "bad mac1",
	[WG_IGNORED_COOKIE_SENT] = "no valid mac2, cookie sent",
	[WG_IGNORED_COOKIE_FULL] = "no valid mac2, too many cookies owed",
	[WG_IGNORED_RATE] = "too many handshakes",
	[WG_IGNORED_INDEX] = "unknown index",
	[WG_IGNORED_STATE] = "not awaited",
	[WG_IGNORED_FORGED] = "forged",
	[WG_IGNORED_PEER] = "unknown peer",
	[WG_IGNORED_REPLAY] = "replay",
	[WG_IGNORED_FLOOD] = "initiation flood",
	[WG_IGNORED_EXPIRED] = "session expired",
	[WG_IGNORED_INNER] = "bad inner packet",
	[WG_IGNORED_SOURCE] = "wrong source address",
	[WG_IGNORED_MEMORY] = "out of memory",
};
static_assert(sizeof(ignored_names) / sizeof(ignored_names[0]) ==
	      WG_IGNORED_COUNT, "a name for every reason");

const char *wg_ignored_name(enum wg_ignored reason)
{
	return ignored_names[reason];
}
