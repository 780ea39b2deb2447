/*
 * core/tunnel/relay.h: one DERP connection that is kept up.
 *
 * Owns a channel to one region's relay and the derp_client in it: opens it
 * by HTTP upgrade, or by WebSocket when the relay answers the upgrade with a
 * 4xx or the deployment says so, and opens it again (250 ms to 15 s) when it
 * is lost: closed, nonsense, 120 s of silence, or no answer to a ping 4.5 s after
 * something was sent. Frames are gathered in a 16 KB slab and leave as one
 * message: one TLS record, one write (docs/performance.md).
 */
#ifndef TUNNELHOST_TUNNEL_RELAY_H
#define TUNNELHOST_TUNNEL_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/derp_map.h"
#include "core/base/id.h"
#include "core/base/log.h"
#include "core/base/loop.h"
#include "core/base/network.h"
#include "core/base/rng.h"

struct relay;

/* Come from the loop; may call anything here but relay_free. */
struct relay_events {
	/* `data` is borrowed. */
	void (*on_packet)(void *user, struct relay *relay,
			  const struct key32 *from, const uint8_t *data,
			  size_t len);
	/* Packets can leave: it has come up, or has room again. */
	void (*on_writable)(void *user, struct relay *relay);
	/* The relay says that this key is not connected to it. */
	void (*on_peer_gone)(void *user, struct relay *relay,
			     const struct key32 *peer);
};

struct relay_config {
	struct loop *loop;
	struct network *network;
	struct rng *rng;
	struct log *log;
	const struct key32 *private_key;	/* copied */
	int64_t region_id;
	const struct derp_map_node *node;	/* copied */
	bool force_websocket;
	bool home;
	const struct relay_events *events;
	void *user;
};

/* Begins to connect. 0, ERR_NOMEM or what is wrong with the address. Never
 * calls back from inside. */
int relay_new(const struct relay_config *config, struct relay **out,
	      struct error *error);
/* What is in the slab still leaves. NULL is allowed. */
void relay_free(struct relay *relay);

/* Where the next dial goes. 0 or ERR_TOO_LARGE (nothing changed). */
int relay_set_node(struct relay *relay, const struct derp_map_node *node);
int64_t relay_region(const struct relay *relay);
bool relay_up(const struct relay *relay);
/*
 * Room for one frame with a packet of at most `len` bytes: where the packet
 * goes, or NULL (not up, no room; on_writable follows). Valid until the next
 * call here.
 */
uint8_t *relay_reserve(struct relay *relay, size_t len);
/* The packet written there is `len` bytes long and goes to `dst`. */
void relay_commit(struct relay *relay, const struct key32 *dst, size_t len);
/* Hands the slab to the channel; once a turn, and when it is full. */
void relay_flush(struct relay *relay);

#endif
