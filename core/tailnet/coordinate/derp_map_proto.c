#include "core/tailnet/coordinate/derp_map_proto.h"

#include <string.h>

#include "core/tailnet/coordinate/arena.h"
#include "core/tailnet/coordinate/tailnet.pb-c.h"

/* Names are for people: too long is cut, as in core/base/derp_map.h. */
static void copy_name(char out[DERP_MAP_NAME_CAP], const char *text)
{
	size_t len = strnlen(text, DERP_MAP_NAME_CAP - 1);

	memcpy(out, text, len);
	out[len] = '\0';
}

static int copy_host(char out[DERP_MAP_HOST_CAP], const char *text,
		     struct error *error)
{
	size_t len = strnlen(text, DERP_MAP_HOST_CAP);

	if (len == DERP_MAP_HOST_CAP)
		return error_set(error, ERR_TOO_LARGE,
				 "DERP map: host name of more than %d bytes",
				 DERP_MAP_HOST_CAP - 1);
	memcpy(out, text, len + 1);
	return 0;
}

static int take_node(const Tailnet__DerpNode *message,
		     struct derp_map_region *region, struct error *error)
{
	struct derp_map_node *node;
	int err;

	if (region->node_count == DERP_MAP_NODE_CAP)
		return error_set(error, ERR_TOO_LARGE,
				 "DERP map: region %lld has too many nodes",
				 (long long)region->region_id);
	node = derp_map_add_node(region);
	if (!node)
		return error_set(error, ERR_NOMEM, "no memory for DERP map");
	copy_name(node->name, message->name);
	copy_name(node->ipv4, message->ipv4);
	copy_name(node->ipv6, message->ipv6);
	copy_name(node->stun_test_ip, message->stun_test_ip);
	node->stun_port = message->stun_port;
	node->derp_port = message->derp_port;
	node->stun_only = message->stun_only;
	node->insecure_for_tests = message->insecure_for_tests;
	node->force_http = message->force_http;
	node->can_port_80 = message->can_port_80;
	err = copy_host(node->host_name, message->host_name, error);
	return err < 0 ? err :
			 copy_host(node->cert_name, message->cert_name, error);
}

/* The map's key is the id; Coder puts the same into the value. */
static int take_region(const Tailnet__RegionEntry *entry, struct derp_map *out,
		       struct error *error)
{
	const Tailnet__DerpRegion *message = entry->value;
	struct derp_map_region *region;
	int err = 0;

	if (!message)
		return 0;
	if (out->region_count == DERP_MAP_REGION_CAP)
		return error_set(error, ERR_TOO_LARGE,
				 "DERP map: more than %d regions",
				 DERP_MAP_REGION_CAP);
	if (derp_map_region(out, entry->key))
		return error_set(error, ERR_PROTOCOL,
				 "DERP map: region %lld twice",
				 (long long)entry->key);
	region = derp_map_add_region(out, entry->key);
	if (!region)
		return error_set(error, ERR_NOMEM, "no memory for DERP map");
	region->embedded_relay = message->embedded_relay;
	region->avoid = message->avoid;
	copy_name(region->code, message->region_code);
	copy_name(region->name, message->region_name);
	for (size_t i = 0; i < message->n_nodes && err == 0; i++)
		err = take_node(message->nodes[i], region, error);
	return err;
}

int derp_map_decode(const void *data, size_t len, struct derp_map *out,
		    struct error *error)
{
	struct derp_map map = { .region_count = 0 };
	ProtobufCMessage *base;
	Tailnet__DerpMap *message;
	struct arena arena;
	int err;

	arena_init(&arena, ARENA_MESSAGE_CAP);
	err = arena_decode(&arena, &tailnet__derp_map__descriptor, data, len,
			   "DERPMap", &base, error);
	message = err == 0 ? (Tailnet__DerpMap *)base : NULL;
	for (size_t i = 0; err == 0 && i < message->n_regions; i++)
		err = take_region(message->regions[i], &map, error);
	arena_clear(&arena);
	if (err == 0)
		*out = map;
	else
		derp_map_clear(&map);
	return err;
}

static void put_node(const struct derp_map_node *node,
		     Tailnet__DerpNode *message)
{
	tailnet__derp_node__init(message);
	message->name = (char *)node->name;
	message->region_id = node->region_id;
	message->host_name = (char *)node->host_name;
	message->cert_name = (char *)node->cert_name;
	message->ipv4 = (char *)node->ipv4;
	message->ipv6 = (char *)node->ipv6;
	message->stun_port = node->stun_port;
	message->stun_only = node->stun_only;
	message->derp_port = node->derp_port;
	message->insecure_for_tests = node->insecure_for_tests;
	message->force_http = node->force_http;
	message->stun_test_ip = (char *)node->stun_test_ip;
	message->can_port_80 = node->can_port_80;
}

static Tailnet__RegionEntry *put_region(const struct derp_map_region *region,
					struct arena *arena)
{
	size_t count = region->node_count;
	Tailnet__RegionEntry *entry = arena_take(arena, 1, sizeof(*entry));
	Tailnet__DerpRegion *value = arena_take(arena, 1, sizeof(*value));
	Tailnet__DerpNode *nodes = arena_take(arena, count + 1, sizeof(*nodes));
	Tailnet__DerpNode **list = arena_take(arena, count + 1, sizeof(*list));

	if (!entry || !value || !nodes || !list)
		return NULL;
	tailnet__region_entry__init(entry);
	tailnet__derp_region__init(value);
	entry->key = region->region_id;
	entry->value = value;
	value->region_id = region->region_id;
	value->embedded_relay = region->embedded_relay;
	value->region_code = (char *)region->code;
	value->region_name = (char *)region->name;
	value->avoid = region->avoid;
	value->n_nodes = count;
	value->nodes = list;
	for (size_t i = 0; i < count; i++) {
		put_node(&region->nodes[i], &nodes[i]);
		list[i] = &nodes[i];
	}
	return entry;
}

static int put_map(const struct derp_map *map, struct arena *arena,
		   struct buf *out)
{
	Tailnet__HomeParams home = TAILNET__HOME_PARAMS__INIT;
	Tailnet__DerpMap message = TAILNET__DERP_MAP__INIT;
	Tailnet__RegionEntry **list =
		arena_take(arena, map->region_count + 1, sizeof(*list));

	if (!list)
		return ERR_NOMEM;
	for (size_t i = 0; i < map->region_count; i++) {
		list[i] = put_region(&map->regions[i], arena);
		if (!list[i])
			return ERR_NOMEM;
	}
	message.home_params = &home;
	message.n_regions = map->region_count;
	message.regions = list;
	return message_append(&message.base, out);
}

int derp_map_encode(const struct derp_map *map, struct buf *out)
{
	struct arena arena;
	int err;

	arena_init(&arena, ARENA_MESSAGE_CAP);
	err = put_map(map, &arena, out);
	arena_clear(&arena);
	return err;
}
