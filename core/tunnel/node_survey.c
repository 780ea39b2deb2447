/* The node's own endpoints: those of the machine, and those that STUN shows. */
#include "core/tailnet/coordinate/node.h"
#include "core/tunnel/node_private.h"

bool node_endpoints_refresh(struct node *node)
{
	struct endpoint now[NODE_OWN_ENDPOINT_CAP];
	size_t count = 0;
	bool same;

	if (node->udp.socket && node->config.network->ops->local_addresses)
		count = network_local_addresses(node->config.network, now,
						NODE_OWN_ENDPOINT_CAP);
	for (size_t i = 0; i < count; i++)
		now[i].port = node->udp.port;
	same = count == node->endpoint_count;
	for (size_t i = 0; same && i < count; i++)
		same = endpoint_equal(&now[i], &node->endpoints[i]);
	memcpy(node->endpoints, now, count * sizeof(now[0]));
	node->endpoint_count = count;
	return !same;
}

void node_survey_in(struct node *node, const struct endpoint *from,
		    const uint8_t *data, size_t len)
{
	(void)node;
	(void)from;
	(void)data;
	(void)len;
}

void node_survey(struct node *node)
{
	(void)node;
}

void node_describe(const struct node *node, struct coord_node *out)
{
	out->key = *node_public_key(node);
	out->disco = *node_disco_key(node);
	out->preferred_derp = (int32_t)node_home_region(node);
	out->endpoint_count = node->endpoint_count;
	for (size_t i = 0; i < node->endpoint_count; i++) {
		char text[ENDPOINT_TEXT_CAP];

		endpoint_format(&node->endpoints[i], text);
		memcpy(out->endpoints[i], text, NODE_ENDPOINT_TEXT_CAP);
	}
}

void node_report(const struct node *node, struct node_report *out)
{
	*out = (struct node_report){
		.enabled = node->udp.socket != NULL,
		.port = node->udp.port,
		.home_region = node_home_region(node),
		.home_up = node_home_up(node),
		.endpoint_count = node->endpoint_count,
	};
	memcpy(out->endpoints, node->endpoints, sizeof(node->endpoints));
}
