/*
 * core/base/network.h: what a tunnel asks of the outside world.
 *
 * An interface: core/io implements it with libwebsockets and libuv, the
 * simulation in memory. Requests name everything by URL; the network
 * resolves, connects, verifies TLS, adds no credentials of its own, follows
 * no redirect to another origin and at most 3 to the same.
 */
#ifndef TUNNELHOST_BASE_NETWORK_H
#define TUNNELHOST_BASE_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/base/channel.h"
#include "core/base/endpoint.h"
#include "core/base/err.h"
#include "core/base/list.h"

struct network;

/* Values without CR, LF or NUL; borrowed for the call. */
struct http_header {
	const char *name;
	const char *value;
};

enum channel_kind {
	CHANNEL_TEXT,		/* WebSocket, text messages out */
	CHANNEL_BINARY,		/* WebSocket, binary messages out */
	CHANNEL_UPGRADE,	/* GET with `Upgrade: protocol`, then raw bytes */
};

struct channel_request {
	enum channel_kind kind;
	const char *url;		/* http:// or https://; borrowed */
	/* Numeric: connect there, the URL's host is but a name; NULL: resolve */
	const char *address;
	const char *cert_name;		/* whose certificate; NULL: the host's */
	const char *protocol;		/* subprotocol or Upgrade token, or NULL */
	const struct http_header *headers;
	size_t header_count;
	uint64_t timeout_us;		/* until on_open; 0: 10 s */
	size_t message_cap;		/* a larger message: ERR_TOO_LARGE */
	size_t queue_cap;		/* most bytes queued for sending */
	const struct channel_events *events;
	void *user;
};

struct http_request {
	const char *method;
	const char *url;
	const char *address;		/* as in a channel_request */
	const char *cert_name;
	const struct http_header *headers;
	size_t header_count;
	const void *body;		/* copied */
	size_t body_len;
	uint64_t timeout_us;		/* for the whole answer; 0: 30 s */
	size_t body_cap;		/* of the answer; 0: 1 MiB */
};

/* Borrowed for the callback. */
struct http_response {
	struct error error;		/* code 0: there was an answer */
	int status;
	const char *content_type;	/* "" when absent */
	const uint8_t *body;
	size_t body_len;
};

struct http_call;			/* one request under way */
typedef void http_done(void *user, const struct http_response *response);

/*
 * A UDP socket; unconnected, both families where the system has them. A
 * batch in is one datagram or, with UDP_GRO, several of `segment` bytes (the
 * last may be shorter) from one address. The same going out (UDP_SEGMENT).
 * What came in is the receiver's to write on until it returns.
 *
 * Sending: 0 when all was taken. ERR_AGAIN: there was no room for all of it
 * just now; ERR_TOO_LARGE: a datagram is larger than the way to it allows;
 * others are the way's (ERR_UNREACHABLE, ERR_DENIED). What was not taken is
 * lost, and the socket goes on.
 */
struct datagram;
struct datagram_events {
	void (*on_receive)(void *user, const struct sockaddr *from,
			   uint8_t *data, size_t len, size_t segment);
};
struct datagram_ops {
	int (*send)(struct datagram *datagram, const struct sockaddr *to,
		    const void *data, size_t len, size_t segment);
	int (*local)(const struct datagram *datagram,
		     struct sockaddr_storage *out);
	void (*close)(struct datagram *datagram);
};
struct datagram {
	const struct datagram_ops *ops;
};

/*
 * Told when the machine's addresses or routes have changed, when it woke from
 * sleep, or when the clock shows that it had slept. Bursts come as one call.
 */
struct network_monitor {
	struct list link;
	void (*changed)(struct network_monitor *monitor);
	void *user;
};

struct network_lookup;
/* Once, from the loop. err 0: at least one, port 0, in the order to try. */
typedef void network_resolved(void *user, int err,
			  const struct endpoint *endpoints, size_t count);

struct network_ops {
	int (*open_channel)(struct network *network,
			    const struct channel_request *request,
			    struct channel **out, struct error *error);
	int (*http)(struct network *network,
		    const struct http_request *request, http_done *done,
		    void *user, struct http_call **out, struct error *error);
	void (*http_cancel)(struct network *network, struct http_call *call);
	int (*open_datagram)(struct network *network,
			     const struct sockaddr *bind_to,
			     const struct datagram_events *events, void *user,
			     struct datagram **out, struct error *error);
	int (*resolve)(struct network *network, const char *host,
		       network_resolved *done, void *user,
		       struct network_lookup **out);
	void (*resolve_cancel)(struct network *network,
			       struct network_lookup *call);
	size_t (*local_addresses)(struct network *network,
				  struct endpoint *out, size_t cap);
	int (*monitor_add)(struct network *network,
			   struct network_monitor *monitor);
	void (*monitor_remove)(struct network *network,
			       struct network_monitor *monitor);
};

struct network {
	const struct network_ops *ops;
};

/*
 * Begins to open. 0 and an owned channel (see channel.h for its life), or a
 * negative enum err for what is wrong with the request itself (bad URL,
 * plain http to a host that is not loopback: ERR_DENIED).
 */
static inline int network_open_channel(struct network *network,
				       const struct channel_request *request,
				       struct channel **out,
				       struct error *error)
{
	return network->ops->open_channel(network, request, out, error);
}

/*
 * Begins a request; `done` is called exactly once, later, unless it is
 * cancelled. Any HTTP status is an answer; `error` is for its absence.
 */
static inline int network_http(struct network *network,
			       const struct http_request *request,
			       http_done *done, void *user,
			       struct http_call **out, struct error *error)
{
	return network->ops->http(network, request, done, user, out, error);
}

static inline void network_http_cancel(struct network *network,
				       struct http_call *call)
{
	network->ops->http_cancel(network, call);
}

static inline int network_open_datagram(struct network *network,
					const struct sockaddr *bind_to,
					const struct datagram_events *events,
					void *user, struct datagram **out,
					struct error *error)
{
	return network->ops->open_datagram(network, bind_to, events, user, out,
					   error);
}

/*
 * A name's addresses (a numeric one is its own); `done` comes once, later,
 * unless cancelled; not after it. 0, ERR_NOMEM,
 * ERR_NOT_FOUND by a network without names. Answers are not kept.
 */
static inline int network_resolve(struct network *network, const char *host,
				  network_resolved *done, void *user,
				  struct network_lookup **out)
{
	if (!network->ops->resolve)
		return ERR_NOT_FOUND;
	return network->ops->resolve(network, host, done, user, out);
}

static inline void network_resolve_cancel(struct network *network,
					  struct network_lookup *call)
{
	network->ops->resolve_cancel(network, call);
}

/*
 * The machine's own addresses that others may reach it at, port 0: those of
 * interfaces that are up, global and private ones; no link-local ones, no
 * tailnet's (100.64/10 when it is one, fd7a:115c:a1e0::/48); loopback ones
 * only when there is nothing else. Facts: tailscale.com net/netmon.
 */
static inline size_t network_local_addresses(struct network *network,
					     struct endpoint *out, size_t cap)
{
	return network->ops->local_addresses ?
		       network->ops->local_addresses(network, out, cap) : 0;
}

/* 0, or why changes will not be told. The monitor is zeroed before. */
static inline int network_monitor_add(struct network *network,
				      struct network_monitor *monitor)
{
	if (!network->ops->monitor_add)
		return ERR_NOT_FOUND;
	return network->ops->monitor_add(network, monitor);
}

static inline void network_monitor_remove(struct network *network,
					  struct network_monitor *monitor)
{
	if (network->ops->monitor_remove)
		network->ops->monitor_remove(network, monitor);
}

#endif
