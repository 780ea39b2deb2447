/*
 * core/tailnet/wireguard/messages.h: WireGuard's wire and its constants.
 *
 * Layouts as offsets (white paper, section 5.4); integers are little-endian.
 * Types are a byte and three zero bytes, read as one 32-bit integer. Names
 * and values were checked against wireguard-go's device/constants.go and
 * device/noise-protocol.go. Internal to the room.
 */
#ifndef TUNNELHOST_TAILNET_WIREGUARD_MESSAGES_H
#define TUNNELHOST_TAILNET_WIREGUARD_MESSAGES_H

#include <assert.h>
#include <stdint.h>

#include "core/base/time.h"
#include "core/tailnet/wireguard/wireguard.h"

#define WG_CONSTRUCTION "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
#define WG_IDENTIFIER "WireGuard v1 zx2c4 Jason@zx2c4.com"
#define WG_LABEL_MAC1 "mac1----"
#define WG_LABEL_COOKIE "cookie--"

enum wg_sizes {
	WG_KEY_LEN = 32,
	WG_HASH_LEN = 32,
	WG_TAG_LEN = 16,
	WG_MAC_LEN = 16,
	WG_COOKIE_LEN = 16,
	WG_COOKIE_NONCE_LEN = 24,
	WG_TIMESTAMP_LEN = 12,
};

enum wg_message_type {
	WG_MESSAGE_INITIATION = 1,
	WG_MESSAGE_RESPONSE = 2,
	WG_MESSAGE_COOKIE = 3,
	WG_MESSAGE_DATA = 4,
};

/*
 * Initiation, 148 bytes:
 *    0 type 1         4 sender index    8 ephemeral (32)
 *   40 sealed static (32 + 16)         88 sealed timestamp (12 + 16)
 *  116 mac1 (16)                      132 mac2 (16)
 */
enum wg_initiation_layout {
	WG_INITIATION_SENDER = 4,
	WG_INITIATION_EPHEMERAL = 8,
	WG_INITIATION_STATIC = 40,
	WG_INITIATION_TIMESTAMP = 88,
	WG_INITIATION_MACS = 116,
	WG_INITIATION_LEN = 148,
};

/*
 * Response, 92 bytes:
 *    0 type 2         4 sender index    8 receiver index
 *   12 ephemeral (32)                  44 sealed nothing (16)
 *   60 mac1 (16)                       76 mac2 (16)
 */
enum wg_response_layout {
	WG_RESPONSE_SENDER = 4,
	WG_RESPONSE_RECEIVER = 8,
	WG_RESPONSE_EPHEMERAL = 12,
	WG_RESPONSE_EMPTY = 44,
	WG_RESPONSE_MACS = 60,
	WG_RESPONSE_LEN = 92,
};

/*
 * Cookie reply, 64 bytes:
 *    0 type 3         4 receiver index  8 nonce (24)
 *   32 sealed cookie (16 + 16), its additional data the mac1 refused
 */
enum wg_cookie_layout {
	WG_COOKIE_RECEIVER = 4,
	WG_COOKIE_NONCE = 8,
	WG_COOKIE_SEALED = 32,
	WG_COOKIE_MESSAGE_LEN = 64,
};

/*
 * Data, 32 bytes and more:
 *    0 type 4         4 receiver index  8 counter (8)
 *   16 sealed packet (n + 16)
 */
enum wg_data_layout {
	WG_DATA_RECEIVER = 4,
	WG_DATA_COUNTER = 8,
	WG_DATA_SEALED = WG_DATA_HEADER,
	WG_DATA_MIN = WG_DATA_HEADER + WG_DATA_TAG,
};

static_assert(WG_INITIATION_LEN == WG_INITIATION_MACS + 2 * WG_MAC_LEN, "");
static_assert(WG_INITIATION_LEN == WG_MESSAGE_CAP, "the longest message");
static_assert(WG_RESPONSE_LEN == WG_RESPONSE_MACS + 2 * WG_MAC_LEN, "");
static_assert(WG_COOKIE_MESSAGE_LEN ==
	      WG_COOKIE_SEALED + WG_COOKIE_LEN + WG_TAG_LEN, "");

/* Section 6.1; the rest is what both implementations agree upon. */
#define WG_REKEY_AFTER_MESSAGES (1ull << 60)
#define WG_REJECT_AFTER_MESSAGES (UINT64_MAX - (1ull << 13))
#define WG_REKEY_AFTER_TIME (120 * US_PER_S)
#define WG_REJECT_AFTER_TIME (180 * US_PER_S)
#define WG_REKEY_ATTEMPT_TIME (90 * US_PER_S)
#define WG_REKEY_TIMEOUT (5 * US_PER_S)
#define WG_REKEY_JITTER_MS 334
#define WG_KEEPALIVE_TIMEOUT (10 * US_PER_S)
#define WG_COOKIE_AGE (120 * US_PER_S)
/* The maker drops a cookie this much earlier: it travels for a while. */
#define WG_COOKIE_LATENCY (5 * US_PER_S)
#define WG_INITIATION_INTERVAL (US_PER_S / 50)
#define WG_RATE_INTERVAL (US_PER_S / 20)
#define WG_RATE_BURST 5
#define WG_PLACE_PORT_BITS 16	/* of a place's token; the rest is its host */

/* Whether `duration` has passed since `since`, which may be WG_NEVER. */
static inline bool wg_elapsed(uint64_t since, uint64_t now_us,
			      uint64_t duration)
{
	return since == WG_NEVER ||
	       (now_us >= since && now_us - since >= duration);
}

#endif
