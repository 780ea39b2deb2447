/*
 * core/tunnel/control.h: the coordinate socket of a tunnel, kept up.
 *
 * Owns the WebSocket and the coordinate object in it: dials, dials again
 * with the resume token (50 ms to 10 s), announces the own node, and turns
 * what the coordinator says of the one agent into node_peer_set() and
 * node_peer_remove(). Losing the coordinator tears nothing down; an agent that
 * is not told again afterwards, and does not answer a ping, has left. Rules:
 * docs/protocol.md "Coordinate"; coder/coder tailnet/configmaps.go (5 s gate,
 * LOST keeps the peer for 15 min after its last handshake).
 */
#ifndef TUNNELHOST_TUNNEL_CONTROL_H
#define TUNNELHOST_TUNNEL_CONTROL_H

#include "core/base/derp_map.h"
#include "core/base/id.h"
#include "core/base/log.h"
#include "core/base/loop.h"
#include "core/base/network.h"
#include "core/tunnel/node.h"

struct control;

/* Come from the loop; may call control_disconnect, not control_free. */
struct control_events {
	/* The coordinate socket is up (each time). */
	void (*on_connected)(void *user);
	/* The agent's node is programmed: handshakes may go out. */
	void (*on_peer)(void *user);
	/* It is another process under the old id: no stream has survived. */
	void (*on_peer_restarted)(void *user);
	/* The agent left, in order or unheard, and may not come back. */
	void (*on_peer_left)(void *user);
	void (*on_derp_map)(void *user, const struct derp_map *map);
	/* Dialling again cannot mend it. Once; nothing follows. */
	void (*on_fatal)(void *user, const struct error *error);
	/* After control_disconnect(): Disconnect was said, or it was not to be. */
	void (*on_disconnected)(void *user);
};

struct control_config {
	struct loop *loop;
	struct network *network;
	struct rng *rng;
	struct log *log;
	const char *url;		/* of the deployment; copied */
	const struct http_header *headers;	/* the token's among them */
	size_t header_count;		/* borrowed until control_free() */
	struct uuid agent_id;
	struct node *node;		/* borrowed, outlives this */
	const uint8_t (*addresses)[16];	/* the own ones; copied */
	size_t address_count;
	const struct control_events *events;
	void *user;
};

/* Begins to dial. 0, ERR_NOMEM, ERR_MISUSE or what is wrong with the URL. */
int control_new(const struct control_config *config, struct control **out,
		struct error *error);
/* The node's description is new: the coordinator hears it. */
void control_announce(struct control *control);
/* Says goodbye and waits for the coordinator; on_disconnected comes once. */
void control_disconnect(struct control *control);
/* At once; Disconnect still leaves if there is a session. NULL is allowed. */
void control_free(struct control *control);

#endif
