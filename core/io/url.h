/*
 * core/io/url.h: http and https URLs as far as a client needs them.
 *
 * ws and wss mean the same as http and https. No user information, nothing
 * but printable ASCII. A fragment is dropped. What RFC 3986 section 3.2.2
 * allows in a registered name beyond letters, digits, '-', '.' and '_' is
 * refused.
 */
#ifndef TUNNELHOST_IO_URL_H
#define TUNNELHOST_IO_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"

/* libwebsockets cuts a longer Host header, path and name for TLS. */
#define URL_HOST_CAP 101
#define URL_PATH_CAP 2001

struct io_url {
	bool tls;
	bool literal;			/* host is an IP address */
	char host[URL_HOST_CAP];	/* without brackets */
	char authority[URL_HOST_CAP + 10];	/* for Host: */
	uint16_t port;
	char path[URL_PATH_CAP];	/* with the query; begins with '/' */
};

/*
 * 0; ERR_MISUSE for what is no such URL; ERR_TOO_LARGE; ERR_DENIED for plain
 * http to a host that is not loopback.
 */
int url_parse(const char *text, struct io_url *out, struct error *error);
bool url_same_origin(const struct io_url *a, const struct io_url *b);
/* "localhost" and what ends in ".localhost", 127.0.0.0/8, ::1. */
bool url_is_loopback(const struct io_url *url);
/*
 * Splits "host:port" or "[v6]:port". 0 or ERR_MISUSE. `host` gets no
 * brackets.
 */
int host_port_parse(const char *text, char host[URL_HOST_CAP], uint16_t *port);

#endif
