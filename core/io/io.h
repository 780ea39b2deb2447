/*
 * core/io/io.h: the process's contact with the operating system.
 *
 * The only room with sockets, TLS, WebSockets, clocks, signals and standard
 * streams: libuv runs the loop, libwebsockets 4.1.6 speaks HTTP/1.1 and
 * WebSocket on it, OpenSSL 3 is under both. It implements core/base/loop.h,
 * network.h, server.h and stream.h and knows nothing of what is said over
 * them. Nothing here blocks: names are resolved in libuv's thread pool, full
 * pipes make writers wait.
 *
 * One thread. A `struct io` is made once; everything else is made from it
 * and is closed by its owner before io_free(), which closes what was
 * forgotten without calling back.
 */
#ifndef TUNNELHOST_IO_IO_H
#define TUNNELHOST_IO_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/loop.h"
#include "core/base/network.h"
#include "core/base/server.h"
#include "core/base/stream.h"

struct io;

/* All strings borrowed for io_new(); NULL where not wanted. */
struct io_config {
	struct log *log;
	const char *ca_file;		/* PEM, trusted beside the system's CAs
					 * (SSL_CERT_FILE, SSL_CERT_DIR) */
	const char *client_cert_file;	/* PEM, for TLS client authentication */
	const char *client_key_file;
};

/*
 * 0 and an owned object; ERR_NOT_FOUND or ERR_PROTOCOL for a certificate
 * file that cannot be used; ERR_NOMEM; ERR_INTERNAL when the event library
 * of libwebsockets is missing. Ignores SIGPIPE, forgets http_proxy.
 */
int io_new(const struct io_config *config, struct io **out,
	   struct error *error);
void io_free(struct io *io);

struct loop *io_loop(struct io *io);
struct network *io_network(struct io *io);

/*
 * Runs until *done (may be NULL) or io_stop(). 0. Not from a callback.
 */
int io_run(struct io *io, const bool *done);
void io_stop(struct io *io);

/* SIGINT, SIGTERM, SIGHUP and SIGUSR2, from the loop. NULL: default again. */
typedef void io_signal(void *user, int signo);
int io_on_signal(struct io *io, io_signal *on_signal, void *user);

/*
 * Servers. `bind_to` is a numeric address with a port ("127.0.0.1:0",
 * "[::1]:8443"); 0 lets the kernel choose, *port tells. With cert_file and
 * key_file (PEM) it is TLS only. The service is borrowed until the server is
 * closed. Request bodies are limited to 1 MiB, heads to 16 KiB. The only
 * subprotocol it knows is "derp"; a WebSocket sends text if its first
 * message begins with '{', else binary.
 */
struct io_server;
int io_serve(struct io *io, const char *bind_to, struct service *service,
	     const char *cert_file, const char *key_file,
	     struct io_server **out, uint16_t *port, struct error *error);
/*
 * A port that understands `GET` with `Upgrade: X` (EXCHANGE_UPGRADE) and
 * plain requests without a body (EXCHANGE_PLAIN), one to a connection; heads
 * to 8 KiB. libwebsockets' HTTP server refuses upgrades that it does not
 * know, hence a port of its own (docs/design.md).
 */
int io_serve_upgrade(struct io *io, const char *bind_to,
		     struct service *service, const char *cert_file,
		     const char *key_file, struct io_server **out,
		     uint16_t *port, struct error *error);
/* Stops listening and ends its connections: on_close comes for each. */
void io_server_close(struct io_server *server);

/*
 * Local streams: "127.0.0.1:8080", "[::1]:0", "localhost:0" or "unix:/path".
 * Each buffers at most IO_STREAM_BUFFER bytes a direction. A Unix socket's
 * file gets mode 0600 and goes when the listener is closed.
 */
#define IO_STREAM_BUFFER (256u * 1024)

struct io_listener;
/* `stream` is owned by the callee. */
typedef void io_accept(void *user, struct stream *stream);
/*
 * Listens on a numeric address. 0 and what was bound (with the port that the
 * kernel chose); ERR_MISUSE for an address that makes no sense, ERR_CONFLICT
 * for one in use, ERR_DENIED.
 */
int io_listen(struct io *io, const char *address, io_accept *on_accept,
	      void *user, struct io_listener **out,
	      char bound[STREAM_ADDRESS_CAP], struct error *error);
void io_listener_close(struct io_listener *listener);

struct io_connect_op;
/* Once, from the loop: an owned stream, or NULL and why. */
typedef void io_connected(void *user, struct stream *stream,
			  const struct error *error);
/* Names are resolved; all addresses are tried in order. */
int io_connect(struct io *io, const char *address, uint64_t timeout_us,
	       io_connected *done, void *user, struct io_connect_op **out,
	       struct error *error);
/* No callback any more. Not after it. */
void io_connect_cancel(struct io_connect_op *op);

/*
 * Standard input and output as one stream; once a process at a time. An
 * inherited terminal or pipe keeps its blocking mode: it is opened anew
 * through /proc/self/fd where that works, else its mode is put back when the
 * stream is closed.
 */
int io_stdio(struct io *io, struct stream **out, struct error *error);

/*
 * Bounded writers to stdout and stderr that never block the loop. Borrowed
 * from io. What does not fit is dropped whole and counted.
 */
#define IO_WRITER_CAP (1024u * 1024)
struct io_writer;
struct io_writer *io_stdout(struct io *io);
struct io_writer *io_stderr(struct io *io);
/* 0, or ERR_LIMIT when `len` bytes do not fit, ERR_CLOSED, ERR_NOMEM. */
int io_writer_write(struct io_writer *writer, const void *data, size_t len);
size_t io_writer_room(const struct io_writer *writer);
uint64_t io_writer_dropped(const struct io_writer *writer);
/* Waits for what is queued to leave, at most timeout_ms; before exit. */
void io_writer_flush(struct io_writer *writer, int timeout_ms);

#endif
