#include "core/io/proxy.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ENTRY_CAP 256
#define HTTP_PORT 80

static const char *either(const char *upper, const char *lower)
{
	const char *value = getenv(upper);

	if (!value || !*value)
		value = getenv(lower);
	return value && *value ? value : NULL;
}

/* False when there is no memory. */
static bool keep(char **out, const char *value)
{
	*out = value ? strdup(value) : NULL;
	return !value || *out;
}

int proxy_env_read(struct proxy_env *env)
{
	const char *http = either("HTTP_PROXY", "http_proxy");

	memset(env, 0, sizeof(*env));
	if (getenv("REQUEST_METHOD"))
		http = NULL;
	if (keep(&env->https, either("HTTPS_PROXY", "https_proxy")) &&
	    keep(&env->http, http) &&
	    keep(&env->all, either("ALL_PROXY", "all_proxy")) &&
	    keep(&env->none, either("NO_PROXY", "no_proxy")))
		return 0;
	proxy_env_clear(env);
	return ERR_NOMEM;
}

void proxy_env_clear(struct proxy_env *env)
{
	free(env->https);
	free(env->http);
	free(env->all);
	free(env->none);
	memset(env, 0, sizeof(*env));
}

/* --- NO_PROXY ------------------------------------------------------- */

/* 4 or 16 bytes; 0 when it is no address. */
static size_t address_bytes(const char *text, uint8_t out[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, 0xff };

	if (inet_pton(AF_INET, text, out) == 1)
		return 4;
	if (inet_pton(AF_INET6, text, out) != 1)
		return 0;
	if (memcmp(out, mapped, sizeof(mapped)) != 0)
		return 16;
	memmove(out, out + 12, 4);
	return 4;
}

static bool prefix_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned rest = bits % 8;
	unsigned mask = 0xff00u >> rest & 0xffu;

	if (memcmp(a, b, bits / 8) != 0)
		return false;
	return rest == 0 || ((a[bits / 8] ^ b[bits / 8]) & mask) == 0;
}

/* "10.0.0.0/8": -1 when it is no such thing, else whether it holds. */
static int fits_network(char *entry, const uint8_t *host, size_t host_len)
{
	char *slash = strchr(entry, '/');
	uint8_t network[16];
	size_t len;
	char *end;
	unsigned long bits;

	if (!slash || !isdigit((unsigned char)slash[1]))
		return -1;
	bits = strtoul(slash + 1, &end, 10);
	*slash = '\0';
	len = address_bytes(entry, network);
	*slash = '/';
	if (*end || !len || bits > len * 8)
		return -1;
	return len == host_len &&
	       prefix_equal(host, network, (unsigned)bits);
}

/*
 * Cuts a port and brackets off: "a:1" and "[::1]:1" have one, "::1" has not.
 * Returns the port's text or NULL.
 */
static const char *cut_port(char **entry)
{
	char *colon = strrchr(*entry, ':');
	char *end = strchr(*entry, ']');

	if (**entry == '[' && end) {
		(*entry)++;
		*end = '\0';
		return end[1] == ':' ? end + 2 : NULL;
	}
	if (!colon || strchr(*entry, ':') != colon)
		return NULL;
	*colon = '\0';
	return colon + 1;
}

static bool ends_in(const char *host, const char *suffix)
{
	size_t host_len = strlen(host);
	size_t len = strlen(suffix);

	return host_len >= len &&
	       strcasecmp(host + host_len - len, suffix) == 0;
}

static bool fits_name(const char *entry, const char *host)
{
	size_t host_len = strlen(host);
	size_t len = strlen(entry);

	if (strncmp(entry, "*.", 2) == 0)
		return ends_in(host, entry + 1);
	if (*entry == '.')
		return ends_in(host, entry);
	if (strcasecmp(entry, host) == 0)
		return true;
	return host_len > len && host[host_len - len - 1] == '.' &&
	       ends_in(host, entry);
}

static bool fits_entry(char *entry, const struct io_url *url)
{
	uint8_t host[16], address[16];
	size_t host_len = address_bytes(url->host, host);
	const char *port;
	size_t len;
	int network;

	if (strcmp(entry, "*") == 0)
		return true;
	network = fits_network(entry, host, host_len);
	if (network >= 0)
		return network;
	port = cut_port(&entry);
	if (!*entry || (port && strtoul(port, NULL, 10) != url->port))
		return false;
	len = address_bytes(entry, address);
	if (len)
		return len == host_len && memcmp(host, address, len) == 0;
	return fits_name(entry, url->host);
}

static bool excepted(const char *list, const struct io_url *url)
{
	while (list && *list) {
		size_t len = strcspn(list, ",");
		char entry[ENTRY_CAP];
		const char *start = list + strspn(list, " \t");
		size_t part = start < list + len ?
				      (size_t)(list + len - start) : 0;

		while (part && strchr(" \t", start[part - 1]))
			part--;
		if (part && part < sizeof(entry)) {
			memcpy(entry, start, part);
			entry[part] = '\0';
			if (fits_entry(entry, url))
				return true;
		}
		list += len + (list[len] == ',');
	}
	return false;
}

/* --- the proxy ------------------------------------------------------ */

static int hex_digit(char c)
{
	if (isdigit((unsigned char)c))
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * libwebsockets takes "user:password@host:port" and splits at the first '@',
 * so one in the password cannot be told to it.
 */
static int take_credentials(const char *text, size_t len, struct proxy *out,
			    struct error *error)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == '%' && len - i > 2 && hex_digit(text[i + 1]) >= 0 &&
		    hex_digit(text[i + 2]) >= 0) {
			c = (char)(hex_digit(text[i + 1]) << 4 |
				   hex_digit(text[i + 2]));
			i += 2;
		}
		if (c == '@' || (unsigned char)c < ' ' ||
		    n == sizeof(out->credentials) - 2)
			return error_set(error, ERR_MISUSE,
					 "the proxy's credentials hold an '@' "
					 "or a control character, or more "
					 "than %d bytes; those cannot be sent",
					 PROXY_CREDENTIALS_CAP - 2);
		out->credentials[n++] = c;
	}
	if (n && !memchr(out->credentials, ':', n))
		out->credentials[n++] = ':';
	out->credentials[n] = '\0';
	return 0;
}

static int take_host(const char *text, size_t len, struct proxy *out)
{
	char host_port[URL_HOST_CAP + 10];
	int n = snprintf(host_port, sizeof(host_port), "%.*s", (int)len, text);
	const char *bracket = strrchr(host_port, ']');

	if (n < 0 || (size_t)n >= sizeof(host_port) - 4)
		return ERR_MISUSE;
	if (!strchr(bracket ? bracket : host_port, ':'))
		snprintf(host_port + n, sizeof(host_port) - (size_t)n, ":%d",
			 HTTP_PORT);
	if (host_port_parse(host_port, out->host, &out->port) < 0 ||
	    !*out->host || !out->port)
		return ERR_MISUSE;
	strcpy(out->name, host_port);
	return 0;
}

static int parse(const char *text, struct proxy *out, struct error *error)
{
	const char *scheme = strstr(text, "://");
	const char *rest = scheme ? scheme + 3 : text;
	size_t len = strcspn(rest, "/?#");
	const char *at = memrchr(rest, '@', len);
	int err = 0;

	if (scheme && (scheme - text != 4 || strncasecmp(text, "http", 4)))
		return error_set(error, ERR_MISUSE,
				 "a proxy by %.*s is not supported, only one "
				 "by http", (int)(scheme - text), text);
	if (at)
		err = take_credentials(rest, (size_t)(at - rest), out, error);
	if (err < 0)
		return err;
	if (at) {
		len -= (size_t)(at + 1 - rest);
		rest = at + 1;
	}
	if (take_host(rest, len, out) < 0)
		return error_set(error, ERR_MISUSE,
				 "no usable proxy: %.*s",
				 (int)(len < 100 ? len : 100), rest);
	return 0;
}

int proxy_for(const struct proxy_env *env, const struct io_url *url,
	      struct proxy *out, struct error *error)
{
	const char *text = url->tls ? env->https : env->http;
	int err;

	memset(out, 0, sizeof(*out));
	if (!text)
		text = env->all;
	if (!text || url_is_loopback(url) || excepted(env->none, url))
		return 0;
	err = parse(text, out, error);
	if (err < 0) {
		explicit_bzero(out, sizeof(*out));
		error_prefix(error, "%s", url->authority);
	}
	return err;
}
