/*
 * core/tailnet/coordinate/yamux_parts.h: inside of a yamux session.
 *
 * For yamux.c (the session: what comes in, deadlines) and yamux_stream.c
 * (the streams: what goes out) alone.
 *
 * Frame (protocol.md "Coordinate"), all big-endian:
 *
 *   version u8 = 0, type u8, flags u16, stream u32, length u32
 *
 * `length` is the body's length in a data frame (the body follows), the
 * window's growth in an update, the opaque value in a ping, the reason in a
 * go-away. A stream opens with SYN on any frame and is acknowledged with ACK.
 */
#ifndef TUNNELHOST_COORDINATE_YAMUX_PARTS_H
#define TUNNELHOST_COORDINATE_YAMUX_PARTS_H

#include "core/base/buf.h"
#include "core/base/list.h"
#include "core/tailnet/coordinate/yamux.h"

enum frame_type {
	FRAME_DATA = 0,
	FRAME_WINDOW = 1,
	FRAME_PING = 2,
	FRAME_GO_AWAY = 3,
};

enum frame_flags {
	FLAG_SYN = 1,
	FLAG_ACK = 2,
	FLAG_FIN = 4,
	FLAG_RST = 8,
};

struct yamux_stream {
	struct list link;
	struct yamux *yamux;
	void *user;
	uint32_t id;
	uint32_t recv_window;
	uint32_t send_window;
	bool held;		/* by the owner; else it is only dying */
	bool fin_sent;
	bool fin_received;
	bool reset;		/* by either side */
	uint64_t deadline;	/* to be acknowledged, or to have closed */
	struct buf send;
};

struct yamux {
	enum yamux_role role;
	const struct yamux_events *events;
	void *user;
	uint64_t now_us;
	struct list streams;
	size_t stream_count;
	uint32_t next_id;
	uint32_t last_remote_id;
	bool local_go_away;
	bool remote_go_away;
	struct buf out;
	uint64_t progress_us;	/* output began to wait, or last moved */
	uint64_t ping_deadline;	/* when to ping, or until when to be answered */
	uint32_t ping_id;
	bool ping_waiting;
	uint64_t pinged_us;
	uint8_t header[YAMUX_HEADER_LEN];
	size_t header_len;
	size_t body_left;
	struct yamux_stream *body_stream;	/* NULL: body is dropped */
	bool body_fin;		/* the frame's FIN counts after its body */
	unsigned depth;		/* no stream is freed while a call is inside */
	struct error ended;
};

/* The session. */

int yamux_put_frame(struct yamux *y, enum frame_type type, unsigned flags,
		    uint32_t id, uint32_t length);
/* The same; a peer that asks for more than we can say is cut off. */
void yamux_put_control(struct yamux *y, enum frame_type type, unsigned flags,
		       uint32_t id, uint32_t length);
/* Ends the session, once, with a go-away if the peer was wrong. */
void yamux_end_with(struct yamux *y, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The streams. */

struct yamux_stream *yamux_stream_find(struct yamux *y, uint32_t id);
/* NULL without memory. */
struct yamux_stream *yamux_stream_new(struct yamux *y, uint32_t id);
void yamux_stream_free(struct yamux_stream *s);
/* Tells the owner that nothing more will come. */
void yamux_stream_ended(struct yamux_stream *s, int err);
/* Frees the streams that are over, unless a callback is under way. */
void yamux_sweep(struct yamux *y);
/* Moves data to the output, a frame of each stream in turn; buries the dead. */
void yamux_pump(struct yamux *y);

#endif
