#include "core/tailnet/coordinate/yamux.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cursor.h"
#include "core/tailnet/coordinate/yamux_parts.h"

enum go_away {
	GO_AWAY_NORMAL = 0,
	GO_AWAY_PROTOCOL = 1,
	GO_AWAY_INTERNAL = 2,
};

struct frame {
	uint8_t version;
	uint8_t type;
	uint16_t flags;
	uint32_t id;
	uint32_t length;
};

int yamux_put_frame(struct yamux *y, enum frame_type type, unsigned flags,
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
		(void)yamux_put_frame(y, FRAME_GO_AWAY, 0, 0, GO_AWAY_PROTOCOL);
}

void yamux_end_with(struct yamux *y, int code, const char *format, ...)
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

void yamux_put_control(struct yamux *y, enum frame_type type, unsigned flags,
		       uint32_t id, uint32_t length)
{
	if (yamux_put_frame(y, type, flags, id, length) < 0)
		yamux_end_with(y, ERR_LIMIT, "%zu bytes of output wait, cap %u",
			       y->out.len, YAMUX_OUTPUT_CAP);
}

static int ended_error(const struct yamux *y, struct error *error)
{
	if (y->ended.code && error)
		*error = y->ended;
	return y->ended.code;
}

/* What the peer sends. */

static void refuse_stream(struct yamux *y, uint32_t id)
{
	yamux_put_control(y, FRAME_WINDOW, FLAG_RST, id, 0);
}

static void accept_stream(struct yamux *y, uint32_t id)
{
	bool parity_odd = y->role == YAMUX_SERVER;
	struct yamux_stream *s;

	if (id == 0 || (id % 2 == 1) != parity_odd ||
	    id <= y->last_remote_id) {
		yamux_end_with(y, ERR_PROTOCOL,
			       "peer opened stream %u after %u", id,
			       y->last_remote_id);
		return;
	}
	y->last_remote_id = id;
	if (y->local_go_away || !y->events->on_accept ||
	    y->stream_count >= YAMUX_STREAM_CAP) {
		refuse_stream(y, id);
		return;
	}
	s = yamux_stream_new(y, id);
	if (!s) {
		yamux_end_with(y, ERR_NOMEM, "no memory for a stream");
		return;
	}
	if (!y->events->on_accept(y->user, s)) {
		s->held = false;
		s->reset = true;
		refuse_stream(y, id);
		return;
	}
	if (!s->reset)
		yamux_put_control(y, FRAME_WINDOW, FLAG_ACK, id, 0);
}

static void stream_flags(struct yamux_stream *s, unsigned flags)
{
	if ((flags & FLAG_ACK) && s->held)
		s->deadline = DEADLINE_NONE;
	if ((flags & FLAG_RST) && !s->reset) {
		s->reset = true;
		buf_clear(&s->send);
		if (!s->fin_received)
			yamux_stream_ended(s, ERR_RESET);
		return;
	}
	if (!(flags & FLAG_FIN) || s->reset)
		return;
	if (s->fin_received) {
		yamux_end_with(s->yamux, ERR_PROTOCOL,
			       "second FIN on stream %u", s->id);
		return;
	}
	s->fin_received = true;
	yamux_stream_ended(s, 0);
}

static void stream_window(struct yamux_stream *s, uint32_t growth)
{
	if (growth > UINT32_MAX - s->send_window) {
		yamux_end_with(s->yamux, ERR_PROTOCOL,
			       "window of stream %u grows beyond 4 GiB", s->id);
		return;
	}
	s->send_window += growth;
}

static void stream_frame(struct yamux *y, const struct frame *f)
{
	struct yamux_stream *s = yamux_stream_find(y, f->id);
	bool data = f->type == FRAME_DATA;
	uint32_t window = s ? s->recv_window : YAMUX_WINDOW;

	if (data && f->length > window) {
		yamux_end_with(y, ERR_PROTOCOL,
			       "%u bytes on stream %u, its window is %u",
			       f->length, f->id, window);
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
		yamux_end_with(y, ERR_PROTOCOL, "data after FIN on stream %u",
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
		yamux_put_control(y, FRAME_PING, FLAG_ACK, 0, f->length);
		return;
	}
	if (!y->ping_waiting || f->length != y->ping_id)
		return;
	y->ping_waiting = false;
	y->ping_id++;
	y->ping_deadline = y->now_us + YAMUX_KEEPALIVE_US;
}

static const char *go_away_name(uint32_t reason)
{
	if (reason == GO_AWAY_PROTOCOL)
		return "protocol error";
	return reason == GO_AWAY_INTERNAL ? "internal error" : "unknown reason";
}

static void handle_go_away(struct yamux *y, const struct frame *f)
{
	if (f->length == GO_AWAY_NORMAL)
		y->remote_go_away = true;
	else
		yamux_end_with(y, ERR_CLOSED, "the peer gave up: %s (%u)",
			       go_away_name(f->length), f->length);
}

static void handle_frame(struct yamux *y, const struct frame *f)
{
	if (f->version != 0 || f->type > FRAME_GO_AWAY) {
		yamux_end_with(y, ERR_PROTOCOL, "version %u, frame type %u",
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
	yamux_put_control(s->yamux, FRAME_WINDOW, 0, s->id, growth);
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

static void send_ping(struct yamux *y, uint64_t within_us)
{
	y->ping_waiting = true;
	y->pinged_us = y->now_us;
	y->ping_deadline = y->now_us + within_us;
	yamux_put_control(y, FRAME_PING, FLAG_SYN, 0, y->ping_id);
}

static void tick_ping(struct yamux *y)
{
	if (y->now_us < y->ping_deadline)
		return;
	if (y->ping_waiting) {
		yamux_end_with(y, ERR_TIMEOUT, "no answer to a ping for %llu s",
			       (unsigned long long)((y->now_us - y->pinged_us) /
						    US_PER_S));
		return;
	}
	send_ping(y, YAMUX_WRITE_TIMEOUT_US);
}

void yamux_probe(struct yamux *y, uint64_t within_us, uint64_t now_us)
{
	y->now_us = now_us;
	if (y->ended.code)
		return;
	if (!y->ping_waiting)
		send_ping(y, within_us);
	y->ping_deadline = deadline_min(y->ping_deadline, now_us + within_us);
	yamux_pump(y);
}

static void tick_stream(struct yamux_stream *s)
{
	struct yamux *y = s->yamux;

	if (y->now_us < s->deadline || y->ended.code)
		return;
	s->deadline = DEADLINE_NONE;
	if (s->held) {
		yamux_end_with(y, ERR_TIMEOUT, "stream %u is not acknowledged",
			       s->id);
		return;
	}
	s->reset = true;
	yamux_put_control(y, FRAME_WINDOW, FLAG_RST, s->id, 0);
}

int yamux_tick(struct yamux *y, uint64_t now_us, struct error *error)
{
	y->now_us = now_us;
	if (y->ended.code)
		return ended_error(y, error);
	if (y->out.len && now_us >= y->progress_us + YAMUX_WRITE_TIMEOUT_US)
		yamux_end_with(y, ERR_TIMEOUT,
			       "nothing could be sent for %llu s",
			       YAMUX_WRITE_TIMEOUT_US / US_PER_S);
	if (!y->ended.code)
		tick_ping(y);
	list_each(at, safe, &y->streams)
		tick_stream(container_of(at, struct yamux_stream, link));
	yamux_pump(y);
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
		yamux_stream_free(container_of(at, struct yamux_stream, link));
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
	while (len && !y->ended.code) {
		size_t took;

		y->depth++;
		took = y->body_left ? take_body(y, at, len) :
				      take_header(y, at, len);
		y->depth--;
		at += took;
		len -= took;
		/* A stream that is over is so wherever the bytes are cut. */
		yamux_sweep(y);
	}
	yamux_pump(y);
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
	yamux_pump(y);
}

void yamux_go_away(struct yamux *y)
{
	if (y->local_go_away || y->ended.code)
		return;
	y->local_go_away = true;
	yamux_put_control(y, FRAME_GO_AWAY, 0, 0, GO_AWAY_NORMAL);
}

size_t yamux_stream_count(const struct yamux *y)
{
	return y->stream_count;
}
