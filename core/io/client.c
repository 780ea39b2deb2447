/*
 * Opening channels. A refused WebSocket is asked for again as a plain GET,
 * because libwebsockets drops the refusal's body; a refused upgrade is an
 * HTTP answer already, and its body is asked for in the same way.
 */
#include <stdlib.h>
#include <string.h>

#include "core/io/conn.h"
#include "core/io/dial.h"

#define OPEN_TIMEOUT_US (10 * US_PER_S)
#define REFUSAL_CAP 65536

struct opening {
	struct conn *conn;
	struct dial *dial;
	struct http_call *call;		/* for the body of a refusal */
	struct http_request again;
	uint64_t deadline_us;
	int status;
	struct error error;
	char *url;
	struct http_header *headers;
	size_t header_count;
};

static void opening_free(struct opening *o)
{
	if (!o)
		return;
	dial_free(o->dial);
	if (o->call)
		io_http_cancel(&o->conn->io->network, o->call);
	for (size_t i = 0; i < o->header_count; i++) {
		free((char *)o->headers[i].name);
		free((char *)o->headers[i].value);
	}
	free(o->headers);
	free(o->url);
	free(o);
}

static void abandon(struct conn *c)
{
	opening_free(c->opener);
	c->opener = NULL;
	c->abandon = NULL;
}

static void finish(struct opening *o, const uint8_t *body, size_t len)
{
	struct channel_end end = {
		.error = o->error,
		.http_status = o->status,
		.body = (const char *)body,
		.body_len = len,
	};

	conn_fail(o->conn, &end);
}

static void on_timeout(struct timer *timer)
{
	struct conn *c = timer->user;
	struct opening *o = c->opener;

	if (o->status) {
		finish(o, NULL, 0);
		return;
	}
	error_set(&o->error, ERR_TIMEOUT, "%s: timed out %s",
		  dial_url(o->dial)->authority, dial_phase(o->dial));
	finish(o, NULL, 0);
}

static void on_refusal(void *user, const struct http_response *response)
{
	struct opening *o = user;

	o->call = NULL;
	if (response->error.code || response->status < 400) {
		finish(o, NULL, 0);
		return;
	}
	o->status = response->status;
	finish(o, response->body, response->body_len);
}

static void ask_for_body(struct opening *o)
{
	struct conn *c = o->conn;
	uint64_t now_us = loop_now_us(&c->io->loop);

	o->again = (struct http_request){
		.method = "GET",
		.url = o->url,
		.headers = o->headers,
		.header_count = o->header_count,
		.body_cap = REFUSAL_CAP,
		.timeout_us = o->deadline_us > now_us ?
				      o->deadline_us - now_us : 1,
	};
	if (io_http(&c->io->network, &o->again, on_refusal, o, &o->call,
		    NULL) < 0)
		finish(o, NULL, 0);
}

static void on_failed(void *user, const struct error *error, int status)
{
	struct opening *o = user;

	o->error = *error;
	o->status = status;
	if (status >= 400)
		ask_for_body(o);
	else
		finish(o, NULL, 0);
}

static int on_up(void *user, struct lws *wsi)
{
	struct opening *o = user;
	struct conn *c = o->conn;

	if (c->kind == CHANNEL_UPGRADE &&
	    lws_http_client_http_response(wsi) != 101)
		return -1;	/* on_failed() follows */
	dial_take(o->dial, &c->sock);
	abandon(c);
	return conn_opened(c, wsi);
}

static const struct dial_events dial_events = {
	.up = on_up,
	.failed = on_failed,
};

static int copy_headers(struct opening *o,
			const struct channel_request *request)
{
	o->url = strdup(request->url);
	o->headers = calloc(request->header_count + 1, sizeof(*o->headers));
	if (!o->url || !o->headers)
		return ERR_NOMEM;
	for (size_t i = 0; i < request->header_count; i++) {
		o->headers[i].name = strdup(request->headers[i].name);
		o->headers[i].value = strdup(request->headers[i].value);
		o->header_count++;
		if (!o->headers[i].name || !o->headers[i].value)
			return ERR_NOMEM;
	}
	return 0;
}

static int start(struct opening *o, const struct channel_request *request,
		 struct error *error)
{
	const struct dial_request dial = {
		.kind = request->kind == CHANNEL_UPGRADE ? DIAL_UPGRADE :
							   DIAL_WEBSOCKET,
		.method = "GET",
		.url = request->url,
		.address = request->address,
		.cert_name = request->cert_name,
		.protocol = request->protocol,
		.headers = request->headers,
		.header_count = request->header_count,
	};

	if (request->kind == CHANNEL_UPGRADE && !request->protocol)
		return error_set(error, ERR_MISUSE,
				 "an upgrade needs a protocol");
	if (copy_headers(o, request) < 0)
		return error_set(error, ERR_NOMEM, "out of memory");
	return dial_new(o->conn->io, &dial, &dial_events, o, &o->dial, error);
}

static struct opening *opening_new(struct io *io,
				   const struct channel_request *request)
{
	const struct conn_config config = {
		.kind = request->kind,
		.message_cap = request->message_cap,
		.queue_cap = request->queue_cap,
		.events = request->events,
		.user = request->user,
	};
	struct opening *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->conn = conn_new(io, &config);
	if (!o->conn) {
		free(o);
		return NULL;
	}
	o->conn->opener = o;
	o->conn->abandon = abandon;
	return o;
}

int io_open_channel(struct network *network,
		    const struct channel_request *request,
		    struct channel **out, struct error *error)
{
	struct io *io = container_of(network, struct io, network);
	uint64_t timeout_us = request->timeout_us ? request->timeout_us :
						    OPEN_TIMEOUT_US;
	struct opening *o = opening_new(io, request);
	struct conn *c;
	int err;

	if (!o)
		return error_set(error, ERR_NOMEM, "out of memory");
	c = o->conn;
	err = start(o, request, error);
	if (err < 0) {
		channel_close(&c->channel, 0, NULL);
		return err;
	}
	o->deadline_us = loop_now_us(&io->loop) + timeout_us;
	c->timer.fire = on_timeout;
	timer_set(&io->loop, &c->timer, o->deadline_us);
	*out = &c->channel;
	return 0;
}
