/*
 * core/base/derp_map.h: which relays there are.
 *
 * The plain data, as core/rest decodes it from JSON and core/tailnet from
 * protobuf; both build it with derp_map_add_region() and
 * derp_map_add_node(), which hold the caps and the order. Follows protocol.md,
 * "DERP map".
 */
#ifndef TUNNELHOST_BASE_DERP_MAP_H
#define TUNNELHOST_BASE_DERP_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DERP_REGIONS_CAP 256
#define DERP_NODES_CAP 16
#define DERP_NAME_CAP 64	/* with the NUL, as all of these */
#define DERP_HOST_CAP 254
#define DERP_ADDRESS_CAP 46

struct derp_node {
	char name[DERP_NAME_CAP];
	int32_t region_id;
	char host[DERP_HOST_CAP];
	char cert_name[DERP_HOST_CAP];
	char ipv4[DERP_ADDRESS_CAP];	/* "" by name; "none" is never */
	char ipv6[DERP_ADDRESS_CAP];
	int32_t stun_port;	/* 0: 3478; -1: no STUN */
	bool stun_only;
	int32_t derp_port;	/* 0: 443 */
	bool insecure_for_tests;	/* never obeyed */
	bool force_http;
	char stun_test_ip[DERP_ADDRESS_CAP];
	bool can_port_80;
};

struct derp_region {
	int32_t id;
	bool embedded_relay;
	char code[DERP_NAME_CAP];
	char name[DERP_NAME_CAP];
	bool avoid;
	struct derp_node *nodes;
	size_t node_count;
};

/* Sorted by region id. A zeroed one is a valid empty map. */
struct derp_map {
	struct derp_region *regions;
	size_t region_count;
};

/*
 * Takes its place by id; *out is valid until the next region is added. 0,
 * ERR_LIMIT, ERR_CONFLICT for an id that is there, or ERR_NOMEM.
 */
int derp_map_add_region(struct derp_map *map, int32_t id,
			struct derp_region **out);
/* Zeroed but for region_id; valid until the next is added. The same codes. */
int derp_map_add_node(struct derp_region *region, struct derp_node **out);
void derp_map_clear(struct derp_map *map);
/* 0 or ERR_NOMEM; `out` is overwritten. */
int derp_map_copy(const struct derp_map *map, struct derp_map *out);

struct derp_region *derp_map_find(const struct derp_map *map, int32_t id);
/* The lowest region with a node that is not STUN-only, or NULL. */
const struct derp_region *derp_map_first_home(const struct derp_map *map);
/* The first node that relays, or NULL. */
const struct derp_node *derp_region_relay(const struct derp_region *region);

/*
 * In regions with an embedded relay the nodes that are not STUN-only get
 * host, port and scheme of the access URL in use. A host that is too long
 * changes nothing: ERR_TOO_LARGE.
 */
int derp_map_rewrite_embedded(struct derp_map *map, const char *host,
			      uint16_t port, bool force_http);

#endif
