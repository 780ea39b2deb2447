#include <stdlib.h>
#include <string.h>

#include "core/simulate/simulate_private.h"

static struct fault_rule *add(struct simulation *sim, const char *path)
{
	struct fault_rule *rule = calloc(1, sizeof(*rule));

	if (rule && path)
		rule->path = strdup(path);
	if (!rule || (path && !rule->path)) {
		free(rule);
		return NULL;
	}
	list_add_tail(&sim->faults, &rule->link);
	return rule;
}

static const struct simulation_fault *fired(struct simulation *sim,
					    unsigned times)
{
	struct fault_rule *rule = add(sim, NULL);

	if (!rule)
		return NULL;
	rule->fault.fired = times;
	return &rule->fault;
}

#define CLOSE_SERVICE_RESTART 1012

const struct simulation_fault *simulation_drop(struct simulation *sim,
					       enum simulation_socket kind)
{
	switch (kind) {
	case SIMULATION_WATCH:
		return fired(sim, watch_drop_all(sim, CLOSE_SERVICE_RESTART));
	case SIMULATION_COORDINATE:
		return fired(sim, coordinate_drop_all(sim,
						      CLOSE_SERVICE_RESTART));
	case SIMULATION_DERP:
		return fired(sim, relay_drop_all(sim, false,
						 CLOSE_SERVICE_RESTART));
	case SIMULATION_AGENT_DERP:
		return fired(sim, relay_drop_all(sim, true,
						 CLOSE_SERVICE_RESTART));
	}
	return NULL;
}

const struct simulation_fault *simulation_fail(struct simulation *sim,
					       const char *path, int status,
					       unsigned times)
{
	struct fault_rule *rule = add(sim, path);

	if (!rule)
		return NULL;
	rule->status = status;
	rule->times = times;
	return &rule->fault;
}

const struct simulation_fault *
simulation_emit(struct simulation_workspace *workspace, const char *json)
{
	return fired(workspace->sim, watch_emit(workspace, json));
}

/* By a task: it may have been asked for in a callback of the agent itself. */
const struct simulation_fault *
simulation_restart_agents(struct simulation_workspace *workspace)
{
	struct fault_rule *rule;

	if (workspace->restart_fault)
		return workspace->restart_fault;
	rule = add(workspace->sim, NULL);
	if (!rule)
		return NULL;
	workspace->restart_fault = &rule->fault;
	task_post(workspace->sim->config.loop, &workspace->restart);
	return &rule->fault;
}

bool fault_answers(struct route_call *call)
{
	list_each(at, next, &call->sim->faults) {
		struct fault_rule *rule =
			container_of(at, struct fault_rule, link);

		if (!rule->path || !strstr(call->request->path, rule->path) ||
		    (rule->times && rule->fault.fired >= rule->times))
			continue;
		rule->fault.fired++;
		route_error(call, rule->status, "injected failure", NULL);
		return true;
	}
	return false;
}

void faults_free(struct simulation *sim)
{
	list_each(at, next, &sim->faults) {
		struct fault_rule *rule =
			container_of(at, struct fault_rule, link);

		free(rule->path);
		free(rule);
	}
	list_init(&sim->faults);
}
