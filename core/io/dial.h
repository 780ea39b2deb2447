/*
 * core/io/dial.h: one client request up to the head of its answer.
 *
 * Resolves, connects to one address after the other, shakes hands for TLS,
 * sends the head (and a body) and reads the answer's head; then its owner
 * takes the connection over. The owner frees it in any state. Never calls
 * back from inside a call.
 */
#ifndef TUNNELHOST_IO_DIAL_H
#define TUNNELHOST_IO_DIAL_H

#include "core/io/internal.h"
#include "core/io/url.h"

struct dial;

enum dial_kind {
	DIAL_WEBSOCKET,
	DIAL_UPGRADE,
	DIAL_HTTP,
};

/* All borrowed for dial_new(), but `body` until the dial is freed. */
struct dial_request {
	enum dial_kind kind;
	const char *method;
	const char *url;
	const char *address;		/* numeric, or NULL: resolve */
	const char *cert_name;		/* or NULL: the URL's host */
	const char *protocol;
	const struct http_header *headers;
	size_t header_count;
	const void *body;
	size_t body_len;
};

struct dial_events {
	/*
	 * The answer's head is there; for a WebSocket it is open. The owner
	 * calls dial_take(). Returned to libwebsockets: nonzero closes.
	 */
	int (*up)(void *user, struct lws *wsi);
	/* Status of a refusal, or 0. The dial is still to be freed. */
	void (*failed)(void *user, const struct error *error, int status);
};

int dial_new(struct io *io, const struct dial_request *request,
	     const struct dial_events *events, void *user, struct dial **out,
	     struct error *error);
/* Gives the connection to `sock`; nothing more is heard of the dial. */
void dial_take(struct dial *dial, struct sock *sock);
void dial_free(struct dial *dial);

const struct io_url *dial_url(const struct dial *dial);
/* What it was doing, for the message of a time-out. */
const char *dial_phase(struct dial *dial);

/* Owned text in *out. 0, ERR_MISUSE, ERR_TOO_LARGE or ERR_NOMEM. */
int dial_headers(const struct dial_request *request, char **out,
		 struct error *error);

/* Name checks of tls_verify.c; errors go to *verify_error. */
int tls_verify(const struct io_url *url, const char *cert_name,
	       X509_STORE_CTX *store, bool ok, int *verify_error);

/*
 * libwebsockets forgets its uv_poll_t when connect() fails: finds it and
 * closes it. Called as the connection is destroyed.
 */
void io_reap_poll(struct io *io, struct lws *wsi);

#endif
