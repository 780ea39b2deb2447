/*
 * core/tunnel/relay.h: one DERP connection that is kept up.
 *
 * Owns a channel to one of a region's relays and the derp_client in it: tries
 * the region's nodes in their order, each by HTTP upgrade, or by WebSocket when
 * it answers the upgrade with a 4xx or the deployment says so, and begins
 * again (250 ms to 15 s) when the connection is lost: closed, nonsense, 120 s of
 * silence, no answer to a ping 4.5 s after something was sent, or nothing
 * taken for 10 s. Frames are gathered in a slab and leave as one message: one
 * TLS record, one write (docs/performance.md). Facts: tailscale.com
 * derp/derphttp (nodes in order, STUN-only ones skipped), wgengine/magicsock
 * derp.go (redefined regions are dialled anew, and what a rebind does).
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
	/* It has had no room for a while: relay_stalled(). May be NULL. */
	void (*on_stalled)(void *user, struct relay *relay);
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
	const struct derp_map_region *region;	/* copied */
	bool force_websocket;
	bool home;
	const struct relay_events *events;
	void *user;
};

/*
 * Begins to connect. 0, ERR_NOMEM, ERR_UNREACHABLE (no relay in the region) or
 * what is wrong with the address. Never calls back from inside.
 */
int relay_new(const struct relay_config *config, struct relay **out,
	      struct error *error);
/* What is in the slab still leaves. NULL is allowed. */
void relay_free(struct relay *relay);

/*
 * The region is described anew. If the node in use is no longer in it, the
 * connection is made again. 0, or ERR_NOMEM, ERR_UNREACHABLE or ERR_TOO_LARGE
 * (nothing changed).
 */
int relay_set_region(struct relay *relay, const struct derp_map_region *region);
/* Whether it is the home; the relay is told. */
void relay_set_home(struct relay *relay, bool home);
/*
 * The machine's addresses or routes are others: a connection from an address
 * that is gone is made again, any other is asked whether it lives (2 s), and
 * one that is down does not wait any longer.
 */
void relay_network_changed(struct relay *relay,
			   const struct endpoint *addresses, size_t count);

int64_t relay_region(const struct relay *relay);
bool relay_up(const struct relay *relay);
/* 0 while it is up. */
uint64_t relay_down_for(const struct relay *relay);
/* Up, but without room for a while: do not wait for it. */
bool relay_stalled(const struct relay *relay);
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

/* Of all its connections. */
struct relay_stats {
	uint64_t dials;
	uint64_t frames, records, bytes;	/* sent */
};
const struct relay_stats *relay_stats(const struct relay *relay);

#endif
