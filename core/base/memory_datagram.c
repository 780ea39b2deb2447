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
#define HELD_US (3 * US_PER_MS)

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
	uint64_t newest_us;	/* of those that keep their order */
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

static struct memory_way *way_of(struct memory_network *memory, uint16_t port)
{
	for (size_t i = 1; i < memory->way_count; i++)
		if (memory->ways[i].port == port)
			return &memory->ways[i];
	return &memory->ways[0];
}

static bool strikes(struct memory_way *way, unsigned chance, uint64_t *count)
{
	bool hit = chance && rng_below(&way->rng, 1000) < chance;

	*count += hit;
	return hit;
}

static bool has_luck(const struct memory_udp_faults *f)
{
	return f->loss || f->duplicate || f->corrupt || f->reorder ||
	       f->jitter_us;
}

/* By the time it is due; after those that are due at the same time. */
static void insert(struct socket *target, struct parcel *parcel)
{
	struct list *at = target->inbox.prev;

	while (at != &target->inbox &&
	       container_of(at, struct parcel, link)->due_us > parcel->due_us)
		at = at->prev;
	list_add_tail(at->next, &parcel->link);	/* before it */
	target->inbox_len++;
	arm(target);
}

static uint64_t in_order(struct memory_way *way, struct socket *target)
{
	const struct memory_udp_faults *f = &way->faults;
	uint64_t due_us = memory_after(target->memory, 1) + f->delay_us;

	if (f->jitter_us)
		due_us += rng_below(&way->rng, (uint32_t)f->jitter_us + 1);
	if (due_us < target->newest_us)
		due_us = target->newest_us;
	target->newest_us = due_us;
	return due_us;
}

static int put(struct socket *from, struct socket *target, uint64_t due_us,
	       const uint8_t *data, size_t len, size_t segment,
	       struct parcel **out)
{
	struct parcel *parcel;

	*out = NULL;
	if (target->inbox_len == INBOX_CAP) {
		from->memory->udp_counts.overflowed++;
		return 0;
	}
	parcel = malloc(sizeof(*parcel) + len);
	if (!parcel)
		return ERR_NOMEM;
	*parcel = (struct parcel){
		.due_us = due_us,
		.from = address_of(from->port),
		.segment = segment,
		.len = len,
	};
	memcpy(parcel->data, data, len);
	insert(target, parcel);
	*out = parcel;
	return 0;
}

/* One datagram that takes its chances. */
static int venture(struct socket *from, struct socket *target,
		   struct memory_way *way, const uint8_t *data, size_t len)
{
	const struct memory_udp_faults *f = &way->faults;
	struct memory_udp_counts *counts = &from->memory->udp_counts;
	struct parcel *parcel;
	unsigned copies;
	uint64_t due_us;
	int err = 0;

	if (strikes(way, f->loss, &counts->lost))
		return 0;
	copies = strikes(way, f->duplicate, &counts->duplicated) ? 2 : 1;
	if (strikes(way, f->reorder, &counts->reordered))
		due_us = memory_after(from->memory, 1) + f->delay_us +
			 (f->held_us ? f->held_us : HELD_US);
	else
		due_us = in_order(way, target);
	while (err == 0 && copies--) {
		err = put(from, target, due_us, data, len, 0, &parcel);
		if (parcel && len &&
		    strikes(way, f->corrupt, &counts->corrupted))
			parcel->data[rng_below(&way->rng, (uint32_t)len)] ^=
				(uint8_t)(1u << rng_below(&way->rng, 8));
	}
	return err;
}

static int socket_send(struct datagram *datagram, const struct sockaddr *to,
		       const void *data, size_t len, size_t segment)
{
	struct socket *from = container_of(datagram, struct socket, datagram);
	struct memory_network *memory = from->memory;
	struct socket *target = socket_at(memory, port_of(to));
	struct memory_way *way = way_of(memory, from->port);
	size_t step = segment && segment < len ? segment : len;
	size_t count = step ? (len + step - 1) / step : 1;
	struct parcel *parcel;
	int err = 0;

	memory->udp_counts.sent += count;
	if (way->faults.blocked || !target) {
		memory->udp_counts.lost += count;
		return 0;
	}
	if (!has_luck(&way->faults))
		return put(from, target, in_order(way, target), data, len,
			   segment, &parcel);
	for (size_t i = 0; err == 0 && i < count; i++) {
		size_t at = i * step;

		err = venture(from, target, way, (const uint8_t *)data + at,
			      len - at < step ? len - at : step);
	}
	return err;
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

int memory_network_set_udp(struct memory_network *memory, uint16_t from_port,
			   const struct memory_udp_faults *faults)
{
	struct memory_way *way = way_of(memory, from_port);

	if (way->port != from_port) {
		if (memory->way_count == MEMORY_UDP_WAYS_CAP)
			return ERR_LIMIT;
		way = &memory->ways[memory->way_count++];
	}
	way->port = from_port;
	way->faults = *faults;
	rng_seeded(&way->rng, faults->seed);
	return 0;
}

void memory_network_udp_counts(const struct memory_network *memory,
			       struct memory_udp_counts *out)
{
	*out = memory->udp_counts;
}
