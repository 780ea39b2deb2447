/*
 * core/tailnet/coordinate/node.h: what a tailnet member tells of itself.
 *
 * A plain copy of the protobuf Node (protocol.md "Node"), validated: the key
 * is "np" and 32 bytes, the disco key "discokey:" and 64 hex digits, prefixes
 * are prefixes, and every list has a cap. Times are Unix time.
 */
#ifndef TUNNELHOST_COORDINATE_NODE_H
#define TUNNELHOST_COORDINATE_NODE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/id.h"

#define NODE_LATENCY_CAP 256
#define NODE_LATENCY_KEY_CAP 24		/* "999-v4", with the NUL */
#define NODE_PREFIX_CAP 16		/* addresses; allowed_ips as many */
#define NODE_ENDPOINT_CAP 64
#define NODE_ENDPOINT_TEXT_CAP 56	/* "[v6]:port", with the NUL */
#define NODE_ENCODED_CAP (64u * 1024u)

struct node_latency {
	char key[NODE_LATENCY_KEY_CAP];
	double seconds;
};

/* IPv4 is mapped (::ffff:a.b.c.d, bits + 96). */
struct node_prefix {
	uint8_t address[16];
	uint8_t bits;
};

struct coord_node {
	int64_t id;
	int64_t as_of_s;
	int32_t as_of_ns;
	struct key32 key;
	struct key32 disco;
	int32_t preferred_derp;
	size_t latency_count;
	size_t address_count;
	size_t allowed_count;
	size_t endpoint_count;
	struct node_latency latency[NODE_LATENCY_CAP];
	struct node_prefix addresses[NODE_PREFIX_CAP];
	struct node_prefix allowed[NODE_PREFIX_CAP];
	char endpoints[NODE_ENDPOINT_CAP][NODE_ENDPOINT_TEXT_CAP];
};

/* Appends the protobuf. 0, ERR_LIMIT or ERR_NOMEM. */
int coord_node_encode(const struct coord_node *node, struct buf *out);
/* 0, ERR_PROTOCOL, ERR_TOO_LARGE or ERR_NOMEM; on failure *out is not set. */
int coord_node_decode(const void *data, size_t len, struct coord_node *out,
		      struct error *error);

/* "fd7a::1/128". 0 or ERR_PROTOCOL. */
int node_prefix_from_text(const char *text, struct node_prefix *out);
/* As the Go side writes it; returns the length. */
size_t node_prefix_to_text(const struct node_prefix *prefix, char *out,
			   size_t cap);

/* fd7a:115c:a1e0 (Tailscale's) or fd60:627a:a42b (Coder's) and the UUID. */
void node_address_tailscale(const struct uuid *id, uint8_t out[16]);
void node_address_coder(const struct uuid *id, uint8_t out[16]);
/* An agent's node id: absolute value of the last 8 bytes as an int64. */
int64_t node_id_of_uuid(const struct uuid *id);

#endif
