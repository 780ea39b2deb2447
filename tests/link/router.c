#include "tests/link/router.h"

#include <stdlib.h>
#include <unistd.h>

#define PACKET_CAP 1600
#define BATCH 64

struct packet {
	struct heap_node timer;
	struct side *to;	/* NULL: not yet routed */
	bool corrupted;
	size_t len;
	uint8_t bytes[];
};

void router_init(struct router *router, uint64_t seed)
{
	memset(router, 0, sizeof(*router));
	rng_seeded(&router->rng, seed);
}

void router_clear(struct router *router)
{
	struct heap_node *first;

	while ((first = heap_first(&router->timers))) {
		heap_remove(&router->timers, first);
		free(container_of(first, struct packet, timer));
	}
	heap_clear(&router->timers);
	for (size_t i = 0; i < router->sides_len; i++)
		side_close(&router->sides[i]);
}

struct side *router_side(struct router *router, const char *name)
{
	for (size_t i = 0; i < router->sides_len; i++)
		if (!strcmp(router->sides[i].name, name))
			return &router->sides[i];
	return NULL;
}

/* Sends copies of the bytes on through a lane, to be seen again at `to`. */
static void pass(struct router *router, struct lane *lane, struct side *to,
		 const uint8_t *bytes, size_t len, bool corrupted,
		 uint64_t now_us)
{
	struct lane_fate fate = lane_pass(lane, len, now_us);

	for (unsigned i = 0; i < fate.copies; i++) {
		struct packet *p;

		if (router->timers.len == ROUTER_PACKETS_CAP)
			return;
		p = malloc(sizeof(*p) + len);
		if (!p)
			return;
		memset(p, 0, sizeof(*p));
		p->to = to;
		p->corrupted = corrupted || fate.corrupted;
		p->len = len;
		memcpy(p->bytes, bytes, len);
		if (heap_set(&router->timers, &p->timer, fate.at_us[i]))
			free(p);
	}
}

static bool blocked(const struct side *side, const struct flow *flow)
{
	return (flow->protocol == FLOW_UDP && side->udp_blocked) ||
		(flow->protocol == FLOW_TCP && side->tcp_blocked);
}

static void leave(struct router *router, struct side *from, uint8_t *bytes,
		  size_t len, uint64_t now_us)
{
	struct flow flow;

	if (!flow_read(bytes, len, &flow) || blocked(from, &flow) ||
	    !nat_out(&from->nat, bytes, &flow)) {
		router->dropped++;
		return;
	}
	pass(router, &from->up, NULL, bytes, len, false, now_us);
}

void router_read(struct router *router, struct side *from, uint64_t now_us)
{
	uint8_t bytes[PACKET_CAP];
	ssize_t len;

	for (int i = 0; i < BATCH; i++) {
		len = read(from->tun, bytes, sizeof(bytes));
		if (len <= 0)
			return;
		leave(router, from, bytes, (size_t)len, now_us);
	}
}

static void route(struct router *router, struct packet *p, uint64_t now_us)
{
	struct flow flow;

	if (!flow_read(p->bytes, p->len, &flow))
		return;
	for (size_t i = 0; i < router->sides_len; i++) {
		struct side *to = &router->sides[i];

		if (!side_owns(to, &flow.destination))
			continue;
		if (blocked(to, &flow) || !nat_in(&to->nat, p->bytes, &flow))
			break;
		pass(router, &to->down, to, p->bytes, p->len, p->corrupted,
		     now_us);
		return;
	}
	router->dropped++;
}

/*
 * A flipped bit near the end. UDP over IPv4 goes without a checksum then: a
 * kernel would drop what the protocol above should have to notice.
 */
static void corrupt(struct packet *p)
{
	struct flow flow;

	if (!flow_read(p->bytes, p->len, &flow))
		return;
	p->bytes[p->len - 1] ^= 0x10;
	if (flow.protocol == FLOW_UDP && endpoint_is_ipv4(&flow.source))
		memset(p->bytes + flow.transport + 6, 0, 2);
}

void router_run(struct router *router, uint64_t now_us)
{
	struct heap_node *first;

	while ((first = heap_first(&router->timers)) &&
	       first->deadline_us <= now_us) {
		struct packet *p = container_of(first, struct packet, timer);
		uint64_t due_us = first->deadline_us;

		heap_remove(&router->timers, first);
		if (!p->to) {
			route(router, p, due_us);
		} else {
			if (p->corrupted)
				corrupt(p);
			/* a full device drops it, as a line would */
			if (write(p->to->tun, p->bytes, p->len) < 0)
				p->to->down.overflowed++;
		}
		free(p);
	}
}
