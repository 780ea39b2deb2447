/*
 * tests/link/nat.h: a NAT for IPv4, UDP and TCP, of a chosen kind.
 *
 * The kinds are those of RFC 4787: how a mapping is chosen and who may answer
 * through it. TCP is always mapped by the inside endpoint and filtered by
 * address and port. No hairpin: a packet to one's own public address is
 * dropped. Public ports are drawn at random, so that nobody profits from
 * ports that are kept. Mappings last until nat_forget(), or until
 * NAT_MAPPING_CAP newer ones. Pure: no clock, no sockets.
 */
#ifndef TUNNELHOST_TESTS_LINK_NAT_H
#define TUNNELHOST_TESTS_LINK_NAT_H

#include "core/base/hash.h"
#include "core/base/list.h"
#include "tests/link/flow.h"

#define NAT_MAPPING_CAP 4096
#define NAT_PERMIT_CAP 1024

enum nat_kind {
	NAT_NONE,
	NAT_EASY,	/* mapping and filter independent of the other end */
	NAT_ADDRESS,	/* …, filter by its address */
	NAT_PORT,	/* …, filter by its address and port */
	NAT_HARD,	/* mapping and filter by its address and port */
};

struct nat {
	enum nat_kind kind;
	uint8_t public[16];
	struct rng *rng;
	struct hash by_inside;
	struct hash by_port;
	struct list mappings;	/* oldest first */
	size_t len;
};

void nat_init(struct nat *nat, struct rng *rng);
void nat_clear(struct nat *nat);
/* Forgets all mappings. `public` may be NULL for NAT_NONE. */
void nat_set(struct nat *nat, enum nat_kind kind, const uint8_t *public);
void nat_forget(struct nat *nat);
/* The kind of this name; false if there is none. */
bool nat_kind_parse(const char *name, enum nat_kind *out);

/*
 * Translates a packet that leaves (enters) the side. False: it is dropped.
 * `flow` is what flow_read() said and is brought up to date.
 */
bool nat_out(struct nat *nat, uint8_t *packet, struct flow *flow);
bool nat_in(struct nat *nat, uint8_t *packet, struct flow *flow);

#endif
