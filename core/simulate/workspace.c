/*
 * Workspaces and the build clock: pending, running, succeeded or failed, and
 * then the agents connect. The last build's agents go when the job begins to
 * run. Every step is a timer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/simulate/simulate_private.h"

static const struct simulation_clock default_clock = {
	.pending_us = 100 * US_PER_MS,
	.running_us = 300 * US_PER_MS,
	.connect_us = 100 * US_PER_MS,
	.ready_us = 100 * US_PER_MS,
};

static const char *known_transition(const char *name)
{
	static const char *const names[] = { "start", "stop", "delete" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return names[i];
	return NULL;
}

void workspace_changed(struct simulation_workspace *workspace)
{
	watch_look(workspace);
}

bool workspace_runs(const struct simulation_workspace *workspace)
{
	return strcmp(workspace->build.transition, "start") == 0 &&
	       strcmp(workspace->build.status, "succeeded") == 0;
}

static void set_status(struct simulation_workspace *workspace,
		       const char *status)
{
	workspace->build.status = status;
	workspace_changed(workspace);
}

static void free_agents(struct agent **agents, size_t *count)
{
	while (*count)
		agent_free(agents[--*count]);
}

static int make_agents(struct simulation_workspace *workspace)
{
	for (size_t i = 0; i < workspace->agents_wanted; i++) {
		int err = agent_new(workspace, i, &workspace->agents[i]);

		if (err < 0)
			return err;
		workspace->agent_count++;
	}
	return 0;
}

static void begin_agents(struct simulation_workspace *workspace, bool at_once)
{
	for (size_t i = 0; i < workspace->agent_count; i++)
		agent_begin(workspace->agents[i], at_once);
}

static void job_begins_to_run(struct simulation_workspace *workspace)
{
	workspace->step = JOB_RUNNING;
	timer_set(workspace->sim->config.loop, &workspace->job,
		  sim_now(workspace->sim) + workspace->clock.running_us);
	set_status(workspace, "running");
	free_agents(workspace->leaving, &workspace->leaving_count);
}

static void job_ends(struct simulation_workspace *workspace)
{
	workspace->step = JOB_DONE;
	if (workspace->fail) {
		workspace->build.error = "scripted build failure";
		set_status(workspace, "failed");
		return;
	}
	if (strcmp(workspace->build.transition, "start") == 0 &&
	    make_agents(workspace) < 0) {
		free_agents(workspace->agents, &workspace->agent_count);
		workspace->build.error = "no memory for the agents";
		set_status(workspace, "failed");
		return;
	}
	set_status(workspace, "succeeded");
	begin_agents(workspace, false);
}

static void job_fired(struct timer *timer)
{
	struct simulation_workspace *workspace = timer->user;

	switch (workspace->step) {
	case JOB_PENDING:
		job_begins_to_run(workspace);
		break;
	case JOB_RUNNING:
		job_ends(workspace);
		break;
	case JOB_DONE:
		break;
	}
}

static void remember_build(struct simulation_workspace *workspace)
{
	if (workspace->history_count == BUILD_HISTORY_CAP) {
		json_decref(workspace->history[0].parameters);
		memmove(workspace->history, workspace->history + 1,
			--workspace->history_count *
				sizeof(workspace->history[0]));
	}
	workspace->history[workspace->history_count++] = workspace->build;
}

static void new_build(struct simulation_workspace *workspace,
		      const char *transition, const char *status,
		      json_t *values)
{
	struct simulation *sim = workspace->sim;
	struct build build = {
		.number = workspace->build.number + 1,
		.transition = transition,
		.status = status,
		.created_wall_us = loop_wall_us(sim->config.loop),
	};

	uuid_random(sim->config.rng, &build.id);
	uuid_random(sim->config.rng, &build.job_id);
	build.parameters = parameters_merge(workspace->build.parameters, values);
	if (workspace->build.number)
		remember_build(workspace);
	workspace->build = build;
}

int simulation_build(struct simulation_workspace *workspace,
		     const char *transition)
{
	return workspace_begin_build(workspace, transition, NULL);
}

int workspace_begin_build(struct simulation_workspace *workspace,
			  const char *transition, json_t *values)
{
	const char *known = known_transition(transition);

	if (!known)
		return ERR_MISUSE;
	if (workspace->step != JOB_DONE)
		return ERR_CONFLICT;
	new_build(workspace, known, "pending", values);
	memcpy(workspace->leaving, workspace->agents,
	       workspace->agent_count * sizeof(workspace->agents[0]));
	workspace->leaving_count = workspace->agent_count;
	workspace->agent_count = 0;
	workspace->step = JOB_PENDING;
	timer_set(workspace->sim->config.loop, &workspace->job,
		  sim_now(workspace->sim) + workspace->clock.pending_us);
	workspace_changed(workspace);
	return 0;
}

static void run_restart(struct task *task)
{
	struct simulation_workspace *workspace = task->user;

	for (size_t i = 0; i < workspace->agent_count; i++) {
		agent_restart(workspace->agents[i]);
		workspace->restart_fault->fired++;
	}
	workspace->restart_fault = NULL;
}

static bool name_is_good(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len < SIMULATION_NAME_CAP &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == len;
}

static bool name_is_taken(const struct simulation *sim, const char *name)
{
	list_each(at, next, &sim->workspaces)
		if (strcmp(container_of(at, struct simulation_workspace,
					link)->name, name) == 0)
			return true;
	return false;
}

static struct simulation_workspace *
new_workspace(struct simulation *sim,
	      const struct simulation_workspace_config *config)
{
	struct simulation_workspace *workspace =
		calloc(1, sizeof(*workspace));

	if (!workspace)
		return NULL;
	workspace->sim = sim;
	snprintf(workspace->name, sizeof(workspace->name), "%s",
		 config->name ? config->name : "workspace");
	uuid_random(sim->config.rng, &workspace->id);
	uuid_random(sim->config.rng, &workspace->template_id);
	workspace->rich_parameters = json_array();
	workspace->clock = config->clock ? *config->clock : default_clock;
	workspace->fail = config->fail;
	workspace->ready_lifecycle =
		config->lifecycle ? config->lifecycle : "ready";
	workspace->ssh = config->ssh ? config->ssh :
			 sim->config.ssh ? sim->config.ssh : &sim->exec;
	workspace->agents_wanted = config->agents ? config->agents : 1;
	workspace->job = (struct timer){ .fire = job_fired,
					 .user = workspace };
	workspace->restart = (struct task){ .run = run_restart,
					    .user = workspace };
	list_add_tail(&sim->workspaces, &workspace->link);
	return workspace;
}

int simulation_add_workspace(struct simulation *sim,
			     const struct simulation_workspace_config *config,
			     struct simulation_workspace **out)
{
	const char *name = config->name ? config->name : "workspace";
	struct simulation_workspace *workspace;
	int err;

	if (!*sim->url || !name_is_good(name))
		return ERR_MISUSE;
	if (config->agents > SIMULATION_AGENT_CAP)
		return ERR_LIMIT;
	if (name_is_taken(sim, name))
		return ERR_CONFLICT;
	workspace = new_workspace(sim, config);
	if (!workspace)
		return ERR_NOMEM;
	new_build(workspace, config->stopped ? "stop" : "start", "succeeded",
		  NULL);
	err = config->stopped ? 0 : make_agents(workspace);
	if (err < 0) {
		workspace_free(workspace);
		return err;
	}
	begin_agents(workspace, true);
	*out = workspace;
	return 0;
}

void workspace_free(struct simulation_workspace *workspace)
{
	watch_forget(workspace);
	timer_stop(workspace->sim->config.loop, &workspace->job);
	task_cancel(&workspace->restart);
	free_agents(workspace->leaving, &workspace->leaving_count);
	free_agents(workspace->agents, &workspace->agent_count);
	json_decref(workspace->build.parameters);
	for (size_t i = 0; i < workspace->history_count; i++)
		json_decref(workspace->history[i].parameters);
	json_decref(workspace->rich_parameters);
	list_remove(&workspace->link);
	free(workspace);
}

const struct build *
workspace_build(const struct simulation_workspace *workspace,
		const struct uuid *id)
{
	if (uuid_equal(&workspace->build.id, id))
		return &workspace->build;
	for (size_t i = 0; i < workspace->history_count; i++)
		if (uuid_equal(&workspace->history[i].id, id))
			return &workspace->history[i];
	return NULL;
}

const struct uuid *
simulation_workspace_id(const struct simulation_workspace *workspace)
{
	return &workspace->id;
}

const char *
simulation_workspace_name(const struct simulation_workspace *workspace)
{
	return workspace->name;
}

size_t simulation_agent_count(const struct simulation_workspace *workspace)
{
	return workspace_runs(workspace) ? workspace->agent_count : 0;
}

const struct uuid *
simulation_agent_id(const struct simulation_workspace *workspace, size_t at)
{
	return at < simulation_agent_count(workspace) ?
		&workspace->agents[at]->id : NULL;
}

const char *
simulation_agent_name(const struct simulation_workspace *workspace, size_t at)
{
	return at < simulation_agent_count(workspace) ?
		workspace->agents[at]->name : NULL;
}

const struct port_handler *
workspace_port(const struct simulation_workspace *workspace, uint16_t port)
{
	for (size_t i = 0; i < workspace->port_count; i++)
		if (workspace->ports[i].port == port)
			return &workspace->ports[i];
	return NULL;
}

static bool port_is_ours(uint16_t port)
{
	return port <= 4 || port == 22;
}

int simulation_set_port(struct simulation_workspace *workspace, uint16_t port,
			simulation_port *handler, void *user)
{
	struct port_handler *entry =
		(struct port_handler *)(uintptr_t)workspace_port(workspace,
								 port);

	if (port_is_ours(port))
		return ERR_MISUSE;
	if (!entry && handler) {
		if (workspace->port_count == PORT_CAP)
			return ERR_LIMIT;
		entry = &workspace->ports[workspace->port_count++];
	}
	if (!entry)
		return 0;
	*entry = handler ?
		(struct port_handler){ port, handler, user } :
		workspace->ports[--workspace->port_count];
	return 0;
}
