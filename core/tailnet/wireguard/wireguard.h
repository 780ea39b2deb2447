/*
 * core/tailnet/wireguard/wireguard.h: WireGuard without I/O.
 *
 * One `struct wg` is one static identity with its peers: handshakes,
 * sessions, cookies, replay windows and timers. It follows the WireGuard
 * white paper (revision of 2020-06-01) and, where that is silent, what
 * wireguard-go (tailscale's fork) and the Linux kernel do. It never opens a
 * socket, reads a clock, knows an address of the network or queues data:
 * datagrams come in by wg_in(), handshake messages, cookie replies and
 * keepalives are pulled by wg_out(), and data is sealed where it lies.
 *
 * Times are monotonic microseconds handed in (core/base/time.h). After any
 * call that takes `now_us` the owner pulls wg_out() and wg_event() until both
 * are empty, and looks at wg_next_deadline() anew: the first may have
 * something to say only because of that call.
 *
 * Differences from the kernel, none of which shows on the wire: initiator
 * and responder state are apart, so that two initiations that cross give a
 * session at once and not after the retry; and giving up comes exactly 90 s
 * after a series began, even if data goes on asking for a session, so that
 * the owner learns of a dead peer. The next demand starts a new series.
 */
#ifndef TUNNELHOST_TAILNET_WIREGUARD_WIREGUARD_H
#define TUNNELHOST_TAILNET_WIREGUARD_WIREGUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/id.h"
#include "core/base/rng.h"

#define WG_DATA_HEADER 16	/* in front of the plaintext */
#define WG_DATA_TAG 16		/* behind plaintext and padding */
#define WG_PADDING 16		/* plaintext is padded to a multiple of it */
/* Room that wg_seal() needs at most besides the plaintext. */
#define WG_DATA_OVERHEAD (WG_DATA_HEADER + WG_PADDING - 1 + WG_DATA_TAG)
#define WG_MESSAGE_CAP 148	/* the longest message of wg_out() */
#define WG_MTU 1280
#define WG_SOURCES_CAP 4	/* inner addresses a peer may send from */
#define WG_COOKIE_REPLIES_CAP 32	/* unpulled; more are dropped */
#define WG_NEVER UINT64_MAX	/* the time of what has not been */

struct wg;
struct wg_peer;

/* Initialises libgcrypt and libsodium once, and tests them. 0, ERR_INTERNAL. */
int wg_crypto_init(void);

struct wg_config {
	struct key32 private_key;	/* copied; the caller wipes its own */
	struct rng *rng;		/* borrowed, outlives the wg */
	/* Microseconds since 1970; may jump, the protocol's stamps will not. */
	int64_t (*wall_us)(void *user);
	void *user;
	uint16_t mtu;		/* no padding beyond it; 0: WG_MTU */
	/* For tests; 0: 120 s. The 5 s between handshakes are at most half. */
	uint64_t rekey_after_us;
};

/* 0, ERR_NOMEM or ERR_INTERNAL. Calls wg_crypto_init(). */
int wg_new(const struct wg_config *config, struct wg **out);
/* Frees the peers too and wipes all keys. NULL is allowed. */
void wg_free(struct wg *wg);
const struct key32 *wg_public_key(const struct wg *wg);
/*
 * Under load, a handshake costs its sender a cookie, and each host may begin
 * 20 a second. The wg judges that by itself from the initiations that come
 * (load.h): this forces it, for tests. 0 or ERR_NOMEM (only switching on).
 */
int wg_set_under_load(struct wg *wg, bool under_load);
/*
 * A token for wg_in() that stands for an address and port. The upper 48 bits
 * name the host (of IPv6 its /64, as one host has that many addresses), by a
 * keyed hash: nobody outside can choose a place that shares another's token.
 */
uint64_t wg_place(const struct wg *wg, const uint8_t address[16],
		  uint16_t port);

/*
 * A peer that may send from `sources` (at most WG_SOURCES_CAP IPv6
 * addresses, copied). ERR_CONFLICT: there is one with this key; ERR_PROTOCOL:
 * not a usable public key, or our own; ERR_LIMIT; ERR_NOMEM. The peer belongs
 * to the wg until it is removed.
 */
int wg_peer_add(struct wg *wg, const struct key32 *public_key,
		const uint8_t (*sources)[16], size_t source_count, void *user,
		struct wg_peer **out);
void wg_peer_remove(struct wg_peer *peer);
struct wg_peer *wg_peer_find(const struct wg *wg,
			     const struct key32 *public_key);
/* Replaces the allowed sources. 0 or ERR_LIMIT (nothing changed). */
int wg_peer_set_sources(struct wg_peer *peer, const uint8_t (*sources)[16],
			size_t source_count);
void *wg_peer_user(const struct wg_peer *peer);
const struct key32 *wg_peer_key(const struct wg_peer *peer);
/* 0 is off. From off to on sends one at once, by a handshake if need be. */
void wg_peer_set_keepalive(struct wg_peer *peer, unsigned interval_s,
			   uint64_t now_us);
/*
 * Asks for a new session: at most one initiation in 5 s, then retries. No
 * effect while a series is running.
 */
void wg_peer_handshake(struct wg_peer *peer, uint64_t now_us);
/* Whether wg_seal() would seal. */
bool wg_peer_ready(const struct wg_peer *peer, uint64_t now_us);

struct wg_peer_stats {
	uint64_t last_handshake_us;	/* WG_NEVER */
	uint64_t handshakes;		/* completed */
	uint64_t initiations_sent;
	uint64_t rx_bytes;		/* of authenticated datagrams */
	uint64_t tx_bytes;
	uint64_t rx_packets;		/* data and keepalives */
	uint64_t tx_packets;
};

void wg_peer_stats(const struct wg_peer *peer, struct wg_peer_stats *out);

/* By its type alone, before anything is known of it. */
static inline bool wg_is_data(const uint8_t *packet, size_t len)
{
	return len >= 4 && packet[0] == 4;
}

enum wg_in_kind {
	WG_IN_IGNORED,		/* `reason` says why */
	WG_IN_DATA,		/* `data`, `len`: one IPv6 packet */
	WG_IN_KEEPALIVE,
	WG_IN_INITIATION,	/* a response waits in wg_out() */
	WG_IN_RESPONSE,
	WG_IN_COOKIE,		/* will be used by the next initiation */
	WG_IN_KIND_COUNT,
};

enum wg_ignored {
	WG_IGNORED_NONE,
	WG_IGNORED_MALFORMED,	/* unknown type or wrong length */
	WG_IGNORED_MAC1,
	WG_IGNORED_COOKIE_SENT,	/* under load, no valid MAC2 */
	WG_IGNORED_COOKIE_FULL,	/* the same, and too many replies wait */
	WG_IGNORED_RATE,	/* under load, too many from this source */
	WG_IGNORED_INDEX,	/* no such receiver */
	WG_IGNORED_STATE,	/* no handshake or cookie was awaited */
	WG_IGNORED_FORGED,	/* does not authenticate */
	WG_IGNORED_PEER,	/* an initiation by a key that is no peer */
	WG_IGNORED_REPLAY,	/* counter or timestamp not fresh */
	WG_IGNORED_FLOOD,	/* initiations less than 20 ms apart */
	WG_IGNORED_EXPIRED,	/* session too old or used up */
	WG_IGNORED_INNER,	/* inner packet is not a whole IPv6 packet */
	WG_IGNORED_SOURCE,	/* inner source is not the peer's */
	WG_IGNORED_MEMORY,
	WG_IGNORED_COUNT,
};

struct wg_in_result {
	enum wg_in_kind kind;
	enum wg_ignored reason;
	struct wg_peer *peer;	/* NULL unless the peer is known */
	/*
	 * The datagram was the peer's own and fresh: its endpoint may roam to
	 * where it came from. True too for IGNORED_INNER and _SOURCE.
	 */
	bool authenticated;
	bool session_up;	/* a new session became usable for wg_seal() */
	uint8_t *data;		/* within `packet` */
	size_t len;
};

/*
 * One datagram, which is modified. `from` is a token for the place it came
 * from: the same whenever a datagram comes from there. wg_place() makes one of
 * an address; of a relay and a peer's key the owner makes one itself (that
 * cannot be forged). Cookies prove the whole token, the limits go by its upper
 * 48 bits, and a cookie reply has it again: the owner remembers where `from`
 * is when the reason is COOKIE_SENT, of the last WG_COOKIE_REPLIES_CAP ones.
 * Of data it is not looked at: where wg_is_data(), 0 spares the making.
 * Returns 0, or ERR_AGAIN when ignored; `out` is filled both ways.
 */
int wg_in(struct wg *wg, uint8_t *packet, size_t len, uint64_t from,
	  uint64_t now_us, struct wg_in_result *out);

enum wg_out_kind {
	WG_OUT_INITIATION,
	WG_OUT_RESPONSE,
	WG_OUT_COOKIE,
	WG_OUT_KEEPALIVE,
};

struct wg_out_message {
	enum wg_out_kind kind;
	struct wg_peer *peer;	/* send to its endpoint; NULL: to `from` */
	uint64_t from;		/* of COOKIE alone */
	size_t len;
};

/*
 * The next message to send, written to `out`. 0, ERR_AGAIN (nothing),
 * ERR_TOO_LARGE (cap is less than WG_MESSAGE_CAP) or ERR_NOMEM (one message
 * is lost, there may be others). What the owner cannot send it drops: timers
 * bring the next.
 */
int wg_out(struct wg *wg, uint64_t now_us, uint8_t *out, size_t cap,
	   struct wg_out_message *message);

/*
 * Seals one IP packet of `plain_len` bytes at buffer + WG_DATA_HEADER, in
 * place, and returns the datagram's length from `buffer`. ERR_AGAIN: no
 * session, one was asked for; hold or drop the packet until session_up.
 * ERR_TOO_LARGE: header, padding and tag do not fit in `cap`. ERR_MISUSE:
 * empty. Never allocates.
 */
ssize_t wg_seal(struct wg_peer *peer, uint8_t *buffer, size_t plain_len,
		size_t cap, uint64_t now_us);

enum wg_event_kind {
	WG_EVENT_SESSION_UP,
	WG_EVENT_HANDSHAKE_FAILED,	/* 90 s without an answer; gave up */
	WG_EVENT_KEYS_WIPED,	/* 540 s without a new session */
	WG_EVENT_KIND_COUNT,
};

struct wg_event {
	enum wg_event_kind kind;
	struct wg_peer *peer;
};

/*
 * The next event; each kind is there at most once a peer, and SESSION_UP
 * takes back what was not yet told. False: none.
 */
bool wg_event(struct wg *wg, struct wg_event *out);

/* May be earlier than needed, never later. DEADLINE_NONE. */
uint64_t wg_next_deadline(const struct wg *wg);
void wg_tick(struct wg *wg, uint64_t now_us);

struct wg_stats {
	uint64_t in[WG_IN_KIND_COUNT];
	uint64_t ignored[WG_IGNORED_COUNT];
	uint64_t loads;		/* how often it came under load */
	size_t peers;
	size_t indices;		/* handshakes and sessions alive */
};

void wg_stats(const struct wg *wg, struct wg_stats *out);
/* "bad mac1", "replay", … */
const char *wg_ignored_name(enum wg_ignored reason);

#endif
