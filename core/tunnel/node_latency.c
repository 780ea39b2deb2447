/*
 * How far the relays are where UDP is barred: one GET for /derp/latency-check
 * to each region, a few at a time, a second after there was reason to ask, so
 * that a tunnel that is being set up has the network for itself. Connecting
 * costs round trips of its own, which are divided out. Facts: tailscale.com
 * net/netcheck (measureHTTPSLatency, 5 s for all of it).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/tunnel/node_private.h"
#include "core/tunnel/relay_private.h"

#define WAIT_US (1 * US_PER_S)
#define ANSWER_US (5 * US_PER_S)
/* TCP and HTTP; with TLS 1.3 one more. */
#define ROUND_TRIPS 2
#define ROUND_TRIPS_TLS 3

static void ask_next(struct node_latency_call *call);

static void answered(void *user, const struct http_response *response)
{
	struct node_latency_call *call = user;
	struct node *node = call->node;
	uint64_t took_us = node_now(node) - call->asked_us;

	call->call = NULL;
	if (!response->error.code && response->status < 500)
		survey_https_latency(node->survey, call->region,
				     took_us / call->round_trips,
				     node_now(node));
	ask_next(call);
}

static int ask(struct node_latency_call *call,
	       const struct relay_target *target)
{
	struct node *node = call->node;
	char url[RELAY_URL_CAP + sizeof("/latency-check")];
	const struct http_request request = {
		.method = "GET",
		.url = url,
		.address = *target->address ? target->address : NULL,
		.cert_name = *target->cert_name ? target->cert_name : NULL,
		.timeout_us = ANSWER_US,
		.body_cap = 4096,
	};
	struct error error;

	snprintf(url, sizeof(url), "%s/latency-check", target->url);
	call->asked_us = node_now(node);
	call->round_trips = strncmp(url, "https", 5) == 0 ? ROUND_TRIPS_TLS :
							     ROUND_TRIPS;
	return network_http(node->config.network, &request, answered, call,
			    &call->call, &error);
}

static int ask_region(struct node_latency_call *call,
		      const struct derp_map_region *region)
{
	struct relay_targets targets;
	int err = relay_targets_make(region, false, &targets);

	if (err < 0)
		return err;
	call->region = region->region_id;
	err = ask(call, &targets.list[0]);
	if (err < 0)
		call->call = NULL;
	free(targets.list);
	return err;
}

static bool all_answered(const struct node *node)
{
	for (size_t i = 0; i < NODE_LATENCY_CALLS; i++)
		if (node->latency_calls[i].call)
			return false;
	return true;
}

static void ask_next(struct node_latency_call *call)
{
	struct node *node = call->node;
	const struct derp_map *map = &node->derp_map;

	while (node->latency_next < map->region_count)
		if (ask_region(call, &map->regions[node->latency_next++]) == 0)
			return;
	if (all_answered(node))
		node_home_choose(node);
}

/* With one relay there is nothing to choose. */
static bool worth_asking(const struct node *node)
{
	size_t relays = 0;

	for (size_t i = 0; i < node->derp_map.region_count; i++)
		relays += derp_map_relay(&node->derp_map.regions[i]) != NULL;
	return relays > 1;
}

static void stop(struct node *node)
{
	for (size_t i = 0; i < NODE_LATENCY_CALLS; i++) {
		struct node_latency_call *call = &node->latency_calls[i];

		if (call->call)
			network_http_cancel(node->config.network, call->call);
		call->call = NULL;
	}
}

static void timer_fired(struct timer *timer)
{
	struct node *node = timer->user;

	stop(node);
	if (!worth_asking(node))
		return;
	node->latency_next = 0;
	for (size_t i = 0; i < NODE_LATENCY_CALLS; i++) {
		node->latency_calls[i].node = node;
		if (node->latency_next < node->derp_map.region_count)
			ask_next(&node->latency_calls[i]);
	}
}

void node_latency_soon(struct node *node)
{
	node->latency_timer.fire = timer_fired;
	node->latency_timer.user = node;
	timer_set(node->config.loop, &node->latency_timer,
		  node_now(node) + WAIT_US);
	node->latency_asked = true;
}

void node_latency_end(struct node *node)
{
	timer_stop(node->config.loop, &node->latency_timer);
	stop(node);
}
