/*
 * Listening: a vhost of libwebsockets a port. The connections it accepts
 * have no sock until their request is complete.
 */
#include "core/io/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/url.h"

int io_server_event(struct lws *wsi, enum lws_callback_reasons reason,
		    void *in, size_t len)
{
	struct lws_vhost *vhost = wsi ? lws_get_vhost(wsi) : NULL;
	struct io_server *server = vhost ? lws_vhost_user(vhost) : NULL;

	if (!server || (void *)server == lws_context_user(lws_get_context(wsi)))
		return 0;
	if (server->raw)
		return serve_raw_event(server, wsi, reason, in, len);
	return serve_http_event(server, wsi, reason, in, len);
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

static void destroy(struct io_object *object)
{
	struct io_server *server =
		container_of(object, struct io_server, object);

	server->service = NULL;
	lws_vhost_destroy(server->vhost);
}

/* Freed with the vhost, whose last connections may still ask for it. */
static void on_vhost_gone(struct lws_vhost *vhost, void *server)
{
	(void)vhost;
	free(server);
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

static struct lws_vhost *make_vhost(struct io_server *server,
				    const char *host, uint16_t port,
				    const char *cert, const char *key)
{
	struct lws_context_creation_info info = {
		.options = LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND |
			   LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
		.port = port,
		.iface = host,
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

	if (!strchr(host, ':'))
		info.options |= LWS_SERVER_OPTION_DISABLE_IPV6;
	if (server->raw) {
		info.options |=
			LWS_SERVER_OPTION_ADOPT_APPLY_LISTEN_ACCEPT_CONFIG;
		info.listen_accept_role = "raw-skt";
		info.listen_accept_protocol = io_protocols[0].name;
	}
	return lws_create_vhost(server->io->lws, &info);
}

static int serve(struct io *io, const char *bind_to, struct service *service,
		 const char *cert, const char *key, bool raw,
		 struct io_server **out, uint16_t *port, struct error *error)
{
	char host[URL_HOST_CAP];
	struct io_server *server;
	struct in6_addr address;
	uint16_t wanted;

	if (host_port_parse(bind_to, host, &wanted) < 0 ||
	    inet_pton(strchr(host, ':') ? AF_INET6 : AF_INET, host,
		      &address) != 1)
		return error_set(error, ERR_MISUSE,
				 "not an address to listen on: %.80s",
				 bind_to);
	if (cert && check_files(cert, key, error) < 0)
		return ERR_NOT_FOUND;
	server = calloc(1, sizeof(*server));
	if (!server)
		return error_set(error, ERR_NOMEM, "out of memory");
	server->io = io;
	server->service = service;
	server->raw = raw;
	errno = 0;
	server->vhost = make_vhost(server, host, wanted, cert, key);
	if (!server->vhost) {
		free(server);
		return error_set(error, ERR_CONFLICT, "cannot listen on %s",
				 bind_to);
	}
	io_object_add(io, &server->object, destroy);
	*port = (uint16_t)lws_get_vhost_listen_port(server->vhost);
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
	lws_vhost_destroy(server->vhost);
}
