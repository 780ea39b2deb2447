#include "core/base/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

static const uint8_t v4_prefix[12] = { [10] = 0xff, [11] = 0xff };

bool endpoint_is_ipv4(const struct endpoint *endpoint)
{
	return memcmp(endpoint->address, v4_prefix, sizeof(v4_prefix)) == 0;
}

bool endpoint_is_loopback(const struct endpoint *endpoint)
{
	static const uint8_t v6[16] = { [15] = 1 };

	return endpoint_is_ipv4(endpoint) ?
		       endpoint->address[12] == 127 :
		       memcmp(endpoint->address, v6, sizeof(v6)) == 0;
}

static void set_ipv4(struct endpoint *out, const struct in_addr *address)
{
	memcpy(out->address, v4_prefix, sizeof(v4_prefix));
	memcpy(out->address + 12, address, 4);
}

bool endpoint_from_sockaddr(const struct sockaddr *from, struct endpoint *out)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	switch (from->sa_family) {
	case AF_INET:
		memcpy(&v4, from, sizeof(v4));
		set_ipv4(out, &v4.sin_addr);
		out->port = ntohs(v4.sin_port);
		return true;
	case AF_INET6:
		memcpy(&v6, from, sizeof(v6));
		memcpy(out->address, &v6.sin6_addr, 16);
		out->port = ntohs(v6.sin6_port);
		return true;
	default:
		return false;
	}
}

socklen_t endpoint_to_sockaddr(const struct endpoint *from,
			       struct sockaddr_storage *out)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	memset(out, 0, sizeof(*out));
	if (endpoint_is_ipv4(from)) {
		memcpy(&v4.sin_addr, from->address + 12, 4);
		v4.sin_port = htons(from->port);
		memcpy(out, &v4, sizeof(v4));
		return sizeof(v4);
	}
	memcpy(&v6.sin6_addr, from->address, 16);
	v6.sin6_port = htons(from->port);
	memcpy(out, &v6, sizeof(v6));
	return sizeof(v6);
}

void endpoint_format(const struct endpoint *endpoint,
		     char out[ENDPOINT_TEXT_CAP])
{
	char text[INET6_ADDRSTRLEN] = "";

	if (endpoint_is_ipv4(endpoint)) {
		inet_ntop(AF_INET, endpoint->address + 12, text, sizeof(text));
		snprintf(out, ENDPOINT_TEXT_CAP, "%s:%u", text,
			 endpoint->port);
		return;
	}
	inet_ntop(AF_INET6, endpoint->address, text, sizeof(text));
	snprintf(out, ENDPOINT_TEXT_CAP, "[%s]:%u", text, endpoint->port);
}

static bool parse_port(const char *text, uint16_t *out)
{
	char *end;
	unsigned long port;

	if (*text < '0' || *text > '9')
		return false;
	port = strtoul(text, &end, 10);
	*out = (uint16_t)port;
	return *end == '\0' && port <= UINT16_MAX;
}

bool endpoint_parse(const char *text, struct endpoint *out)
{
	const char *colon = strrchr(text, ':');
	bool bracketed = text[0] == '[';
	char host[INET6_ADDRSTRLEN + 2];
	struct in_addr v4;
	size_t len;

	if (!colon || !parse_port(colon + 1, &out->port))
		return false;
	len = (size_t)(colon - text);
	if (bracketed && (len < 2 || text[len - 1] != ']'))
		return false;
	text += bracketed;
	len -= bracketed ? 2 : 0;
	if (len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	if (bracketed)
		return inet_pton(AF_INET6, host, out->address) == 1;
	if (inet_pton(AF_INET, host, &v4) != 1)
		return false;
	set_ipv4(out, &v4);
	return true;
}
