/*
 * core/tailnet/coordinate/response.h: CoordinateResponses as the coordinator
 * writes them.
 *
 * By hand, so that a node goes to any number of peers as the bytes that it
 * came in, unknown fields and all.
 */
#ifndef TUNNELHOST_COORDINATE_RESPONSE_H
#define TUNNELHOST_COORDINATE_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/id.h"

#define RESPONSE_CAP (128u * 1024u)

/* An encoded Node, shared by those who were told of it. */
struct shared_node {
	unsigned refs;
	size_t len;
	uint8_t data[];
};

/* Takes the first reference; NULL without memory. */
struct shared_node *shared_node_new(const void *data, size_t len);
struct shared_node *shared_node_hold(struct shared_node *node);
void shared_node_drop(struct shared_node *node);	/* NULL is fine */
/* NULL equals nothing. */
bool shared_node_equal(const struct shared_node *a,
		       const struct shared_node *b);

/* One PeerUpdate; `node` may be NULL. 0, ERR_LIMIT or ERR_NOMEM. */
int response_update(struct buf *out, const struct uuid *id,
		    const struct shared_node *node, unsigned kind,
		    const char *reason);
int response_error(struct buf *out, const char *text);

#endif
