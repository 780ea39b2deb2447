/*
 * core/tailnet/coordinate/node_message.h: struct coord_node and the
 * protobuf-c Node, for the files of this room that hold a whole message.
 */
#ifndef TUNNELHOST_COORDINATE_NODE_MESSAGE_H
#define TUNNELHOST_COORDINATE_NODE_MESSAGE_H

#include "core/tailnet/coordinate/arena.h"
#include "core/tailnet/coordinate/node.h"
#include "core/tailnet/coordinate/tailnet.pb-c.h"

/* As coord_node_decode(). */
int coord_node_from_message(const Tailnet__Node *message,
			    struct coord_node *out, struct error *error);
/* A message in the arena that borrows from `node`; NULL without memory. */
Tailnet__Node *coord_node_to_message(const struct coord_node *node,
				     struct arena *arena);

#endif
