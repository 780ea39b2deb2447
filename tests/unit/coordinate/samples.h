/* The node and the ids that vectors.json was made with. */
#ifndef TUNNELHOST_TESTS_COORDINATE_SAMPLES_H
#define TUNNELHOST_TESTS_COORDINATE_SAMPLES_H

#include "core/tailnet/coordinate/node.h"
#include "tests/unit/coordinate/vectors.h"

static inline struct uuid sample_uuid(const char *text)
{
	struct uuid id;

	assert_int_equal(uuid_from_text(text, &id), 0);
	return id;
}

static inline void sample_node(struct coord_node *node)
{
	memset(node, 0, sizeof(*node));
	node->id = 42;
	node->as_of_s = 1700000000;
	node->as_of_ns = 5;
	hex_decode(VECTOR_NODE_KEY, 64, node->key.bytes, 32);
	hex_decode(VECTOR_DISCO_KEY, 64, node->disco.bytes, 32);
	node->preferred_derp = 999;
	node->latency_count = 1;
	strcpy(node->latency[0].key, "999-v4");
	node->latency[0].seconds = 0.0125;
	node->address_count = node->allowed_count = 1;
	node_prefix_from_text("fd7a:115c:a1e0::1/128", &node->addresses[0]);
	node->allowed[0] = node->addresses[0];
	node->endpoint_count = 2;
	strcpy(node->endpoints[0], "127.0.0.1:41641");
	strcpy(node->endpoints[1], "[::1]:41641");
}

#endif
