/*
 * core/io/proxy.h: which requests go through a proxy, and through which.
 *
 * A pure rule over the environment's words: HTTPS_PROXY, HTTP_PROXY and, for
 * what those leave out, ALL_PROXY; NO_PROXY as golang.org/x/net/http/httpproxy
 * reads it (names with what ends in them, ".example.org" for the latter
 * alone, addresses, CIDR, each but CIDR with a port, "*"). What url.h calls
 * loopback never goes through one. A proxy is spoken to in plain HTTP, by
 * CONNECT.
 */
#ifndef TUNNELHOST_IO_PROXY_H
#define TUNNELHOST_IO_PROXY_H

#include "core/io/url.h"

#define PROXY_CREDENTIALS_CAP 95	/* what libwebsockets has room for */

/* NULL where not set; all owned. */
struct proxy_env {
	char *https;
	char *http;
	char *all;
	char *none;
};

struct proxy {
	char host[URL_HOST_CAP];	/* "": none, go straight */
	uint16_t port;
	char name[URL_HOST_CAP + 10];	/* "proxy.example:3128", to read */
	char credentials[PROXY_CREDENTIALS_CAP];	/* "user:password" */
};

/*
 * From the process's environment, each also in lower case when the upper one
 * is missing; HTTP_PROXY not in a CGI, where a client names it. 0, ERR_NOMEM.
 */
int proxy_env_read(struct proxy_env *env);
void proxy_env_clear(struct proxy_env *env);

/*
 * 0 and *out. ERR_MISUSE for a proxy that is no http URL (https and socks
 * among them) or whose credentials cannot be used; credentials are not told.
 */
int proxy_for(const struct proxy_env *env, const struct io_url *url,
	      struct proxy *out, struct error *error);

#endif
