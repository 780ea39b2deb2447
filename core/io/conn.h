/*
 * core/io/conn.h: a channel (core/base/channel.h) on libwebsockets.
 *
 * WebSocket or raw bytes after an upgrade, client or server: the same once
 * it is open. client.c and server.c bring it there.
 */
#ifndef TUNNELHOST_IO_CONN_H
#define TUNNELHOST_IO_CONN_H

#include "core/base/buf.h"
#include "core/io/internal.h"
#include "core/io/outq.h"

#define CONN_MESSAGE_CAP (1024u * 1024)	/* when the owner names none */
#define CONN_QUEUE_CAP (1024u * 1024)
#define CONN_REASON_CAP 124		/* RFC 6455, section 5.5: 125 with code */

struct conn;

struct conn_config {
	enum channel_kind kind;
	size_t message_cap;
	size_t queue_cap;
	const struct channel_events *events;
	void *user;
};

struct conn {
	struct sock sock;
	struct channel channel;
	struct io_object object;
	struct io *io;
	struct lws *wsi;		/* NULL: none yet, or gone */
	enum channel_kind kind;
	/*
	 * A server says what it sends with its first message: JSON objects go
	 * as text, all else as binary (server.h has no word for it).
	 */
	bool kind_by_content;
	const struct channel_events *events;
	void *user;
	bool open;
	bool owned;			/* on_close still to come */
	bool leaving;			/* closes once the queue is empty */
	bool said_goodbye;
	bool paused;
	bool was_full;
	struct outq out;
	struct buf in;			/* a message in pieces */
	size_t message_cap;
	int close_code;			/* ours while leaving, else the peer's */
	char close_reason[CONN_REASON_CAP];
	struct error error;
	struct timer timer;		/* to open, later to leave */
	struct task task;
	/* The opener's; called to undo an opening, may be NULL. */
	void (*abandon)(struct conn *conn);
	void *opener;
};

struct conn *conn_new(struct io *io, const struct conn_config *config);
/* The connection is up: binds them, on_open. Nonzero closes. */
int conn_opened(struct conn *conn, struct lws *wsi);
/* Binds a connection that is to be opened later by conn_opened(). */
void conn_bind(struct conn *conn, struct lws *wsi);
/* Ends it: on_close if still owned; `end` NULL means conn->error. */
void conn_end(struct conn *conn, const struct channel_end *end);
/* For the opener once a time-out or a failure is known; frees. */
void conn_fail(struct conn *conn, const struct channel_end *end);
/* All of a vhost, each with its on_close. */
struct io_server;
void conn_end_all(struct io *io, const struct io_server *server);
/* Bytes for a byte channel that were read with the head. */
int conn_receive_raw(struct conn *conn, const uint8_t *data, size_t len);

#endif
