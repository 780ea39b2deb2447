/*
 * The nodes of a region as places to dial, in their order: by the addresses
 * that the map gives for a node (the IPv4 one first), else by its name.
 * "none" in place of an address means that there is none of that family.
 * InsecureForTests is never honoured.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/tunnel/relay_private.h"

static int make_url(const struct derp_map_node *node, char out[RELAY_URL_CAP])
{
	bool literal_v6 = strchr(node->host_name, ':') != NULL;
	int port = node->derp_port ? node->derp_port :
		   node->force_http ? 80 : 443;
	int len = snprintf(out, RELAY_URL_CAP, "%s://%s%s%s:%d/derp",
			   node->force_http ? "http" : "https",
			   literal_v6 ? "[" : "", node->host_name,
			   literal_v6 ? "]" : "", port);

	return len < RELAY_URL_CAP ? 0 : ERR_TOO_LARGE;
}

static int add(struct relay_targets *targets, const struct derp_map_node *node,
	       const char *address, bool by_websocket)
{
	struct relay_target *target = &targets->list[targets->count];

	*target = (struct relay_target){ .by_websocket = by_websocket };
	snprintf(target->address, sizeof(target->address), "%s", address);
	memcpy(target->cert_name, node->cert_name, sizeof(target->cert_name));
	targets->count++;
	return make_url(node, target->url);
}

static bool is_numeric(int family, const char *text)
{
	uint8_t address[16];

	return inet_pton(family, text, address) == 1;
}

static bool is_none(const char *text)
{
	return strcmp(text, "none") == 0;
}

static int add_node(struct relay_targets *targets,
		    const struct derp_map_node *node, bool by_websocket)
{
	bool v4 = is_numeric(AF_INET, node->ipv4);
	bool v6 = is_numeric(AF_INET6, node->ipv6);
	int err = 0;

	if (node->stun_only || (is_none(node->ipv4) && is_none(node->ipv6)))
		return 0;
	if (!v4 && !v6)
		return add(targets, node, "", by_websocket);
	if (v4)
		err = add(targets, node, node->ipv4, by_websocket);
	if (err == 0 && v6)
		err = add(targets, node, node->ipv6, by_websocket);
	return err;
}

int relay_targets_make(const struct derp_map_region *region,
		       bool by_websocket, struct relay_targets *out)
{
	int err = 0;

	*out = (struct relay_targets){ .count = 0 };
	out->list = calloc(2 * region->node_count + 1, sizeof(*out->list));
	if (!out->list)
		return ERR_NOMEM;
	for (size_t i = 0; err == 0 && i < region->node_count; i++)
		err = add_node(out, &region->nodes[i], by_websocket);
	if (err == 0 && out->count == 0)
		err = ERR_UNREACHABLE;
	if (err < 0) {
		free(out->list);
		*out = (struct relay_targets){ .count = 0 };
	}
	return err;
}

bool relay_target_equal(const struct relay_target *a,
			const struct relay_target *b)
{
	return strcmp(a->url, b->url) == 0 &&
	       strcmp(a->address, b->address) == 0 &&
	       strcmp(a->cert_name, b->cert_name) == 0;
}
