/*
 * One request on one connection. The answer's body is collected up to its
 * cap; at most REDIRECT_CAP redirects to the same origin are followed. The
 * call is freed after `done`, which always comes from a task or timer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/io/dial.h"

#define HTTP_TIMEOUT_US (30 * US_PER_S)
#define HTTP_BODY_CAP (1024u * 1024)
#define REDIRECT_CAP 3

struct http_call {
	struct sock sock;
	struct io_object object;
	struct io *io;
	struct dial *dial;
	struct lws *wsi;
	http_done *done;
	void *user;
	char *method;
	uint8_t *request_body;
	size_t request_len;
	struct http_header *headers;
	size_t header_count;
	struct io_url url;
	char *address;			/* or NULL, as in the request */
	char *cert_name;
	int redirects;
	char location[URL_PATH_CAP];
	int status;
	char content_type[128];
	struct buf body;
	struct error error;
	bool complete;
	struct timer timer;
	struct task task;
};

static void call_free(struct http_call *call)
{
	dial_free(call->dial);
	if (call->wsi)
		io_kill(call->io, call->wsi);
	timer_stop(&call->io->loop, &call->timer);
	task_cancel(&call->task);
	io_object_remove(&call->object);
	for (size_t i = 0; i < call->header_count; i++) {
		free((char *)call->headers[i].name);
		free((char *)call->headers[i].value);
	}
	free(call->headers);
	free(call->method);
	free(call->address);
	free(call->cert_name);
	free(call->request_body);
	buf_clear(&call->body);
	free(call);
}

static void destroy(struct io_object *object)
{
	call_free(container_of(object, struct http_call, object));
}

static void report(struct http_call *call)
{
	struct http_response response = {
		.error = call->error,
		.status = call->status,
		.content_type = call->content_type,
		.body = buf_data(&call->body),
		.body_len = call->body.len,
	};

	call->done(call->user, &response);
	call_free(call);
}

static void on_timeout(struct timer *timer)
{
	struct http_call *call = timer->user;

	error_set(&call->error, ERR_TIMEOUT, "%s: timed out %s",
		  call->url.authority,
		  call->dial ? dial_phase(call->dial) : "reading the answer");
	report(call);
}

static int start(struct http_call *call, const char *url,
		 struct error *error);

static bool is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 ||
	       status == 307 || status == 308;
}

/* Where to, when that is the same origin. */
static bool redirect_target(const struct http_call *call,
			    char url[URL_PATH_CAP + 256])
{
	struct io_url target;

	if (!is_redirect(call->status) || !*call->location ||
	    call->redirects >= REDIRECT_CAP)
		return false;
	if (call->location[0] == '/' && call->location[1] != '/') {
		snprintf(url, URL_PATH_CAP + 256, "%s://%s%s",
			 call->url.tls ? "https" : "http",
			 call->url.authority, call->location);
		return true;
	}
	snprintf(url, URL_PATH_CAP + 256, "%s", call->location);
	return url_parse(url, &target, NULL) == 0 &&
	       url_same_origin(&target, &call->url);
}

/* RFC 9110, section 15.4: all but 307 and 308 make it a GET. */
static void forget_answer(struct http_call *call)
{
	if (call->status != 307 && call->status != 308 &&
	    strcmp(call->method, "HEAD") != 0) {
		strcpy(call->method, "GET");
		call->request_len = 0;
	}
	call->redirects++;
	call->status = 0;
	call->complete = false;
	call->location[0] = '\0';
	call->content_type[0] = '\0';
	buf_clear(&call->body);
}

static void on_finished(struct task *task)
{
	struct http_call *call = task->user;
	char url[URL_PATH_CAP + 256];

	if (!call->error.code && redirect_target(call, url)) {
		forget_answer(call);
		if (start(call, url, &call->error) == 0)
			return;
	}
	report(call);
}

/* The connection has done its work, or has failed. */
static void finish(struct http_call *call, struct lws *wsi)
{
	call->wsi = NULL;
	if (wsi)
		io_kill(call->io, wsi);
	if (!call->complete && !call->error.code)
		error_set(&call->error, ERR_RESET,
			  "%s: connection closed within the answer",
			  call->url.authority);
	task_post(&call->io->loop, &call->task);
}

static int read_more(struct io *io, struct lws *wsi)
{
	char *at = io->scratch;
	int len = sizeof(io->scratch);

	return lws_http_client_read(wsi, &at, &len) < 0 ? -1 : 0;
}

static int take_body(struct http_call *call, const void *data, size_t len)
{
	int err = buf_append(&call->body, data, len);

	if (err == ERR_LIMIT)
		error_set(&call->error, ERR_TOO_LARGE,
			  "%s: answer of more than %zu bytes",
			  call->url.authority, call->body.limit);
	else if (err < 0)
		error_set(&call->error, err, "out of memory");
	return err < 0 ? -1 : 0;
}

static int on_event(struct sock *sock, struct lws *wsi,
		    enum lws_callback_reasons reason, void *in, size_t len)
{
	struct http_call *call = container_of(sock, struct http_call, sock);

	switch ((int)reason) {
	case LWS_CALLBACK_RECEIVE_CLIENT_HTTP:
		return read_more(call->io, wsi);
	case LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ:
		return take_body(call, in, len);
	case LWS_CALLBACK_COMPLETED_CLIENT_HTTP:
		call->complete = true;
		finish(call, wsi);
		return 0;
	case LWS_CALLBACK_WSI_DESTROY:
		finish(call, NULL);
		return 0;
	default:
		return 0;
	}
}

static void copy_header(struct lws *wsi, enum lws_token_indexes token,
			char *out, size_t cap)
{
	if (lws_hdr_copy(wsi, out, (int)cap, token) < 0)
		*out = '\0';
}

/* Interim answers and what is no status are no answers to anything. */
static bool is_final(int status)
{
	return status >= 200 && status <= 599;
}

static int on_up(void *user, struct lws *wsi)
{
	struct http_call *call = user;

	call->status = (int)lws_http_client_http_response(wsi);
	if (!is_final(call->status))
		error_set(&call->error, ERR_PROTOCOL,
			  "%s: answered with status %d", call->url.authority,
			  call->status);
	copy_header(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE, call->content_type,
		    sizeof(call->content_type));
	copy_header(wsi, WSI_TOKEN_HTTP_LOCATION, call->location,
		    sizeof(call->location));
	dial_take(call->dial, &call->sock);
	dial_free(call->dial);
	call->dial = NULL;
	call->wsi = wsi;
	if (call->error.code)
		finish(call, wsi);
	return 0;
}

static void on_failed(void *user, const struct error *error, int status)
{
	struct http_call *call = user;

	(void)status;
	call->error = *error;
	report(call);
}

static const struct dial_events dial_events = {
	.up = on_up,
	.failed = on_failed,
};

static int start(struct http_call *call, const char *url, struct error *error)
{
	const struct dial_request request = {
		.kind = DIAL_HTTP,
		.method = call->method,
		.url = url,
		.address = call->address,
		.cert_name = call->cert_name,
		.headers = call->headers,
		.header_count = call->header_count,
		.body = call->request_body,
		.body_len = call->request_len,
	};
	int err = dial_new(call->io, &request, &dial_events, call,
			   &call->dial, error);

	if (err == 0)
		call->url = *dial_url(call->dial);
	return err;
}

static int copy_request(struct http_call *call,
			const struct http_request *request)
{
	/* A redirect may turn the method into "GET". */
	call->method = calloc(1, strlen(request->method) + 4);
	call->headers = calloc(request->header_count + 1,
			       sizeof(*call->headers));
	call->request_body = malloc(request->body_len + 1);
	if (!call->method || !call->headers || !call->request_body)
		return ERR_NOMEM;
	if (request->address)
		call->address = strdup(request->address);
	if (request->cert_name)
		call->cert_name = strdup(request->cert_name);
	if ((request->address && !call->address) ||
	    (request->cert_name && !call->cert_name))
		return ERR_NOMEM;
	strcpy(call->method, request->method);
	if (request->body_len)
		memcpy(call->request_body, request->body, request->body_len);
	call->request_len = request->body_len;
	for (size_t i = 0; i < request->header_count; i++) {
		call->headers[i].name = strdup(request->headers[i].name);
		call->headers[i].value = strdup(request->headers[i].value);
		call->header_count++;
		if (!call->headers[i].name || !call->headers[i].value)
			return ERR_NOMEM;
	}
	return 0;
}

int io_http(struct network *network, const struct http_request *request,
	    http_done *done, void *user, struct http_call **out,
	    struct error *error)
{
	struct io *io = container_of(network, struct io, network);
	struct http_call *call = calloc(1, sizeof(*call));
	int err;

	if (!call)
		return error_set(error, ERR_NOMEM, "out of memory");
	call->sock.event = on_event;
	call->io = io;
	call->done = done;
	call->user = user;
	call->timer = (struct timer){ .fire = on_timeout, .user = call };
	call->task = (struct task){ .run = on_finished, .user = call };
	buf_init(&call->body, request->body_cap ? request->body_cap :
						  HTTP_BODY_CAP);
	io_object_add(io, &call->object, destroy);
	err = copy_request(call, request);
	if (err < 0)
		error_set(error, err, "out of memory");
	else
		err = start(call, request->url, error);
	if (err < 0) {
		call_free(call);
		return err;
	}
	timer_set(&io->loop, &call->timer,
		  loop_now_us(&io->loop) + (request->timeout_us ?
						    request->timeout_us :
						    HTTP_TIMEOUT_US));
	*out = call;
	return 0;
}

void io_http_cancel(struct network *network, struct http_call *call)
{
	(void)network;
	call_free(call);
}
