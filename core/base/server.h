/*
 * core/base/server.h: what an embedded server asks of the outside world.
 *
 * The mirror of network.h. A `struct service` answers requests; core/io
 * listens on real sockets and calls it, core/base/memory_network.h calls it
 * without sockets. Every request is answered before serve() returns: by
 * exchange_respond(), or, for a WebSocket or an upgrade, by
 * exchange_accept(), which makes it a channel (life as in channel.h; on_open
 * is called for it too).
 */
#ifndef TUNNELHOST_BASE_SERVER_H
#define TUNNELHOST_BASE_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/channel.h"

enum exchange_kind {
	EXCHANGE_PLAIN,
	EXCHANGE_WEBSOCKET,
	EXCHANGE_UPGRADE,
};

/* Borrowed for the call of serve(). */
struct server_request {
	enum exchange_kind kind;
	const char *method;
	const char *path;	/* percent-decoded, without the query */
	const char *query;	/* raw, without '?'; "" when absent */
	const char *protocol;	/* subprotocols offered or Upgrade token; "" */
	const char *token;	/* Coder-Session-Token; "" when absent */
	const uint8_t *body;	/* at most 1 MiB, else 413 before serve() */
	size_t body_len;
};

struct exchange;
struct exchange_ops {
	int (*respond)(struct exchange *exchange, int status,
		       const char *content_type, const void *body, size_t len);
	int (*accept)(struct exchange *exchange, const char *protocol,
		      size_t message_cap, size_t queue_cap,
		      const struct channel_events *events, void *user,
		      struct channel **out);
};
struct exchange {
	const struct exchange_ops *ops;
};

struct service {
	void (*serve)(struct service *service, struct exchange *exchange,
		      const struct server_request *request);
};

/* Body copied; content_type NULL means application/json. */
static inline int exchange_respond(struct exchange *exchange, int status,
				   const char *content_type, const void *body,
				   size_t len)
{
	return exchange->ops->respond(exchange, status, content_type, body,
				      len);
}

/* `protocol`: the subprotocol chosen, or NULL. 0 or a negative enum err. */
static inline int exchange_accept(struct exchange *exchange,
				  const char *protocol, size_t message_cap,
				  size_t queue_cap,
				  const struct channel_events *events,
				  void *user, struct channel **out)
{
	return exchange->ops->accept(exchange, protocol, message_cap,
				     queue_cap, events, user, out);
}

/*
 * Finds `name` in a raw query string and percent-decodes it into `out`.
 * Length, or ERR_NOT_FOUND, ERR_TOO_LARGE, ERR_PROTOCOL.
 */
int query_find(const char *query, const char *name, char *out, size_t cap);

#endif
