/*
 * Datagram sockets of the memory network: all at 127.0.0.1, each with its
 * port. What cannot be delivered is lost, as on a network.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/memory_private.h"

#define INBOX_CAP 1024

struct parcel {
	struct list link;
	uint64_t due_us;
	struct sockaddr_in from;
	size_t segment;
	size_t len;
	uint8_t data[];
};

struct socket {
	struct datagram datagram;
	struct list link;
	struct memory_network *memory;
	const struct datagram_events *events;
	void *user;
	uint16_t port;
	struct list inbox;
	size_t inbox_len;
	struct timer wake;
	bool *gone;		/* set when closed inside its callback */
};

static struct socket *socket_at(struct memory_network *memory, uint16_t port)
{
	list_each(at, next, &memory->sockets) {
		struct socket *socket = container_of(at, struct socket, link);

		if (socket->port == port)
			return socket;
	}
	return NULL;
}

static void arm(struct socket *socket)
{
	uint64_t due = DEADLINE_NONE;

	if (!list_empty(&socket->inbox))
		due = container_of(socket->inbox.next, struct parcel, link)
			->due_us;
	timer_set(socket->memory->config.loop, &socket->wake, due);
}

static struct sockaddr_in address_of(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET };

	address.sin_port = htons(port);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

static uint16_t port_of(const struct sockaddr *address)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (address->sa_family == AF_INET) {
		memcpy(&v4, address, sizeof(v4));
		return ntohs(v4.sin_port);
	}
	if (address->sa_family != AF_INET6)
		return 0;
	memcpy(&v6, address, sizeof(v6));
	return ntohs(v6.sin6_port);
}

static int socket_send(struct datagram *datagram, const struct sockaddr *to,
		       const void *data, size_t len, size_t segment)
{
	struct socket *from = container_of(datagram, struct socket, datagram);
	struct socket *target = socket_at(from->memory, port_of(to));
	struct parcel *parcel;

	if (from->memory->udp_blocked || !target ||
	    target->inbox_len == INBOX_CAP)
		return 0;
	parcel = malloc(sizeof(*parcel) + len);
	if (!parcel)
		return ERR_NOMEM;
	*parcel = (struct parcel){
		.due_us = memory_after(from->memory, 1),
		.from = address_of(from->port),
		.segment = segment,
		.len = len,
	};
	memcpy(parcel->data, data, len);
	list_add_tail(&target->inbox, &parcel->link);
	target->inbox_len++;
	arm(target);
	return 0;
}

static int socket_local(const struct datagram *datagram,
			struct sockaddr_storage *out)
{
	const struct socket *socket =
		container_of(datagram, const struct socket, datagram);
	struct sockaddr_in address = address_of(socket->port);

	memset(out, 0, sizeof(*out));
	memcpy(out, &address, sizeof(address));
	return 0;
}

static void socket_close(struct datagram *datagram)
{
	struct socket *socket =
		container_of(datagram, struct socket, datagram);
	struct list *at;

	if (socket->gone)
		*socket->gone = true;
	while ((at = list_pop(&socket->inbox)) != NULL)
		free(container_of(at, struct parcel, link));
	timer_stop(socket->memory->config.loop, &socket->wake);
	list_remove(&socket->link);
	free(socket);
}

static const struct datagram_ops ops = {
	.send = socket_send,
	.local = socket_local,
	.close = socket_close,
};

static void wake(struct timer *timer)
{
	struct socket *socket = timer->user;
	struct list *at = list_pop(&socket->inbox);
	struct parcel *parcel = container_of(at, struct parcel, link);
	bool gone = false;

	if (!at)
		return;
	socket->inbox_len--;
	socket->gone = &gone;
	socket->events->on_receive(socket->user,
				   (const struct sockaddr *)&parcel->from,
				   parcel->data, parcel->len,
				   parcel->segment);
	free(parcel);
	if (gone)
		return;
	socket->gone = NULL;
	arm(socket);
}

int memory_open_datagram(struct network *network,
			 const struct sockaddr *bind_to,
			 const struct datagram_events *events, void *user,
			 struct datagram **out, struct error *error)
{
	struct memory_network *memory = memory_self(network);
	uint16_t port = bind_to ? port_of(bind_to) : 0;
	struct socket *socket;

	while (port == 0 && socket_at(memory, memory->next_port))
		memory->next_port++;
	if (port == 0)
		port = memory->next_port++;
	if (socket_at(memory, port))
		return error_set(error, ERR_CONFLICT, "port %u is taken",
				 port);
	socket = calloc(1, sizeof(*socket));
	if (!socket)
		return error_set(error, ERR_NOMEM, "no memory for a socket");
	socket->datagram.ops = &ops;
	socket->memory = memory;
	socket->events = events;
	socket->user = user;
	socket->port = port;
	socket->wake = (struct timer){ .fire = wake, .user = socket };
	list_init(&socket->inbox);
	list_add_tail(&memory->sockets, &socket->link);
	*out = &socket->datagram;
	return 0;
}

void memory_sockets_free(struct memory_network *memory)
{
	while (!list_empty(&memory->sockets))
		socket_close(&container_of(memory->sockets.next,
					   struct socket, link)->datagram);
}
