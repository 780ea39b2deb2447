/*
 * core/netstack/ranges.h: which bytes beyond rcv_nxt have been received.
 *
 * A sorted array of disjoint ranges of sequence numbers that do not touch,
 * at most RANGE_CAP of them. A zeroed struct is empty.
 */
#ifndef TUNNELHOST_NETSTACK_RANGES_H
#define TUNNELHOST_NETSTACK_RANGES_H

#include <stdint.h>

#include "core/base/err.h"

#define RANGE_CAP 1024		/* pieces out of order, a connection */

struct range {
	uint32_t start;
	uint32_t end;
};

struct ranges {
	struct range *at;
	uint16_t len;
	uint16_t cap;
};

void ns_ranges_free(struct ranges *r);
/* Merges; 0, ERR_LIMIT or ERR_NOMEM. */
int ns_ranges_add(struct ranges *r, uint32_t start, uint32_t end);
/* The range that holds `seq`, or NULL. */
const struct range *ns_ranges_find(const struct ranges *r, uint32_t seq);
/* Takes away what begins at or before `seq`; returns the new `seq`. */
uint32_t ns_ranges_advance(struct ranges *r, uint32_t seq);

#endif
