/*
 * An agent at the coordinator, in the process: it announces its node once
 * its home relay is up, learns the clients' nodes and answers each with
 * READY_FOR_HANDSHAKE. A LOST client is kept for 15 minutes
 * (coder/coder tailnet/configmaps.go).
 */
#include <stdlib.h>
#include <string.h>

#include "core/simulate/simulate_private.h"
#include "core/tailnet/coordinate/arena.h"
#include "core/tailnet/coordinate/node_message.h"
#include "core/tailnet/path/path.h"

#define LOST_KEEP_US (15 * 60 * US_PER_S)

struct lost_peer {
	struct list link;
	struct uuid id;
	uint64_t until_us;
};

static void forget_lost(struct agent *agent, const struct uuid *id)
{
	list_each(at, next, &agent->lost) {
		struct lost_peer *lost =
			container_of(at, struct lost_peer, link);

		if (id && !uuid_equal(&lost->id, id))
			continue;
		list_remove(&lost->link);
		free(lost);
	}
}

static void arm_lost(struct agent *agent)
{
	uint64_t at = DEADLINE_NONE;

	if (!list_empty(&agent->lost))
		at = container_of(agent->lost.next, struct lost_peer, link)
			->until_us;
	timer_set(agent->sim->config.loop, &agent->lost_timer, at);
}

static void lost_fired(struct timer *timer)
{
	struct agent *agent = timer->user;

	list_each(at, next, &agent->lost) {
		struct lost_peer *lost =
			container_of(at, struct lost_peer, link);

		if (lost->until_us > sim_now(agent->sim))
			break;
		node_peer_remove(agent->node, &lost->id);
		list_remove(&lost->link);
		free(lost);
	}
	arm_lost(agent);
}

static void peer_lost(struct agent *agent, const struct uuid *id)
{
	struct lost_peer *lost = calloc(1, sizeof(*lost));

	if (!lost) {
		node_peer_remove(agent->node, id);
		return;
	}
	lost->id = *id;
	lost->until_us = sim_now(agent->sim) + LOST_KEEP_US;
	list_add_tail(&agent->lost, &lost->link);
	arm_lost(agent);
}

static int program(struct agent *agent, const struct uuid *id,
		   const struct coord_node *node)
{
	struct node_peer_config peer = {
		.id = *id,
		.key = node->key,
		.disco_key = node->disco,
		.home_region = node->preferred_derp,
		.keepalive = true,
	};
	struct endpoint endpoints[PATH_CANDIDATE_CAP];

	peer.endpoints = endpoints;
	for (size_t i = 0; i < node->endpoint_count; i++)
		if (peer.endpoint_count < PATH_CANDIDATE_CAP &&
		    endpoint_parse(node->endpoints[i],
				   &endpoints[peer.endpoint_count]))
			peer.endpoint_count++;
	for (size_t i = 0; i < node->allowed_count; i++)
		if (node->allowed[i].bits == 128 &&
		    peer.address_count < NODE_PEER_ADDRESS_CAP)
			memcpy(peer.addresses[peer.address_count++],
			       node->allowed[i].address, 16);
	return node_peer_set(agent->node, &peer);
}

static void take_node(struct agent *agent, const struct uuid *id,
		      const Tailnet__Node *message)
{
	struct coord_node *node = calloc(1, sizeof(*node));
	struct error error;
	int err = ERR_NOMEM;

	if (node && message)
		err = coord_node_from_message(message, node, &error);
	if (err == 0)
		err = program(agent, id, node);
	free(node);
	if (err < 0) {
		log_warn(agent->sim->config.log, "simulate",
			 "agent %s: a client's node cannot be used: %s",
			 agent->name, err_name(err));
		return;
	}
	forget_lost(agent, id);
	arm_lost(agent);
	if (agent->peer)
		(void)coordinator_ready(agent->peer, id, sim_now(agent->sim));
}

static void take_update(struct agent *agent,
			const Tailnet__PeerUpdate *update)
{
	struct uuid id;

	if (update->id.len != sizeof(id.bytes))
		return;
	memcpy(id.bytes, update->id.data, sizeof(id.bytes));
	switch ((int)update->kind) {
	case 1:		/* NODE */
		take_node(agent, &id, update->node);
		break;
	case 2:		/* DISCONNECTED */
		forget_lost(agent, &id);
		arm_lost(agent);
		node_peer_remove(agent->node, &id);
		break;
	case 3:		/* LOST */
		peer_lost(agent, &id);
		break;
	}
}

static int deliver(void *user, const void *data, size_t len, uint64_t now_us)
{
	struct agent *agent = user;
	ProtobufCMessage *message;
	struct arena arena;
	int err;

	(void)now_us;
	arena_init(&arena, ARENA_MESSAGE_CAP);
	err = arena_decode(&arena, &tailnet__coordinate_response__descriptor,
			   data, len, "response", &message, NULL);
	if (err == 0) {
		const Tailnet__CoordinateResponse *response =
			(const Tailnet__CoordinateResponse *)(void *)message;

		for (size_t i = 0; i < response->n_peer_updates; i++)
			take_update(agent, response->peer_updates[i]);
	}
	arena_clear(&arena);
	return err;
}

static void hang_up(void *user, uint64_t now_us)
{
	struct agent *agent = user;

	(void)now_us;
	agent->peer = NULL;
	log_debug(agent->sim->config.log, "simulate",
		  "agent %s has left the coordinator", agent->name);
}

static const struct coordinator_events events = {
	.deliver = deliver,
	.hang_up = hang_up,
};

int agent_join(struct agent *agent)
{
	agent->lost_timer =
		(struct timer){ .fire = lost_fired, .user = agent };
	return coordinator_join(agent->sim->coordinator, &agent->id, true,
				NULL, &events, agent, sim_now(agent->sim),
				&agent->peer);
}

static void fill_node(const struct agent *agent, struct coord_node *node)
{
	int64_t wall = loop_wall_us(agent->sim->config.loop);

	node->id = node_id_of_uuid(&agent->id);
	node->as_of_s = wall / 1000000;
	node->as_of_ns = (int32_t)(wall % 1000000) * 1000;
	node_describe(agent->node, node);
	for (size_t i = 0; i < 2; i++) {
		struct node_prefix prefix = { .bits = 128 };

		memcpy(prefix.address, agent->addresses[i], 16);
		node->addresses[node->address_count++] = prefix;
		node->allowed[node->allowed_count++] = prefix;
	}
}

void agent_announce(struct agent *agent)
{
	struct coord_node *node = calloc(1, sizeof(*node));

	if (node && agent->peer) {
		fill_node(agent, node);
		(void)coordinator_set_node(agent->peer, node,
					   sim_now(agent->sim));
	}
	free(node);
}

void agent_leave(struct agent *agent, bool in_order)
{
	struct coordinator_peer *peer = agent->peer;

	forget_lost(agent, NULL);
	timer_stop(agent->sim->config.loop, &agent->lost_timer);
	if (!peer)
		return;
	if (in_order)
		coordinator_disconnect(peer, sim_now(agent->sim));
	else
		coordinator_leave(peer, sim_now(agent->sim));
	agent->peer = NULL;
}
