/*
 * Which relay is home. The first is the lowest region with a relay, so that
 * nothing waits for a measurement; a survey (by STUN, or by HTTP where UDP is
 * barred: node_latency.c) or a new DERP map may name another. That one is
 * opened first, and only once it is up the coordinator hears of it; the old
 * one stays open as long as any relay does that nobody needs, for what is
 * under way to us. Facts: tailscale.com wgengine/magicsock derp.go.
 */
#include "core/base/err.h"
#include "core/tunnel/node_private.h"

/* A home that has been down for so long is no reason to stay. */
#define DEAD_US (5 * US_PER_S)

static void leave_home(struct node *node)
{
	for (size_t i = 0; i < node->relay_count; i++)
		if (node->relays[i].relay == node->home)
			node->relays[i].idle_us = node_now(node);
	if (node->home)
		relay_set_home(node->home, false);
}

void node_home_turn(struct node *node)
{
	struct relay *next = node->next_home;

	if (!next || !relay_up(next))
		return;
	log_info(node->config.log, "derp", "home is now region %lld, was %lld",
		 (long long)relay_region(next),
		 (long long)node->config.home_region);
	leave_home(node);
	relay_set_home(next, true);
	node->home = next;
	node->next_home = NULL;
	node->config.home_region = relay_region(next);
	if (node->config.events->on_changed)
		node->config.events->on_changed(node->config.user);
}

int node_set_home(struct node *node, int64_t region)
{
	struct relay *relay;

	if (region == node->config.home_region) {
		node->next_home = NULL;
		return 0;
	}
	relay = node_relay_of(node, region);
	if (!relay)
		return ERR_UNREACHABLE;
	node->next_home = relay;
	node_kick(node);
	return 0;
}

void node_home_choose(struct node *node)
{
	const struct relay *relay = node->next_home ? node->next_home :
						      node->home;
	int64_t current = relay_region(relay);
	bool dead = relay_down_for(relay) >= DEAD_US;
	int64_t best = survey_home(node->survey, dead ? 0 : current,
				   node_now(node));

	if (best && best != current)
		(void)node_set_home(node, best);
}

static void network_changed(struct network_monitor *monitor)
{
	struct node *node = monitor->user;
	struct endpoint addresses[NODE_OWN_ENDPOINT_CAP];
	size_t count = network_local_addresses(node->config.network, addresses,
					       NODE_OWN_ENDPOINT_CAP);

	for (size_t i = 0; i < node->relay_count; i++)
		relay_network_changed(node->relays[i].relay, addresses, count);
	if (!node->udp.socket)
		node_latency_soon(node);
	node_kick(node);
}

void node_home_begin(struct node *node)
{
	node->relay_monitor = (struct network_monitor){
		.changed = network_changed, .user = node,
	};
	node->relay_monitored = network_monitor_add(node->config.network,
						    &node->relay_monitor) == 0;
	if (node->udp.socket)
		return;
	if (survey_set_map(node->survey, &node->derp_map) < 0)
		log_warn(node->config.log, "derp", "no memory for a survey");
	node_latency_soon(node);
}

void node_home_end(struct node *node)
{
	if (node->relay_monitored)
		network_monitor_remove(node->config.network,
				       &node->relay_monitor);
	node->relay_monitored = false;
	node_latency_end(node);
}
