#include <string.h>

#include "core/base/cursor.h"
#include "core/base/err.h"
#include "core/tailnet/wireguard/peer.h"
#include "core/tailnet/wireguard/timers.h"

#define IPV6_HEADER_LEN 40
#define IPV6_LENGTH 4
#define IPV6_SOURCE 8

struct datagram {
	struct wg *wg;
	uint8_t *bytes;
	size_t len;
	uint64_t from;
	uint64_t now_us;
	struct wg_in_result *out;
};

static void ignore(struct datagram *d, enum wg_ignored reason)
{
	d->out->kind = WG_IN_IGNORED;
	d->out->reason = reason;
}

static uint32_t u32_at(const struct datagram *d, size_t offset)
{
	return (uint32_t)le_load(d->bytes + offset, 4);
}

static void session_up(struct datagram *d, struct wg_peer *peer)
{
	wg_timers_handshake_complete(peer, d->now_us);
	wg_peer_tell(peer, WG_EVENT_SESSION_UP);
	d->out->session_up = true;
}

static void authenticated(struct datagram *d, struct wg_peer *peer)
{
	d->out->peer = peer;
	d->out->authenticated = true;
	peer->stats.rx_bytes += d->len;
	wg_timers_any_authenticated_packet_traversal(peer, d->now_us);
	wg_timers_any_authenticated_packet_received(peer);
}

/* A cookie reply is owed; beyond the cap a flood gets no answer. */
static void owe_cookie(struct datagram *d)
{
	struct wg *wg = d->wg;
	struct wg_cookie_request *request;

	if (wg->reply_count == WG_COOKIE_REPLIES_CAP) {
		ignore(d, WG_IGNORED_COOKIE_FULL);
		return;
	}
	ignore(d, WG_IGNORED_COOKIE_SENT);
	request = &wg->replies[(wg->reply_first + wg->reply_count++) %
			       WG_COOKIE_REPLIES_CAP];
	request->from = d->from;
	request->receiver = u32_at(d, WG_INITIATION_SENDER);
	memcpy(request->mac1, d->bytes + d->len - 2 * WG_MAC_LEN, WG_MAC_LEN);
}

/*
 * A forged MAC1 does not count: only who knows our key can put us under load.
 * Without memory for the limiter there are the cookies still.
 */
static bool under_load(const struct datagram *d)
{
	struct wg *wg = d->wg;
	bool was = wg_load_now(&wg->load, d->now_us);
	bool is = was;

	if (u32_at(d, 0) == WG_MESSAGE_INITIATION)
		is = wg_load_initiation(&wg->load, d->now_us);
	if (is && !was) {
		wg->stats.loads++;
		(void)wg_need_rate(wg);
	}
	return is || wg->under_load;
}

/* Before anything that costs: MAC1, and under load the place's proof. */
static bool macs_ok(struct datagram *d)
{
	struct wg *wg = d->wg;

	if (!wg_cookie_mac1_ok(&wg->checker, &wg->mac, d->bytes, d->len)) {
		ignore(d, WG_IGNORED_MAC1);
		return false;
	}
	if (!under_load(d))
		return true;
	if (!wg_cookie_mac2_ok(&wg->checker, &wg->mac, d->bytes, d->len,
			       d->from, d->now_us)) {
		owe_cookie(d);
		return false;
	}
	if (wg->rate && !wg_rate_allow(wg->rate, d->from, d->now_us)) {
		ignore(d, WG_IGNORED_RATE);
		return false;
	}
	return true;
}

/* Who sent the initiation, authenticated and fresh; or NULL. */
static struct wg_peer *identify(struct datagram *d,
				struct wg_incoming *incoming)
{
	struct wg_peer *peer;
	enum wg_ignored reason = WG_IGNORED_NONE;

	if (wg_initiation_read(incoming, &d->wg->identity, d->bytes) < 0) {
		ignore(d, WG_IGNORED_FORGED);
		return NULL;
	}
	peer = wg_peer_find(d->wg, &incoming->remote_static);
	if (!peer)
		reason = WG_IGNORED_PEER;
	else if (wg_initiation_finish(incoming, &peer->static_static,
				      d->bytes) < 0)
		reason = WG_IGNORED_FORGED;
	else if (!wg_stamp_after(&incoming->stamp, &peer->greatest_stamp))
		reason = WG_IGNORED_REPLAY;
	else if (!wg_elapsed(peer->last_initiation_us, d->now_us,
			     WG_INITIATION_INTERVAL))
		reason = WG_IGNORED_FLOOD;
	if (reason == WG_IGNORED_NONE)
		return peer;
	ignore(d, reason);
	return NULL;
}

static int respond(struct wg_peer *peer, struct wg_incoming *incoming,
		   uint64_t now_us)
{
	struct wg *wg = peer->wg;
	struct wg_index index = { .kind = WG_INDEX_NONE };
	int rc = wg_index_take(wg, &index, WG_INDEX_SESSION, peer);

	if (rc < 0)
		return rc;
	rc = wg_response_write(incoming, wg->rng, index.value, peer->response);
	if (rc == 0)
		rc = wg_session_begin(peer, &incoming->noise, false, &index,
				      incoming->remote_index, now_us);
	if (rc < 0) {
		wg_index_drop(wg, &index);
		/* It may be half of one: the older goes with it. */
		peer->pending &= ~(unsigned)WG_PENDING_RESPONSE;
		return rc;
	}
	peer->last_sent_handshake_us = now_us;
	wg_timers_session_derived(peer, now_us);
	wg_peer_mark(peer, WG_PENDING_RESPONSE);
	return 0;
}

static void consume_initiation(struct datagram *d, struct wg_incoming *incoming)
{
	struct wg_peer *peer = identify(d, incoming);

	if (!peer)
		return;
	peer->greatest_stamp = incoming->stamp;
	peer->last_initiation_us = d->now_us;
	authenticated(d, peer);
	if (respond(peer, incoming, d->now_us) < 0)
		ignore(d, WG_IGNORED_MEMORY);
	else
		d->out->kind = WG_IN_INITIATION;
}

static void in_initiation(struct datagram *d)
{
	struct wg_incoming incoming;

	if (d->len != WG_INITIATION_LEN) {
		ignore(d, WG_IGNORED_MALFORMED);
		return;
	}
	if (!macs_ok(d))
		return;
	consume_initiation(d, &incoming);
	wg_incoming_clear(&incoming);
}

static void consume_response(struct datagram *d, struct wg_peer *peer)
{
	uint32_t remote_index = u32_at(d, WG_RESPONSE_SENDER);
	struct wg_noise noise;
	int rc;

	if (wg_response_read(&peer->handshake, &d->wg->identity, d->bytes,
			     &noise) < 0) {
		wg_noise_clear(&noise);
		ignore(d, WG_IGNORED_FORGED);
		return;
	}
	rc = wg_session_begin(peer, &noise, true, &peer->handshake_index,
			      remote_index, d->now_us);
	wg_noise_clear(&noise);
	authenticated(d, peer);
	if (rc < 0) {
		ignore(d, WG_IGNORED_MEMORY);
		return;
	}
	wg_handshake_clear(&peer->handshake);
	d->out->kind = WG_IN_RESPONSE;
	wg_timers_session_derived(peer, d->now_us);
	session_up(d, peer);
	/* Confirms the keys, unless data goes first. */
	wg_peer_mark(peer, WG_PENDING_KEEPALIVE);
}

static void in_response(struct datagram *d)
{
	struct wg_index *index;

	if (d->len != WG_RESPONSE_LEN) {
		ignore(d, WG_IGNORED_MALFORMED);
		return;
	}
	if (!macs_ok(d))
		return;
	index = wg_index_find(d->wg, u32_at(d, WG_RESPONSE_RECEIVER));
	if (!index)
		ignore(d, WG_IGNORED_INDEX);
	else if (index->kind != WG_INDEX_HANDSHAKE)
		ignore(d, WG_IGNORED_STATE);
	else
		consume_response(d, index->peer);
}

static void in_cookie(struct datagram *d)
{
	struct wg_index *index;
	int rc;

	if (d->len != WG_COOKIE_MESSAGE_LEN) {
		ignore(d, WG_IGNORED_MALFORMED);
		return;
	}
	index = wg_index_find(d->wg, u32_at(d, WG_COOKIE_RECEIVER));
	if (!index) {
		ignore(d, WG_IGNORED_INDEX);
		return;
	}
	rc = wg_cookie_read(&index->peer->maker, d->bytes, d->now_us);
	if (rc < 0) {
		ignore(d, rc == ERR_CONFLICT ? WG_IGNORED_STATE :
					       WG_IGNORED_FORGED);
		return;
	}
	d->out->kind = WG_IN_COOKIE;
	d->out->peer = index->peer;
}

static bool source_allowed(const struct wg_peer *peer, const uint8_t *source)
{
	for (size_t i = 0; i < peer->source_count; i++)
		if (memcmp(peer->sources[i], source, 16) == 0)
			return true;
	return false;
}

/* The inner header's length counts; the rest is padding. */
static void deliver(struct datagram *d, struct wg_peer *peer, uint8_t *inner,
		    size_t len)
{
	size_t total;

	if (len < IPV6_HEADER_LEN || inner[0] >> 4 != 6) {
		ignore(d, WG_IGNORED_INNER);
		return;
	}
	total = IPV6_HEADER_LEN + (size_t)be_load(inner + IPV6_LENGTH, 2);
	if (total > len) {
		ignore(d, WG_IGNORED_INNER);
		return;
	}
	if (!source_allowed(peer, inner + IPV6_SOURCE)) {
		ignore(d, WG_IGNORED_SOURCE);
		return;
	}
	d->out->kind = WG_IN_DATA;
	d->out->data = inner;
	d->out->len = total;
}

static void accept_data(struct datagram *d, struct wg_session *session)
{
	struct wg_peer *peer = session->index.peer;
	size_t len = d->len - WG_DATA_MIN;

	if (wg_session_confirm(peer, session))
		session_up(d, peer);
	authenticated(d, peer);
	peer->stats.rx_packets++;
	wg_keep_key_fresh_receiving(peer, d->now_us);
	if (len == 0) {
		d->out->kind = WG_IN_KEEPALIVE;
		return;
	}
	wg_timers_data_received(peer, d->now_us);
	deliver(d, peer, d->bytes + WG_DATA_SEALED, len);
}

static void in_data(struct datagram *d)
{
	struct wg_session *session;
	struct wg_index *index;
	uint64_t counter;

	if (d->len < WG_DATA_MIN) {
		ignore(d, WG_IGNORED_MALFORMED);
		return;
	}
	index = wg_index_find(d->wg, u32_at(d, WG_DATA_RECEIVER));
	if (!index || index->kind != WG_INDEX_SESSION) {
		ignore(d, WG_IGNORED_INDEX);
		return;
	}
	session = container_of(index, struct wg_session, index);
	counter = le_load(d->bytes + WG_DATA_COUNTER, 8);
	if (wg_session_expired(session, d->now_us) ||
	    counter >= WG_REJECT_AFTER_MESSAGES)
		ignore(d, WG_IGNORED_EXPIRED);
	else if (wg_cipher_open(&session->receive, counter,
				d->bytes + WG_DATA_SEALED,
				d->len - WG_DATA_MIN) < 0)
		ignore(d, WG_IGNORED_FORGED);
	else if (!wg_counter_accept(&session->window, counter))
		ignore(d, WG_IGNORED_REPLAY);
	else
		accept_data(d, session);
}

static void dispatch(struct datagram *d)
{
	if (d->len < 4) {
		ignore(d, WG_IGNORED_MALFORMED);
		return;
	}
	switch (u32_at(d, 0)) {
	case WG_MESSAGE_INITIATION:
		in_initiation(d);
		break;
	case WG_MESSAGE_RESPONSE:
		in_response(d);
		break;
	case WG_MESSAGE_COOKIE:
		in_cookie(d);
		break;
	case WG_MESSAGE_DATA:
		in_data(d);
		break;
	default:	/* an integer from the wire, no enum */
		ignore(d, WG_IGNORED_MALFORMED);
		break;
	}
}

int wg_in(struct wg *wg, uint8_t *packet, size_t len, uint64_t from,
	  uint64_t now_us, struct wg_in_result *out)
{
	struct datagram d = {
		.wg = wg, .bytes = packet, .len = len,
		.from = from, .now_us = now_us, .out = out,
	};

	*out = (struct wg_in_result){ .kind = WG_IN_IGNORED };
	dispatch(&d);
	wg->stats.in[out->kind]++;
	if (out->kind != WG_IN_IGNORED)
		return 0;
	wg->stats.ignored[out->reason]++;
	return ERR_AGAIN;
}
