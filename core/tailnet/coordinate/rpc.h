/*
 * core/tailnet/coordinate/rpc.h: one RPC on one yamux stream, either end.
 *
 * Joins a yamux stream and the DRPC packets in it (drpcstream/stream.go,
 * drpcconn/conn.go, drpcmux/handle_rpc.go): counts message ids, knows which
 * packets may come when, and reports how the call ended, once. It knows no
 * message's meaning.
 */
#ifndef TUNNELHOST_COORDINATE_RPC_H
#define TUNNELHOST_COORDINATE_RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/tailnet/coordinate/drpc.h"
#include "core/tailnet/coordinate/yamux.h"

#define RPC_PATH_CAP 128
#define RPC_PATH "/coder.tailnet.v2.Tailnet/"

struct rpc;

struct rpc_end {
	struct error error;	/* code 0: Close, or CloseSend, or FIN */
	uint64_t code;		/* of a DRPC Error, e.g. 12 unimplemented */
};

struct rpc_events {
	/* Server end: the RPC's path, NUL-terminated. */
	void (*on_invoke)(struct rpc *rpc, const char *path);
	void (*on_message)(struct rpc *rpc, const uint8_t *data, size_t len);
	/* The peer sends no more messages, ours may still go. May be NULL. */
	void (*on_close_send)(struct rpc *rpc);
	/*
	 * The call is over; not after rpc_hang_up(). To a client, the server's
	 * CloseSend is the end too.
	 */
	void (*on_end)(struct rpc *rpc, const struct rpc_end *end);
};

/* Embedded in its owner; zeroed or hung up, it is idle. */
struct rpc {
	struct yamux_stream *stream;	/* NULL: idle */
	const struct rpc_events *events;
	void *user;
	struct drpc_reader reader;
	uint64_t drpc_stream;	/* 0 in a server before Invoke */
	uint64_t message;	/* last message id sent */
	bool client;
	bool send_closed;
	bool ended;
	bool busy;		/* inside rpc_data() */
};

/* Opens a stream for a call and queues nothing yet. As yamux_open(). */
int rpc_open(struct rpc *rpc, struct yamux *yamux,
	     const struct rpc_events *events, void *user);
/* The server end, on a stream just accepted. */
void rpc_accept(struct rpc *rpc, struct yamux_stream *stream,
		const struct rpc_events *events, void *user);

/* To be called from the yamux callbacks of the stream. */
void rpc_data(struct rpc *rpc, const uint8_t *data, size_t len);
void rpc_stream_end(struct rpc *rpc, int err);

/* Each 0, ERR_CLOSED, ERR_TOO_LARGE, ERR_LIMIT or ERR_NOMEM. */
int rpc_invoke(struct rpc *rpc, const char *path);
int rpc_message(struct rpc *rpc, const void *data, size_t len);
int rpc_close_send(struct rpc *rpc);
int rpc_error(struct rpc *rpc, uint64_t code, const char *text);
/* Close, if the call is not over, and FIN; idle afterwards, no callbacks. */
void rpc_hang_up(struct rpc *rpc);
/* The same without a word: for when the session has ended anyway. */
void rpc_drop(struct rpc *rpc);

#endif
