/*
 * core/base/derp_map.h: which relays there are.
 *
 * A plain copy of a DERP map, whether it came as JSON by REST or as protobuf
 * by the coordinate socket. Regions are sorted by id; node order is kept
 * (STUN-only nodes come first in Coder's). Facts: coder/coder tailnet/derp.go
 * and derpmap.go, coder/tailscale tailcfg/derpmap.go.
 */
#ifndef TUNNELHOST_BASE_DERP_MAP_H
#define TUNNELHOST_BASE_DERP_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DERP_MAP_REGION_CAP 256
#define DERP_MAP_NODE_CAP 16	/* in a region */
#define DERP_MAP_NAME_CAP 64	/* with the NUL; longer names are cut */
#define DERP_MAP_HOST_CAP 256	/* longer hosts are refused */

struct derp_map_node {
	char name[DERP_MAP_NAME_CAP];
	int64_t region_id;
	char host_name[DERP_MAP_HOST_CAP];
	char cert_name[DERP_MAP_HOST_CAP];
	char ipv4[DERP_MAP_NAME_CAP];
	char ipv6[DERP_MAP_NAME_CAP];
	int32_t stun_port;		/* 0: 3478; -1: no STUN */
	int32_t derp_port;		/* 0: 443, or 80 with force_http */
	bool stun_only;
	bool insecure_for_tests;	/* never honoured */
	bool force_http;
	bool can_port_80;
	char stun_test_ip[DERP_MAP_NAME_CAP];
};

struct derp_map_region {
	int64_t region_id;
	bool embedded_relay;
	bool avoid;
	char code[DERP_MAP_NAME_CAP];
	char name[DERP_MAP_NAME_CAP];
	struct derp_map_node *nodes;	/* owned */
	size_t node_count;
};

struct derp_map {
	struct derp_map_region *regions;	/* owned, sorted by region_id */
	size_t region_count;
};

/* A zeroed map is empty. */
void derp_map_clear(struct derp_map *map);
/* `to` is empty or is cleared first. 0 or ERR_NOMEM (then empty). */
int derp_map_copy(const struct derp_map *from, struct derp_map *to);
bool derp_map_equal(const struct derp_map *a, const struct derp_map *b);

/*
 * A new region in its place, zeroed but for the id, to be filled; NULL for
 * a region that is there already, too many, or no memory. Pointers to other
 * regions are void afterwards.
 */
struct derp_map_region *derp_map_add_region(struct derp_map *map, int64_t id);
/* A new node at the end, zeroed but for region_id; NULL as above. */
struct derp_map_node *derp_map_add_node(struct derp_map_region *region);

const struct derp_map_region *derp_map_region(const struct derp_map *map,
					      int64_t id);
/* The first node that is not STUN-only, or NULL. */
const struct derp_map_node *
derp_map_relay(const struct derp_map_region *region);
/* The lowest region id with a relay, or 0: home before latencies are known. */
int64_t derp_map_first_home(const struct derp_map *map);
/*
 * Relays of embedded regions are reached where the deployment itself is.
 * 0, or ERR_TOO_LARGE for a host that does not fit.
 */
int derp_map_rewrite_embedded(struct derp_map *map, const char *host,
			      int32_t port, bool force_http);

#endif
