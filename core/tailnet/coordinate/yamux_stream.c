#include <stdlib.h>

#include "core/tailnet/coordinate/yamux_parts.h"

/* Data waits in its stream while this much output waits: replies pass it. */
#define OUTPUT_DATA_CAP (YAMUX_OUTPUT_CAP / 2)

struct yamux_stream *yamux_stream_find(struct yamux *y, uint32_t id)
{
	list_each(at, safe, &y->streams) {
		struct yamux_stream *s =
			container_of(at, struct yamux_stream, link);

		if (s->id == id)
			return s;
	}
	return NULL;
}

struct yamux_stream *yamux_stream_new(struct yamux *y, uint32_t id)
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

void yamux_stream_free(struct yamux_stream *s)
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
	if (yamux_put_frame(y, FRAME_DATA, 0, s->id, (uint32_t)len) < 0 ||
	    buf_append(&y->out, buf_data(&s->send), len) < 0) {
		/* A frame cut in half cannot be taken back. */
		yamux_end_with(y, ERR_NOMEM, "no memory for output");
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
	yamux_put_control(s->yamux, FRAME_WINDOW, FLAG_FIN, s->id, 0);
}

void yamux_sweep(struct yamux *y)
{
	if (y->depth > 0)
		return;
	list_each(at, safe, &y->streams) {
		struct yamux_stream *s =
			container_of(at, struct yamux_stream, link);

		if (stream_over(s))
			yamux_stream_free(s);
	}
}

void yamux_pump(struct yamux *y)
{
	bool moved = true;

	while (moved && !y->ended.code) {
		moved = false;
		list_each(at, safe, &y->streams)
			moved |= stream_send_data(
				container_of(at, struct yamux_stream, link));
	}
	list_each(at, safe, &y->streams)
		stream_send_fin(container_of(at, struct yamux_stream, link));
	yamux_sweep(y);
}

void yamux_stream_ended(struct yamux_stream *s, int err)
{
	if (s->held)
		s->yamux->events->on_end(s->yamux->user, s, err);
}

int yamux_open(struct yamux *y, void *user, struct yamux_stream **out)
{
	struct yamux_stream *s;

	if (y->ended.code || y->remote_go_away)
		return ERR_CLOSED;
	if (y->stream_count >= YAMUX_STREAM_CAP || y->next_id > UINT32_MAX - 2)
		return ERR_LIMIT;
	s = yamux_stream_new(y, y->next_id);
	if (!s)
		return ERR_NOMEM;
	y->next_id += 2;
	s->user = user;
	s->deadline = y->now_us + YAMUX_OPEN_TIMEOUT_US;
	yamux_put_control(y, FRAME_WINDOW, FLAG_SYN, s->id, 0);
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
		yamux_pump(s->yamux);
	return err;
}

void yamux_close(struct yamux_stream *s)
{
	s->held = false;
	s->deadline = s->yamux->now_us + YAMUX_CLOSE_TIMEOUT_US;
	yamux_pump(s->yamux);
}

void yamux_reset(struct yamux_stream *s)
{
	struct yamux *y = s->yamux;

	s->held = false;
	buf_clear(&s->send);
	if (!s->reset) {
		s->reset = true;
		yamux_put_control(y, FRAME_WINDOW, FLAG_RST, s->id, 0);
	}
	yamux_pump(y);
}
