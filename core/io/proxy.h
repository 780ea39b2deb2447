/*
 * core/io/proxy.h: which connections go through an HTTP proxy.
 *
 * The rule is that of Go's programs, so that tunnelhost takes the same way as
 * the Coder CLI beside it (golang.org/x/net/http/httpproxy): HTTPS_PROXY for
 * https, HTTP_PROXY for http, lowercase where the former is not set; NO_PROXY
 * lists hosts (with their subdomains), ".domains", addresses, CIDR blocks, each
 * with a port or without, or "*"; localhost and loopback addresses never go
 * through one. A proxy is spoken to by plain HTTP and CONNECT.
 */
#ifndef TUNNELHOST_IO_PROXY_H
#define TUNNELHOST_IO_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/io/url.h"

#define PROXY_CREDENTIALS_CAP 96	/* as much as libwebsockets takes */

struct proxy {
	char host[URL_HOST_CAP];	/* without brackets */
	uint16_t port;
	char credentials[PROXY_CREDENTIALS_CAP];	/* "user:password" or "" */
};

/* Values of the variables; NULL when not set. Borrowed. */
struct proxy_environment {
	const char *https_proxy;
	const char *http_proxy;
	const char *no_proxy;
};

/* From HTTPS_PROXY and its kin. HTTP_PROXY is not asked in a CGI program. */
void proxy_environment(struct proxy_environment *out);
/*
 * 1 and the proxy; 0: none; ERR_MISUSE for a variable that makes no sense,
 * ERR_DENIED for a kind of proxy that there is no support for. The message
 * shows no password.
 */
int proxy_for(const struct proxy_environment *environment,
	      const struct io_url *url, struct proxy *out,
	      struct error *error);

#endif
