/*
 * core/tailnet/wireguard/timers.h: the five timers of a peer, by the facts
 * that move them.
 *
 * Names and rules are the kernel's timers.c (white paper, section 6). Each
 * peer is in the device's heap once, at or before its least deadline:
 * postponing a timer costs nothing and at worst wakes the owner early.
 * Internal to the room.
 */
#ifndef TUNNELHOST_TAILNET_WIREGUARD_TIMERS_H
#define TUNNELHOST_TAILNET_WIREGUARD_TIMERS_H

#include "core/tailnet/wireguard/peer.h"

/* 0 or ERR_NOMEM; the others cannot fail. */
int wg_timers_init(struct wg_peer *peer);
void wg_timers_stop(struct wg_peer *peer);
/* Fires what is due for the peer and moves it in the heap. */
void wg_timers_run(struct wg_peer *peer, uint64_t now_us);

static inline bool wg_timer_pending(const struct wg_peer *peer,
				    enum wg_timer timer)
{
	return peer->timers[timer] != DEADLINE_NONE;
}

void wg_timer_set(struct wg_peer *peer, enum wg_timer timer,
		  uint64_t deadline_us);
void wg_timer_stop(struct wg_peer *peer, enum wg_timer timer);

/* A data packet (not a keepalive) was sealed, or opened. */
void wg_timers_data_sent(struct wg_peer *peer, uint64_t now_us);
void wg_timers_data_received(struct wg_peer *peer, uint64_t now_us);
/* Any message that authenticates: data, keepalive or handshake. */
void wg_timers_any_authenticated_packet_sent(struct wg_peer *peer);
void wg_timers_any_authenticated_packet_received(struct wg_peer *peer);
/* Before such a one is sent and after one is received. */
void wg_timers_any_authenticated_packet_traversal(struct wg_peer *peer,
						  uint64_t now_us);
/* An initiation was handed out. */
void wg_timers_handshake_initiated(struct wg_peer *peer, uint64_t now_us);
/* A response was consumed, or the first packet confirmed ours. */
void wg_timers_handshake_complete(struct wg_peer *peer, uint64_t now_us);
/* New keys, before a response goes out or after one came in. */
void wg_timers_session_derived(struct wg_peer *peer, uint64_t now_us);

#endif
