#include "core/base/derp_map.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

int derp_map_add_region(struct derp_map *map, int32_t id,
			struct derp_region **out)
{
	size_t at = 0;
	struct derp_region *grown;

	while (at < map->region_count && map->regions[at].id < id)
		at++;
	if (at < map->region_count && map->regions[at].id == id)
		return ERR_CONFLICT;
	if (map->region_count == DERP_REGIONS_CAP)
		return ERR_LIMIT;
	grown = realloc(map->regions,
			(map->region_count + 1) * sizeof(*grown));
	if (!grown)
		return ERR_NOMEM;
	map->regions = grown;
	memmove(grown + at + 1, grown + at,
		(map->region_count - at) * sizeof(*grown));
	map->region_count++;
	grown[at] = (struct derp_region){ .id = id };
	*out = &grown[at];
	return 0;
}

int derp_map_add_node(struct derp_region *region, struct derp_node **out)
{
	struct derp_node *grown;

	if (region->node_count == DERP_NODES_CAP)
		return ERR_LIMIT;
	grown = realloc(region->nodes,
			(region->node_count + 1) * sizeof(*grown));
	if (!grown)
		return ERR_NOMEM;
	region->nodes = grown;
	*out = &grown[region->node_count++];
	**out = (struct derp_node){ .region_id = region->id };
	return 0;
}

void derp_map_clear(struct derp_map *map)
{
	for (size_t i = 0; i < map->region_count; i++)
		free(map->regions[i].nodes);
	free(map->regions);
	*map = (struct derp_map){ .regions = NULL };
}

static int copy_region(const struct derp_region *from, struct derp_map *out)
{
	struct derp_region *to;
	int code = derp_map_add_region(out, from->id, &to);

	if (code < 0)
		return code;
	*to = *from;
	to->nodes = NULL;
	to->node_count = 0;
	if (!from->node_count)
		return 0;
	to->nodes = malloc(from->node_count * sizeof(*to->nodes));
	if (!to->nodes)
		return ERR_NOMEM;
	memcpy(to->nodes, from->nodes, from->node_count * sizeof(*to->nodes));
	to->node_count = from->node_count;
	return 0;
}

int derp_map_copy(const struct derp_map *map, struct derp_map *out)
{
	*out = (struct derp_map){ .regions = NULL };
	for (size_t i = 0; i < map->region_count; i++) {
		if (copy_region(&map->regions[i], out) < 0) {
			derp_map_clear(out);
			return ERR_NOMEM;
		}
	}
	return 0;
}

struct derp_region *derp_map_find(const struct derp_map *map, int32_t id)
{
	for (size_t i = 0; i < map->region_count; i++)
		if (map->regions[i].id == id)
			return &map->regions[i];
	return NULL;
}

const struct derp_node *derp_region_relay(const struct derp_region *region)
{
	for (size_t i = 0; i < region->node_count; i++)
		if (!region->nodes[i].stun_only)
			return &region->nodes[i];
	return NULL;
}

const struct derp_region *derp_map_first_home(const struct derp_map *map)
{
	for (size_t i = 0; i < map->region_count; i++)
		if (derp_region_relay(&map->regions[i]))
			return &map->regions[i];
	return NULL;
}

static void rewrite_region(struct derp_region *region, const char *host,
			   uint16_t port, bool force_http)
{
	for (size_t i = 0; i < region->node_count; i++) {
		struct derp_node *node = &region->nodes[i];

		if (node->stun_only)
			continue;
		memcpy(node->host, host, strlen(host) + 1);
		node->derp_port = port;
		node->force_http = force_http;
	}
}

int derp_map_rewrite_embedded(struct derp_map *map, const char *host,
			      uint16_t port, bool force_http)
{
	if (strlen(host) >= DERP_HOST_CAP)
		return ERR_TOO_LARGE;
	for (size_t i = 0; i < map->region_count; i++)
		if (map->regions[i].embedded_relay)
			rewrite_region(&map->regions[i], host, port,
				       force_http);
	return 0;
}
