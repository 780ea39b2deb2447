/*
 * core/tailnet/derp/derp_client.h: a node's side of one DERP connection.
 *
 * Bytes in, events and bytes out; never opens, closes or dials anything. The
 * owner carries `out` (handshake and control frames) to the channel before
 * any packet frame that it writes itself, calls tick() at next_deadline(),
 * and on a negative return of in() or tick() closes the channel: the object
 * is then dead, and every further call returns the same kind of failure.
 *
 * Order of life: init; in() with the server's key fills `out` with our
 * client info (from then on derp_client_can_send(): a round trip earlier
 * than on_ready); on_ready after the server's info.
 */
#ifndef TUNNELHOST_TAILNET_DERP_DERP_CLIENT_H
#define TUNNELHOST_TAILNET_DERP_DERP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/id.h"
#include "core/base/rng.h"
#include "core/base/time.h"
#include "core/tailnet/derp/derp_frame.h"

/* Control bytes not yet fetched; a pong that does not fit is dropped. */
#define DERP_CLIENT_OUT_CAP 4096

/*
 * Any may be NULL. A callback may call anything here but init, in, tick and
 * clear. Keys and data are borrowed for the call.
 */
struct derp_client_events {
	void (*on_ready)(void *user);
	void (*on_packet)(void *user, const struct key32 *from,
			  const uint8_t *data, size_t len);
	/* `reason`: enum derp_gone_reason, or one that is newer. */
	void (*on_peer_gone)(void *user, const struct key32 *peer,
			     uint8_t reason);
	void (*on_pong)(void *user, uint64_t round_trip_us);
	/* The relay's trouble with us; len 0: over. Not NUL-terminated. */
	void (*on_health)(void *user, const char *text, size_t len);
	/* The relay goes down: dial again in, and try for. */
	void (*on_restarting)(void *user, uint32_t reconnect_in_ms,
			      uint32_t try_for_ms);
};

enum derp_client_state {
	DERP_CLIENT_WAIT_KEY,	/* nothing may be sent */
	DERP_CLIENT_WAIT_INFO,	/* packets may be sent and received */
	DERP_CLIENT_READY,
	DERP_CLIENT_DEAD,
};

struct derp_client {
	enum derp_client_state state;
	struct key32 private_key;	/* zero once the server's info is in */
	struct key32 public_key;
	struct key32 server_key;
	struct rng *rng;
	const struct derp_client_events *events;
	void *user;
	struct derp_reader reader;
	struct buf out;			/* fetch with buf_data, buf_consume */
	uint64_t started_us;
	uint64_t heard_us;		/* last byte in */
	uint64_t ping_us;		/* DEADLINE_NONE: none under way */
	uint8_t ping[DERP_PING_LEN];
	int server_version;
	/* What the server asks us to keep to; 0: nothing said. */
	uint64_t rate_bytes_per_s;
	uint64_t rate_burst_bytes;
};

/* Copies the key; borrows rng, events and user until clear. */
void derp_client_init(struct derp_client *client,
		      const struct key32 *private_key, struct rng *rng,
		      const struct derp_client_events *events, void *user,
		      uint64_t now_us);
void derp_client_clear(struct derp_client *client);

/* 0, or ERR_PROTOCOL, ERR_TOO_LARGE, ERR_NOMEM, ERR_CLOSED (dead before). */
int derp_client_in(struct derp_client *client, const void *data, size_t len,
		   uint64_t now_us, struct error *error);

static inline bool derp_client_can_send(const struct derp_client *client)
{
	return client->state == DERP_CLIENT_WAIT_INFO ||
	       client->state == DERP_CLIENT_READY;
}

/*
 * Writes one send frame to `out` and returns its length, so that many go into
 * one message. ERR_AGAIN: not yet; ERR_CLOSED; ERR_TOO_LARGE: the packet;
 * ERR_LIMIT: it does not fit in `cap`. derp_send_header() does the same
 * without the copy and without the questions.
 */
int derp_client_send(const struct derp_client *client,
		     const struct key32 *dst, const void *packet, size_t len,
		     uint8_t *out, size_t cap);

/* Control frames, into `out`. 0, ERR_AGAIN, ERR_CLOSED, ERR_LIMIT, NOMEM. */
int derp_client_note_preferred(struct derp_client *client, bool preferred);
/* on_pong follows; a second ping forgets the first. */
int derp_client_ping(struct derp_client *client, uint64_t now_us);

/* The handshake has 10 s; after it the relay may be silent for 120 s. */
uint64_t derp_client_next_deadline(const struct derp_client *client);
/* 0, or ERR_TIMEOUT when that is over. */
int derp_client_tick(struct derp_client *client, uint64_t now_us,
		     struct error *error);

#endif
