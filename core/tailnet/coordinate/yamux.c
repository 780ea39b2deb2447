#include "core/tailnet/coordinate/yamux.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/cursor.h"
#include "core/base/list.h"

/*
 * Frame (protocol.md "Coordinate"), all big-endian:
 *
 *   version u8 = 0, type u8, flags u16, stream u32, length u32
 *
 * `length` is the body's length in a data frame (the body follows), the
 * window's growth in an update, the opaque value in a ping, the reason in a
 * go-away. A stream opens with SYN on any frame and is acknowledged with ACK.
 */

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

enum go_away {
	GO_AWAY_NORMAL = 0,
	GO_AWAY_PROTOCOL = 1,
	GO_AWAY_INTERNAL = 2,
};

/* Data waits in its stream while this much output waits: replies pass it. */
#define OUTPUT_DATA_CAP (YAMUX_OUTPUT_CAP / 2)

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
	uint8_t header[YAMUX_HEADER_LEN];
	size_t header_len;
	size_t body_left;
	struct yamux_stream *body_stream;	/* NULL: body is dropped */
	bool body_fin;		/* the frame's FIN counts after its body */
	unsigned depth;		/* no stream is freed while a call is inside */
	struct error ended;
};

struct frame {
	uint8_t version;
	uint8_t type;
	uint16_t flags;
	uint32_t id;
	uint32_t length;
};

static int put_frame(struct yamux *y, enum frame_type type, unsigned flags,
		     uint32_t id, uint32_t length)
{
	uint8_t header[YAMUX_HEADER_LEN];
	struct writer w = writer_of(header, sizeof(header));

	write_u8(&w, 0);
	write_u8(&w, (uint8_t)type);
	write_u16(&w, (uint16_t)flags);
	write_u32(&w, id);
	write_u32(&w, length);
	if (y->out.len == 0)
		y->progress_us = y->now_us;
	return buf_append(&y->out, header, sizeof(header));
}

static void end_session(struct yamux *y, const struct error *error)
{
	if (y->ended.code)
		return;
	y->ended = *error;
	if (error->code == ERR_PROTOCOL || error->code == ERR_TOO_LARGE)
		(void)put_frame(y, FRAME_GO_AWAY, 0, 0, GO_AWAY_PROTOCOL);
}

static void __attribute__((format(printf, 3, 4)))
end_with(struct yamux *y, int code, const char *format, ...)
{
	struct error error = { .code = code };
	char message[ERROR_MESSAGE_CAP];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	error_set(&error, code, "yamux: %s", message);
	end_session(y, &error);
}

/* Control frames are few; a peer that asks for more than we can say is cut. */
static void put_control(struct yamux *y, enum frame_type type, unsigned flags,
			uint32_t id, uint32_t length)
{
	if (put_frame(y, type, flags, id, length) < 0)
		end_with(y, ERR_LIMIT, "%zu bytes of output wait, cap %u",
			 y->out.len, YAMUX_OUTPUT_CAP);
}

static int ended_error(const struct yamux *y, struct error *error)
{
	if (y->ended.code && error)
		*error = y->ended;
	return y->ended.code;
}

/* Streams. */

static struct yamux_stream *stream_find(struct yamux *y, uint32_t id)
{
	list_each(at, safe, &y->streams) {
		struct yamux_stream *s =
			container_of(at, struct yamux_stream, link);

		if (s->id == id)
			return s;
	}
	return NULL;
}

static struct yamux_stream *stream_new(struct yamux *y, uint32_t id)
{
	struct yamux_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->yamux = y;
	s->id = id;
	s->held = true;
	s->recv_window = YAMUX_WINDOW;
	s->send_window = YAMUX_WINDOW;
	s->deadline = DEADLINE_NONE;
	buf_init(&s->send, YAMUX_SEND_CAP);
	list_add_tail(&y->streams, &s->link);
	y->stream_count++;
	return s;
}

static void stream_free(struct yamux_stream *s)
{
	struct yamux *y = s->yamux;

	if (y->body_stream == s)
		y->body_stream = NULL;
	list_remove(&s->link);
	y->stream_count--;
	buf_clear(&s->send);
	free(s);
}

static bool stream_over(const struct yamux_stream *s)
{
	return !s->held && (s->reset || (s->fin_sent && s->fin_received));
}

/* One data frame, if window and output allow. Whether one went. */
static bool stream_send_data(struct yamux_stream *s)
{
	struct yamux *y = s->yamux;
	size_t len = s->send.len;

	if (len > YAMUX_DATA_CAP)
		len = YAMUX_DATA_CAP;
	if (len > s->send_window)
		len = s->send_window;
	if (len == 0 || s->reset ||
	    y->out.len + len + YAMUX_HEADER_LEN > OUTPUT_DATA_CAP)
		return false;
	if (put_frame(y, FRAME_DATA, 0, s->id, (uint32_t)len) < 0 ||
	    buf_append(&y->out, buf_data(&s->send), len) < 0) {
		/* A frame cut in half cannot be taken back. */
		end_with(y, ERR_NOMEM, "no memory for output");
		return false;
	}
	buf_consume(&s->send, len);
	s->send_window -= (uint32_t)len;
	return true;
}

static void stream_send_fin(struct yamux_stream *s)
{
	if (s->held || s->fin_sent || s->reset || s->send.len)
		return;
	s->fin_sent = true;
	put_control(s->yamux, FRAME_WINDOW, FLAG_FIN, s->id, 0);
}

/* Moves data to the output, a frame of each stream in turn; buries the dead. */
static void pump(struct yamux *y)
{
	bool moved = true;

	while (moved && !y->ended.code) {
		moved = false;
		list_each(at, safe, &y->streams)
			moved |= stream_send_data(
				container_of(at, struct yamux_stream, link));
	}
	list_each(at, safe, &y->streams) {
		struct yamux_stream *s =
			container_of(at, struct yamux_stream, link);

		stream_send_fin(s);
		if (y->depth == 0 && stream_over(s))
			stream_free(s);
	}
}

static void stream_ended(struct yamux_stream *s, int err)
{
	if (s->held)
		s->yamux->events->on_end(s->yamux->user, s, err);
}

/* What the peer sends. */

static void refuse_stream(struct yamux *y, uint32_t id)
{
	put_control(y, FRAME_WINDOW, FLAG_RST, id, 0);
}

static void accept_stream(struct yamux *y, uint32_t id)
{
	bool parity_odd = y->role == YAMUX_SERVER;
	struct yamux_stream *s;

	if (id == 0 || (id % 2 == 1) != parity_odd ||
	    id <= y->last_remote_id) {
		end_with(y, ERR_PROTOCOL, "peer opened stream %u after %u", id,
			 y->last_remote_id);
		return;
	}
	y->last_remote_id = id;
	if (y->local_go_away || !y->events->on_accept ||
	    y->stream_count >= YAMUX_STREAM_CAP) {
		refuse_stream(y, id);
		return;
	}
	s = stream_new(y, id);
	if (!s) {
		end_with(y, ERR_NOMEM, "no memory for a stream");
		return;
	}
	if (!y->events->on_accept(y->user, s)) {
		s->held = false;
		s->reset = true;
		refuse_stream(y, id);
		return;
	}
	if (!s->reset)
		put_control(y, FRAME_WINDOW, FLAG_ACK, id, 0);
}

static void stream_flags(struct yamux_stream *s, unsigned flags)
{
	if ((flags & FLAG_ACK) && s->held)
		s->deadline = DEADLINE_NONE;
	if ((flags & FLAG_RST) && !s->reset) {
		s->reset = true;
		buf_clear(&s->send);
		if (!s->fin_received)
			stream_ended(s, ERR_RESET);
		return;
	}
	if (!(flags & FLAG_FIN) || s->reset)
		return;
	if (s->fin_received) {
		end_with(s->yamux, ERR_PROTOCOL, "second FIN on stream %u",
			 s->id);
		return;
	}
	s->fin_received = true;
	stream_ended(s, 0);
}

static void stream_window(struct yamux_stream *s, uint32_t growth)
{
	if (growth > UINT32_MAX - s->send_window) {
		end_with(s->yamux, ERR_PROTOCOL,
			 "window of stream %u grows beyond 4 GiB", s->id);
		return;
	}
	s->send_window += growth;
}

static void stream_frame(struct yamux *y, const struct frame *f)
{
	struct yamux_stream *s = stream_find(y, f->id);
	bool data = f->type == FRAME_DATA;
	uint32_t window = s ? s->recv_window : YAMUX_WINDOW;

	if (data && f->length > window) {
		end_with(y, ERR_PROTOCOL,
			 "%u bytes on stream %u, its window is %u", f->length,
			 f->id, window);
		return;
	}
	if (data) {
		y->body_left = f->length;
		y->body_stream = s;
		y->body_fin = f->length && (f->flags & FLAG_FIN);
	}
	if (!s)
		return;
	if (data && f->length && s->fin_received) {
		end_with(y, ERR_PROTOCOL, "data after FIN on stream %u",
			 s->id);
		return;
	}
	if (!data)
		stream_window(s, f->length);
	stream_flags(s, data && y->body_fin ? f->flags & ~(unsigned)FLAG_FIN :
					      f->flags);
}

static void handle_ping(struct yamux *y, const struct frame *f)
{
	if (f->flags & FLAG_SYN) {
		put_control(y, FRAME_PING, FLAG_ACK, 0, f->length);
		return;
	}
	if (!y->ping_waiting || f->length != y->ping_id)
		return;
	y->ping_waiting = false;
	y->ping_id++;
	y->ping_deadline = y->now_us + YAMUX_KEEPALIVE_US;
}

static void handle_go_away(struct yamux *y, const struct frame *f)
{
	if (f->length == GO_AWAY_NORMAL)
		y->remote_go_away = true;
	else
		end_with(y, ERR_CLOSED, "the peer gave up: %s (%u)",
			 f->length == GO_AWAY_PROTOCOL ? "protocol error" :
			 f->length == GO_AWAY_INTERNAL ? "internal error" :
							 "unknown reason",
			 f->length);
}

static void handle_frame(struct yamux *y, const struct frame *f)
{
	if (f->version != 0 || f->type > FRAME_GO_AWAY) {
		end_with(y, ERR_PROTOCOL, "version %u, frame type %u",
			 f->version, f->type);
		return;
	}
	switch ((enum frame_type)f->type) {
	case FRAME_DATA:
	case FRAME_WINDOW:
		if (f->flags & FLAG_SYN)
			accept_stream(y, f->id);
		if (!y->ended.code)
			stream_frame(y, f);
		break;
	case FRAME_PING:
		handle_ping(y, f);
		break;
	case FRAME_GO_AWAY:
		handle_go_away(y, f);
		break;
	}
}

static size_t take_header(struct yamux *y, const uint8_t *data, size_t len)
{
	size_t need = YAMUX_HEADER_LEN - y->header_len;
	struct cursor c = cursor_of(y->header, YAMUX_HEADER_LEN);
	struct frame f;

	if (len > need)
		len = need;
	memcpy(y->header + y->header_len, data, len);
	y->header_len += len;
	if (y->header_len < YAMUX_HEADER_LEN)
		return len;
	y->header_len = 0;
	f.version = cursor_u8(&c);
	f.type = cursor_u8(&c);
	f.flags = cursor_u16(&c);
	f.id = cursor_u32(&c);
	f.length = cursor_u32(&c);
	handle_frame(y, &f);
	return len;
}

/* Everything is handed on at once, so all of the window can be given back. */
static void reopen_window(struct yamux_stream *s)
{
	uint32_t growth = YAMUX_WINDOW - s->recv_window;

	if (growth < YAMUX_WINDOW / 2 || s->reset || s->fin_received)
		return;
	s->recv_window += growth;
	put_control(s->yamux, FRAME_WINDOW, 0, s->id, growth);
}

static size_t take_body(struct yamux *y, const uint8_t *data, size_t len)
{
	struct yamux_stream *s = y->body_stream;

	if (len > y->body_left)
		len = y->body_left;
	y->body_left -= len;
	if (!s)
		return len;
	s->recv_window -= (uint32_t)len;
	if (s->held && !s->reset)
		y->events->on_data(y->user, s, data, len);
	reopen_window(s);
	if (y->body_left == 0 && y->body_fin)
		stream_flags(s, FLAG_FIN);
	return len;
}

/* The deadlines. */

uint64_t yamux_next_deadline(const struct yamux *y)
{
	uint64_t deadline = y->ping_deadline;

	if (y->ended.code)
		return DEADLINE_NONE;
	if (y->out.len)
		deadline = deadline_min(deadline, y->progress_us +
						  YAMUX_WRITE_TIMEOUT_US);
	list_each(at, safe, &y->streams)
		deadline = deadline_min(
			deadline,
			container_of(at, struct yamux_stream, link)->deadline);
	return deadline;
}

static void tick_ping(struct yamux *y)
{
	if (y->now_us < y->ping_deadline)
		return;
	if (y->ping_waiting) {
		end_with(y, ERR_TIMEOUT, "no answer to a ping for %llu s",
			 YAMUX_WRITE_TIMEOUT_US / US_PER_S);
		return;
	}
	y->ping_waiting = true;
	y->ping_deadline = y->now_us + YAMUX_WRITE_TIMEOUT_US;
	put_control(y, FRAME_PING, FLAG_SYN, 0, y->ping_id);
}

static void tick_stream(struct yamux_stream *s)
{
	struct yamux *y = s->yamux;

	if (y->now_us < s->deadline || y->ended.code)
		return;
	s->deadline = DEADLINE_NONE;
	if (s->held) {
		end_with(y, ERR_TIMEOUT, "stream %u is not acknowledged",
			 s->id);
		return;
	}
	s->reset = true;
	put_control(y, FRAME_WINDOW, FLAG_RST, s->id, 0);
}

int yamux_tick(struct yamux *y, uint64_t now_us, struct error *error)
{
	y->now_us = now_us;
	if (y->ended.code)
		return ended_error(y, error);
	if (y->out.len && now_us >= y->progress_us + YAMUX_WRITE_TIMEOUT_US)
		end_with(y, ERR_TIMEOUT, "nothing could be sent for %llu s",
			 YAMUX_WRITE_TIMEOUT_US / US_PER_S);
	if (!y->ended.code)
		tick_ping(y);
	list_each(at, safe, &y->streams)
		tick_stream(container_of(at, struct yamux_stream, link));
	pump(y);
	return ended_error(y, error);
}

/* The owner's side. */

int yamux_new(enum yamux_role role, const struct yamux_events *events,
	      void *user, uint64_t now_us, struct yamux **out)
{
	struct yamux *y = calloc(1, sizeof(*y));

	if (!y)
		return ERR_NOMEM;
	y->role = role;
	y->events = events;
	y->user = user;
	y->now_us = now_us;
	y->next_id = role == YAMUX_CLIENT ? 1 : 2;
	y->ping_deadline = now_us + YAMUX_KEEPALIVE_US;
	list_init(&y->streams);
	buf_init(&y->out, YAMUX_OUTPUT_CAP);
	*out = y;
	return 0;
}

void yamux_free(struct yamux *y)
{
	if (!y)
		return;
	list_each(at, safe, &y->streams)
		stream_free(container_of(at, struct yamux_stream, link));
	buf_clear(&y->out);
	free(y);
}

void yamux_set_now(struct yamux *y, uint64_t now_us)
{
	y->now_us = now_us;
}

int yamux_in(struct yamux *y, const void *data, size_t len, uint64_t now_us,
	     struct error *error)
{
	const uint8_t *at = data;

	y->now_us = now_us;
	y->depth++;
	while (len && !y->ended.code) {
		size_t took = y->body_left ? take_body(y, at, len) :
					     take_header(y, at, len);

		at += took;
		len -= took;
	}
	y->depth--;
	pump(y);
	return ended_error(y, error);
}

size_t yamux_output(const struct yamux *y, const uint8_t **data)
{
	*data = y->out.len ? buf_data(&y->out) : NULL;
	return y->out.len;
}

void yamux_sent(struct yamux *y, size_t len, uint64_t now_us)
{
	y->now_us = now_us;
	if (len)
		y->progress_us = now_us;
	buf_consume(&y->out, len);
	pump(y);
}

void yamux_go_away(struct yamux *y)
{
	if (y->local_go_away || y->ended.code)
		return;
	y->local_go_away = true;
	put_control(y, FRAME_GO_AWAY, 0, 0, GO_AWAY_NORMAL);
}

size_t yamux_stream_count(const struct yamux *y)
{
	return y->stream_count;
}

int yamux_open(struct yamux *y, void *user, struct yamux_stream **out)
{
	struct yamux_stream *s;

	if (y->ended.code || y->remote_go_away)
		return ERR_CLOSED;
	if (y->stream_count >= YAMUX_STREAM_CAP || y->next_id > UINT32_MAX - 2)
		return ERR_LIMIT;
	s = stream_new(y, y->next_id);
	if (!s)
		return ERR_NOMEM;
	y->next_id += 2;
	s->user = user;
	s->deadline = y->now_us + YAMUX_OPEN_TIMEOUT_US;
	put_control(y, FRAME_WINDOW, FLAG_SYN, s->id, 0);
	*out = s;
	return 0;
}

void yamux_stream_set_user(struct yamux_stream *s, void *user)
{
	s->user = user;
}

void *yamux_stream_user(const struct yamux_stream *s)
{
	return s->user;
}

uint32_t yamux_stream_id(const struct yamux_stream *s)
{
	return s->id;
}

int yamux_write(struct yamux_stream *s, const void *data, size_t len)
{
	int err;

	if (s->yamux->ended.code)
		return ERR_CLOSED;
	if (s->reset)
		return ERR_RESET;
	err = buf_append(&s->send, data, len);
	if (err == 0)
		pump(s->yamux);
	return err;
}

void yamux_close(struct yamux_stream *s)
{
	s->held = false;
	s->deadline = s->yamux->now_us + YAMUX_CLOSE_TIMEOUT_US;
	pump(s->yamux);
}

void yamux_reset(struct yamux_stream *s)
{
	struct yamux *y = s->yamux;

	s->held = false;
	buf_clear(&s->send);
	if (!s->reset) {
		s->reset = true;
		put_control(y, FRAME_WINDOW, FLAG_RST, s->id, 0);
	}
	pump(y);
}
