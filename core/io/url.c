#include "core/io/url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_v4(const char *host)
{
	struct in_addr v4;

	return inet_pton(AF_INET, host, &v4) == 1;
}

static bool is_v6(const char *host)
{
	struct in6_addr v6;

	return inet_pton(AF_INET6, host, &v6) == 1;
}

static bool printable(const char *text)
{
	for (; *text; text++)
		if (*text <= ' ' || *text > '~')
			return false;
	return true;
}

static const char *take_scheme(const char *text, bool *tls)
{
	static const struct {
		const char *name;
		bool tls;
	} schemes[] = {
		{ "https://", true }, { "http://", false },
		{ "wss://", true }, { "ws://", false },
	};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		size_t len = strlen(schemes[i].name);

		if (strncasecmp(text, schemes[i].name, len) == 0) {
			*tls = schemes[i].tls;
			return text + len;
		}
	}
	return NULL;
}

static int take_port(const char *text, uint16_t *port)
{
	char *end;
	unsigned long value;

	if (!isdigit((unsigned char)*text))
		return ERR_MISUSE;
	value = strtoul(text, &end, 10);
	if (*end || value > UINT16_MAX)
		return ERR_MISUSE;
	*port = (uint16_t)value;
	return 0;
}

static bool name_is_sane(const char *host)
{
	return *host &&
	       strspn(host, "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "0123456789-._") == strlen(host);
}

/* *port is left alone when there is none in the text. */
static int split(const char *text, size_t len, char host[URL_HOST_CAP],
		 uint16_t *port, bool *has_port)
{
	char copy[URL_HOST_CAP + 10];
	char *start = copy;
	char *end;

	*has_port = false;
	if (len >= sizeof(copy))
		return ERR_TOO_LARGE;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (*copy == '[') {
		start = copy + 1;
		end = strchr(copy, ']');
		if (!end)
			return ERR_MISUSE;
		*end++ = '\0';
	} else {
		end = copy + strcspn(copy, ":");
	}
	if (*end == ':') {
		*end++ = '\0';
		*has_port = true;
		if (take_port(end, port) < 0)
			return ERR_MISUSE;
	} else if (*end) {
		return ERR_MISUSE;
	}
	if (strlen(start) >= URL_HOST_CAP)
		return ERR_TOO_LARGE;
	strcpy(host, start);
	return (*copy == '[' ? is_v6(host) : name_is_sane(host)) ? 0 :
								   ERR_MISUSE;
}

int host_port_parse(const char *text, char host[URL_HOST_CAP], uint16_t *port)
{
	bool has_port;

	if (split(text, strlen(text), host, port, &has_port) < 0 || !has_port)
		return ERR_MISUSE;
	return 0;
}

static int take_path(const char *text, struct io_url *out)
{
	size_t len = strcspn(text, "#");
	int n = snprintf(out->path, sizeof(out->path), "%s%.*s",
			 *text == '/' ? "" : "/", (int)len, text);

	return n < 0 || (size_t)n >= sizeof(out->path) ? ERR_TOO_LARGE : 0;
}

static void make_authority(struct io_url *url)
{
	bool brackets = strchr(url->host, ':') != NULL;
	bool usual = url->port == (url->tls ? 443 : 80);
	int n = snprintf(url->authority, sizeof(url->authority), "%s%s%s",
			 brackets ? "[" : "", url->host, brackets ? "]" : "");

	if (!usual)
		snprintf(url->authority + n, sizeof(url->authority) - (size_t)n,
			 ":%u", url->port);
}

bool url_is_loopback(const struct io_url *url)
{
	static const char suffix[] = ".localhost";
	size_t len = strlen(url->host);

	if (is_v4(url->host))
		return strncmp(url->host, "127.", 4) == 0;
	if (url->literal)
		return strcmp(url->host, "::1") == 0;
	return strcasecmp(url->host, "localhost") == 0 ||
	       (len > strlen(suffix) &&
		strcasecmp(url->host + len - strlen(suffix), suffix) == 0);
}

int url_parse(const char *text, struct io_url *out, struct error *error)
{
	const char *rest;
	size_t len;
	bool has_port;
	int err;

	memset(out, 0, sizeof(*out));
	rest = printable(text) ? take_scheme(text, &out->tls) : NULL;
	if (!rest)
		return error_set(error, ERR_MISUSE,
				 "not an http or https URL: %.100s", text);
	len = strcspn(rest, "/?#");
	out->port = out->tls ? 443 : 80;
	err = split(rest, len, out->host, &out->port, &has_port);
	if (err < 0)
		return error_set(error, err, "no usable host in URL %.100s",
				 text);
	if (take_path(rest + len, out) < 0)
		return error_set(error, ERR_TOO_LARGE,
				 "URL has more than %d bytes of path",
				 URL_PATH_CAP - 1);
	out->literal = is_v4(out->host) || is_v6(out->host);
	make_authority(out);
	if (!out->tls && !url_is_loopback(out))
		return error_set(error, ERR_DENIED,
				 "plain http to %s is refused: without TLS "
				 "only loopback is allowed, use https",
				 out->authority);
	return 0;
}

bool url_same_origin(const struct io_url *a, const struct io_url *b)
{
	return a->tls == b->tls && a->port == b->port &&
	       strcasecmp(a->host, b->host) == 0;
}
