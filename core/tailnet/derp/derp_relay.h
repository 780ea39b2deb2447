/*
 * core/tailnet/derp/derp_relay.h: the relay of the embedded deployment.
 *
 * One derp_relay routes packets among many derp_relay_conn by public key.
 * Bytes in, bytes out by callback; no I/O of its own. A connection that takes
 * nothing costs nobody else: its packets wait in its own queue (512 packets,
 * 2 MiB), the oldest are dropped, and after 2 s without progress it is given
 * up. Not a mesh: forwarding, watching and closing of peers are unknown
 * frames here. Behaviour as tailscale.com derp/derpserver/derpserver.go,
 * with the queue depth that Coder sets (its default is 32).
 */
#ifndef TUNNELHOST_TAILNET_DERP_DERP_RELAY_H
#define TUNNELHOST_TAILNET_DERP_DERP_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/hash.h"
#include "core/base/heap.h"
#include "core/base/id.h"
#include "core/base/list.h"
#include "core/base/rng.h"
#include "core/tailnet/derp/derp_frame.h"
#include "core/tailnet/derp/derp_queue.h"

/* Peers of one connection that are told when it leaves. */
#define DERP_RELAY_PEERS_CAP 4096
#define DERP_RELAY_CONTROL_CAP (16 * 1024)
#define DERP_RELAY_UPGRADE_CAP 256

struct derp_relay_stats {
	uint64_t packets_in;
	uint64_t bytes_in;		/* packets' bytes, without framing */
	uint64_t packets_out;		/* handed to send() */
	uint64_t bytes_out;
	uint64_t dropped_queue;		/* the oldest of a full queue */
	uint64_t dropped_unknown;	/* nobody has that key */
	uint64_t dropped_gone;		/* queued for one that left */
	uint64_t dropped_nomem;
	uint64_t peer_gone_sent;
	uint64_t pings;
	uint64_t handshakes;
	uint64_t handshakes_failed;
	uint64_t write_timeouts;
	uint64_t duplicates;		/* a key connected once more */
	size_t homes;			/* connections at home here, now */
	size_t conns;			/* now; different keys: clients.len */
};

struct derp_relay {
	struct key32 private_key;
	struct key32 public_key;
	struct rng *rng;
	struct hash clients;		/* public key → active connection */
	struct heap deadlines;
	struct derp_slab_pool pool;
	struct list touched;		/* connections to be flushed */
	uint64_t generation;		/* of the routes; see route() */
	uint64_t write_timeout_us;	/* may be set */
	struct derp_relay_stats stats;
};

/*
 * What a connection needs of its carrier. Neither may call back into the
 * relay, except that close() may free its own connection.
 */
struct derp_relay_carrier {
	/*
	 * As channel_send(): 0, all taken (copied); ERR_LIMIT, no room, and
	 * derp_relay_conn_writable() will follow; else it is lost, and
	 * derp_relay_conn_free() will follow.
	 */
	int (*send)(void *user, const uint8_t *data, size_t len);
	/* From tick() only: the relay gave up; close the carrier. */
	void (*close)(void *user, const struct error *why);
};

struct derp_relay_conn;

/* Borrows rng. Copies the key; wiped by clear. */
void derp_relay_init(struct derp_relay *relay, const struct key32 *private_key,
		     struct rng *rng);
/* All connections have been freed. */
void derp_relay_clear(struct derp_relay *relay);

/*
 * A connection has come; the server's key is sent at once. Returns owned
 * through *out: 0 or ERR_NOMEM. `carrier` and `user` are borrowed until free.
 */
int derp_relay_conn_new(struct derp_relay *relay,
			const struct derp_relay_carrier *carrier, void *user,
			uint64_t now_us, struct derp_relay_conn **out);
/* It has gone, or shall go; peers that it has sent to are told. */
void derp_relay_conn_free(struct derp_relay_conn *conn, uint64_t now_us);

/*
 * Bytes from this client. Everything that they cause is sent before it
 * returns. Negative (ERR_PROTOCOL, ERR_TOO_LARGE, ERR_NOMEM, ERR_CLOSED): the
 * caller closes the carrier and frees the connection; nobody else's.
 */
int derp_relay_conn_in(struct derp_relay_conn *conn, const void *data,
		       size_t len, uint64_t now_us, struct error *error);
/* The carrier has room again. */
void derp_relay_conn_writable(struct derp_relay_conn *conn, uint64_t now_us);
/* The proven key, or NULL while shaking hands. */
const struct key32 *derp_relay_conn_key(const struct derp_relay_conn *conn);

uint64_t derp_relay_next_deadline(const struct derp_relay *relay);
/* Keepalives; gives up handshakes after 10 s and frozen readers after 2 s. */
void derp_relay_tick(struct derp_relay *relay, uint64_t now_us);

/*
 * The whole answer to `GET /derp` with `Upgrade: DERP` (any case), after
 * which the raw stream begins. Returns its length.
 */
size_t derp_relay_upgrade_response(const struct derp_relay *relay,
				   char out[DERP_RELAY_UPGRADE_CAP]);

#endif
