#include "core/base/derp_map.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

void derp_map_clear(struct derp_map *map)
{
	for (size_t i = 0; i < map->region_count; i++)
		free(map->regions[i].nodes);
	free(map->regions);
	*map = (struct derp_map){ .regions = NULL };
}

static int copy_region(const struct derp_map_region *from, struct derp_map *to)
{
	struct derp_map_region *region =
		derp_map_add_region(to, from->region_id);
	struct derp_map_node *nodes;

	if (!region)
		return ERR_NOMEM;
	*region = *from;
	region->nodes = NULL;
	region->node_count = 0;
	if (from->node_count == 0)
		return 0;
	nodes = malloc(from->node_count * sizeof(*nodes));
	if (!nodes)
		return ERR_NOMEM;
	memcpy(nodes, from->nodes, from->node_count * sizeof(*nodes));
	region->nodes = nodes;
	region->node_count = from->node_count;
	return 0;
}

int derp_map_copy(const struct derp_map *from, struct derp_map *to)
{
	derp_map_clear(to);
	for (size_t i = 0; i < from->region_count; i++) {
		if (copy_region(&from->regions[i], to) < 0) {
			derp_map_clear(to);
			return ERR_NOMEM;
		}
	}
	return 0;
}

static bool node_equal(const struct derp_map_node *a,
		       const struct derp_map_node *b)
{
	return strcmp(a->name, b->name) == 0 &&
	       a->region_id == b->region_id &&
	       strcmp(a->host_name, b->host_name) == 0 &&
	       strcmp(a->cert_name, b->cert_name) == 0 &&
	       strcmp(a->ipv4, b->ipv4) == 0 &&
	       strcmp(a->ipv6, b->ipv6) == 0 &&
	       a->stun_port == b->stun_port && a->derp_port == b->derp_port &&
	       a->stun_only == b->stun_only &&
	       a->insecure_for_tests == b->insecure_for_tests &&
	       a->force_http == b->force_http &&
	       a->can_port_80 == b->can_port_80 &&
	       strcmp(a->stun_test_ip, b->stun_test_ip) == 0;
}

static bool region_equal(const struct derp_map_region *a,
			 const struct derp_map_region *b)
{
	if (a->region_id != b->region_id ||
	    a->embedded_relay != b->embedded_relay || a->avoid != b->avoid ||
	    strcmp(a->code, b->code) != 0 || strcmp(a->name, b->name) != 0 ||
	    a->node_count != b->node_count)
		return false;
	for (size_t i = 0; i < a->node_count; i++)
		if (!node_equal(&a->nodes[i], &b->nodes[i]))
			return false;
	return true;
}

bool derp_map_equal(const struct derp_map *a, const struct derp_map *b)
{
	if (a->region_count != b->region_count)
		return false;
	for (size_t i = 0; i < a->region_count; i++)
		if (!region_equal(&a->regions[i], &b->regions[i]))
			return false;
	return true;
}

/* Grows an array by one element; the same pointer or NULL on failure. */
static void *grow(void *items, size_t count, size_t size)
{
	return realloc(items, (count + 1) * size);
}

struct derp_map_region *derp_map_add_region(struct derp_map *map, int64_t id)
{
	struct derp_map_region *regions;
	size_t at = 0;

	while (at < map->region_count && map->regions[at].region_id < id)
		at++;
	if (map->region_count == DERP_MAP_REGION_CAP ||
	    (at < map->region_count && map->regions[at].region_id == id))
		return NULL;
	regions = grow(map->regions, map->region_count, sizeof(*regions));
	if (!regions)
		return NULL;
	map->regions = regions;
	memmove(&regions[at + 1], &regions[at],
		(map->region_count - at) * sizeof(*regions));
	map->region_count++;
	regions[at] = (struct derp_map_region){ .region_id = id };
	return &regions[at];
}

struct derp_map_node *derp_map_add_node(struct derp_map_region *region)
{
	struct derp_map_node *nodes;

	if (region->node_count == DERP_MAP_NODE_CAP)
		return NULL;
	nodes = grow(region->nodes, region->node_count, sizeof(*nodes));
	if (!nodes)
		return NULL;
	region->nodes = nodes;
	nodes += region->node_count++;
	*nodes = (struct derp_map_node){ .region_id = region->region_id };
	return nodes;
}

const struct derp_map_region *derp_map_region(const struct derp_map *map,
					      int64_t id)
{
	for (size_t i = 0; i < map->region_count; i++)
		if (map->regions[i].region_id == id)
			return &map->regions[i];
	return NULL;
}

const struct derp_map_node *
derp_map_relay(const struct derp_map_region *region)
{
	for (size_t i = 0; i < region->node_count; i++)
		if (!region->nodes[i].stun_only)
			return &region->nodes[i];
	return NULL;
}

int64_t derp_map_first_home(const struct derp_map *map)
{
	for (size_t i = 0; i < map->region_count; i++)
		if (derp_map_relay(&map->regions[i]))
			return map->regions[i].region_id;
	return 0;
}

static void rewrite_region(struct derp_map_region *region, const char *host,
			   int32_t port, bool force_http)
{
	for (size_t i = 0; i < region->node_count; i++) {
		struct derp_map_node *node = &region->nodes[i];

		if (node->stun_only)
			continue;
		strcpy(node->host_name, host);
		node->derp_port = port;
		node->force_http = force_http;
	}
}

int derp_map_rewrite_embedded(struct derp_map *map, const char *host,
			      int32_t port, bool force_http)
{
	if (strlen(host) >= DERP_MAP_HOST_CAP)
		return ERR_TOO_LARGE;
	for (size_t i = 0; i < map->region_count; i++)
		if (map->regions[i].embedded_relay)
			rewrite_region(&map->regions[i], host, port,
				       force_http);
	return 0;
}
