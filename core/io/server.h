/* core/io/server.h: what server.c, serve_http.c and serve_raw.c share. */
#ifndef TUNNELHOST_IO_SERVER_H
#define TUNNELHOST_IO_SERVER_H

#include "core/io/acceptor.h"
#include "core/io/internal.h"

#define SERVER_BODY_CAP (1024u * 1024)
#define SERVER_PATH_CAP 4096
#define SERVER_QUERY_CAP 4096
#define SERVER_TOKEN_CAP 512
#define SERVER_PROTOCOL_CAP 256

struct io_server {
	struct io_object object;
	struct list link;	/* in io->servers */
	struct io *io;
	struct service *service;
	struct lws_vhost *vhost;
	struct acceptor acceptor;
	bool raw;
	bool tls;
};

/* Whether it accepted this connection. */
bool server_owns(const struct io_server *server, struct lws *wsi);

/* Strings of a request that outlive libwebsockets' header table. */
struct server_strings {
	char path[SERVER_PATH_CAP];
	char query[SERVER_QUERY_CAP];
	char protocol[SERVER_PROTOCOL_CAP];
	char token[SERVER_TOKEN_CAP];
};

int serve_http_event(struct io_server *server, struct lws *wsi,
		     enum lws_callback_reasons reason, void *in, size_t len);
int serve_raw_event(struct io_server *server, struct lws *wsi,
		    enum lws_callback_reasons reason, void *in, size_t len);
/* Without the header: from the query or a cookie header's value. */
void server_find_token(struct server_strings *strings, const char *cookie);

#endif
