/*
 * An open connection lives until libwebsockets destroys it; the conn is
 * freed then, or when the connection is killed or never was. In between the
 * owner may be gone (`owned` false) while the goodbye is under way.
 *
 * A byte channel of a client is a plain HTTP answer without an end to
 * libwebsockets: it announces bytes, and reads them when told to.
 */
#include "core/io/conn.h"
#include "core/io/server.h"

#include <stdlib.h>
#include <string.h>

#define LEAVE_US (5 * US_PER_S)

static struct conn *self(const struct channel *channel)
{
	return container_of(channel, struct conn, channel);
}

static void conn_free(struct conn *c)
{
	if (c->abandon)
		c->abandon(c);
	timer_stop(&c->io->loop, &c->timer);
	task_cancel(&c->task);
	io_object_remove(&c->object);
	outq_clear(&c->out);
	buf_clear(&c->in);
	free(c);
}

static void conn_kill(struct conn *c)
{
	if (c->wsi)
		io_kill(c->io, c->wsi);
	conn_free(c);
}

/* From io_free(): the context, still to come, destroys the connection. */
static void destroy(struct io_object *object)
{
	struct conn *c = container_of(object, struct conn, object);

	if (c->wsi)
		lws_set_opaque_user_data(c->wsi, NULL);
	c->wsi = NULL;
	conn_free(c);
}

void conn_end(struct conn *c, const struct channel_end *end)
{
	struct channel_end own = { .error = c->error,
				   .close_code = c->close_code };
	const struct channel_events *events = c->events;

	if (!c->owned)
		return;
	c->owned = false;
	if (!own.error.code)
		error_set(&own.error, ERR_CLOSED, "closed by the peer%s%s",
			  *c->close_reason ? ": " : "", c->close_reason);
	events->on_close(c->user, end ? end : &own);
}

void conn_fail(struct conn *c, const struct channel_end *end)
{
	conn_end(c, end);
	conn_kill(c);
}

static bool half_empty(const struct conn *c)
{
	return c->out.len <= c->out.limit / 2;
}

static void choose_kind(struct conn *c, const uint8_t *data, size_t len)
{
	if (!c->kind_by_content || !len)
		return;
	c->kind = data[0] == '{' ? CHANNEL_TEXT : CHANNEL_BINARY;
	c->kind_by_content = false;
}

static int conn_send(struct channel *channel, const void *data, size_t len)
{
	struct conn *c = self(channel);
	int err;

	if (c->leaving || c->error.code)
		return ERR_CLOSED;
	choose_kind(c, data, len);
	err = outq_push(&c->out, data, len);
	if (err == ERR_LIMIT || !half_empty(c))
		c->was_full = true;
	if (err == 0 && c->open)
		lws_callback_on_writable(c->wsi);
	return err;
}

static size_t conn_room(const struct channel *channel)
{
	const struct conn *c = self(channel);

	return c->out.limit - c->out.len;
}

/*
 * Readable must come back by itself: waiting for writable would never end
 * while the peer, too, waits for us to read.
 */
static void apply_pause(struct conn *c)
{
	lws_rx_flow_control(c->wsi, !c->paused);
	if (!c->paused)
		io_kick(c->io);		/* for what is read already */
}

static void conn_pause(struct channel *channel, bool paused)
{
	struct conn *c = self(channel);

	if (c->paused == paused)
		return;
	c->paused = paused;
	if (c->open && c->wsi)
		apply_pause(c);
}

static void conn_close(struct channel *channel, int code, const char *reason)
{
	struct conn *c = self(channel);

	c->owned = false;
	if (!c->open) {
		conn_kill(c);
		return;
	}
	c->leaving = true;
	c->close_code = code ? code : LWS_CLOSE_STATUS_NORMAL;
	strncpy(c->close_reason, reason ? reason : "", CONN_REASON_CAP - 1);
	timer_set(&c->io->loop, &c->timer,
		  loop_now_us(&c->io->loop) + LEAVE_US);
	if (c->paused)
		conn_pause(channel, false);	/* the peer's goodbye counts */
	lws_callback_on_writable(c->wsi);
}

static int conn_local(const struct channel *channel, struct endpoint *out)
{
	const struct conn *c = self(channel);
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	if (!c->open || !c->wsi ||
	    getsockname(lws_get_socket_fd(lws_get_network_wsi(c->wsi)),
			(struct sockaddr *)&address, &len) < 0 ||
	    !endpoint_from_sockaddr((struct sockaddr *)&address, out))
		return ERR_NOT_FOUND;
	return 0;
}

static const struct channel_ops ops = {
	.send = conn_send,
	.room = conn_room,
	.pause = conn_pause,
	.close = conn_close,
	.local = conn_local,
};

static void on_leave_timeout(struct timer *timer)
{
	conn_kill(timer->user);
}

/* Room again: after a write, so never from inside conn_send(). */
static void tell_room(struct conn *c)
{
	if (!c->was_full || !half_empty(c) || !c->owned)
		return;
	c->was_full = false;
	if (c->events->on_writable)
		c->events->on_writable(c->user);
}

static enum lws_write_protocol write_mode(const struct conn *c)
{
	switch (c->kind) {
	case CHANNEL_TEXT:
		return LWS_WRITE_TEXT;
	case CHANNEL_BINARY:
		return LWS_WRITE_BINARY;
	case CHANNEL_UPGRADE:
		return LWS_WRITE_RAW;
	}
	return LWS_WRITE_BINARY;
}

/*
 * Debian's libwebsockets is a debug build: it closes twice what a callback
 * wants closed, and the second time throws the goodbye away. A synchronous
 * kill closes once, which sends the goodbye and waits for the answer.
 */
static int say_goodbye(struct conn *c)
{
	if (c->kind == CHANNEL_UPGRADE)
		return -1;
	if (c->said_goodbye)
		return 0;
	c->said_goodbye = true;
	lws_close_reason(c->wsi, (enum lws_close_status)c->close_code,
			 (uint8_t *)c->close_reason, strlen(c->close_reason));
	lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
	return 0;
}

static int read_more(struct conn *c)
{
	char *at = c->io->scratch;
	int len = sizeof(c->io->scratch);

	return lws_http_client_read(c->wsi, &at, &len) < 0 ? -1 : 0;
}

static int write_one(struct conn *c)
{
	struct outq_chunk *chunk = c->out.first;
	int n;

	if (!chunk)
		return c->leaving ? say_goodbye(c) : 0;
	n = lws_write(c->wsi, outq_data(chunk), chunk->len, write_mode(c));
	if (n < 0) {
		error_set(&c->error, ERR_RESET, "connection lost in writing");
		return -1;
	}
	outq_pop(&c->out);
	if (c->out.first || c->leaving)
		lws_callback_on_writable(c->wsi);
	tell_room(c);
	return 0;
}

static void deliver(struct conn *c, const uint8_t *data, size_t len)
{
	if (c->owned)
		c->events->on_message(c->user, data, len);
}

/*
 * Ends it from inside a callback for what was received, and never by a
 * negative return: libwebsockets 4.1.6 then sends its goodbye first, goes on
 * reading meanwhile, and writes behind its receive buffer, whose fill it has
 * not reset.
 */
static void refuse(struct conn *c, int close_code)
{
	conn_end(c, NULL);
	buf_clear(&c->in);
	outq_clear(&c->out);
	c->leaving = true;
	c->close_code = close_code;
	timer_set(&c->io->loop, &c->timer,
		  loop_now_us(&c->io->loop) + LEAVE_US);
	lws_callback_on_writable(c->wsi);
}

static void take_last(struct conn *c, const uint8_t *data, size_t len)
{
	if (c->in.len == 0) {
		deliver(c, data, len);
		return;
	}
	if (buf_append(&c->in, data, len) < 0) {
		error_set(&c->error, ERR_NOMEM, "no memory for a message");
		refuse(c, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION);
		return;
	}
	deliver(c, buf_data(&c->in), c->in.len);
	buf_clear(&c->in);
}

static void on_fragment(struct conn *c, const uint8_t *data, size_t len)
{
	if (!c->owned)
		return;		/* until the goodbyes are said */
	if (c->in.len + len > c->message_cap) {
		error_set(&c->error, ERR_TOO_LARGE,
			  "message of more than %zu bytes, %zu are allowed",
			  c->in.len + len, c->message_cap);
		refuse(c, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE);
	} else if (lws_is_final_fragment(c->wsi)) {
		take_last(c, data, len);
	} else if (buf_append(&c->in, data, len) < 0) {
		error_set(&c->error, ERR_NOMEM, "no memory for a message");
		refuse(c, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION);
	}
}

int conn_receive_raw(struct conn *c, const uint8_t *data, size_t len)
{
	if (len)
		deliver(c, data, len);
	return 0;
}

/* Two bytes of code, then the reason. */
static void note_peer_close(struct conn *c, const uint8_t *data, size_t len)
{
	size_t part = len > 2 ? len - 2 : 0;

	if (c->leaving)
		return;
	if (len < 2) {
		c->close_code = LWS_CLOSE_STATUS_NO_STATUS;	/* 1005 */
		return;
	}
	if (part >= CONN_REASON_CAP)
		part = CONN_REASON_CAP - 1;
	c->close_code = data[0] << 8 | data[1];
	memcpy(c->close_reason, data + 2, part);
	c->close_reason[part] = '\0';
}

/* A WebSocket that ends without a word has been cut off. */
static void on_closed(struct conn *c)
{
	if (!c->error.code && !c->close_code && c->kind != CHANNEL_UPGRADE)
		error_set(&c->error, ERR_RESET,
			  "connection ended without a goodbye");
	conn_end(c, NULL);
}

static void on_destroyed(struct conn *c)
{
	c->wsi = NULL;
	on_closed(c);
	conn_free(c);
}

static int on_event(struct sock *sock, struct lws *wsi,
		    enum lws_callback_reasons reason, void *in, size_t len)
{
	struct conn *c = container_of(sock, struct conn, sock);

	(void)wsi;
	switch ((int)reason) {
	case LWS_CALLBACK_CLIENT_RECEIVE:
	case LWS_CALLBACK_RECEIVE:
		on_fragment(c, in, len);
		return 0;
	case LWS_CALLBACK_RECEIVE_CLIENT_HTTP:
		return c->paused ? 0 : read_more(c);
	case LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ:
	case LWS_CALLBACK_RAW_RX:
		return conn_receive_raw(c, in, len);
	case LWS_CALLBACK_CLIENT_WRITEABLE:
	case LWS_CALLBACK_SERVER_WRITEABLE:
	case LWS_CALLBACK_CLIENT_HTTP_WRITEABLE:
	case LWS_CALLBACK_RAW_WRITEABLE:
		return write_one(c);
	case LWS_CALLBACK_ESTABLISHED:
		return conn_opened(c, wsi);
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
		note_peer_close(c, in, len);
		return 0;
	case LWS_CALLBACK_CLIENT_CLOSED:
	case LWS_CALLBACK_CLOSED:
	case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
	case LWS_CALLBACK_RAW_CLOSE:
		on_closed(c);
		return 0;
	case LWS_CALLBACK_WSI_DESTROY:
		on_destroyed(c);
		return 0;
	default:
		return 0;
	}
}

/* on_destroyed() follows for each. */
void conn_end_all(struct io *io, const struct io_server *server)
{
	list_each(at, safe, &io->objects) {
		struct io_object *object =
			container_of(at, struct io_object, link);
		struct conn *c = container_of(object, struct conn, object);

		if (object->destroy != destroy || !c->wsi ||
		    !server_owns(server, c->wsi))
			continue;
		error_set(&c->error, ERR_CLOSED, "the server was closed");
		lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_OK,
				LWS_TO_KILL_ASYNC);
	}
	io_kick(io);
}

static size_t or_else(size_t value, size_t standard)
{
	return value ? value : standard;
}

struct conn *conn_new(struct io *io, const struct conn_config *config)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->sock.event = on_event;
	c->channel.ops = &ops;
	c->io = io;
	c->kind = config->kind;
	c->events = config->events;
	c->user = config->user;
	c->owned = true;
	c->message_cap = or_else(config->message_cap, CONN_MESSAGE_CAP);
	c->out.limit = or_else(config->queue_cap, CONN_QUEUE_CAP);
	c->out.stream = config->kind == CHANNEL_UPGRADE;
	buf_init(&c->in, c->message_cap);
	c->timer.user = c;
	c->task.user = c;
	io_object_add(io, &c->object, destroy);
	return c;
}

void conn_bind(struct conn *c, struct lws *wsi)
{
	c->wsi = wsi;
	lws_set_opaque_user_data(wsi, &c->sock);
}

int conn_opened(struct conn *c, struct lws *wsi)
{
	conn_bind(c, wsi);
	timer_stop(&c->io->loop, &c->timer);
	c->timer.fire = on_leave_timeout;
	c->open = true;
	if (c->owned)
		c->events->on_open(c->user);
	if (c->paused)
		apply_pause(c);
	if (c->out.first || c->leaving)
		lws_callback_on_writable(wsi);
	return 0;
}
