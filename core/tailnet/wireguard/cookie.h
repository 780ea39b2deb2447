/*
 * core/tailnet/wireguard/cookie.h: MAC1, MAC2 and the cookies between them.
 *
 * The checker is the device's: it verifies what comes in and gives cookies
 * to those who must prove that they receive at the place they send from. The
 * maker is the peer's: it puts MACs on what goes out and keeps the cookie
 * that the peer gave us. White paper, 5.4.4 and 5.4.7. A place is the
 * owner's 64-bit token. Internal to the room.
 */
#ifndef TUNNELHOST_TAILNET_WIREGUARD_COOKIE_H
#define TUNNELHOST_TAILNET_WIREGUARD_COOKIE_H

#include "core/base/id.h"
#include "core/base/rng.h"
#include "core/tailnet/wireguard/crypto.h"
#include "core/tailnet/wireguard/messages.h"

struct wg_cookie_keys {
	uint8_t mac1[WG_HASH_LEN];
	struct key32 cookie;
};

struct wg_cookie_checker {
	struct wg_cookie_keys keys;
	uint8_t secret[WG_HASH_LEN];
	uint64_t secret_set_us;	/* WG_NEVER */
};

struct wg_cookie_maker {
	struct wg_cookie_keys keys;
	uint8_t cookie[WG_COOKIE_LEN];
	uint64_t cookie_set_us;	/* WG_NEVER */
	uint8_t last_mac1[WG_MAC_LEN];
	bool awaiting;		/* last_mac1 went out, no cookie came for it */
};

/* `public_key` is the receiver's: ours for the checker, else the peer's. */
void wg_cookie_checker_init(struct wg_cookie_checker *checker,
			    const struct key32 *public_key);
void wg_cookie_maker_init(struct wg_cookie_maker *maker,
			  const struct key32 *public_key);

/* `len` is a whole initiation or response, MACs included. */
bool wg_cookie_mac1_ok(const struct wg_cookie_checker *checker,
		       struct wg_mac *mac, const uint8_t *message, size_t len);
bool wg_cookie_mac2_ok(const struct wg_cookie_checker *checker,
		       struct wg_mac *mac, const uint8_t *message, size_t len,
		       uint64_t from, uint64_t now_us);
void wg_cookie_write(struct wg_cookie_checker *checker, struct wg_mac *mac,
		     struct rng *rng, uint32_t receiver,
		     const uint8_t mac1[WG_MAC_LEN], uint64_t from,
		     uint64_t now_us, uint8_t out[WG_COOKIE_MESSAGE_LEN]);

void wg_cookie_add_macs(struct wg_cookie_maker *maker, struct wg_mac *mac,
			uint8_t *message, size_t len, uint64_t now_us);
/* 0; ERR_CONFLICT: none is awaited; ERR_PROTOCOL: forged. */
int wg_cookie_read(struct wg_cookie_maker *maker,
		   const uint8_t message[WG_COOKIE_MESSAGE_LEN],
		   uint64_t now_us);

#endif
