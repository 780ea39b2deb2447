#include "core/tailnet/wireguard/session.h"

#include <sodium.h>
#include <stdlib.h>

#include "core/base/cursor.h"
#include "core/base/err.h"
#include "core/tailnet/wireguard/peer.h"

/* Packets come in trains of one session. */
struct wg_index *wg_index_find(struct wg *wg, uint32_t value)
{
	struct wg_index *last = wg->last_index;

	if (!last || last->value != value)
		last = hash_get(&wg->indices, &value, sizeof(value));
	if (last)
		wg->last_index = last;
	return last;
}

int wg_index_take(struct wg *wg, struct wg_index *index,
		  enum wg_index_kind kind, struct wg_peer *peer)
{
	uint32_t value;

	do {
		value = rng_u32(wg->rng);
	} while (wg_index_find(wg, value));
	if (hash_put(&wg->indices, &value, sizeof(value), index) < 0)
		return ERR_NOMEM;
	*index = (struct wg_index){
		.kind = kind, .value = value, .peer = peer,
	};
	return 0;
}

void wg_index_drop(struct wg *wg, struct wg_index *index)
{
	if (wg->last_index == index)
		wg->last_index = NULL;
	if (index->kind != WG_INDEX_NONE)
		hash_remove(&wg->indices, &index->value, sizeof(index->value));
	*index = (struct wg_index){ .kind = WG_INDEX_NONE };
}

/* Replaces an entry, so nothing is allocated and nothing fails. */
static void index_move(struct wg *wg, struct wg_index *from,
		       struct wg_session *session)
{
	if (wg->last_index == from)
		wg->last_index = NULL;
	session->index = *from;
	session->index.kind = WG_INDEX_SESSION;
	hash_put(&wg->indices, &from->value, sizeof(from->value),
		 &session->index);
	*from = (struct wg_index){ .kind = WG_INDEX_NONE };
}

static void session_free(struct wg_session *session)
{
	wg_cipher_clear(&session->send);
	wg_cipher_clear(&session->receive);
	sodium_memzero(session, sizeof(*session));
	free(session);
}

static void session_drop(struct wg *wg, struct wg_session **session)
{
	if (!*session)
		return;
	wg_index_drop(wg, &(*session)->index);
	session_free(*session);
	*session = NULL;
}

static int session_key(struct wg_session *session,
		       const struct wg_noise *noise)
{
	struct key32 send;
	struct key32 receive;
	int rc;

	wg_noise_split(noise, session->initiator, &send, &receive);
	rc = wg_cipher_init(&session->send, &send);
	if (rc == 0)
		rc = wg_cipher_init(&session->receive, &receive);
	key_wipe(&send);
	key_wipe(&receive);
	return rc;
}

/*
 * A young `next` is the other half of two initiations that crossed. If it
 * were promoted when the peer uses it, each end might seal with the session
 * that the other began, and no initiator would be left to rekey.
 */
static void set_crossed(struct wg_peer *peer, uint64_t now_us)
{
	if (!peer->next)
		return;
	if (wg_elapsed(peer->next->created_us, now_us,
		       peer->wg->rekey_timeout_us)) {
		session_drop(peer->wg, &peer->next);
		return;
	}
	session_drop(peer->wg, &peer->crossed);
	peer->crossed = peer->next;
	peer->next = NULL;
}

static void install_initiator(struct wg_peer *peer, struct wg_session *session)
{
	set_crossed(peer, session->created_us);
	session_drop(peer->wg, &peer->previous);
	peer->previous = peer->current;
	peer->current = session;
}

static void install_responder(struct wg_peer *peer, struct wg_session *session)
{
	session_drop(peer->wg, &peer->next);
	peer->next = session;
}

int wg_session_begin(struct wg_peer *peer, const struct wg_noise *noise,
		     bool initiator, struct wg_index *index,
		     uint32_t remote_index, uint64_t now_us)
{
	struct wg_session *session = calloc(1, sizeof(*session));
	int rc;

	if (!session)
		return ERR_NOMEM;
	session->initiator = initiator;
	session->remote_index = remote_index;
	session->created_us = now_us;
	rc = session_key(session, noise);
	if (rc < 0) {
		session_free(session);
		return rc;
	}
	index_move(peer->wg, index, session);
	if (peer->crossed && wg_session_expired(peer->crossed, now_us))
		session_drop(peer->wg, &peer->crossed);
	if (initiator)
		install_initiator(peer, session);
	else
		install_responder(peer, session);
	return 0;
}

bool wg_session_confirm(struct wg_peer *peer, struct wg_session *session)
{
	if (session != peer->next)
		return false;
	session_drop(peer->wg, &peer->previous);
	peer->previous = peer->current;
	peer->current = session;
	peer->next = NULL;
	return true;
}

bool wg_session_expired(const struct wg_session *session, uint64_t now_us)
{
	return wg_elapsed(session->created_us, now_us, WG_REJECT_AFTER_TIME);
}

struct wg_session *wg_session_usable(const struct wg_peer *peer,
				     uint64_t now_us)
{
	struct wg_session *session = peer->current;

	if (!session || wg_session_expired(session, now_us) ||
	    session->send_counter >= WG_REJECT_AFTER_MESSAGES)
		return NULL;
	return session;
}

void wg_session_wipe_all(struct wg_peer *peer)
{
	session_drop(peer->wg, &peer->current);
	session_drop(peer->wg, &peer->next);
	session_drop(peer->wg, &peer->previous);
	session_drop(peer->wg, &peer->crossed);
	wg_index_drop(peer->wg, &peer->handshake_index);
	wg_handshake_clear(&peer->handshake);
}

ssize_t wg_session_seal(struct wg_session *session, uint8_t *packet,
			size_t len)
{
	uint64_t counter = session->send_counter++;

	le_store(packet, WG_MESSAGE_DATA, 4);
	le_store(packet + WG_DATA_RECEIVER, session->remote_index, 4);
	le_store(packet + WG_DATA_COUNTER, counter, 8);
	if (wg_cipher_seal(&session->send, counter, packet + WG_DATA_SEALED,
			   len) < 0)
		return ERR_INTERNAL;
	return (ssize_t)(WG_DATA_HEADER + len + WG_DATA_TAG);
}
