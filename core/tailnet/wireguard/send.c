#include <string.h>

#include "core/base/err.h"
#include "core/tailnet/wireguard/peer.h"
#include "core/tailnet/wireguard/timers.h"

void wg_peer_mark(struct wg_peer *peer, enum wg_pending what)
{
	peer->pending |= what;
	if (!list_linked(&peer->ready_link))
		list_add_tail(&peer->wg->ready, &peer->ready_link);
}

/*
 * A series is: RETRANSMIT_HANDSHAKE is set, or the initiation that will set
 * it is marked. Within 5 s of a handshake message only the timer is set, so
 * that the demand is not forgotten.
 */
void wg_ask_handshake(struct wg_peer *peer, uint64_t now_us, bool is_retry)
{
	if (!is_retry) {
		if (peer->pending & WG_PENDING_INITIATION ||
		    wg_timer_pending(peer, WG_TIMER_RETRANSMIT_HANDSHAKE))
			return;
		peer->series_started_us = now_us;
	}
	if (wg_elapsed(peer->last_sent_handshake_us, now_us,
		       peer->wg->rekey_timeout_us))
		wg_peer_mark(peer, WG_PENDING_INITIATION);
	else
		wg_timer_set(peer, WG_TIMER_RETRANSMIT_HANDSHAKE,
			     peer->last_sent_handshake_us +
				     peer->wg->rekey_timeout_us +
				     peer->jitter_us);
}

/* After initiations crossed, one end waits, so that they don't cross again. */
static uint64_t rekey_after_us(const struct wg_peer *peer)
{
	const struct wg *wg = peer->wg;
	bool waits = peer->crossed &&
		     memcmp(wg->identity.public_key.bytes,
			    peer->public_key.bytes, WG_KEY_LEN) > 0;

	return wg->rekey_after_us + (waits ? wg->rekey_timeout_us : 0);
}

void wg_keep_key_fresh_sending(struct wg_peer *peer, uint64_t now_us)
{
	const struct wg_session *session = peer->current;

	if (session->send_counter > WG_REKEY_AFTER_MESSAGES ||
	    (session->initiator && wg_elapsed(session->created_us, now_us,
					      rekey_after_us(peer))))
		wg_ask_handshake(peer, now_us, false);
}

void wg_keep_key_fresh_receiving(struct wg_peer *peer, uint64_t now_us)
{
	const struct wg_session *session = peer->current;

	if (peer->sent_last_minute_handshake || !session ||
	    !session->initiator ||
	    !wg_elapsed(session->created_us, now_us,
			WG_REJECT_AFTER_TIME - WG_KEEPALIVE_TIMEOUT -
				WG_REKEY_TIMEOUT))
		return;
	peer->sent_last_minute_handshake = true;
	wg_ask_handshake(peer, now_us, false);
}

/* Padding stops at the MTU; a packet beyond it is padded by its last part. */
static size_t padded_len(const struct wg *wg, size_t len)
{
	size_t last = len > wg->mtu ? len % wg->mtu : len;
	size_t padded = (last + WG_PADDING - 1) / WG_PADDING * WG_PADDING;

	if (padded > wg->mtu)
		padded = wg->mtu;
	return len - last + padded;
}

static void count_sent(struct wg_peer *peer, size_t len, uint64_t now_us)
{
	peer->stats.tx_bytes += len;
	wg_timers_any_authenticated_packet_traversal(peer, now_us);
	wg_timers_any_authenticated_packet_sent(peer);
}

static ssize_t seal(struct wg_peer *peer, struct wg_session *session,
		    uint8_t *packet, size_t len, uint64_t now_us)
{
	ssize_t total = wg_session_seal(session, packet, len);

	if (total < 0)
		return total;
	/* Whatever is sealed confirms the keys: a keepalive is not owed. */
	peer->pending &= ~(unsigned)WG_PENDING_KEEPALIVE;
	peer->stats.tx_packets++;
	count_sent(peer, (size_t)total, now_us);
	wg_keep_key_fresh_sending(peer, now_us);
	return total;
}

ssize_t wg_seal(struct wg_peer *peer, uint8_t *buffer, size_t plain_len,
		size_t cap, uint64_t now_us)
{
	struct wg_session *session = wg_session_usable(peer, now_us);
	size_t padded;
	ssize_t total;

	if (plain_len == 0)
		return ERR_MISUSE;
	if (plain_len > cap)
		return ERR_TOO_LARGE;
	padded = padded_len(peer->wg, plain_len);
	if (cap < WG_DATA_HEADER + padded + WG_DATA_TAG)
		return ERR_TOO_LARGE;
	if (!session) {
		wg_ask_handshake(peer, now_us, false);
		return ERR_AGAIN;
	}
	memset(buffer + WG_DATA_HEADER + plain_len, 0, padded - plain_len);
	total = seal(peer, session, buffer, padded, now_us);
	if (total > 0)
		wg_timers_data_sent(peer, now_us);
	return total;
}

static void out_cookie(struct wg *wg, uint64_t now_us, uint8_t *out,
		       struct wg_out_message *message)
{
	const struct wg_cookie_request *request = &wg->replies[wg->reply_first];

	wg_cookie_write(&wg->checker, &wg->mac, wg->rng, request->receiver,
			request->mac1, request->from, now_us, out);
	*message = (struct wg_out_message){
		.kind = WG_OUT_COOKIE,
		.from = request->from,
		.len = WG_COOKIE_MESSAGE_LEN,
	};
	wg->reply_first = (wg->reply_first + 1) % WG_COOKIE_REPLIES_CAP;
	wg->reply_count--;
}

/* MACs are put on when the message leaves: a cookie may have come. */
static int out_response(struct wg_peer *peer, uint64_t now_us, uint8_t *out,
			struct wg_out_message *message)
{
	memcpy(out, peer->response, WG_RESPONSE_LEN);
	wg_cookie_add_macs(&peer->maker, &peer->wg->mac, out, WG_RESPONSE_LEN,
			   now_us);
	peer->last_sent_handshake_us = now_us;
	count_sent(peer, WG_RESPONSE_LEN, now_us);
	message->kind = WG_OUT_RESPONSE;
	message->len = WG_RESPONSE_LEN;
	return 0;
}

static int write_initiation(struct wg_peer *peer, uint8_t *out)
{
	struct wg *wg = peer->wg;
	int rc;

	wg_index_drop(wg, &peer->handshake_index);
	wg_handshake_clear(&peer->handshake);
	rc = wg_index_take(wg, &peer->handshake_index, WG_INDEX_HANDSHAKE,
			   peer);
	if (rc < 0)
		return rc;
	wg_stamp_next(&peer->sent_stamp, wg->wall_us(wg->user));
	rc = wg_initiation_write(&peer->handshake, &wg->identity,
				 &peer->public_key, &peer->static_static,
				 &peer->sent_stamp, wg->rng,
				 peer->handshake_index.value, out);
	if (rc < 0)
		wg_index_drop(wg, &peer->handshake_index);
	return rc;
}

/* The timer runs even if there was no memory: the next try comes. */
static int out_initiation(struct wg_peer *peer, uint64_t now_us, uint8_t *out,
			  struct wg_out_message *message)
{
	int rc = write_initiation(peer, out);

	peer->last_sent_handshake_us = now_us;
	wg_timers_handshake_initiated(peer, now_us);
	if (rc < 0)
		return rc;
	wg_cookie_add_macs(&peer->maker, &peer->wg->mac, out,
			   WG_INITIATION_LEN, now_us);
	peer->stats.initiations_sent++;
	count_sent(peer, WG_INITIATION_LEN, now_us);
	message->kind = WG_OUT_INITIATION;
	message->len = WG_INITIATION_LEN;
	return 0;
}

/* Without a session it asks for one, whose initiator sends one anyway. */
static int out_keepalive(struct wg_peer *peer, uint64_t now_us, uint8_t *out,
			 struct wg_out_message *message)
{
	struct wg_session *session = wg_session_usable(peer, now_us);
	ssize_t len;

	if (!session) {
		wg_ask_handshake(peer, now_us, false);
		return ERR_AGAIN;
	}
	len = seal(peer, session, out, 0, now_us);
	if (len < 0)
		return (int)len;
	message->kind = WG_OUT_KEEPALIVE;
	message->len = (size_t)len;
	return 0;
}

/* The lowest bit is the most urgent. */
static int out_peer(struct wg_peer *peer, uint64_t now_us, uint8_t *out,
		    struct wg_out_message *message)
{
	enum wg_pending what = (enum wg_pending)(peer->pending &
						 -peer->pending);

	*message = (struct wg_out_message){ .peer = peer };
	peer->pending &= ~(unsigned)what;
	switch (what) {
	case WG_PENDING_RESPONSE:
		return out_response(peer, now_us, out, message);
	case WG_PENDING_INITIATION:
		return out_initiation(peer, now_us, out, message);
	case WG_PENDING_KEEPALIVE:
		return out_keepalive(peer, now_us, out, message);
	}
	return ERR_AGAIN;
}

int wg_out(struct wg *wg, uint64_t now_us, uint8_t *out, size_t cap,
	   struct wg_out_message *message)
{
	struct wg_peer *peer;
	int rc = ERR_AGAIN;

	if (cap < WG_MESSAGE_CAP)
		return ERR_TOO_LARGE;
	if (wg->reply_count) {
		out_cookie(wg, now_us, out, message);
		return 0;
	}
	while (rc == ERR_AGAIN && !list_empty(&wg->ready)) {
		peer = container_of(list_pop(&wg->ready), struct wg_peer,
				    ready_link);
		rc = out_peer(peer, now_us, out, message);
		if (peer->pending && !list_linked(&peer->ready_link))
			list_add_tail(&wg->ready, &peer->ready_link);
	}
	return rc;
}
