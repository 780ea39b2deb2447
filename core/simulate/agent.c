/* One agent: its clock, its tailnet node, its end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/simulate/simulate_private.h"

static void set_lifecycle(struct agent *agent, const char *lifecycle)
{
	agent->lifecycle = lifecycle;
	workspace_changed(agent->workspace);
}

static void on_home(void *user)
{
	agent_announce(user);
}

static void on_changed(void *user)
{
	struct agent *agent = user;

	if (agent->node && node_home_up(agent->node))
		agent_announce(agent);
}

static const struct node_events node_events = {
	.on_changed = on_changed,
	.on_home = on_home,
};

static int make_node(struct agent *agent)
{
	struct simulation *sim = agent->sim;
	const struct node_config config = {
		.loop = sim->config.loop,
		.network = sim->config.network,
		.udp_network = sim_udp_network(sim),
		.no_direct = sim->config.no_direct,
		.rng = sim->config.rng,
		.log = sim->config.log,
		.addresses = agent->addresses,
		.address_count = 2,
		.derp_map = &sim->derp_map,
		.home_region = derp_map_first_home(&sim->derp_map),
		.force_websockets = sim->config.force_websockets,
		.events = &node_events,
		.user = agent,
	};
	struct error error;
	int err = node_new(&config, &agent->node, &error);

	if (err < 0) {
		agent->node = NULL;
		log_error(sim->config.log, "simulate", "agent %s: %s",
			  agent->name, error.message);
	}
	return err;
}

/* Whoever holds a stream of the agent's hears that it has failed. */
static void fail_streams(struct agent *agent)
{
	struct ns *ns = node_netstack(agent->node);

	ns_fail(ns, ERR_CLOSED);
	ns_dispatch(ns);
}

static void go_down(struct agent *agent, bool in_order)
{
	agent_flows_close(agent);
	agent_ptys_close(agent);
	agent_udp_close(agent);
	if (agent->sshd)
		sshd_free(agent->sshd);
	agent->sshd = NULL;
	if (agent->node)
		fail_streams(agent);
	agent_leave(agent, in_order);
	node_free(agent->node);
	agent->node = NULL;
	agent->connected = false;
}

static bool come_up(struct agent *agent)
{
	if (make_node(agent) < 0)
		return false;
	if (agent_listen(agent) < 0 || agent_join(agent) < 0) {
		log_error(agent->sim->config.log, "simulate",
			  "agent %s: no memory", agent->name);
		go_down(agent, false);
		return false;
	}
	agent->connected = true;
	agent->connected_wall_us = loop_wall_us(agent->sim->config.loop);
	return true;
}

static void wait_for(struct agent *agent, enum agent_step step,
		     uint64_t after_us)
{
	agent->step = step;
	timer_set(agent->sim->config.loop, &agent->clock,
		  sim_now(agent->sim) + after_us);
}

static void clock_fired(struct timer *timer)
{
	struct agent *agent = timer->user;

	switch (agent->step) {
	case AGENT_CONNECTS:
		if (!come_up(agent))
			return;
		wait_for(agent, AGENT_STARTS,
			 agent->workspace->clock.ready_us);
		set_lifecycle(agent, "starting");
		break;
	case AGENT_STARTS:
		agent->step = AGENT_IDLE;
		set_lifecycle(agent, agent->workspace->ready_lifecycle);
		break;
	case AGENT_IDLE:
		break;
	}
}

int agent_new(struct simulation_workspace *workspace, size_t number,
	      struct agent **out)
{
	struct agent *agent = calloc(1, sizeof(*agent));

	if (!agent)
		return ERR_NOMEM;
	agent->workspace = workspace;
	agent->sim = workspace->sim;
	agent->lifecycle = "created";
	uuid_random(agent->sim->config.rng, &agent->id);
	node_address_tailscale(&agent->id, agent->addresses[0]);
	node_address_coder(&agent->id, agent->addresses[1]);
	if (number == 0)
		snprintf(agent->name, sizeof(agent->name), "main");
	else
		snprintf(agent->name, sizeof(agent->name), "agent%u",
			 (unsigned)number % 1000);
	list_init(&agent->flows);
	list_init(&agent->ptys);
	list_init(&agent->udp_flows);
	list_init(&agent->lost);
	agent->clock = (struct timer){ .fire = clock_fired, .user = agent };
	*out = agent;
	return 0;
}

void agent_begin(struct agent *agent, bool at_once)
{
	if (!at_once) {
		wait_for(agent, AGENT_CONNECTS,
			 agent->workspace->clock.connect_us);
		return;
	}
	if (come_up(agent))
		agent->lifecycle = agent->workspace->ready_lifecycle;
}

void agent_restart(struct agent *agent)
{
	if (!agent->node)
		return;
	go_down(agent, false);
	(void)come_up(agent);
}

void agent_free(struct agent *agent)
{
	timer_stop(agent->sim->config.loop, &agent->clock);
	go_down(agent, true);
	free(agent);
}
