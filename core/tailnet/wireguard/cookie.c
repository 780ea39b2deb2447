#include "core/tailnet/wireguard/cookie.h"

#include <sodium.h>
#include <string.h>

#include "core/base/cursor.h"
#include "core/base/err.h"

static void keys_init(struct wg_cookie_keys *keys,
		      const struct key32 *public_key)
{
	wg_hash(keys->mac1, WG_LABEL_MAC1, strlen(WG_LABEL_MAC1),
		public_key->bytes, WG_KEY_LEN);
	wg_hash(keys->cookie.bytes, WG_LABEL_COOKIE, strlen(WG_LABEL_COOKIE),
		public_key->bytes, WG_KEY_LEN);
}

void wg_cookie_checker_init(struct wg_cookie_checker *checker,
			    const struct key32 *public_key)
{
	keys_init(&checker->keys, public_key);
	checker->secret_set_us = WG_NEVER;
}

void wg_cookie_maker_init(struct wg_cookie_maker *maker,
			  const struct key32 *public_key)
{
	keys_init(&maker->keys, public_key);
	maker->cookie_set_us = WG_NEVER;
	maker->awaiting = false;
}

bool wg_cookie_mac1_ok(const struct wg_cookie_checker *checker,
		       struct wg_mac *mac, const uint8_t *message, size_t len)
{
	size_t covered = len - 2 * WG_MAC_LEN;
	uint8_t expected[WG_MAC_LEN];

	wg_mac(mac, expected, checker->keys.mac1, WG_HASH_LEN, message,
	       covered);
	return sodium_memcmp(expected, message + covered, WG_MAC_LEN) == 0;
}

static void cookie_for(const struct wg_cookie_checker *checker,
		       struct wg_mac *mac, uint64_t from,
		       uint8_t cookie[WG_COOKIE_LEN])
{
	uint8_t place[8];

	le_store(place, from, sizeof(place));
	wg_mac(mac, cookie, checker->secret, sizeof(checker->secret), place,
	       sizeof(place));
}

bool wg_cookie_mac2_ok(const struct wg_cookie_checker *checker,
		       struct wg_mac *mac, const uint8_t *message, size_t len,
		       uint64_t from, uint64_t now_us)
{
	size_t covered = len - WG_MAC_LEN;
	uint8_t cookie[WG_COOKIE_LEN];
	uint8_t expected[WG_MAC_LEN];
	bool ok;

	if (wg_elapsed(checker->secret_set_us, now_us, WG_COOKIE_AGE))
		return false;
	cookie_for(checker, mac, from, cookie);
	wg_mac(mac, expected, cookie, sizeof(cookie), message, covered);
	ok = sodium_memcmp(expected, message + covered, WG_MAC_LEN) == 0;
	sodium_memzero(cookie, sizeof(cookie));
	return ok;
}

void wg_cookie_write(struct wg_cookie_checker *checker, struct wg_mac *mac,
		     struct rng *rng, uint32_t receiver,
		     const uint8_t mac1[WG_MAC_LEN], uint64_t from,
		     uint64_t now_us, uint8_t out[WG_COOKIE_MESSAGE_LEN])
{
	uint8_t cookie[WG_COOKIE_LEN];

	if (wg_elapsed(checker->secret_set_us, now_us, WG_COOKIE_AGE)) {
		rng_bytes(rng, checker->secret, sizeof(checker->secret));
		checker->secret_set_us = now_us;
	}
	cookie_for(checker, mac, from, cookie);
	le_store(out, WG_MESSAGE_COOKIE, 4);
	le_store(out + WG_COOKIE_RECEIVER, receiver, 4);
	rng_bytes(rng, out + WG_COOKIE_NONCE, WG_COOKIE_NONCE_LEN);
	crypto_aead_xchacha20poly1305_ietf_encrypt(
		out + WG_COOKIE_SEALED, NULL, cookie, sizeof(cookie), mac1,
		WG_MAC_LEN, NULL, out + WG_COOKIE_NONCE,
		checker->keys.cookie.bytes);
	sodium_memzero(cookie, sizeof(cookie));
}

void wg_cookie_add_macs(struct wg_cookie_maker *maker, struct wg_mac *mac,
			uint8_t *message, size_t len, uint64_t now_us)
{
	uint8_t *mac1 = message + len - 2 * WG_MAC_LEN;
	uint8_t *mac2 = message + len - WG_MAC_LEN;

	wg_mac(mac, mac1, maker->keys.mac1, WG_HASH_LEN, message,
	       len - 2 * WG_MAC_LEN);
	memcpy(maker->last_mac1, mac1, WG_MAC_LEN);
	maker->awaiting = true;
	if (wg_elapsed(maker->cookie_set_us, now_us,
		       WG_COOKIE_AGE - WG_COOKIE_LATENCY))
		memset(mac2, 0, WG_MAC_LEN);
	else
		wg_mac(mac, mac2, maker->cookie, sizeof(maker->cookie),
		       message, len - WG_MAC_LEN);
}

int wg_cookie_read(struct wg_cookie_maker *maker,
		   const uint8_t message[WG_COOKIE_MESSAGE_LEN],
		   uint64_t now_us)
{
	uint8_t cookie[WG_COOKIE_LEN];

	if (!maker->awaiting)
		return ERR_CONFLICT;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(
		    cookie, NULL, NULL, message + WG_COOKIE_SEALED,
		    WG_COOKIE_LEN + WG_TAG_LEN, maker->last_mac1, WG_MAC_LEN,
		    message + WG_COOKIE_NONCE, maker->keys.cookie.bytes) < 0)
		return ERR_PROTOCOL;
	memcpy(maker->cookie, cookie, sizeof(cookie));
	sodium_memzero(cookie, sizeof(cookie));
	maker->cookie_set_us = now_us;
	maker->awaiting = false;
	return 0;
}
