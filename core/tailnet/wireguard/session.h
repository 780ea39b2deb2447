/*
 * core/tailnet/wireguard/session.h: keypairs of a peer and our indices.
 *
 * A peer has at most four sessions. `current` seals. `next` is one that we
 * answered and that becomes current when the first packet under it proves
 * that the initiator has it (key confirmation). `previous` opens what was in
 * flight when the keys changed. `crossed` opens what a peer seals whose
 * initiation crossed ours: each end then seals with its own. Each session has
 * one of our 32-bit indices, by which packets find it; so has a handshake
 * that awaits its response. Freeing a session wipes it. Internal to the room.
 */
#ifndef TUNNELHOST_TAILNET_WIREGUARD_SESSION_H
#define TUNNELHOST_TAILNET_WIREGUARD_SESSION_H

#include "core/tailnet/wireguard/counter.h"
#include "core/tailnet/wireguard/crypto.h"
#include "core/tailnet/wireguard/noise.h"

enum wg_index_kind {
	WG_INDEX_NONE,		/* in no table */
	WG_INDEX_HANDSHAKE,
	WG_INDEX_SESSION,
};

struct wg_index {
	enum wg_index_kind kind;
	uint32_t value;
	struct wg_peer *peer;
};

struct wg_session {
	struct wg_index index;
	uint32_t remote_index;
	bool initiator;
	uint64_t created_us;
	uint64_t send_counter;	/* of the next packet */
	struct wg_cipher send;
	struct wg_cipher receive;
	struct wg_counter window;
};

/* Takes a random free index. 0 or ERR_NOMEM. */
int wg_index_take(struct wg *wg, struct wg_index *index,
		  enum wg_index_kind kind, struct wg_peer *peer);
void wg_index_drop(struct wg *wg, struct wg_index *index);
struct wg_index *wg_index_find(struct wg *wg, uint32_t value);

/*
 * Splits `noise` into a session of the peer and rotates: the initiator's
 * becomes current, the responder's next. The index moves from `index` to the
 * session. 0, ERR_NOMEM or ERR_INTERNAL: then nothing changed.
 */
int wg_session_begin(struct wg_peer *peer, const struct wg_noise *noise,
		     bool initiator, struct wg_index *index,
		     uint32_t remote_index, uint64_t now_us);
/* A packet under `session` authenticated: true if it was `next`. */
bool wg_session_confirm(struct wg_peer *peer, struct wg_session *session);
/* Too old to open or seal. */
bool wg_session_expired(const struct wg_session *session, uint64_t now_us);
/* The current one if it may still seal, else NULL. */
struct wg_session *wg_session_usable(const struct wg_peer *peer,
				     uint64_t now_us);
/* Frees all sessions of the peer and its pending handshake. */
void wg_session_wipe_all(struct wg_peer *peer);

/*
 * Writes the header in front, seals `len` bytes at packet + WG_DATA_HEADER
 * and counts. Returns the datagram's length or ERR_INTERNAL.
 */
ssize_t wg_session_seal(struct wg_session *session, uint8_t *packet,
			size_t len);

#endif
