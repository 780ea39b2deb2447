/*
 * The port of upgrades: a raw socket of libwebsockets, whose first bytes are
 * a request that we decode ourselves. After the 101 it is a byte channel;
 * any other answer is sent through a channel nobody owns, which closes when
 * it is empty.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/io/conn.h"
#include "core/io/head.h"

#define HEAD_TIMEOUT_US (10 * US_PER_S)
#define ANSWER_HEAD_CAP 512

struct raw_exchange {
	struct sock sock;
	struct exchange exchange;
	struct io_server *server;
	struct lws *wsi;
	struct request_head head;
	struct buf in;
	struct timer timer;
	struct conn *conn;		/* once answered */
};

static const struct channel_events no_events = { .on_open = NULL };

static void exchange_free(struct raw_exchange *x)
{
	timer_stop(&x->server->io->loop, &x->timer);
	buf_clear(&x->in);
	free(x);
}

static void on_timeout(struct timer *timer)
{
	struct raw_exchange *x = timer->user;

	io_kill(x->server->io, x->wsi);
	exchange_free(x);
}

static int raw_respond(struct exchange *exchange, int status,
		       const char *content_type, const void *body, size_t len)
{
	struct raw_exchange *x =
		container_of(exchange, struct raw_exchange, exchange);
	const struct conn_config config = {
		.kind = CHANNEL_UPGRADE,
		.queue_cap = ANSWER_HEAD_CAP + len,
		.events = &no_events,
	};
	char head[ANSWER_HEAD_CAP];
	int n = snprintf(head, sizeof(head),
			 "HTTP/1.1 %d %s\r\nContent-Type: %.100s\r\n"
			 "Content-Length: %zu\r\nConnection: close\r\n\r\n",
			 status, status < 400 ? "OK" : "Refused",
			 content_type ? content_type : "application/json", len);

	if (x->conn)
		return ERR_MISUSE;
	x->conn = conn_new(x->server->io, &config);
	if (!x->conn)
		return ERR_NOMEM;
	x->conn->owned = false;
	x->conn->leaving = true;
	if (outq_push(&x->conn->out, head, (size_t)n) < 0 ||
	    outq_push(&x->conn->out, body, len) < 0)
		return ERR_NOMEM;
	return 0;
}

static int raw_accept(struct exchange *exchange, const char *protocol,
		      size_t message_cap, size_t queue_cap,
		      const struct channel_events *events, void *user,
		      struct channel **out)
{
	struct raw_exchange *x =
		container_of(exchange, struct raw_exchange, exchange);
	const struct conn_config config = {
		.kind = CHANNEL_UPGRADE,
		.message_cap = message_cap,
		.queue_cap = queue_cap,
		.events = events,
		.user = user,
	};
	char head[ANSWER_HEAD_CAP];
	int n = snprintf(head, sizeof(head),
			 "HTTP/1.1 101 Switching Protocols\r\n"
			 "Connection: Upgrade\r\nUpgrade: %.100s\r\n\r\n",
			 protocol ? protocol : x->head.strings.protocol);

	if (x->conn || !*x->head.strings.protocol)
		return ERR_MISUSE;
	x->conn = conn_new(x->server->io, &config);
	if (!x->conn)
		return ERR_NOMEM;
	x->conn->out.limit += (size_t)n;
	outq_push(&x->conn->out, head, (size_t)n);
	*out = &x->conn->channel;
	return 0;
}

static const struct exchange_ops ops = {
	.respond = raw_respond,
	.accept = raw_accept,
};

static void serve(struct raw_exchange *x)
{
	const struct server_request request = {
		.kind = x->head.upgrade && *x->head.strings.protocol ?
				EXCHANGE_UPGRADE : EXCHANGE_PLAIN,
		.method = x->head.method,
		.path = x->head.strings.path,
		.query = x->head.strings.query,
		.protocol = x->head.strings.protocol,
		.token = x->head.strings.token,
	};
	struct service *service = x->server->service;

	if (service)
		service->serve(service, &x->exchange, &request);
	if (!x->conn)
		exchange_respond(&x->exchange, service ? 500 : 503, NULL,
				 "{}", 2);
}

/* The conn may be closed by its owner in each of its callbacks. */
static int hand_over(struct raw_exchange *x, size_t head_len)
{
	struct conn *conn = x->conn;
	struct buf in = x->in;
	struct lws *wsi = x->wsi;

	x->in.storage = NULL;
	x->in.len = 0;
	exchange_free(x);
	if (!conn) {
		buf_clear(&in);
		return -1;
	}
	conn_opened(conn, wsi);
	conn_receive_raw(conn, buf_data(&in) + head_len, in.len - head_len);
	buf_clear(&in);
	return 0;
}

static int on_bytes(struct raw_exchange *x, const void *data, size_t len)
{
	ssize_t head_len;

	if (buf_append(&x->in, data, len) < 0)
		return -1;
	head_len = head_decode(buf_data(&x->in), x->in.len, &x->head);
	if (head_len == ERR_AGAIN)
		return 0;
	if (head_len < 0)
		exchange_respond(&x->exchange,
				 head_len == ERR_TOO_LARGE ? 431 : 400, NULL,
				 "{}", 2);
	else
		serve(x);
	return hand_over(x, head_len < 0 ? x->in.len : (size_t)head_len);
}

static int on_event(struct sock *sock, struct lws *wsi,
		    enum lws_callback_reasons reason, void *in, size_t len)
{
	struct raw_exchange *x =
		container_of(sock, struct raw_exchange, sock);

	(void)wsi;
	switch ((int)reason) {
	case LWS_CALLBACK_RAW_RX:
		return on_bytes(x, in, len);
	case LWS_CALLBACK_WSI_DESTROY:
		exchange_free(x);
		return 0;
	default:
		return 0;
	}
}

static int adopt(struct io_server *server, struct lws *wsi)
{
	struct raw_exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return -1;
	x->sock.event = on_event;
	x->exchange.ops = &ops;
	x->server = server;
	x->wsi = wsi;
	x->timer = (struct timer){ .fire = on_timeout, .user = x };
	/* One read more than a head may have come with it. */
	buf_init(&x->in, HEAD_CAP + IO_SERVICE_BUFFER);
	timer_set(&server->io->loop, &x->timer,
		  loop_now_us(&server->io->loop) + HEAD_TIMEOUT_US);
	lws_set_opaque_user_data(wsi, &x->sock);
	return 0;
}

int serve_raw_event(struct io_server *server, struct lws *wsi,
		    enum lws_callback_reasons reason, void *in, size_t len)
{
	(void)in;
	(void)len;
	if (reason == LWS_CALLBACK_RAW_ADOPT)
		return adopt(server, wsi);
	return 0;
}
