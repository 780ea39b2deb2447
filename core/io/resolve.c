#include "core/io/resolve.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct resolve {
	struct io *io;
	uv_getaddrinfo_t request;
	struct task task;		/* for a literal */
	struct sockaddr_storage literal;
	uint16_t port;
	char *host;
	resolve_done *done;		/* NULL: cancelled */
	void *user;
};

socklen_t address_len(const struct sockaddr *address)
{
	return address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) :
						sizeof(struct sockaddr_in);
}

void address_host(const struct sockaddr *address, char *out, size_t cap)
{
	*out = '\0';
	getnameinfo(address, address_len(address), out, (socklen_t)cap, NULL,
		    0, NI_NUMERICHOST);
}

void address_text(const struct sockaddr *address, char *out, size_t cap)
{
	char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
	const struct sockaddr_in *v4 = (const void *)address;
	const struct sockaddr_in6 *v6 = (const void *)address;

	address_host(address, host, sizeof(host));
	if (address->sa_family == AF_INET6)
		snprintf(out, cap, "[%s]:%u", host, ntohs(v6->sin6_port));
	else
		snprintf(out, cap, "%s:%u", host, ntohs(v4->sin_port));
}

int address_parse(const char *host, uint16_t port,
		  struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return 0;
	}
	if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		return 0;
	}
	return ERR_MISUSE;
}

bool address_is_loopback(const struct sockaddr *address)
{
	const struct sockaddr_in *v4 = (const void *)address;
	const struct sockaddr_in6 *v6 = (const void *)address;

	if (address->sa_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	return address->sa_family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static void set_port(struct sockaddr_storage *address, uint16_t port)
{
	if (address->ss_family == AF_INET6)
		((struct sockaddr_in6 *)address)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)address)->sin_port = htons(port);
}

static size_t take_addresses(const struct addrinfo *info, uint16_t port,
			     struct sockaddr_storage out[RESOLVE_CAP])
{
	size_t count = 0;

	for (; info && count < RESOLVE_CAP; info = info->ai_next) {
		if (info->ai_family != AF_INET && info->ai_family != AF_INET6)
			continue;
		memset(&out[count], 0, sizeof(out[count]));
		memcpy(&out[count], info->ai_addr, info->ai_addrlen);
		set_port(&out[count++], port);
	}
	return count;
}

static void resolve_free(struct resolve *r)
{
	task_cancel(&r->task);
	free(r->host);
	free(r);
}

static void finish(struct resolve *r, const struct sockaddr_storage *addresses,
		   size_t count, const struct error *error)
{
	resolve_done *done = r->done;
	void *user = r->user;

	resolve_free(r);
	if (done)
		done(user, addresses, count, error);
}

static void on_literal(struct task *task)
{
	struct resolve *r = task->user;
	struct sockaddr_storage address = r->literal;
	struct error error = { 0 };

	finish(r, &address, 1, &error);
}

static void on_answer(uv_getaddrinfo_t *request, int status,
		      struct addrinfo *info)
{
	struct resolve *r = request->data;
	struct sockaddr_storage addresses[RESOLVE_CAP];
	struct error error = { 0 };
	size_t count = take_addresses(info, r->port, addresses);

	uv_freeaddrinfo(info);
	if (count == 0 && status == 0)
		status = UV_EAI_NODATA;
	if (status < 0)
		error_set(&error, io_err_from_uv(status),
			  "cannot resolve %s: %s", r->host,
			  uv_strerror(status));
	finish(r, addresses, status < 0 ? 0 : count, &error);
}

int resolve_start(struct io *io, const char *host, uint16_t port,
		  resolve_done *done, void *user, struct resolve **out)
{
	struct resolve *r = calloc(1, sizeof(*r));
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };

	if (!r)
		return ERR_NOMEM;
	*r = (struct resolve){ .io = io, .port = port, .done = done,
			       .user = user, .host = strdup(host) };
	r->task = (struct task){ .run = on_literal, .user = r };
	r->request.data = r;
	*out = r;
	if (!r->host) {
		resolve_free(r);
		return ERR_NOMEM;
	}
	if (address_parse(host, port, &r->literal) == 0) {
		task_post(&io->loop, &r->task);
		return 0;
	}
	if (uv_getaddrinfo(&io->uv, &r->request, on_answer, host, NULL,
			   &hints) < 0) {
		resolve_free(r);
		return ERR_NOMEM;
	}
	return 0;
}

/* A look-up that already runs cannot be stopped: it ends unheard. */
void resolve_cancel(struct resolve *r)
{
	r->done = NULL;
	if (list_linked(&r->task.link))
		resolve_free(r);
	else
		uv_cancel((uv_req_t *)&r->request);
}
