/*
 * tests/link/router.h: the sides and the packets on their way between them.
 *
 * A packet that leaves a side goes through the side's NAT and its `up` lane,
 * is routed by its destination, and goes through the other side's `down` lane
 * and NAT. What belongs to no side is dropped. Time is handed in.
 */
#ifndef TUNNELHOST_TESTS_LINK_ROUTER_H
#define TUNNELHOST_TESTS_LINK_ROUTER_H

#include "core/base/heap.h"
#include "tests/link/side.h"

#define ROUTER_SIDES_CAP 8
#define ROUTER_PACKETS_CAP 100000

struct router {
	struct rng rng;
	struct side sides[ROUTER_SIDES_CAP];
	size_t sides_len;
	struct heap timers;	/* of packets */
	size_t dropped;		/* no side, blocked, or refused by a NAT */
};

void router_init(struct router *router, uint64_t seed);
void router_clear(struct router *router);
struct side *router_side(struct router *router, const char *name);
/* Takes what a side's TUN has, up to a batch. */
void router_read(struct router *router, struct side *from, uint64_t now_us);
/* Moves on the packets whose time has come. */
void router_run(struct router *router, uint64_t now_us);

#endif
