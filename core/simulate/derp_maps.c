/*
 * The DERP map. Region 999 is the embedded relay: STUN-only node first, then
 * "999b" (coder/coder tailnet/derpmap.go). With an upgrade port there is a
 * second region in front of it, for the same relay: clients that take the
 * lowest id (Coder's, ours) choose it, and those that measure (Tailscale's
 * netcheck) do too, since 999 then asks to be avoided as a home. Where the
 * deployment says derp_force_websockets only 999 makes sense.
 */
#include <stdio.h>

#include "core/simulate/simulate_private.h"

#define STUN_HOST "127.0.0.1"

static int add_stun(struct simulation *sim, struct derp_map_region *region)
{
	struct derp_map_node *node;

	if (!sim->stun)
		return 0;
	node = derp_map_add_node(region);
	if (!node)
		return ERR_NOMEM;
	snprintf(node->name, sizeof(node->name), "%lldstun0",
		 (long long)region->region_id);
	snprintf(node->host_name, sizeof(node->host_name), STUN_HOST);
	node->stun_only = true;
	node->stun_port = sim->stun_port;
	return 0;
}

static int add_relay(struct simulation *sim, struct derp_map_region *region,
		     char letter, uint16_t port)
{
	struct derp_map_node *node;

	if (add_stun(sim, region) < 0)
		return ERR_NOMEM;
	node = derp_map_add_node(region);
	if (!node)
		return ERR_NOMEM;
	snprintf(node->name, sizeof(node->name), "%lld%c",
		 (long long)region->region_id, letter);
	snprintf(node->host_name, sizeof(node->host_name), "%s", sim->host);
	node->stun_port = -1;
	node->derp_port = port;
	node->force_http = sim->plain_http;
	return 0;
}

static int add_embedded(struct simulation *sim, bool avoid)
{
	struct derp_map_region *region =
		derp_map_add_region(&sim->derp_map, SIMULATION_REGION);

	if (!region)
		return ERR_NOMEM;
	region->embedded_relay = true;
	region->avoid = avoid;
	snprintf(region->code, sizeof(region->code), "coder");
	snprintf(region->name, sizeof(region->name), "Coder Embedded Relay");
	return add_relay(sim, region, 'b', sim->port);
}

static int add_upgrade(struct simulation *sim)
{
	struct derp_map_region *region = derp_map_add_region(
		&sim->derp_map, SIMULATION_UPGRADE_REGION);

	if (!region)
		return ERR_NOMEM;
	snprintf(region->code, sizeof(region->code), "upgrade");
	snprintf(region->name, sizeof(region->name),
		 "Embedded relay by upgrade");
	return add_relay(sim, region, 'a', sim->upgrade_port);
}

int sim_make_derp_map(struct simulation *sim)
{
	bool upgrade = sim->upgrade_port && !sim->config.force_websockets;
	int err;

	derp_map_clear(&sim->derp_map);
	err = upgrade ? add_upgrade(sim) : 0;
	return err < 0 ? err : add_embedded(sim, upgrade);
}

static void set_text(json_t *json, const char *key, const char *text)
{
	if (*text)
		json_object_set_new(json, key, json_string(text));
}

static void set_number(json_t *json, const char *key, int64_t number)
{
	if (number)
		json_object_set_new(json, key, json_integer(number));
}

static void set_flag(json_t *json, const char *key, bool flag)
{
	if (flag)
		json_object_set_new(json, key, json_true());
}

/* Go's names (tailcfg.DERPNode); what is zero is left out. */
static json_t *node_json(const struct derp_map_node *node)
{
	json_t *json = json_pack("{s:s,s:I,s:s}", "Name", node->name,
				 "RegionID", (json_int_t)node->region_id,
				 "HostName", node->host_name);

	set_text(json, "CertName", node->cert_name);
	set_text(json, "IPv4", node->ipv4);
	set_text(json, "IPv6", node->ipv6);
	set_number(json, "STUNPort", node->stun_port);
	set_flag(json, "STUNOnly", node->stun_only);
	set_number(json, "DERPPort", node->derp_port);
	set_flag(json, "ForceHTTP", node->force_http);
	set_flag(json, "CanPort80", node->can_port_80);
	return json;
}

static json_t *region_json(const struct derp_map_region *region)
{
	json_t *nodes = json_array();
	json_t *json = json_pack("{s:b,s:I,s:s,s:s}", "EmbeddedRelay",
				 region->embedded_relay, "RegionID",
				 (json_int_t)region->region_id, "RegionCode",
				 region->code, "RegionName", region->name);

	set_flag(json, "Avoid", region->avoid);
	for (size_t i = 0; i < region->node_count; i++)
		json_array_append_new(nodes, node_json(&region->nodes[i]));
	json_object_set_new(json, "Nodes", nodes);
	return json;
}

json_t *derp_map_json(const struct derp_map *map)
{
	json_t *regions = json_object();
	char id[24];

	for (size_t i = 0; i < map->region_count; i++) {
		snprintf(id, sizeof(id), "%lld",
			 (long long)map->regions[i].region_id);
		json_object_set_new(regions, id,
				    region_json(&map->regions[i]));
	}
	return json_pack("{s:o}", "Regions", regions);
}
