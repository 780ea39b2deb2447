#include "core/io/io.h"

#include <stdlib.h>
#include <string.h>

#include "core/io/dial.h"
#include "core/io/internal.h"

/* libwebsockets' own time-outs are only a net under ours. */
#define NET_TIMEOUT_S 600

static const struct network_ops network_ops = {
	.open_channel = io_open_channel,
	.http = io_http,
	.http_cancel = io_http_cancel,
	.open_datagram = io_open_datagram,
	.resolve = io_resolve,
	.resolve_cancel = io_resolve_cancel,
	.local_addresses = io_local_addresses,
	.monitor_add = io_monitor_add,
	.monitor_remove = io_monitor_remove,
};

void io_object_add(struct io *io, struct io_object *object,
		   void (*destroy)(struct io_object *object))
{
	object->destroy = destroy;
	list_add_tail(&io->objects, &object->link);
}

void io_object_remove(struct io_object *object)
{
	list_remove(&object->link);
}

int io_lws_callback(struct lws *wsi, enum lws_callback_reasons reason,
		    void *user, void *in, size_t len)
{
	struct sock *sock = wsi ? lws_get_opaque_user_data(wsi) : NULL;

	if (reason == LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION)
		in = user;	/* the X509_STORE_CTX */
	if (sock)
		return sock->event(sock, wsi, reason, in, len);
	if (reason == LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION)
		return 1;	/* nobody waits for it any more */
	if (reason == LWS_CALLBACK_WSI_DESTROY)
		io_reap_poll(lws_context_user(lws_get_context(wsi)), wsi);
	return io_server_event(wsi, reason, in, len);
}

const struct lws_protocols io_protocols[] = {
	{ .name = "io", .callback = io_lws_callback,
	  .rx_buffer_size = IO_WS_BUFFER,
	  .tx_packet_size = IO_SERVICE_BUFFER },
	/* The subprotocols that the server side can choose. */
	{ .name = "derp", .callback = io_lws_callback,
	  .rx_buffer_size = IO_WS_BUFFER,
	  .tx_packet_size = IO_SERVICE_BUFFER },
	{ .name = NULL },
};

static void poll_freed(uv_handle_t *handle)
{
	free(handle);
}

static void reap(uv_handle_t *handle, void *wsi)
{
	if (handle->type == UV_POLL && handle->data == wsi &&
	    !uv_is_closing(handle))
		uv_close(handle, poll_freed);
}

void io_reap_poll(struct io *io, struct lws *wsi)
{
	uv_walk(&io->uv, reap, wsi);
}

void io_kick(struct io *io)
{
	lws_cancel_service(io->lws);
}

void io_kill(struct io *io, struct lws *wsi)
{
	lws_set_opaque_user_data(wsi, NULL);
	lws_set_timeout(wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
	io_kick(io);
}

static const lws_retry_bo_t no_validity_checks = {
	.secs_since_valid_ping = 0,
};

/*
 * TCP's own: the deployment pings its WebSockets every 15 s, but a client
 * that only waits for pings never learns that the other side has vanished.
 */
#define KEEPALIVE_IDLE_S 30
#define KEEPALIVE_INTERVAL_S 10
#define KEEPALIVE_PROBES 3

static char *copy_of(const char *text)
{
	return text ? strdup(text) : NULL;
}

static void keep_proxies(struct io *io)
{
	struct proxy_environment now;

	proxy_environment(&now);
	io->proxies = (struct proxy_environment){
		.https_proxy = copy_of(now.https_proxy),
		.http_proxy = copy_of(now.http_proxy),
		.no_proxy = copy_of(now.no_proxy),
	};
}

static void free_proxies(struct io *io)
{
	free((char *)io->proxies.https_proxy);
	free((char *)io->proxies.http_proxy);
	free((char *)io->proxies.no_proxy);
}

static int start_lws(struct io *io)
{
	void *loops[] = { &io->uv };
	struct lws_context_creation_info info = {
		.options = LWS_SERVER_OPTION_LIBUV |
			   LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
			   LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
			   LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME |
			   LWS_SERVER_OPTION_NO_LWS_SYSTEM_STATES,
		.foreign_loops = loops,
		.pcontext = &io->lws,
		.pt_serv_buf_size = IO_SERVICE_BUFFER,
		.max_http_header_data = IO_HEAD_CAP,
		.timeout_secs = NET_TIMEOUT_S,
		.retry_and_idle_policy = &no_validity_checks,
		.gid = -1,
		.uid = -1,
		.user = io,
	};
	struct lws_context_creation_info vhost = {
		.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
		.port = CONTEXT_PORT_NO_LISTEN,
		.vhost_name = "client",
		.protocols = io_protocols,
		.alpn = "http/1.1",
		.timeout_secs = NET_TIMEOUT_S,
		.connect_timeout_secs = NET_TIMEOUT_S,
		.retry_and_idle_policy = &no_validity_checks,
		.provided_client_ssl_ctx = io->client_tls,
		.ssl_info_event_mask = SSL_CB_HANDSHAKE_START,
		/* A server that is gone without a word is noticed. */
		.ka_time = KEEPALIVE_IDLE_S,
		.ka_interval = KEEPALIVE_INTERVAL_S,
		.ka_probes = KEEPALIVE_PROBES,
		.user = io,
	};

	keep_proxies(io);
	/* It would be taken as a proxy, and NO_PROXY never asked. */
	unsetenv("http_proxy");
	unsetenv("socks_proxy");
	lws_set_log_level(0, NULL);
	io->lws = lws_create_context(&info);
	if (!io->lws)
		return ERR_INTERNAL;
	io->client_vhost = lws_create_vhost(io->lws, &vhost);
	if (!io->client_vhost ||
	    lws_init_vhost_client_ssl(&vhost, io->client_vhost))
		return ERR_INTERNAL;
	if (!io->proxies.https_proxy && !io->proxies.http_proxy)
		return 0;
	vhost.vhost_name = "proxied client";
	io->proxied_vhost = lws_create_vhost(io->lws, &vhost);
	if (!io->proxied_vhost ||
	    lws_init_vhost_client_ssl(&vhost, io->proxied_vhost))
		return ERR_INTERNAL;
	return 0;
}

int io_new(const struct io_config *config, struct io **out,
	   struct error *error)
{
	struct io *io = calloc(1, sizeof(*io));
	int err;

	if (!io)
		return error_set(error, ERR_NOMEM, "out of memory");
	io->log = config->log;
	io->network.ops = &network_ops;
	list_init(&io->objects);
	list_init(&io->servers);
	list_init(&io->monitors);
	err = io_loop_init(io);
	if (err < 0) {
		free(io);
		return error_set(error, err, "cannot make an event loop");
	}
	err = io_signals_init(io);
	if (err < 0)
		error_set(error, err, "cannot prepare signals");
	if (err == 0)
		err = io_tls_init(io, config, error);
	if (err == 0 && (err = start_lws(io)) < 0)
		error_set(error, err,
			  "libwebsockets does not start; is "
			  "libwebsockets-evlib-uv installed?");
	if (err < 0) {
		io_free(io);
		return err;
	}
	*out = io;
	return 0;
}

static void end_objects(struct io *io)
{
	struct list *link;

	while ((link = list_pop(&io->objects)) != NULL) {
		struct io_object *object =
			container_of(link, struct io_object, link);

		object->destroy(object);
	}
}

/*
 * libwebsockets closes in two steps with the loop between them: the first
 * begins to close its handles, the second frees its memory and sets io->lws
 * to NULL. The vhost's SSL_CTX outlives it.
 */
void io_free(struct io *io)
{
	if (!io)
		return;
	end_objects(io);
	io_monitor_stop(io);
	io_writers_free(io);
	lws_context_destroy(io->lws);
	io_signals_close(io);
	io_loop_close(io);
	uv_run(&io->uv, UV_RUN_DEFAULT);
	lws_context_destroy(io->lws);
	uv_run(&io->uv, UV_RUN_DEFAULT);
	uv_loop_close(&io->uv);
	loop_clear(&io->loop);
	SSL_CTX_free(io->client_tls);
	free_proxies(io);
	free(io);
}

struct network *io_network(struct io *io)
{
	return &io->network;
}
