/*
 * Listening: a vhost of libwebsockets a port. The connections it adopts have
 * no sock until their request is complete. A closed server's vhost stays
 * until the context goes.
 */
#include "core/io/server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/conn.h"

static uint16_t bound_port(const struct io_server *server)
{
	return (uint16_t)atoi(strrchr(server->acceptor.name, ':') + 1);
}

static uint16_t local_port(struct lws *wsi)
{
	struct sockaddr_storage at = { 0 };
	socklen_t len = sizeof(at);

	if (getsockname(lws_get_socket_fd(wsi), (struct sockaddr *)&at,
			&len) < 0)
		return 0;
	return ntohs(at.ss_family == AF_INET6 ?
			     ((struct sockaddr_in6 *)&at)->sin6_port :
			     ((struct sockaddr_in *)&at)->sin_port);
}

bool server_owns(const struct io_server *server, struct lws *wsi)
{
	struct lws_vhost *vhost = lws_get_vhost(wsi);

	return vhost && lws_vhost_user(vhost) !=
				lws_context_user(lws_get_context(wsi)) &&
	       local_port(wsi) == bound_port(server);
}

/*
 * Reading the request's head, libwebsockets moves the connection to the
 * first vhost that fits its Host: with several servers not always ours.
 */
static struct io_server *server_of(struct io_server *named, struct lws *wsi,
				   enum lws_callback_reasons reason)
{
	if (named->raw || ((int)reason != LWS_CALLBACK_HTTP &&
			   (int)reason != LWS_CALLBACK_HTTP_CONFIRM_UPGRADE))
		return named;
	list_each(at, next, &named->io->servers) {
		struct io_server *server =
			container_of(at, struct io_server, link);

		if (server_owns(server, wsi))
			return server;
	}
	return NULL;
}

int io_server_event(struct lws *wsi, enum lws_callback_reasons reason,
		    void *in, size_t len)
{
	struct lws_vhost *vhost = wsi ? lws_get_vhost(wsi) : NULL;
	struct io_server *server = vhost ? lws_vhost_user(vhost) : NULL;

	if (!server || (void *)server == lws_context_user(lws_get_context(wsi)))
		return 0;
	if (server->raw)
		return serve_raw_event(server, wsi, reason, in, len);
	server = server_of(server, wsi, reason);
	return server ? serve_http_event(server, wsi, reason, in, len) : -1;
}

void server_find_token(struct server_strings *strings, const char *cookie)
{
	static const char name[] = "coder_session_token=";
	const char *at = cookie ? strstr(cookie, name) : NULL;

	if (query_find(strings->query, "coder_session_token", strings->token,
		       sizeof(strings->token)) > 0)
		return;
	strings->token[0] = '\0';
	if (at) {
		size_t len = strcspn(at += strlen(name), "; ");

		if (len < sizeof(strings->token))
			memcpy(strings->token, at, len);
	}
}

/* From io_free(): the context frees the vhost, and that the server. */
static void destroy(struct io_object *object)
{
	struct io_server *server =
		container_of(object, struct io_server, object);

	server->service = NULL;
	list_remove(&server->link);
	acceptor_close(&server->acceptor);
}

static void on_vhost_gone(struct lws_vhost *vhost, void *server)
{
	(void)vhost;
	free(server);
}

/* libwebsockets closes what it cannot adopt. */
static void on_fd(void *user, int fd)
{
	struct io_server *server = user;
	lws_adoption_type type = LWS_ADOPT_SOCKET |
		(server->tls ? LWS_ADOPT_ALLOW_SSL : 0);
	lws_sock_file_fd_type descriptor = { .sockfd = fd };
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (!server->raw)
		type |= LWS_ADOPT_HTTP;
	lws_adopt_descriptor_vhost(server->vhost, type, descriptor,
				   server->raw ? io_protocols[0].name : NULL,
				   NULL);
}

static int check_files(const char *cert, const char *key, struct error *error)
{
	const char *bad = access(cert, R_OK) < 0 ? cert :
			  !key || access(key, R_OK) < 0 ? key : NULL;

	if (!bad && key)
		return 0;
	return error_set(error, ERR_NOT_FOUND, "cannot read %s: %s",
			 bad ? bad : "the TLS key", strerror(errno));
}

/* With a port of its own it could not be closed: lws_vhost_destroy() of
 * 4.1.6 never comes to an end. So we listen, and it adopts. */
static struct lws_vhost *make_vhost(struct io_server *server,
				    const char *cert, const char *key)
{
	struct lws_context_creation_info info = {
		.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.protocols = io_protocols,
		.vhost_name = server->raw ? "upgrade" : "server",
		.alpn = "http/1.1",
		.ssl_cert_filepath = cert,
		.ssl_private_key_filepath = key,
		.keepalive_timeout = 30,
		.finalize = on_vhost_gone,
		.finalize_arg = server,
		.user = server,
	};

	return lws_create_vhost(server->io->lws, &info);
}

static int serve(struct io *io, const char *bind_to, struct service *service,
		 const char *cert, const char *key, bool raw,
		 struct io_server **out, uint16_t *port, struct error *error)
{
	struct io_server *server;
	int err;

	if (strncmp(bind_to, "unix:", 5) == 0)
		return error_set(error, ERR_MISUSE, "a server needs a port");
	if (cert && check_files(cert, key, error) < 0)
		return ERR_NOT_FOUND;
	server = calloc(1, sizeof(*server));
	if (!server)
		return error_set(error, ERR_NOMEM, "out of memory");
	server->io = io;
	server->service = service;
	server->raw = raw;
	server->tls = cert != NULL;
	err = acceptor_open(&server->acceptor, io, bind_to, on_fd, server,
			    error);
	if (err < 0) {
		free(server);
		return err;
	}
	server->vhost = make_vhost(server, cert, key);
	if (!server->vhost) {
		acceptor_close(&server->acceptor);
		free(server);
		return error_set(error, ERR_PROTOCOL,
				 "cannot use certificate %s with key %s",
				 cert ? cert : "", key ? key : "");
	}
	io_object_add(io, &server->object, destroy);
	list_add_tail(&io->servers, &server->link);
	*port = bound_port(server);
	*out = server;
	return 0;
}

int io_serve(struct io *io, const char *bind_to, struct service *service,
	     const char *cert_file, const char *key_file,
	     struct io_server **out, uint16_t *port, struct error *error)
{
	return serve(io, bind_to, service, cert_file, key_file, false, out,
		     port, error);
}

int io_serve_upgrade(struct io *io, const char *bind_to,
		     struct service *service, const char *cert_file,
		     const char *key_file, struct io_server **out,
		     uint16_t *port, struct error *error)
{
	return serve(io, bind_to, service, cert_file, key_file, true, out,
		     port, error);
}

void io_server_close(struct io_server *server)
{
	server->service = NULL;
	io_object_remove(&server->object);
	list_remove(&server->link);
	conn_end_all(server->io, server);
	acceptor_close(&server->acceptor);
}
