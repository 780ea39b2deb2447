#include "core/base/jread.h"
#include "core/rest/answers.h"

static int32_t number(const struct jplace *at, const char *key, int64_t min,
		      int64_t max)
{
	int64_t value;

	jread_integer(at, key, JREAD_OPTIONAL, min, max, &value);
	return (int32_t)value;
}

static void read_node(const struct jplace *at, struct derp_map_node *out)
{
	jread_line(at, "Name", JREAD_REQUIRED, out->name, sizeof(out->name));
	jread_text(at, "HostName", JREAD_OPTIONAL, out->host_name,
		   sizeof(out->host_name));
	jread_text(at, "CertName", JREAD_OPTIONAL, out->cert_name,
		   sizeof(out->cert_name));
	jread_text(at, "IPv4", JREAD_OPTIONAL, out->ipv4, sizeof(out->ipv4));
	jread_text(at, "IPv6", JREAD_OPTIONAL, out->ipv6, sizeof(out->ipv6));
	jread_text(at, "STUNTestIP", JREAD_OPTIONAL, out->stun_test_ip,
		   sizeof(out->stun_test_ip));
	out->stun_port = number(at, "STUNPort", -1, 65535);
	out->derp_port = number(at, "DERPPort", 0, 65535);
	jread_bool(at, "STUNOnly", JREAD_OPTIONAL, &out->stun_only);
	jread_bool(at, "InsecureForTests", JREAD_OPTIONAL,
		   &out->insecure_for_tests);
	jread_bool(at, "ForceHTTP", JREAD_OPTIONAL, &out->force_http);
	jread_bool(at, "CanPort80", JREAD_OPTIONAL, &out->can_port_80);
}

static void read_nodes(const struct jplace *at, struct derp_map_region *region)
{
	struct jplace nodes = jread_list(at, "Nodes", JREAD_OPTIONAL,
					 DERP_MAP_NODE_CAP);

	for (size_t i = 0; i < jread_count(&nodes); i++) {
		struct jplace place = jread_item(&nodes, i);
		struct derp_map_node *node;

		if (!place.value)
			continue;
		node = derp_map_add_node(region);
		if (!node) {
			jread_refuse(at, "Nodes", ERR_NOMEM, "out of memory");
			return;
		}
		read_node(&place, node);
	}
}

static void read_region(const struct jplace *at, struct derp_map *map)
{
	struct derp_map_region *region;
	int64_t id;

	if (!jread_integer(at, "RegionID", JREAD_REQUIRED, 1, INT32_MAX, &id))
		return;
	if (derp_map_region(map, id)) {
		jread_refuse(at, "RegionID", ERR_PROTOCOL,
			     "region %d stands twice", (int)id);
		return;
	}
	region = derp_map_add_region(map, id);
	if (!region) {
		jread_refuse(at, NULL, ERR_NOMEM, "out of memory");
		return;
	}
	jread_bool(at, "EmbeddedRelay", JREAD_OPTIONAL,
		   &region->embedded_relay);
	jread_line(at, "RegionCode", JREAD_OPTIONAL, region->code,
		   sizeof(region->code));
	jread_line(at, "RegionName", JREAD_OPTIONAL, region->name,
		   sizeof(region->name));
	jread_bool(at, "Avoid", JREAD_OPTIONAL, &region->avoid);
	read_nodes(at, region);
}

/* Regions by id; a null takes one out of a default map, and so is none. */
static void read_map(const struct jplace *at, struct derp_map *map)
{
	struct jplace regions = jread_object(at, "Regions", JREAD_OPTIONAL);
	const char *key;
	json_t *value;

	if (!regions.value)
		return;
	if (json_object_size(regions.value) > DERP_MAP_REGION_CAP) {
		jread_refuse(at, "Regions", ERR_TOO_LARGE,
			     "%zu elements, more than %d",
			     json_object_size(regions.value),
			     DERP_MAP_REGION_CAP);
		return;
	}
	json_object_foreach(regions.value, key, value) {
		struct jplace region = jread_object(&regions, key,
						    JREAD_OPTIONAL);

		if (region.value)
			read_region(&region, map);
	}
}

static void read_connection(const struct jplace *root,
			    struct rest_connection *out)
{
	struct jplace map = jread_object(root, "derp_map", JREAD_REQUIRED);

	read_map(&map, &out->derp_map);
	jread_bool(root, "derp_force_websockets", JREAD_OPTIONAL,
		   &out->derp_force_websockets);
	jread_bool(root, "disable_direct_connections", JREAD_OPTIONAL,
		   &out->disable_direct_connections);
	jread_text(root, "hostname_suffix", JREAD_OPTIONAL,
		   out->hostname_suffix, sizeof(out->hostname_suffix));
}

int rest_decode_connection(const void *data, size_t len,
			   struct rest_connection *out, struct error *error)
{
	struct jread read = { .error = error };
	struct jplace root;
	json_t *value;
	int code = jread_parse(data, len, REST_ANSWER_CAP, &value, error);

	*out = (struct rest_connection){ .derp_force_websockets = false };
	if (code < 0)
		return code;
	root = jread_root(&read, value);
	read_connection(&root, out);
	json_decref(value);
	if (jread_code(&read) < 0)
		rest_connection_clear(out);
	return jread_code(&read);
}

void rest_connection_clear(struct rest_connection *connection)
{
	derp_map_clear(&connection->derp_map);
}

int rest_decode_derp_map(const void *data, size_t len, struct derp_map *out,
			 struct error *error)
{
	struct jread read = { .error = error };
	struct jplace root;
	json_t *value;
	int code = jread_parse(data, len, REST_ANSWER_CAP, &value, error);

	*out = (struct derp_map){ .region_count = 0 };
	if (code < 0)
		return code;
	root = jread_root(&read, value);
	read_map(&root, out);
	json_decref(value);
	if (jread_code(&read) < 0)
		derp_map_clear(out);
	return jread_code(&read);
}
