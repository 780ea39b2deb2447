/*
 * core/tailnet/derp/derp_relay_conn.h: inside the relay.
 *
 * What derp_relay.c (life, output, deadlines) and derp_route.c (frames in,
 * keys, routes) share. Private to the relay.
 *
 * A connection shakes hands, then is up, then lost. Only an up connection is
 * in the table of keys; a lost one owns nothing but its memory and waits to
 * be freed. Nothing that handles a frame flushes or frees another connection:
 * it touches it, and the public function flushes all touched ones at its end,
 * so that a send that fails cannot pull the ground from under its caller.
 */
#ifndef TUNNELHOST_TAILNET_DERP_DERP_RELAY_CONN_H
#define TUNNELHOST_TAILNET_DERP_DERP_RELAY_CONN_H

#include "core/base/buf.h"
#include "core/base/list.h"
#include "core/tailnet/derp/derp_relay.h"

enum derp_conn_state {
	DERP_CONN_HANDSHAKE,
	DERP_CONN_UP,
	DERP_CONN_LOST,
};

struct derp_relay_conn {
	struct derp_relay *relay;
	const struct derp_relay_carrier *carrier;
	void *user;
	enum derp_conn_state state;
	struct key32 key;
	struct derp_reader reader;

	struct buf control;		/* goes before `queue` */
	struct derp_queue queue;
	struct list touched;
	bool blocked;			/* send() said ERR_LIMIT */
	uint64_t blocked_us;		/* since when, without progress */

	struct heap_node timer;
	uint64_t handshake_us;		/* deadline */
	uint64_t keepalive_us;		/* the next */
	uint64_t keepalive_period_us;

	/*
	 * Connections of one key, the last that spoke first; it alone is in
	 * the table and receives.
	 */
	struct derp_relay_conn *older;
	bool active;
	bool home;			/* it says: this is its home */

	/* The last destination, valid while the generation is. */
	struct key32 route_key;
	struct derp_relay_conn *route;
	uint64_t route_generation;
	struct hash sent_to;		/* peer key → struct sent_to */
	uint64_t gone_allowed_us;	/* rate limit of "not here" */
};

/* derp_relay.c */
void derp_conn_touch(struct derp_relay_conn *conn);
/* Drops when there is no room: nothing in it is worth a connection. */
void derp_conn_control(struct derp_relay_conn *conn, enum derp_type type,
		       const void *head, size_t head_len, const void *tail,
		       size_t tail_len);
/* Sends what fills whole slabs, so that long inputs need no long queues. */
void derp_conn_flush_full(struct derp_relay_conn *conn, uint64_t now_us);

/* derp_route.c */
int derp_route_frame(struct derp_relay_conn *conn,
		     const struct derp_frame *frame, uint64_t now_us,
		     struct error *error);
/* Takes an up connection out of the table; tells peers when it was the last. */
void derp_route_remove(struct derp_relay_conn *conn);

#endif
