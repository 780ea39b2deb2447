/*
 * core/tailnet/wireguard/peer.h: the room's own structs.
 *
 * A device owns its peers; peers are found by key and index in hashes, due
 * timers in a heap, peers with something to send or to tell in lists, so
 * that no cost grows with the number of peers. Internal to the room.
 */
#ifndef TUNNELHOST_TAILNET_WIREGUARD_PEER_H
#define TUNNELHOST_TAILNET_WIREGUARD_PEER_H

#include "core/base/hash.h"
#include "core/base/heap.h"
#include "core/base/list.h"
#include "core/tailnet/wireguard/cookie.h"
#include "core/tailnet/wireguard/load.h"
#include "core/tailnet/wireguard/noise.h"
#include "core/tailnet/wireguard/rate.h"
#include "core/tailnet/wireguard/session.h"

enum wg_timer {
	WG_TIMER_RETRANSMIT_HANDSHAKE,
	WG_TIMER_SEND_KEEPALIVE,
	WG_TIMER_NEW_HANDSHAKE,
	WG_TIMER_ZERO_KEY_MATERIAL,
	WG_TIMER_PERSISTENT_KEEPALIVE,
	WG_TIMER_COUNT,
};

enum wg_pending {
	WG_PENDING_RESPONSE = 1,
	WG_PENDING_INITIATION = 2,
	WG_PENDING_KEEPALIVE = 4,
};

struct wg_peer {
	struct wg *wg;
	void *user;
	struct key32 public_key;
	struct key32 static_static;
	uint8_t sources[WG_SOURCES_CAP][16];
	size_t source_count;

	struct wg_handshake handshake;	/* ours, while handshake_index is */
	struct wg_index handshake_index;
	struct wg_session *current;
	struct wg_session *next;
	struct wg_session *previous;
	struct wg_session *crossed;
	struct wg_cookie_maker maker;

	struct wg_stamp greatest_stamp;	/* received */
	uint64_t last_initiation_us;	/* received; WG_NEVER */
	struct wg_stamp sent_stamp;
	uint64_t last_sent_handshake_us;	/* WG_NEVER */
	uint64_t series_started_us;	/* while RETRANSMIT_HANDSHAKE is set */
	bool sent_last_minute_handshake;

	uint64_t timers[WG_TIMER_COUNT];	/* DEADLINE_NONE: not set */
	struct heap_node node;		/* at most the least of them */
	uint64_t jitter_us;		/* drawn once a session, not a packet */
	uint64_t keepalive_interval_us;	/* 0: none */
	bool need_another_keepalive;

	unsigned pending;		/* enum wg_pending */
	struct list ready_link;
	uint8_t response[WG_RESPONSE_LEN];
	unsigned events;		/* bit 1 << enum wg_event_kind */
	struct list event_link;
	struct wg_peer_stats stats;
};

struct wg_cookie_request {
	uint64_t from;
	uint32_t receiver;
	uint8_t mac1[WG_MAC_LEN];
};

struct wg {
	struct wg_identity identity;
	struct rng *rng;
	int64_t (*wall_us)(void *user);
	void *user;
	size_t mtu;
	uint64_t rekey_after_us;
	uint64_t rekey_timeout_us;

	struct hash peers;		/* by public key */
	struct hash indices;		/* struct wg_index by value */
	struct wg_index *last_index;	/* the last one found, or NULL */
	struct heap timers;
	struct list ready;
	struct list events;

	struct wg_mac mac;
	struct wg_cookie_checker checker;
	struct wg_rate *rate;		/* from the first load on */
	struct wg_load load;
	bool under_load;		/* forced */
	uint8_t place_key[16];
	struct wg_cookie_request replies[WG_COOKIE_REPLIES_CAP];
	size_t reply_first;
	size_t reply_count;

	/* Stamps of removed peers: one that is added again goes on after. */
	struct wg_stamp stamp_floor;
	struct wg_stats stats;
};

/* The table of the limiter, made when it is needed. 0 or ERR_NOMEM. */
int wg_need_rate(struct wg *wg);
void wg_peer_mark(struct wg_peer *peer, enum wg_pending what);
void wg_peer_tell(struct wg_peer *peer, enum wg_event_kind kind);

/* send.c */
/* Marks an initiation unless the 5 s or a running series forbid it. */
void wg_ask_handshake(struct wg_peer *peer, uint64_t now_us, bool is_retry);
/* After each packet sealed: rekey by age or number. */
void wg_keep_key_fresh_sending(struct wg_peer *peer, uint64_t now_us);
/* After each packet opened: a new handshake before the session dies. */
void wg_keep_key_fresh_receiving(struct wg_peer *peer, uint64_t now_us);

#endif
