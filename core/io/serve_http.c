/*
 * HTTP requests and WebSockets on a server's vhost.
 *
 * libwebsockets has decoded the query by the time we see it, so it is
 * encoded again. A WebSocket is decided on before its handshake
 * (HTTP_CONFIRM_UPGRADE): a refusal is an ordinary answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/buf.h"
#include "core/io/conn.h"
#include "core/io/server.h"

#define RESPONSE_HEAD_CAP 2048

struct http_exchange {
	struct sock sock;
	struct exchange exchange;
	struct io_server *server;
	struct lws *wsi;
	enum exchange_kind kind;
	const char *method;
	struct server_strings strings;
	struct buf body;
	bool answered;
	bool failed;
};

static const struct {
	enum lws_token_indexes token;
	const char *name;
} methods[] = {
	{ WSI_TOKEN_GET_URI, "GET" },
	{ WSI_TOKEN_POST_URI, "POST" },
	{ WSI_TOKEN_PUT_URI, "PUT" },
	{ WSI_TOKEN_PATCH_URI, "PATCH" },
	{ WSI_TOKEN_DELETE_URI, "DELETE" },
	{ WSI_TOKEN_HEAD_URI, "HEAD" },
	{ WSI_TOKEN_OPTIONS_URI, "OPTIONS" },
};

static void find_method(struct http_exchange *x)
{
	x->method = "";
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (lws_hdr_total_length(x->wsi, methods[i].token) <= 0)
			continue;
		x->method = methods[i].name;
		lws_hdr_copy(x->wsi, x->strings.path, SERVER_PATH_CAP,
			     methods[i].token);
		return;
	}
}

static bool unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || strchr("-._~", c) != NULL;
}

/* One "name=value"; only the first '=' is left as it is. */
static int encode_argument(const char *text, struct buf *out)
{
	bool name = true;
	int err = 0;

	for (; err == 0 && *text; text++) {
		char escaped[4];

		if (unreserved(*text) || (name && *text == '=')) {
			err = buf_append(out, text, 1);
			name = name && *text != '=';
			continue;
		}
		snprintf(escaped, sizeof(escaped), "%%%02X",
			 (unsigned char)*text);
		err = buf_append(out, escaped, 3);
	}
	return err;
}

static void find_query(struct http_exchange *x)
{
	char argument[1024];
	struct buf query;
	int err = 0;

	buf_init(&query, SERVER_QUERY_CAP - 1);
	for (int i = 0; err == 0; i++) {
		if (lws_hdr_copy_fragment(x->wsi, argument, sizeof(argument),
					  WSI_TOKEN_HTTP_URI_ARGS, i) < 0)
			break;
		if (i)
			err = buf_append(&query, "&", 1);
		if (err == 0)
			err = encode_argument(argument, &query);
	}
	if (err == 0 && query.len)
		memcpy(x->strings.query, buf_data(&query), query.len);
	buf_clear(&query);
}

static void find_token(struct http_exchange *x)
{
	static const char name[] = "coder-session-token:";
	char cookie[1024] = "";

	if (lws_hdr_custom_copy(x->wsi, x->strings.token, SERVER_TOKEN_CAP,
				name, (int)strlen(name)) > 0)
		return;
	x->strings.token[0] = '\0';
	if (lws_hdr_copy(x->wsi, cookie, sizeof(cookie),
			 WSI_TOKEN_HTTP_COOKIE) < 0)
		cookie[0] = '\0';
	server_find_token(&x->strings, cookie);
}

static int write_body(struct lws *wsi, const void *body, size_t len)
{
	uint8_t *copy = malloc(LWS_PRE + len);
	int n;

	if (!copy)
		return ERR_NOMEM;
	memcpy(copy + LWS_PRE, body, len);
	n = lws_write(wsi, copy + LWS_PRE, len, LWS_WRITE_HTTP_FINAL);
	free(copy);
	return n < 0 ? ERR_CLOSED : 0;
}

static int http_respond(struct exchange *exchange, int status,
			const char *content_type, const void *body, size_t len)
{
	struct http_exchange *x =
		container_of(exchange, struct http_exchange, exchange);
	uint8_t head[LWS_PRE + RESPONSE_HEAD_CAP];
	uint8_t *start = head + LWS_PRE;
	uint8_t *at = start;
	uint8_t *end = head + sizeof(head);
	int err = 0;

	if (x->answered)
		return ERR_MISUSE;
	x->answered = true;
	if (lws_add_http_common_headers(
		    x->wsi, (unsigned)status,
		    content_type ? content_type : "application/json", len,
		    &at, end) ||
	    lws_finalize_write_http_header(x->wsi, start, &at, end))
		err = ERR_CLOSED;
	if (err == 0 && len)
		err = write_body(x->wsi, body, len);
	x->failed = err < 0;
	return err;
}

static int http_accept(struct exchange *exchange, const char *protocol,
		       size_t message_cap, size_t queue_cap,
		       const struct channel_events *events, void *user,
		       struct channel **out)
{
	struct http_exchange *x =
		container_of(exchange, struct http_exchange, exchange);
	const struct conn_config config = {
		.kind = CHANNEL_BINARY,
		.message_cap = message_cap,
		.queue_cap = queue_cap,
		.events = events,
		.user = user,
	};
	struct conn *conn;

	(void)protocol;		/* chosen by libwebsockets: io_protocols */
	if (x->answered || x->kind != EXCHANGE_WEBSOCKET)
		return ERR_MISUSE;
	conn = conn_new(x->server->io, &config);
	if (!conn)
		return ERR_NOMEM;
	conn->kind_by_content = true;
	x->answered = true;
	conn_bind(conn, x->wsi);
	*out = &conn->channel;
	return 0;
}

static const struct exchange_ops ops = {
	.respond = http_respond,
	.accept = http_accept,
};

static void exchange_free(struct http_exchange *x)
{
	buf_clear(&x->body);
	free(x);
}

/* Calls the service; whatever it does is an answer. */
static void serve(struct http_exchange *x)
{
	const struct server_request request = {
		.kind = x->kind,
		.method = x->method,
		.path = x->strings.path,
		.query = x->strings.query,
		.protocol = x->strings.protocol,
		.token = x->strings.token,
		.body = buf_data(&x->body),
		.body_len = x->body.len,
	};
	struct service *service = x->server->service;

	if (service)
		service->serve(service, &x->exchange, &request);
	if (!x->answered)
		exchange_respond(&x->exchange, service ? 500 : 503, NULL,
				 "{}", 2);
}

static int serve_plain(struct http_exchange *x)
{
	struct lws *wsi = x->wsi;
	bool failed;

	lws_set_opaque_user_data(wsi, NULL);
	serve(x);
	failed = x->failed;
	exchange_free(x);
	return failed || lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int refuse_large(struct http_exchange *x)
{
	static const char body[] = "{\"message\":\"Request body too large.\"}";
	struct lws *wsi = x->wsi;

	lws_set_opaque_user_data(wsi, NULL);
	exchange_respond(&x->exchange, 413, NULL, body, strlen(body));
	exchange_free(x);
	return -1;
}

static int on_event(struct sock *sock, struct lws *wsi,
		    enum lws_callback_reasons reason, void *in, size_t len)
{
	struct http_exchange *x =
		container_of(sock, struct http_exchange, sock);

	(void)wsi;
	switch ((int)reason) {
	case LWS_CALLBACK_HTTP_BODY:
		if (buf_append(&x->body, in, len) < 0)
			return refuse_large(x);
		return 0;
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		return serve_plain(x);
	case LWS_CALLBACK_WSI_DESTROY:
		exchange_free(x);
		return 0;
	default:
		return 0;
	}
}

static struct http_exchange *exchange_new(struct io_server *server,
					  struct lws *wsi,
					  enum exchange_kind kind)
{
	struct http_exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->sock.event = on_event;
	x->exchange.ops = &ops;
	x->server = server;
	x->wsi = wsi;
	x->kind = kind;
	buf_init(&x->body, SERVER_BODY_CAP);
	find_method(x);
	find_query(x);
	find_token(x);
	return x;
}

static long long content_length(struct lws *wsi)
{
	char text[24];

	if (lws_hdr_copy(wsi, text, sizeof(text),
			 WSI_TOKEN_HTTP_CONTENT_LENGTH) <= 0)
		return 0;
	return atoll(text);
}

static int on_http(struct io_server *server, struct lws *wsi)
{
	struct http_exchange *x = exchange_new(server, wsi, EXCHANGE_PLAIN);
	long long len = content_length(wsi);

	if (!x)
		return -1;
	if (len > SERVER_BODY_CAP)
		return refuse_large(x);
	if (len <= 0)
		return serve_plain(x);
	lws_set_opaque_user_data(wsi, &x->sock);
	return 0;
}

static int on_upgrade(struct io_server *server, struct lws *wsi)
{
	struct http_exchange *x = exchange_new(server, wsi,
					       EXCHANGE_WEBSOCKET);
	bool accepted;

	if (!x)
		return -1;
	if (lws_hdr_copy(wsi, x->strings.protocol, SERVER_PROTOCOL_CAP,
			 WSI_TOKEN_PROTOCOL) < 0)
		x->strings.protocol[0] = '\0';
	serve(x);
	accepted = lws_get_opaque_user_data(wsi) != NULL;
	if (x->failed)
		accepted = false;
	exchange_free(x);
	return accepted ? 0 : 1;
}

int serve_http_event(struct io_server *server, struct lws *wsi,
		     enum lws_callback_reasons reason, void *in, size_t len)
{
	(void)len;
	switch ((int)reason) {
	case LWS_CALLBACK_HTTP:
		return on_http(server, wsi);
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
		return strcasecmp(in, "websocket") == 0 ?
			       on_upgrade(server, wsi) : -1;
	default:
		return 0;
	}
}
