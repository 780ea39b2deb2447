/*
 * core/tailnet/coordinate/coordinate.h: the client of a coordinate socket.
 *
 * Bytes of the WebSocket's binary messages in, bytes for them out: yamux,
 * DRPC and protobuf inside (protocol.md "Coordinate"; the order of calls is
 * that of tests/interop/tunnel.go). It announces the own node, hears of
 * the peers', the DERP map and resume tokens. It dials nothing: a lost
 * socket is a new `struct coordinate` with `resume_token=` in the URL.
 *
 * Callbacks come from coordinate_in() and coordinate_tick(). They may call
 * anything here, coordinate_free() included; after that none comes. Only
 * on_output comes from any function that has made bytes to send.
 */
#ifndef TUNNELHOST_COORDINATE_COORDINATE_H
#define TUNNELHOST_COORDINATE_COORDINATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/derp_map.h"
#include "core/base/err.h"
#include "core/base/id.h"
#include "core/base/time.h"
#include "core/tailnet/coordinate/node.h"

#define COORDINATE_UPDATE_CAP 4096	/* peer updates in one response */
#define COORDINATE_TOKEN_CAP 4096	/* bytes of a resume token */
#define COORDINATE_REFRESH_TIMEOUT_US (10 * US_PER_S)
#define COORDINATE_REFRESH_RETRY_US (60 * US_PER_S)
#define COORDINATE_DISCONNECT_TIMEOUT_US (5 * US_PER_S)

enum coordinate_kind {		/* the wire's numbers */
	COORDINATE_NODE = 1,
	COORDINATE_DISCONNECTED = 2,
	COORDINATE_LOST = 3,
	COORDINATE_READY = 4,	/* READY_FOR_HANDSHAKE */
};

/* Borrowed for the callback. */
struct coordinate_update {
	struct uuid peer;
	enum coordinate_kind kind;
	const struct coord_node *node;	/* with COORDINATE_NODE, else NULL */
	const char *reason;		/* "" when none was given */
};

/* Borrowed for the callback. */
struct coordinate_token {
	const char *token;	/* for the URL of the next dial; secret */
	bool has_peer_id;	/* newest servers only */
	struct uuid peer_id;
	uint64_t refresh_in_us;	/* asked again by itself then */
};

/* Each may be NULL. */
struct coordinate_events {
	void (*on_update)(void *user, const struct coordinate_update *update);
	/* An update that cannot be understood; `peer` is nil when unknown. */
	void (*on_bad_update)(void *user, const struct uuid *peer,
			      const struct error *error);
	void (*on_derp_map)(void *user, const struct derp_map *map);
	void (*on_token)(void *user, const struct coordinate_token *token);
	/* The coordinator complains (the session may go on). */
	void (*on_complaint)(void *user, const char *text);
	/* An optional RPC ("StreamDERPMaps", "RefreshResumeToken") failed. */
	void (*on_rpc_failed)(void *user, const char *rpc,
			      const struct error *error);
	/* There is something to send: coordinate_output(). */
	void (*on_output)(void *user);
	/* The graceful disconnect is over: flush, close the WebSocket. */
	void (*on_done)(void *user);
	/* The session is over: ERR_CLOSED when the coordinator hung up. */
	void (*on_failed)(void *user, const struct error *error);
};

struct coordinate_config {
	struct uuid agent;	/* AddTunnel at once; nil: none */
	const struct coordinate_events *events;
	void *user;
};

struct coordinate;

/* Queues the first requests. 0 or ERR_NOMEM; `*out` is owned. */
int coordinate_new(const struct coordinate_config *config, uint64_t now_us,
		   struct coordinate **out);
void coordinate_free(struct coordinate *coordinate);

/* One message or any part of the byte stream. 0 or what ended the session. */
int coordinate_in(struct coordinate *coordinate, const void *data, size_t len,
		  uint64_t now_us);
/* As yamux_output() and yamux_sent(). */
size_t coordinate_output(const struct coordinate *coordinate,
			 const uint8_t **data);
void coordinate_sent(struct coordinate *coordinate, size_t len,
		     uint64_t now_us);
uint64_t coordinate_next_deadline(const struct coordinate *coordinate);
void coordinate_tick(struct coordinate *coordinate, uint64_t now_us);
/* Asks whether the coordinator is still there; on_failed if it does not say. */
void coordinate_probe(struct coordinate *coordinate, uint64_t within_us,
		      uint64_t now_us);

/*
 * Announces the own node, replacing the last (UpdateSelf). Each of these is
 * 0, ERR_CLOSED, ERR_LIMIT or ERR_NOMEM.
 */
int coordinate_set_node(struct coordinate *coordinate,
			const struct coord_node *node, uint64_t now_us);
int coordinate_add_tunnel(struct coordinate *coordinate,
			  const struct uuid *agent, uint64_t now_us);
int coordinate_remove_tunnel(struct coordinate *coordinate,
			     const struct uuid *agent, uint64_t now_us);
/*
 * Disconnect, then the server's Close, then the streams end, then on_done;
 * after 5 s on_done comes anyway. Failures until then come as on_done too.
 */
int coordinate_disconnect(struct coordinate *coordinate, uint64_t now_us);

#endif
