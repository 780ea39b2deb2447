/*
 * The JSON shapes of codersdk, with the keys of peer/deployment.go; complete
 * in keys, not in meaning.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/simulate/simulate_private.h"

struct stamp {
	char text[40];
};

struct id_text {
	char text[UUID_TEXT_CAP];
};

static struct id_text id_of(const struct uuid *id)
{
	struct id_text out;

	uuid_to_text(id, out.text);
	return out;
}

/* RFC 3339, UTC. */
static struct stamp stamp_of(int64_t wall_us)
{
	time_t seconds = (time_t)(wall_us / 1000000);
	struct stamp out;
	struct tm tm;
	size_t len;

	gmtime_r(&seconds, &tm);
	len = strftime(out.text, sizeof(out.text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out.text + len, sizeof(out.text) - len, ".%06dZ",
		 (int)(wall_us % 1000000));
	return out;
}

json_t *user_json(const struct simulation *sim)
{
	struct stamp at = stamp_of(loop_wall_us(sim->config.loop));
	struct id_text id = id_of(&sim->user_id);
	struct id_text organization = id_of(&sim->organization_id);

	return json_pack(
		"{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:[s],s:[]}",
		"id", id.text, "username", sim->user_name, "name",
		"Simulated User", "avatar_url", "", "email",
		"simulated@example.invalid", "created_at", at.text,
		"updated_at", at.text, "last_seen_at", at.text, "status",
		"active", "login_type", "password", "theme_preference", "",
		"organization_ids", organization.text, "roles");
}

static const char *agent_status(const struct agent *agent)
{
	if (!agent->connected_wall_us)
		return "connecting";
	return agent->connected ? "connected" : "disconnected";
}

/* What never changes. */
static json_t *agent_constants(void)
{
	return json_pack(
		"{s:n,s:n,s:s,s:{},s:s,s:i,s:b,s:s,s:s,s:s,s:s,s:[],s:{},s:i,"
		"s:s,s:[],s:[s,s],s:[],s:[],s:s}",
		"parent_id", "disconnected_at", "architecture", "amd64",
		"environment_variables", "operating_system", "linux",
		"logs_length", 0, "logs_overflowed", 0, "directory", "/tmp",
		"expanded_directory", "/tmp", "version", SIMULATION_VERSION,
		"api_version", "2.5", "apps", "latency",
		"connection_timeout_seconds", 120, "troubleshooting_url", "",
		"subsystems", "display_apps", "vscode", "ssh_helper",
		"log_sources", "scripts", "startup_script_behavior",
		"non-blocking");
}

json_t *agent_json(const struct agent *agent, const struct uuid *resource)
{
	static const char *const times[] = { "first_connected_at",
					     "last_connected_at",
					     "started_at", "ready_at" };
	struct stamp made = stamp_of(agent->workspace->build.created_wall_us);
	struct stamp first = stamp_of(agent->connected_wall_us);
	struct id_text id = id_of(&agent->id);
	struct id_text of = id_of(resource);
	json_t *json = agent_constants();

	if (!json)
		return NULL;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		json_object_set_new(json, times[i],
				    agent->connected_wall_us ?
					    json_string(first.text) :
					    json_null());
	json_object_update_new(
		json, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:{s:b}}", "id",
				id.text, "created_at", made.text, "updated_at",
				made.text, "status", agent_status(agent),
				"lifecycle_state", agent->lifecycle, "name",
				agent->name, "resource_id", of.text, "health",
				"healthy", agent->connected));
	return json;
}

static const char *workspace_status(const struct build *build)
{
	static const char *const words[][3] = {
		{ "start", "starting", "running" },
		{ "stop", "stopping", "stopped" },
		{ "delete", "deleting", "deleted" },
	};
	bool running = strcmp(build->status, "running") == 0;

	if (!running && strcmp(build->status, "succeeded") != 0)
		return build->status;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(build->transition, words[i][0]) == 0)
			return words[i][running ? 1 : 2];
	return "unknown";
}

static json_t *resources_json(const struct simulation_workspace *workspace,
			      const struct build *build)
{
	struct stamp at = stamp_of(build->created_wall_us);
	struct id_text resource = id_of(&build->job_id);
	json_t *agents;

	if (build != &workspace->build ||
	    strcmp(build->status, "succeeded") != 0)
		return json_array();
	agents = json_array();
	for (size_t i = 0; i < workspace->agent_count; i++)
		json_array_append_new(agents,
				      agent_json(workspace->agents[i],
						 &build->job_id));
	return json_pack(
		"[{s:s,s:s,s:s,s:s,s:s,s:s,s:b,s:s,s:o,s:[],s:i}]", "id",
		resource.text, "created_at", at.text, "job_id", resource.text,
		"workspace_transition", build->transition, "type",
		"docker_container", "name", "main", "hide", 0, "icon", "",
		"agents", agents, "metadata", "daily_cost", 0);
}

static json_t *job_json(const struct simulation_workspace *workspace,
			const struct build *build)
{
	const struct simulation *sim = workspace->sim;
	struct stamp at = stamp_of(build->created_wall_us);
	struct id_text id = id_of(&build->job_id);
	struct id_text build_id = id_of(&build->id);
	struct id_text organization = id_of(&sim->organization_id);
	struct id_text user = id_of(&sim->user_id);
	struct id_text template = id_of(&workspace->template_id);
	struct id_text workspace_id = id_of(&workspace->id);
	json_t *json = json_pack(
		"{s:s,s:s,s:s,s:s,s:{s:s,s:s},s:i,s:i,s:s,s:s,s:s,s:{s:s},"
		"s:{s:s,s:s,s:s}}",
		"id", id.text, "created_at", at.text, "status", build->status,
		"file_id", template.text, "tags", "scope", "organization",
		"owner", "", "queue_position", 0, "queue_size", 0,
		"organization_id", organization.text, "initiator_id",
		user.text, "type", "workspace_build", "input",
		"workspace_build_id", build_id.text, "metadata",
		"template_id", template.text, "workspace_id",
		workspace_id.text, "workspace_name", workspace->name);

	if (strcmp(build->status, "pending") != 0)
		json_object_set_new(json, "started_at", json_string(at.text));
	if (strcmp(build->status, "succeeded") == 0 ||
	    strcmp(build->status, "failed") == 0)
		json_object_set_new(json, "completed_at",
				    json_string(at.text));
	if (build->error)
		json_object_set_new(json, "error", json_string(build->error));
	return json;
}

json_t *build_json(const struct simulation_workspace *workspace,
		   const struct build *build)
{
	const struct simulation *sim = workspace->sim;
	struct stamp at = stamp_of(build->created_wall_us);
	struct id_text id = id_of(&build->id);
	struct id_text user = id_of(&sim->user_id);
	struct id_text template = id_of(&workspace->template_id);
	struct id_text workspace_id = id_of(&workspace->id);

	return json_pack(
		"{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:s,s:s,s:s,s:o,"
		"s:s,s:o,s:n,s:n,s:s,s:i,s:{s:i,s:i},s:n}",
		"id", id.text, "created_at", at.text, "updated_at", at.text,
		"workspace_id", workspace_id.text, "workspace_name",
		workspace->name, "workspace_owner_id", user.text,
		"workspace_owner_name", sim->user_name, "template_version_id",
		template.text, "template_version_name", "v1", "build_number",
		(json_int_t)build->number, "transition", build->transition,
		"initiator_id", user.text, "initiator_name", sim->user_name,
		"job", job_json(workspace, build), "reason", "initiator",
		"resources", resources_json(workspace, build), "deadline",
		"max_deadline", "status", workspace_status(build),
		"daily_cost", 0, "matched_provisioners", "count", 1,
		"available", 1, "template_version_preset_id");
}

/* What never changes. */
static json_t *workspace_constants(void)
{
	return json_pack(
		"{s:s,s:s,s:s,s:s,s:s,s:b,s:b,s:n,s:b,s:n,s:n,s:n,s:n,"
		"s:{s:b,s:[]},s:s,s:b,s:b,s:n}",
		"owner_avatar_url", "", "organization_name", "coder",
		"template_name", "simulated", "template_display_name", "",
		"template_icon", "",
		"template_allow_user_cancel_workspace_jobs", 1,
		"template_require_active_version", 0, "latest_app_status",
		"outdated", 0, "autostart_schedule", "ttl_ms", "deleting_at",
		"dormant_at", "health", "healthy", 1, "failing_agents",
		"automatic_updates", "never", "allow_renames", 0, "favorite",
		0, "next_start_at");
}

json_t *workspace_json(const struct simulation_workspace *workspace)
{
	const struct simulation *sim = workspace->sim;
	struct stamp at = stamp_of(workspace->build.created_wall_us);
	struct id_text id = id_of(&workspace->id);
	struct id_text user = id_of(&sim->user_id);
	struct id_text organization = id_of(&sim->organization_id);
	struct id_text template = id_of(&workspace->template_id);
	json_t *json = workspace_constants();

	if (!json)
		return NULL;
	json_object_update_new(
		json,
		json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:o}",
			  "id", id.text, "created_at", at.text, "updated_at",
			  at.text, "last_used_at", at.text, "owner_id",
			  user.text, "owner_name", sim->user_name,
			  "organization_id", organization.text, "template_id",
			  template.text, "template_active_version_id",
			  template.text, "name", workspace->name,
			  "latest_build",
			  build_json(workspace, &workspace->build)));
	return json;
}

json_t *connection_json(const struct simulation *sim)
{
	return json_pack("{s:o,s:b,s:b,s:s}", "derp_map",
			 derp_map_json(&sim->derp_map),
			 "derp_force_websockets",
			 sim->config.force_websockets,
			 "disable_direct_connections", sim->config.no_direct,
			 "hostname_suffix", "coder");
}
