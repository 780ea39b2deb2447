/*
 * core/tailnet/coordinate/yamux.h: streams inside one byte stream.
 *
 * One session, either role, as hashicorp/yamux 0.1.2 speaks it (session.go,
 * stream.go, const.go; protocol.md "Coordinate"). Bytes in, bytes out; never
 * a socket or a clock. What arrives is handed on at once, so a receiver holds
 * no data and its window reopens as it reads; what is written waits in the
 * stream until the peer's window and the output have room.
 *
 * Callbacks come from yamux_in() and yamux_tick() only. They may open, write,
 * close and reset streams; they may not free the session.
 */
#ifndef TUNNELHOST_COORDINATE_YAMUX_H
#define TUNNELHOST_COORDINATE_YAMUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/time.h"

#define YAMUX_HEADER_LEN 12
#define YAMUX_WINDOW (256u * 1024u)
#define YAMUX_STREAM_CAP 64	/* streams of a session, dying ones too */
#define YAMUX_SEND_CAP (6u << 20)	/* unsent bytes of one stream */
#define YAMUX_OUTPUT_CAP (512u * 1024u)	/* encoded bytes nobody has taken */
#define YAMUX_DATA_CAP (64u * 1024u)	/* body of one data frame we send */
#define YAMUX_KEEPALIVE_US (30 * US_PER_S)
#define YAMUX_WRITE_TIMEOUT_US (10 * US_PER_S)	/* also for the pong */
#define YAMUX_OPEN_TIMEOUT_US (75 * US_PER_S)
#define YAMUX_CLOSE_TIMEOUT_US (300 * US_PER_S)

enum yamux_role {
	YAMUX_CLIENT,		/* opens odd streams */
	YAMUX_SERVER,		/* opens even streams */
};

struct yamux;
struct yamux_stream;

struct yamux_events {
	/* A stream by the peer; false refuses it (RST). NULL refuses all. */
	bool (*on_accept)(void *user, struct yamux_stream *stream);
	/* Bytes in order, borrowed. */
	void (*on_data)(void *user, struct yamux_stream *stream,
			const uint8_t *data, size_t len);
	/* Nothing more will come: 0 for FIN, ERR_RESET for RST. Once. */
	void (*on_end)(void *user, struct yamux_stream *stream, int err);
};

/* 0 or ERR_NOMEM; `*out` is owned. */
int yamux_new(enum yamux_role role, const struct yamux_events *events,
	      void *user, uint64_t now_us, struct yamux **out);
void yamux_free(struct yamux *yamux);

/*
 * Every entry point that sends first says what time it is, so that the
 * write time-out counts from there.
 */
void yamux_set_now(struct yamux *yamux, uint64_t now_us);

/*
 * Bytes from the peer, cut anywhere. 0, or what ended the session
 * (ERR_PROTOCOL, ERR_TOO_LARGE, ERR_LIMIT, ERR_NOMEM, ERR_CLOSED for the
 * peer's failure); then it stays ended, and what is left in the output is a
 * goodbye.
 */
int yamux_in(struct yamux *yamux, const void *data, size_t len,
	     uint64_t now_us, struct error *error);

/* What is to be sent, borrowed until the next call; its length, 0 for none. */
size_t yamux_output(const struct yamux *yamux, const uint8_t **data);
/* The owner passed on the first `len` bytes of it. */
void yamux_sent(struct yamux *yamux, size_t len, uint64_t now_us);

uint64_t yamux_next_deadline(const struct yamux *yamux);
/* 0, or ERR_TIMEOUT: no pong, no progress in sending, no acknowledgement. */
int yamux_tick(struct yamux *yamux, uint64_t now_us, struct error *error);
/* Pings now; no answer within that time ends the session. */
void yamux_probe(struct yamux *yamux, uint64_t within_us, uint64_t now_us);

/* Tells the peer to open nothing more. */
void yamux_go_away(struct yamux *yamux);
/* Streams that live or are dying. */
size_t yamux_stream_count(const struct yamux *yamux);

/*
 * Opens a stream. 0, ERR_LIMIT, ERR_CLOSED (ended or told to go away) or
 * ERR_NOMEM. The stream stays the session's; it lives until it is closed or
 * reset from this side, whatever the peer does.
 */
int yamux_open(struct yamux *yamux, void *user, struct yamux_stream **out);
void yamux_stream_set_user(struct yamux_stream *stream, void *user);
void *yamux_stream_user(const struct yamux_stream *stream);
uint32_t yamux_stream_id(const struct yamux_stream *stream);

/* All or nothing: 0, ERR_LIMIT, ERR_CLOSED, ERR_RESET or ERR_NOMEM. */
int yamux_write(struct yamux_stream *stream, const void *data, size_t len);
/* FIN after what was written. No more callbacks; the pointer is dead. */
void yamux_close(struct yamux_stream *stream);
/* RST, dropping what was written. No more callbacks; the pointer is dead. */
void yamux_reset(struct yamux_stream *stream);

#endif
