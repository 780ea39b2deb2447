/*
 * core/io/internal.h: what the files of this room share.
 *
 * Every object that owns something of libuv or libwebsockets is an
 * `io_object` in io->objects, so that io_free() can end what its owner
 * forgot. libwebsockets' connections find their object by the connection's
 * opaque pointer, a `struct sock`: one callback for all vhosts, because the
 * library asks the first protocol of whichever vhost comes first in its list.
 */
#ifndef TUNNELHOST_IO_INTERNAL_H
#define TUNNELHOST_IO_INTERNAL_H

#include <libwebsockets.h>
#include <openssl/ssl.h>
#include <uv.h>

#include "core/io/io.h"
#include "core/io/proxy.h"

#define IO_ROOM "io"
#define IO_SERVICE_BUFFER 65536		/* one read or write of a socket */
#define IO_WS_BUFFER 16384		/* held by every WebSocket */
#define IO_HEAD_CAP 16384		/* HTTP head that libwebsockets holds */
#define IO_SIGNAL_COUNT 4

struct io_object {
	struct list link;
	void (*destroy)(struct io_object *object);
};

struct io {
	uv_loop_t uv;
	struct loop loop;
	struct network network;
	struct list servers;	/* that listen */
	struct log *log;
	uv_timer_t wakeup;
	uv_prepare_t prepare;
	uv_check_t check;
	uv_idle_t busy;			/* runs when the loop must not sleep */
	uint64_t now_us;
	bool now_known;			/* false from sleep to the first look */
	const bool *done;
	bool stopped;

	struct lws_context *lws;
	struct lws_vhost *client_vhost;
	struct lws_vhost *proxied_vhost;	/* NULL: no proxy is named */
	struct proxy_environment proxies;	/* owned copies */
	SSL_CTX *client_tls;

	uv_signal_t signals[IO_SIGNAL_COUNT];
	io_signal *on_signal;
	void *signal_user;

	struct list monitors;		/* who hears of network changes */
	struct watcher netlink;
	struct timer settle;		/* they are told when it fires */
	struct timer sleep_look;
	uint64_t slept_us;		/* since boot, at the last look */
	bool monitoring;
	bool telling;

	struct io_writer *writers[2];
	struct list objects;
	struct list polls;		/* of watchers */
	char scratch[IO_SERVICE_BUFFER];	/* for one read */
};

/* What a libwebsockets connection belongs to. */
struct sock {
	int (*event)(struct sock *sock, struct lws *wsi,
		     enum lws_callback_reasons reason, void *in, size_t len);
};

extern const struct lws_protocols io_protocols[];
int io_lws_callback(struct lws *wsi, enum lws_callback_reasons reason,
		    void *user, void *in, size_t len);
/* Ends a connection from anywhere; its sock hears nothing more. */
void io_kill(struct io *io, struct lws *wsi);
/* Makes libwebsockets look at its own queues in the next turn. */
void io_kick(struct io *io);

void io_object_add(struct io *io, struct io_object *object,
		   void (*destroy)(struct io_object *object));
void io_object_remove(struct io_object *object);

int io_loop_init(struct io *io);
void io_loop_close(struct io *io);
int io_signals_init(struct io *io);
void io_signals_close(struct io *io);
void io_writers_free(struct io *io);

/* The client's SSL_CTX; see tls.c. */
int io_tls_init(struct io *io, const struct io_config *config,
		struct error *error);

int io_open_channel(struct network *network,
		    const struct channel_request *request,
		    struct channel **out, struct error *error);
int io_http(struct network *network, const struct http_request *request,
	    http_done *done, void *user, struct http_call **out,
	    struct error *error);
void io_http_cancel(struct network *network, struct http_call *call);
int io_open_datagram(struct network *network, const struct sockaddr *bind_to,
		     const struct datagram_events *events, void *user,
		     struct datagram **out, struct error *error);

int io_resolve(struct network *network, const char *host,
	       network_resolved *done, void *user,
	       struct network_lookup **out);
void io_resolve_cancel(struct network *network,
		       struct network_lookup *lookup);
size_t io_local_addresses(struct network *network, struct endpoint *out,
			  size_t cap);
int io_monitor_add(struct network *network, struct network_monitor *monitor);
void io_monitor_remove(struct network *network,
		       struct network_monitor *monitor);
/* Nobody is told any more. */
void io_monitor_stop(struct io *io);

/* What the server side does with a connection that has no sock yet. */
int io_server_event(struct lws *wsi, enum lws_callback_reasons reason,
		    void *in, size_t len);

int io_err_from_uv(int status);

#endif
