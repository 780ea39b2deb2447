#include "core/tailnet/wireguard/timers.h"

/* In the heap and never due: a peer is inserted once, where it may fail. */
#define FAR_AWAY (DEADLINE_NONE - 1)

int wg_timers_init(struct wg_peer *peer)
{
	for (size_t i = 0; i < WG_TIMER_COUNT; i++)
		peer->timers[i] = DEADLINE_NONE;
	return heap_set(&peer->wg->timers, &peer->node, FAR_AWAY);
}

void wg_timers_stop(struct wg_peer *peer)
{
	heap_remove(&peer->wg->timers, &peer->node);
}

void wg_timer_set(struct wg_peer *peer, enum wg_timer timer,
		  uint64_t deadline_us)
{
	peer->timers[timer] = deadline_us;
	if (deadline_us < peer->node.deadline_us)
		heap_set(&peer->wg->timers, &peer->node, deadline_us);
}

void wg_timer_stop(struct wg_peer *peer, enum wg_timer timer)
{
	peer->timers[timer] = DEADLINE_NONE;
}

void wg_timers_data_sent(struct wg_peer *peer, uint64_t now_us)
{
	if (!wg_timer_pending(peer, WG_TIMER_NEW_HANDSHAKE))
		wg_timer_set(peer, WG_TIMER_NEW_HANDSHAKE,
			     now_us + WG_KEEPALIVE_TIMEOUT + WG_REKEY_TIMEOUT +
				     peer->jitter_us);
}

void wg_timers_data_received(struct wg_peer *peer, uint64_t now_us)
{
	if (wg_timer_pending(peer, WG_TIMER_SEND_KEEPALIVE))
		peer->need_another_keepalive = true;
	else
		wg_timer_set(peer, WG_TIMER_SEND_KEEPALIVE,
			     now_us + WG_KEEPALIVE_TIMEOUT);
}

void wg_timers_any_authenticated_packet_sent(struct wg_peer *peer)
{
	wg_timer_stop(peer, WG_TIMER_SEND_KEEPALIVE);
}

void wg_timers_any_authenticated_packet_received(struct wg_peer *peer)
{
	wg_timer_stop(peer, WG_TIMER_NEW_HANDSHAKE);
}

void wg_timers_any_authenticated_packet_traversal(struct wg_peer *peer,
						  uint64_t now_us)
{
	if (peer->keepalive_interval_us)
		wg_timer_set(peer, WG_TIMER_PERSISTENT_KEEPALIVE,
			     now_us + peer->keepalive_interval_us);
}

static void draw_jitter(struct wg_peer *peer)
{
	peer->jitter_us =
		rng_below(peer->wg->rng, WG_REKEY_JITTER_MS) * US_PER_MS;
}

void wg_timers_handshake_initiated(struct wg_peer *peer, uint64_t now_us)
{
	uint64_t give_up_us = peer->series_started_us + WG_REKEY_ATTEMPT_TIME;

	draw_jitter(peer);
	wg_timer_set(peer, WG_TIMER_RETRANSMIT_HANDSHAKE,
		     deadline_min(now_us + peer->wg->rekey_timeout_us +
					  peer->jitter_us,
				  give_up_us));
}

void wg_timers_handshake_complete(struct wg_peer *peer, uint64_t now_us)
{
	wg_timer_stop(peer, WG_TIMER_RETRANSMIT_HANDSHAKE);
	peer->pending &= ~(unsigned)WG_PENDING_INITIATION;
	peer->sent_last_minute_handshake = false;
	peer->stats.last_handshake_us = now_us;
	peer->stats.handshakes++;
}

void wg_timers_session_derived(struct wg_peer *peer, uint64_t now_us)
{
	draw_jitter(peer);
	wg_timer_set(peer, WG_TIMER_ZERO_KEY_MATERIAL,
		     now_us + 3 * WG_REJECT_AFTER_TIME);
}

static void give_up(struct wg_peer *peer, uint64_t now_us)
{
	wg_timer_stop(peer, WG_TIMER_SEND_KEEPALIVE);
	peer->pending &= ~(unsigned)(WG_PENDING_INITIATION |
				     WG_PENDING_KEEPALIVE);
	if (!wg_timer_pending(peer, WG_TIMER_ZERO_KEY_MATERIAL))
		wg_timer_set(peer, WG_TIMER_ZERO_KEY_MATERIAL,
			     now_us + 3 * WG_REJECT_AFTER_TIME);
	wg_peer_tell(peer, WG_EVENT_HANDSHAKE_FAILED);
}

static void expired_retransmit_handshake(struct wg_peer *peer, uint64_t now_us)
{
	if (wg_elapsed(peer->series_started_us, now_us, WG_REKEY_ATTEMPT_TIME))
		give_up(peer, now_us);
	else
		wg_ask_handshake(peer, now_us, true);
}

static void expired_send_keepalive(struct wg_peer *peer, uint64_t now_us)
{
	wg_peer_mark(peer, WG_PENDING_KEEPALIVE);
	if (!peer->need_another_keepalive)
		return;
	peer->need_another_keepalive = false;
	wg_timer_set(peer, WG_TIMER_SEND_KEEPALIVE,
		     now_us + WG_KEEPALIVE_TIMEOUT);
}

static void expired_zero_key_material(struct wg_peer *peer)
{
	wg_session_wipe_all(peer);
	wg_peer_tell(peer, WG_EVENT_KEYS_WIPED);
}

static void expired(struct wg_peer *peer, enum wg_timer timer, uint64_t now_us)
{
	switch (timer) {
	case WG_TIMER_RETRANSMIT_HANDSHAKE:
		expired_retransmit_handshake(peer, now_us);
		break;
	case WG_TIMER_SEND_KEEPALIVE:
		expired_send_keepalive(peer, now_us);
		break;
	case WG_TIMER_NEW_HANDSHAKE:
		wg_ask_handshake(peer, now_us, false);
		break;
	case WG_TIMER_ZERO_KEY_MATERIAL:
		expired_zero_key_material(peer);
		break;
	case WG_TIMER_PERSISTENT_KEEPALIVE:
		wg_peer_mark(peer, WG_PENDING_KEEPALIVE);
		break;
	case WG_TIMER_COUNT:
		break;
	}
}

void wg_timers_run(struct wg_peer *peer, uint64_t now_us)
{
	uint64_t least = FAR_AWAY;

	for (unsigned i = 0; i < WG_TIMER_COUNT; i++) {
		if (peer->timers[i] > now_us)
			continue;
		peer->timers[i] = DEADLINE_NONE;
		expired(peer, (enum wg_timer)i, now_us);
	}
	for (size_t i = 0; i < WG_TIMER_COUNT; i++)
		least = deadline_min(least, peer->timers[i]);
	heap_set(&peer->wg->timers, &peer->node, least);
}
