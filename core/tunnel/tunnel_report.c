/* What is known of a tunnel: its path, its network, its times. */
#include <string.h>

#include "core/tailnet/wireguard/wireguard.h"
#include "core/tunnel/tunnel_private.h"

const char *tunnel_address(const struct tunnel *tunnel)
{
	return tunnel->address;
}

const struct tunnel_timeline *tunnel_timeline(const struct tunnel *tunnel)
{
	return &tunnel->timeline;
}

void tunnel_path(const struct tunnel *tunnel, struct tunnel_path *out)
{
	const struct derp_map_region *region;
	struct node_peer_stats stats;

	*out = (struct tunnel_path){ .known = false };
	if (node_peer_stats(tunnel->node, &tunnel->config.agent_id, &stats) < 0)
		return;
	out->known = true;
	out->direct = stats.direct;
	if (stats.direct)
		endpoint_format(&stats.endpoint, out->endpoint);
	out->derp_region = stats.region;
	region = derp_map_region(&tunnel->derp_map, stats.region);
	if (region)
		memcpy(out->derp_name, region->name, sizeof(out->derp_name));
	out->latency_us = stats.latency_us;
	out->direct_rx_bytes = stats.direct_rx_bytes;
	out->direct_tx_bytes = stats.direct_tx_bytes;
	out->relay_rx_bytes = stats.rx_bytes - stats.direct_rx_bytes;
	out->relay_tx_bytes = stats.tx_bytes - stats.direct_tx_bytes;
	if (stats.last_handshake_us != WG_NEVER)
		out->last_handshake_us = stats.last_handshake_us;
	out->handshakes = stats.handshakes;
}

void tunnel_report(const struct tunnel *tunnel, struct node_report *out)
{
	node_report(tunnel->node, out);
}

bool tunnel_candidate(const struct tunnel *tunnel, size_t index,
		      struct tunnel_candidate *out)
{
	struct path_candidate_info info;

	if (!node_peer_candidate(tunnel->node, &tunnel->config.agent_id, index,
				 &info))
		return false;
	*out = (struct tunnel_candidate){
		.endpoint = info.endpoint,
		.latency_us = info.latency_us == PATH_NEVER ? 0 :
							info.latency_us,
		.used = info.best,
	};
	return true;
}

const struct derp_map *tunnel_derp_map(const struct tunnel *tunnel)
{
	return &tunnel->derp_map;
}
