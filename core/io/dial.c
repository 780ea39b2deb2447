/*
 * Theory of operation. libwebsockets gets one numeric address at a time and
 * the URL's authority as Host and TLS name. All it does wrong on the way is
 * kept in here:
 *
 * - it resolves by getaddrinfo(), but a numeric address does not block;
 * - connect() failing closes the socket before the uv_poll_t, which is then
 *   lost: io_reap_poll();
 * - the errno of that failure is lost: probe.c;
 * - why a proxy refused is lost, too: proxy_ask.c;
 * - it may fail inside lws_client_connect_via_info(), with callbacks: that
 *   is only ever called from a task, and results are only noted.
 *
 * An attempt ends with LWS_CALLBACK_WSI_DESTROY, whatever came before, and
 * only there the next step is posted.
 */
#include "core/io/dial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/probe.h"
#include "core/io/proxy_ask.h"
#include "core/io/resolve.h"

/* Other addresses wait that long for one that does not answer. */
#define ATTEMPT_US (3 * US_PER_S)

struct dial {
	struct sock sock;
	struct io *io;
	struct io_url url;
	struct proxy proxy;
	bool proxied;			/* addresses are the proxy's */
	enum dial_kind kind;
	const struct dial_events *events;
	void *user;

	char *method;
	char *protocol;
	char *cert_name;		/* NULL: the URL's host */
	char *headers;			/* ready to be sent */
	const uint8_t *body;
	size_t body_len;
	size_t body_sent;

	struct resolve *resolve;
	struct sockaddr_storage addresses[RESOLVE_CAP];
	size_t count;
	size_t next;

	struct lws *wsi;
	bool connected;			/* TCP is up, to the proxy if any */
	bool through;			/* the proxy has let us through */
	bool proxy_failed;		/* it has not */
	bool ended;			/* this attempt is over */
	int verify_error;		/* X509_V_ERR_… */
	int status;
	struct timer attempt;
	struct task step;
	struct probe probe;
	struct proxy_ask ask;
	char phase[URL_HOST_CAP + 64];
	struct error error;
};

const struct io_url *dial_url(const struct dial *d)
{
	return &d->url;
}

const char *dial_phase(struct dial *d)
{
	const char *doing = "waiting for the answer";
	const char *joint = "through";

	if (d->resolve) {
		doing = "resolving the name";
		joint = "of";
	} else if (!d->connected) {
		doing = "connecting";
		joint = "to";
	} else if (d->proxied && !d->through) {
		doing = "waiting to be let through";
		joint = "by";
	}
	if (!d->proxied)
		return doing;
	snprintf(d->phase, sizeof(d->phase), "%s %s the proxy %s:%u", doing,
		 joint, d->proxy.host, d->proxy.port);
	return d->phase;
}

static void fail(struct dial *d)
{
	struct error error = d->error;

	if (d->proxied)
		error_prefix(&error, "%s by the proxy %s:%u", d->url.authority,
			     d->proxy.host, d->proxy.port);
	else
		error_prefix(&error, "%s", d->url.authority);
	d->events->failed(d->user, &error, d->status);
}

static const struct sockaddr *current(const struct dial *d)
{
	return (const struct sockaddr *)&d->addresses[d->next];
}

static void try_next(struct dial *d)
{
	d->next++;
	task_post(&d->io->loop, &d->step);
}

static void on_reason(void *user, int number)
{
	struct dial *d = user;
	char text[80];

	address_text(current(d), text, sizeof(text));
	if (number)
		error_set(&d->error, err_from_errno(number), "%s (%s)",
			  strerror(number), text);
	else
		error_set(&d->error, ERR_RESET,
			  "connection lost while it was made (%s)", text);
	try_next(d);
}

static void on_attempt_timeout(struct timer *timer)
{
	struct dial *d = timer->user;
	char text[80];

	address_text(current(d), text, sizeof(text));
	error_set(&d->error, ERR_TIMEOUT, "no answer from %s", text);
	if (d->wsi)
		io_kill(d->io, d->wsi);
	d->wsi = NULL;
	probe_stop(&d->probe);
	try_next(d);
}

static void note_tls_error(struct dial *d)
{
	error_set(&d->error, ERR_UNREACHABLE,
		  "TLS verification failed: %s; if this server's CA is a "
		  "private one, name its certificate in "
		  "CODER_CLIENT_TLS_CA_FILE",
		  X509_verify_cert_error_string(d->verify_error));
}

static int err_from_status(int status)
{
	switch (status) {
	case 401:
		return ERR_UNAUTHORIZED;
	case 403:
		return ERR_DENIED;
	case 404:
		return ERR_NOT_FOUND;
	case 409:
		return ERR_CONFLICT;
	default:
		return ERR_REFUSED;
	}
}

/* "proxy not h1", "proxy conn dead", "proxy read err", "proxy write failed" */
static bool is_of_proxy(const struct dial *d, const char *text, size_t len)
{
	return d->proxied && !d->through && len >= 6 &&
	       strncmp(text, "proxy ", 6) == 0;
}

/* Whatever it says counts for all its addresses. */
static void on_proxy_reason(void *user, const struct error *error)
{
	struct dial *d = user;

	d->error = *error;
	d->next = d->count;
	task_post(&d->io->loop, &d->step);
}

static void note_failure(struct dial *d, const char *text, size_t len)
{
	if (is_of_proxy(d, text, len))
		d->proxy_failed = true;
	else if (d->verify_error)
		note_tls_error(d);
	else if (d->status)
		error_set(&d->error, err_from_status(d->status),
			  "answered with status %d", d->status);
	else if (len >= 8 && strncmp(text, "connect ", 8) == 0)
		error_set(&d->error, ERR_PROTOCOL,
			  "TLS handshake failed (%.*s)", (int)len, text);
	else if ((len >= 3 && strncmp(text, "HS:", 3) == 0) ||
		 (len >= 8 && strncmp(text, "problems", 8) == 0))
		error_set(&d->error, ERR_PROTOCOL,
			  "unusable answer (%.*s)", (int)len, text);
	else
		error_set(&d->error, ERR_RESET,
			  "connection closed before the answer");
}

/* The attempt is over: to the next address, or to the reason. */
static void on_destroyed(struct dial *d, struct lws *wsi)
{
	d->wsi = NULL;
	d->ended = true;
	timer_stop(&d->io->loop, &d->attempt);
	if (d->proxy_failed) {
		proxy_ask_start(&d->ask, &d->io->loop, current(d), &d->proxy,
				&d->url, on_proxy_reason, d);
		return;
	}
	if (d->connected) {
		if (!d->error.code)
			note_failure(d, "", 0);
		d->next = d->count;
		task_post(&d->io->loop, &d->step);
		return;
	}
	io_reap_poll(d->io, wsi);
	probe_start(&d->probe, &d->io->loop, current(d), on_reason, d);
	timer_set(&d->io->loop, &d->attempt,
		  loop_now_us(&d->io->loop) + ATTEMPT_US);
}

static int append(struct dial *d, char **at, size_t room)
{
	size_t len = strlen(d->headers);

	if (len > room)
		return -1;
	memcpy(*at, d->headers, len);
	*at += len;
	return 0;
}

static int append_headers(struct dial *d, struct lws *wsi, void *in,
			  size_t room)
{
	if (append(d, in, room) < 0) {
		error_set(&d->error, ERR_TOO_LARGE, "request head too large");
		return -1;
	}
	if (d->body_len) {
		lws_client_http_body_pending(wsi, 1);
		lws_callback_on_writable(wsi);
	}
	return 0;
}

static int send_body(struct dial *d, struct lws *wsi)
{
	size_t left = d->body_len - d->body_sent;
	size_t part = left < IO_SERVICE_BUFFER ? left : IO_SERVICE_BUFFER;
	uint8_t *chunk;
	int n;

	if (!left)
		return 0;
	chunk = malloc(LWS_PRE + part);
	if (!chunk)
		return -1;
	memcpy(chunk + LWS_PRE, d->body + d->body_sent, part);
	n = lws_write(wsi, chunk + LWS_PRE, part,
		      part == left ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP);
	free(chunk);
	if (n < 0)
		return -1;
	d->body_sent += part;
	if (d->body_sent == d->body_len)
		lws_client_http_body_pending(wsi, 0);
	else
		lws_callback_on_writable(wsi);
	return 0;
}

/* RFC 6066, section 3: literal addresses are not permitted as names. */
static void drop_literal_name(struct dial *d, struct lws *wsi)
{
	if (d->url.literal)
		SSL_set_tlsext_host_name(lws_get_ssl(wsi), NULL);
}

static int on_head(struct dial *d, struct lws *wsi)
{
	d->status = (int)lws_http_client_http_response(wsi);
	if (d->kind == DIAL_WEBSOCKET)
		return 0;	/* refused or not: decided by libwebsockets */
	return d->events->up(d->user, wsi);
}

static int on_event(struct sock *sock, struct lws *wsi,
		    enum lws_callback_reasons reason, void *in, size_t len)
{
	struct dial *d = container_of(sock, struct dial, sock);

	switch ((int)reason) {
	case LWS_CALLBACK_WSI_CREATE:
		d->connected = true;
		timer_stop(&d->io->loop, &d->attempt);
		return 0;
	case LWS_CALLBACK_SSL_INFO:
		drop_literal_name(d, wsi);
		return 0;
	case LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION:
		d->through = true;
		return tls_verify(&d->url, d->cert_name, in, len != 0,
				  &d->verify_error);
	case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
		return append_headers(d, wsi, in, len);
	case LWS_CALLBACK_CLIENT_HTTP_WRITEABLE:
		return send_body(d, wsi);
	case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP:
		return on_head(d, wsi);
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		return d->events->up(d->user, wsi);
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		if (d->connected && !d->error.code)
			note_failure(d, in, len);
		return 0;
	case LWS_CALLBACK_WSI_DESTROY:
		on_destroyed(d, wsi);
		return 0;
	default:
		return 0;
	}
}

/*
 * libwebsockets keeps the proxy with the vhost, and reads it while it
 * connects: set anew each time, to a numeric address, which does not block.
 */
static int set_proxy(struct dial *d, const char *numeric)
{
	bool v6 = strchr(numeric, ':') != NULL;
	char text[PROXY_CREDENTIALS_CAP + 100];

	snprintf(text, sizeof(text), "%s%s%s%s%s:%u", d->proxy.credentials,
		 d->proxy.credentials[0] ? "@" : "", v6 ? "[" : "", numeric,
		 v6 ? "]" : "", d->proxy.port);
	return lws_set_proxy(d->io->proxied_vhost, text);
}

static bool v6_target(const struct dial *d)
{
	return strchr(d->url.host, ':') != NULL;
}

static void connect_to(struct dial *d)
{
	char host[80];
	char target[URL_HOST_CAP + 2];
	struct lws_client_connect_info info = {
		.context = d->io->lws,
		.vhost = d->io->client_vhost,
		.address = host,
		.port = d->url.port,
		.path = d->url.path,
		.host = d->url.authority,
		.protocol = d->kind == DIAL_WEBSOCKET ? d->protocol : NULL,
		.local_protocol_name = io_protocols[0].name,
		.method = d->kind == DIAL_WEBSOCKET ? NULL : d->method,
		.alpn = "http/1.1",
		.ssl_connection = LCCSCF_HTTP_NO_FOLLOW_REDIRECT,
		.opaque_user_data = &d->sock,
	};
	struct lws *wsi;

	address_host(current(d), host, sizeof(host));
	if (d->proxied) {
		(void)set_proxy(d, host);
		info.vhost = d->io->proxied_vhost;
		snprintf(target, sizeof(target), "%s%s%s",
			 v6_target(d) ? "[" : "", d->url.host,
			 v6_target(d) ? "]" : "");
		info.address = target;
	}
	if (d->url.tls)
		info.ssl_connection |= LCCSCF_USE_SSL;
	/* Cut at its first ':', the name would fit no certificate; see
	 * tls_verify.c for what checks it. */
	if (d->url.literal || d->cert_name)
		info.ssl_connection |= LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK;
	d->connected = false;
	d->through = false;
	d->proxy_failed = false;
	d->ended = false;
	if (d->next + 1 < d->count)
		timer_set(&d->io->loop, &d->attempt,
			  loop_now_us(&d->io->loop) + ATTEMPT_US);
	error_set(&d->error, 0, "%s", "");
	wsi = lws_client_connect_via_info(&info);
	/* When it failed at once, on_destroyed() has posted what follows,
	 * unless there never was a connection to destroy. */
	if (d->ended)
		return;
	d->wsi = wsi;
	if (!wsi) {
		error_set(&d->error, ERR_NOMEM, "no more connections");
		d->next = d->count;
		task_post(&d->io->loop, &d->step);
	}
}

static bool allowed(const struct dial *d)
{
	return d->url.tls || address_is_loopback(current(d));
}

static void on_step(struct task *task)
{
	struct dial *d = task->user;

	if (d->next >= d->count) {
		fail(d);
	} else if (allowed(d)) {
		connect_to(d);
	} else {
		error_set(&d->error, ERR_DENIED,
			  "plain http is for loopback, and the name leads "
			  "elsewhere");
		try_next(d);
	}
}

static void on_resolved(void *user, const struct sockaddr_storage *addresses,
			size_t count, const struct error *error)
{
	struct dial *d = user;

	d->resolve = NULL;
	d->error = *error;
	d->count = count;
	memcpy(d->addresses, addresses, count * sizeof(*addresses));
	on_step(&d->step);
}

static int prepare(struct dial *d, const struct dial_request *request,
		   struct error *error)
{
	int err = url_parse(request->url, &d->url, error);

	if (err < 0)
		return err;
	d->method = strdup(request->method);
	d->protocol = request->protocol ? strdup(request->protocol) : NULL;
	d->cert_name = request->cert_name ? strdup(request->cert_name) : NULL;
	if (!d->method || (request->protocol && !d->protocol) ||
	    (request->cert_name && !d->cert_name))
		return error_set(error, ERR_NOMEM, "out of memory");
	return dial_headers(request, &d->headers, error);
}

/* A proxy is told the name, whatever the address. */
static int start_resolving(struct dial *d, const char *address,
			   struct error *error)
{
	int err = proxy_for(&d->io->proxies, &d->url, &d->proxy, error);
	const char *host = address ? address : d->url.host;
	uint16_t port = d->url.port;

	if (err < 0)
		return err;
	if (err > 0) {
		d->proxied = true;
		host = d->proxy.host;
		port = d->proxy.port;
	}
	err = resolve_start(d->io, host, port, on_resolved, d, &d->resolve);
	return err < 0 ? error_set(error, err, "cannot resolve %s", host) : 0;
}

int dial_new(struct io *io, const struct dial_request *request,
	     const struct dial_events *events, void *user, struct dial **out,
	     struct error *error)
{
	struct dial *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return error_set(error, ERR_NOMEM, "out of memory");
	d->sock.event = on_event;
	d->io = io;
	d->kind = request->kind;
	d->events = events;
	d->user = user;
	d->body = request->body;
	d->body_len = request->body_len;
	d->attempt = (struct timer){ .fire = on_attempt_timeout, .user = d };
	d->step = (struct task){ .run = on_step, .user = d };
	d->probe.loop = &io->loop;
	d->probe.watcher.fd = -1;
	d->ask.loop = &io->loop;
	d->ask.watcher.fd = -1;
	err = prepare(d, request, error);
	if (err == 0)
		err = start_resolving(d, request->address, error);
	if (err < 0) {
		d->resolve = NULL;
		dial_free(d);
		return err;
	}
	*out = d;
	return 0;
}

void dial_take(struct dial *d, struct sock *sock)
{
	lws_set_opaque_user_data(d->wsi, sock);
	d->wsi = NULL;
}

void dial_free(struct dial *d)
{
	if (!d)
		return;
	if (d->resolve)
		resolve_cancel(d->resolve);
	if (d->wsi)
		io_kill(d->io, d->wsi);
	timer_stop(&d->io->loop, &d->attempt);
	task_cancel(&d->step);
	probe_stop(&d->probe);
	proxy_ask_stop(&d->ask);
	explicit_bzero(&d->proxy, sizeof(d->proxy));
	free(d->method);
	free(d->protocol);
	free(d->cert_name);
	free(d->headers);
	free(d);
}
