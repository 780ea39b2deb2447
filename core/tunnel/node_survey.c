/*
 * How the node looks from outside. The survey (core/tailnet/path/survey.h) says
 * whom to ask by STUN; here names are looked up, requests leave by the node's
 * own socket, and what comes of it is put together: the endpoints others may
 * try, and what a coordinator is told. A round runs at the start, after a
 * change of the network, when packets flow again, and then every 25 s while
 * they do (which also keeps a NAT's mapping); an idle node asks nobody.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/tailnet/coordinate/node.h"
#include "core/tailnet/stun/stun.h"
#include "core/tunnel/node_private.h"

#define AGAIN_US (25 * US_PER_S)
#define IDLE_US (45 * US_PER_S)

static_assert(SURVEY_TXID_LEN == STUN_TXID_LEN, "one transaction id");

struct node_lookup {
	struct node *node;
	size_t index;
	struct network_lookup *call;	/* while it is under way */
};

/* --- the own endpoints ---------------------------------------------- */

static size_t add_endpoint(struct endpoint *list, size_t count,
			   const struct endpoint *endpoint)
{
	for (size_t i = 0; i < count; i++)
		if (endpoint_equal(&list[i], endpoint))
			return count;
	if (count < NODE_OWN_ENDPOINT_CAP)
		list[count++] = *endpoint;
	return count;
}

static size_t local_endpoints(struct node *node, struct endpoint *out)
{
	size_t count = network_local_addresses(node_udp_network(node), out,
					       NODE_OWN_ENDPOINT_CAP);

	for (size_t i = 0; i < count; i++)
		out[i].port = node->udp.port;
	return count;
}

/* Those from outside first: they must find room. */
static size_t all_endpoints(struct node *node, struct endpoint *out)
{
	struct endpoint local[NODE_OWN_ENDPOINT_CAP];
	struct survey_report report;
	size_t count = 0, locals;

	if (!node->udp.socket)
		return 0;
	survey_report(node->survey, &report);
	for (size_t family = 0; family < SURVEY_FAMILY_COUNT; family++)
		if (report.has[family])
			count = add_endpoint(out, count,
					     &report.mapped[family]);
	locals = local_endpoints(node, local);
	for (size_t i = 0; i < locals; i++)
		count = add_endpoint(out, count, &local[i]);
	return count;
}

bool node_endpoints_refresh(struct node *node)
{
	struct endpoint now[NODE_OWN_ENDPOINT_CAP];
	size_t count = all_endpoints(node, now);
	bool same = count == node->endpoint_count;

	for (size_t i = 0; same && i < count; i++)
		same = endpoint_equal(&now[i], &node->endpoints[i]);
	memcpy(node->endpoints, now, count * sizeof(now[0]));
	node->endpoint_count = count;
	return !same;
}

/* --- rounds --------------------------------------------------------- */

static void send_probe(struct node *node, const struct survey_probe *probe)
{
	uint8_t request[STUN_REQUEST_LEN];

	stun_request(probe->txid, request);
	(void)node_udp_send_one(node, &probe->to, request, sizeof(request));
}

static uint64_t again_us(const struct node *node)
{
	bool idle = node->wanted_us + IDLE_US <= node_now(node);

	return idle ? DEADLINE_NONE : node->surveyed_us + AGAIN_US;
}

static void drive(struct node *node)
{
	struct survey_probe probe;
	uint64_t deadline;

	while (survey_out(node->survey, node_now(node), &probe))
		send_probe(node, &probe);
	if (node->surveying && !survey_running(node->survey)) {
		node->surveying = false;
		node_survey_done(node);
	}
	deadline = node->surveying ? survey_next_deadline(node->survey) :
				     again_us(node);
	timer_set(node->config.loop, &node->survey_timer, deadline);
}

/* on_changed follows if something differs. */
static void measure(struct node *node)
{
	if (!node->udp.socket)
		return;
	node->surveyed_us = node_now(node);
	node->surveying = true;
	survey_start(node->survey, node_now(node));
	drive(node);
}

static void timer_fired(struct timer *timer)
{
	struct node *node = timer->user;

	survey_tick(node->survey, node_now(node));
	if (!node->surveying && again_us(node) <= node_now(node))
		measure(node);
	else
		drive(node);
}

/* Packets flow again. */
void node_survey_wanted(struct node *node)
{
	if (node->surveying || !node->udp.socket)
		return;
	if (node->surveyed_us + AGAIN_US <= node_now(node))
		measure(node);
	else
		timer_set(node->config.loop, &node->survey_timer,
			  again_us(node));
}

void node_survey_in(struct node *node, const uint8_t *data, size_t len)
{
	uint8_t txid[STUN_TXID_LEN];
	struct endpoint mapped;

	memcpy(txid, data + STUN_HEADER_LEN - STUN_TXID_LEN, sizeof(txid));
	if (stun_parse_response(data, len, txid, &mapped) < 0 ||
	    !survey_answer(node->survey, txid, &mapped, node_now(node)))
		return;
	node->endpoints_stale = true;
	node_kick(node);
	drive(node);
}

/* --- names ---------------------------------------------------------- */

static void cancel_lookups(struct node *node)
{
	for (size_t i = 0; i < node->lookup_count; i++)
		if (node->lookups[i].call)
			network_resolve_cancel(node_udp_network(node),
					       node->lookups[i].call);
	free(node->lookups);
	node->lookups = NULL;
	node->lookup_count = node->lookups_left = 0;
}

static void resolved(void *user, int err, const struct endpoint *endpoints,
		     size_t count)
{
	struct node_lookup *lookup = user;
	struct node *node = lookup->node;

	lookup->call = NULL;
	survey_target_resolved(node->survey, lookup->index, endpoints,
			       err < 0 ? 0 : count);
	if (--node->lookups_left == 0)
		cancel_lookups(node);
	drive(node);
}

static void look_up(struct node_lookup *lookup)
{
	struct node *node = lookup->node;
	const char *host = survey_target_host(node->survey, lookup->index);

	if (network_resolve(node_udp_network(node), host, resolved, lookup,
			    &lookup->call) == 0) {
		node->lookups_left++;
		return;
	}
	lookup->call = NULL;
	survey_target_resolved(node->survey, lookup->index, NULL, 0);
}

static int look_up_all(struct node *node)
{
	size_t count = 0;

	cancel_lookups(node);
	while (survey_target_host(node->survey, count))
		count++;
	if (count == 0)
		return 0;
	node->lookups = calloc(count, sizeof(*node->lookups));
	if (!node->lookups)
		return ERR_NOMEM;
	node->lookup_count = count;
	for (size_t i = 0; i < count; i++) {
		node->lookups[i].node = node;
		node->lookups[i].index = i;
		look_up(&node->lookups[i]);
	}
	return 0;
}

/* The map or the network is another. */
int node_survey_anew(struct node *node)
{
	int err;

	err = survey_set_map(node->survey, &node->derp_map);
	if (!node->udp.socket)
		return err;
	node->latency_asked = false;
	if (err == 0)
		err = look_up_all(node);
	measure(node);
	return err;
}

int node_survey_begin(struct node *node)
{
	node->survey_timer =
		(struct timer){ .fire = timer_fired, .user = node };
	return survey_new(node->config.rng, &node->survey);
}

void node_survey_end(struct node *node)
{
	timer_stop(node->config.loop, &node->survey_timer);
	cancel_lookups(node);
	survey_free(node->survey);
	node->survey = NULL;
}

/* --- what is told of it --------------------------------------------- */

static void add_latency(struct coord_node *out, int64_t region,
			const char *family, uint64_t latency_us)
{
	struct node_latency *entry = &out->latency[out->latency_count];

	if (latency_us == SURVEY_NEVER ||
	    out->latency_count == NODE_LATENCY_CAP)
		return;
	out->latency_count++;
	snprintf(entry->key, sizeof(entry->key), "%lld-%s", (long long)region,
		 family);
	entry->seconds = (double)latency_us / 1e6;
}

static void describe_latencies(const struct node *node, struct coord_node *out)
{
	struct survey_region region;

	for (size_t i = 0; survey_region(node->survey, i, &region); i++) {
		add_latency(out, region.region_id, "v4",
			    region.latency_us[SURVEY_IPV4]);
		add_latency(out, region.region_id, "v6",
			    region.latency_us[SURVEY_IPV6]);
	}
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
	if (node->udp.socket)
		describe_latencies(node, out);
}

static uint64_t or_0(uint64_t latency_us)
{
	return latency_us == SURVEY_NEVER ? 0 : latency_us;
}

static void report_regions(const struct node *node, struct node_report *out)
{
	struct survey_region region;

	for (size_t i = 0; survey_region(node->survey, i, &region); i++) {
		uint64_t v4 = region.latency_us[SURVEY_IPV4];
		uint64_t v6 = region.latency_us[SURVEY_IPV6];

		if (v4 == SURVEY_NEVER && v6 == SURVEY_NEVER)
			continue;
		out->regions[out->region_count++] =
			(struct node_report_region){
				.region = region.region_id,
				.latency_us = deadline_min(v4, v6),
				.latency4_us = or_0(v4),
				.latency6_us = or_0(v6),
			};
	}
}

static void report_survey(const struct node *node, struct node_report *out)
{
	struct survey_report report;

	survey_report(node->survey, &report);
	out->surveyed = report.rounds > 0;
	out->udp = report.udp;
	out->has_reflexive4 = report.has[SURVEY_IPV4];
	out->has_reflexive6 = report.has[SURVEY_IPV6];
	out->reflexive4 = report.mapped[SURVEY_IPV4];
	out->reflexive6 = report.mapped[SURVEY_IPV6];
	out->nat_known = report.mapping != SURVEY_MAPPING_UNKNOWN;
	out->nat_hard = report.mapping == SURVEY_MAPPING_HARD;
	report_regions(node, out);
}

void node_report(const struct node *node, struct node_report *out)
{
	memset(out, 0, sizeof(*out));
	out->enabled = node->udp.socket != NULL;
	out->port = node->udp.port;
	out->home_region = node_home_region(node);
	out->home_up = node_home_up(node);
	out->endpoint_count = node->endpoint_count;
	memcpy(out->endpoints, node->endpoints, sizeof(node->endpoints));
	report_survey(node, out);
}
