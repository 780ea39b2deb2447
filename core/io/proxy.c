#include "core/io/proxy.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *either(const char *name, const char *lower)
{
	const char *value = getenv(name);

	if (!value || !*value)
		value = getenv(lower);
	return value && *value ? value : NULL;
}

void proxy_environment(struct proxy_environment *out)
{
	*out = (struct proxy_environment){
		.https_proxy = either("HTTPS_PROXY", "https_proxy"),
		.no_proxy = either("NO_PROXY", "no_proxy"),
	};
	/* A CGI program gets the client's `Proxy:` header there. */
	if (!getenv("REQUEST_METHOD"))
		out->http_proxy = either("HTTP_PROXY", "http_proxy");
}

/* --- NO_PROXY --------------------------------------------------------- */

struct address {
	int family;		/* 0: a name */
	uint8_t bytes[16];
};

static struct address address_of(const char *text)
{
	struct address out = { .family = 0 };

	if (inet_pton(AF_INET, text, out.bytes) == 1)
		out.family = AF_INET;
	else if (inet_pton(AF_INET6, text, out.bytes) == 1)
		out.family = AF_INET6;
	return out;
}

static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8;
	unsigned rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

/* `entry` has a '/' at `slash`. */
static bool in_block(const char *entry, const char *slash,
		     const struct address *host)
{
	char text[INET6_ADDRSTRLEN];
	size_t len = (size_t)(slash - entry);
	struct address block;
	unsigned long bits;
	char *end;

	if (len >= sizeof(text))
		return false;
	memcpy(text, entry, len);
	text[len] = '\0';
	block = address_of(text);
	bits = strtoul(slash + 1, &end, 10);
	if (!block.family || block.family != host->family || *end ||
	    end == slash + 1 || bits > (block.family == AF_INET ? 32 : 128))
		return false;
	return same_prefix(block.bytes, host->bytes, (unsigned)bits);
}

/* Cuts ":port" off; false when it is another port than `port`. */
static bool take_port(char *entry, uint16_t port)
{
	char *colon = strrchr(entry, ':');
	bool bracketed = entry[0] == '[';

	if (!colon || (!bracketed && strchr(entry, ':') != colon) ||
	    (bracketed && colon[-1] != ']'))
		colon = NULL;
	if (colon && strtoul(colon + 1, NULL, 10) != port)
		return false;
	if (colon)
		*colon = '\0';
	if (bracketed && entry[strlen(entry) - 1] == ']') {
		entry[strlen(entry) - 1] = '\0';
		memmove(entry, entry + 1, strlen(entry));
	}
	return true;
}

/* "example.com" and what ends in ".example.com". */
static bool matches_name(const char *entry, const char *host)
{
	bool subdomains_only = entry[0] == '.' || entry[0] == '*';
	size_t len, host_len = strlen(host);

	if (entry[0] == '*')
		entry++;
	if (entry[0] == '.')
		entry++;
	len = strlen(entry);
	if (len == 0 || len > host_len ||
	    strcasecmp(host + host_len - len, entry) != 0)
		return false;
	if (len == host_len)
		return !subdomains_only;
	return host[host_len - len - 1] == '.';
}

static bool entry_matches(char *entry, const struct io_url *url,
			  const struct address *host)
{
	char *slash = strchr(entry, '/');
	struct address address;

	if (strcmp(entry, "*") == 0)
		return true;
	if (slash)
		return in_block(entry, slash, host);
	if (!take_port(entry, url->port))
		return false;
	address = address_of(entry);
	if (address.family)
		return address.family == host->family &&
		       memcmp(address.bytes, host->bytes, 16) == 0;
	return matches_name(entry, url->host);
}

static bool is_excepted(const char *list, const struct io_url *url)
{
	struct address host = address_of(url->host);
	char entry[256];

	while (list && *list) {
		size_t len = strcspn(list, ",");
		const char *at = list;

		list += list[len] ? len + 1 : len;
		while (len && isspace((unsigned char)*at))
			at++, len--;
		while (len && isspace((unsigned char)at[len - 1]))
			len--;
		if (len == 0 || len >= sizeof(entry))
			continue;
		memcpy(entry, at, len);
		entry[len] = '\0';
		if (entry_matches(entry, url, &host))
			return true;
	}
	return false;
}

/* --- the proxy's own URL ---------------------------------------------- */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* user%40home:pass → user@home:pass; false when it does not fit. */
static bool decode(const char *text, size_t len, char *out, size_t cap)
{
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)text[i];

		if (c == '%' && i + 2 < len && hex_value(text[i + 1]) >= 0 &&
		    hex_value(text[i + 2]) >= 0) {
			c = hex_value(text[i + 1]) * 16 +
			    hex_value(text[i + 2]);
			i += 2;
		}
		if (used + 1 >= cap || c < 32)
			return false;
		out[used++] = (char)c;
	}
	out[used] = '\0';
	return true;
}

static int set_scheme(const char **text, const char *variable,
		      struct error *error)
{
	const char *mark = strstr(*text, "://");

	if (!mark)
		return 0;
	if (strncasecmp(*text, "http://", 7) == 0) {
		*text += 7;
		return 0;
	}
	return error_set(error, ERR_DENIED,
			 "%s: proxies by %.*s are not supported, only by http",
			 variable, (int)(mark - *text), *text);
}

static int parse(const char *text, const char *variable, struct proxy *out,
		 struct error *error)
{
	const char *at;
	char place[URL_HOST_CAP + 10];
	size_t len;
	int err = set_scheme(&text, variable, error);

	if (err < 0)
		return err;
	*out = (struct proxy){ .port = 80 };
	len = strcspn(text, "/?#");
	at = memrchr(text, '@', len);
	if (at && !decode(text, (size_t)(at - text), out->credentials,
			  sizeof(out->credentials)))
		return error_set(error, ERR_MISUSE,
				 "%s: user and password must fit in %d "
				 "characters", variable,
				 PROXY_CREDENTIALS_CAP - 1);
	if (at) {
		len -= (size_t)(at + 1 - text);
		text = at + 1;
	}
	if (len == 0 || len >= URL_HOST_CAP)
		return error_set(error, ERR_MISUSE, "%s names no host",
				 variable);
	memcpy(place, text, len);
	place[len] = '\0';
	if (place[len - 1] == ']' || !strchr(place, ':'))
		strcat(place, ":80");
	if (host_port_parse(place, out->host, &out->port) < 0)
		return error_set(error, ERR_MISUSE,
				 "%s: '%s' is no host and port", variable,
				 place);
	return 1;
}

int proxy_for(const struct proxy_environment *environment,
	      const struct io_url *url, struct proxy *out,
	      struct error *error)
{
	const char *text = url->tls ? environment->https_proxy :
				      environment->http_proxy;

	if (!text || url_is_loopback(url) ||
	    is_excepted(environment->no_proxy, url))
		return 0;
	return parse(text, url->tls ? "HTTPS_PROXY" : "HTTP_PROXY", out,
		     error);
}
