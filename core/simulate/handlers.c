/* REST: what each route answers. */
#include "core/simulate/handlers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/jread.h"

#define BODY_CAP (1024 * 1024)

void handle_get_buildinfo(struct route_call *call)
{
	char id[UUID_TEXT_CAP];

	uuid_to_text(&call->sim->deployment_id, id);
	route_answer(call, 200,
		     json_pack("{s:s,s:s,s:s,s:b,s:b,s:s,s:s,s:s,s:s,s:s}",
			       "external_url",
			       "https://github.com/coder/coder", "version",
			       SIMULATION_VERSION, "dashboard_url",
			       call->sim->url, "telemetry", 0,
			       "workspace_proxy", 0, "agent_api_version",
			       "2.6", "provisioner_api_version", "1.9",
			       "upgrade_message", "", "deployment_id", id,
			       "webpush_public_key", ""));
}

static bool is_our_user(const struct route_call *call)
{
	char id[UUID_TEXT_CAP];

	uuid_to_text(&call->sim->user_id, id);
	return strcmp(call->captures[0], "me") == 0 ||
	       strcmp(call->captures[0], call->sim->user_name) == 0 ||
	       strcmp(call->captures[0], id) == 0;
}

void handle_get_user(struct route_call *call)
{
	if (is_our_user(call))
		route_answer(call, 200, user_json(call->sim));
	else
		route_error(call, 404, ROUTE_NOT_FOUND, NULL);
}

static bool is_deleted(const struct simulation_workspace *workspace)
{
	return strcmp(workspace->build.transition, "delete") == 0 &&
	       strcmp(workspace->build.status, "succeeded") == 0;
}

void handle_get_workspace_by_name(struct route_call *call)
{
	list_each(at, next, &call->sim->workspaces) {
		struct simulation_workspace *workspace = container_of(
			at, struct simulation_workspace, link);

		if (!is_our_user(call) || is_deleted(workspace) ||
		    strcmp(workspace->name, call->captures[1]) != 0)
			continue;
		route_answer(call, 200, workspace_json(workspace));
		return;
	}
	route_error(call, 404, ROUTE_NOT_FOUND, NULL);
}

void handle_get_workspaces(struct route_call *call)
{
	json_t *workspaces = json_array();

	list_each(at, next, &call->sim->workspaces) {
		struct simulation_workspace *workspace = container_of(
			at, struct simulation_workspace, link);

		if (!is_deleted(workspace))
			json_array_append_new(workspaces,
					      workspace_json(workspace));
	}
	route_answer(call, 200,
		     json_pack("{s:O,s:I}", "workspaces", workspaces, "count",
			       (json_int_t)json_array_size(workspaces)));
	json_decref(workspaces);
}

void handle_get_workspace(struct route_call *call)
{
	route_answer(call, 200, workspace_json(call->workspace));
}

static size_t query_number(const struct route_call *call, const char *name,
			   size_t otherwise)
{
	char text[16];
	unsigned long number;

	if (query_find(call->request->query, name, text, sizeof(text)) <= 0)
		return otherwise;
	number = strtoul(text, NULL, 10);
	return number ? number : otherwise;
}

void handle_get_builds(struct route_call *call)
{
	const struct simulation_workspace *workspace = call->workspace;
	size_t limit = query_number(call, "limit", BUILD_HISTORY_CAP + 1);
	json_t *builds = json_array();

	json_array_append_new(builds,
			      build_json(workspace, &workspace->build));
	for (size_t i = workspace->history_count;
	     i > 0 && json_array_size(builds) < limit; i--)
		json_array_append_new(builds,
				      build_json(workspace,
						 &workspace->history[i - 1]));
	route_answer(call, 200, builds);
}

/* The body, owned; NULL: answered. */
static json_t *read_body(struct route_call *call)
{
	struct error error;
	json_t *value;

	if (jread_parse(call->request->body, call->request->body_len,
			BODY_CAP, &value, &error) == 0)
		return value;
	route_error(call, 400, "Request body must be valid JSON.",
		    error.message);
	return NULL;
}

static void refuse_transition(struct route_call *call, const char *text)
{
	char detail[128];

	snprintf(detail, sizeof(detail),
		 "Validation failed for tag \"oneof\" with value: \"%s\"",
		 text);
	route_answer(call, 400,
		     json_pack("{s:s,s:[{s:s,s:s}]}", "message",
			       "Validation failed.", "validations", "field",
			       "transition", "detail", detail));
}

void handle_post_build(struct route_call *call)
{
	json_t *body = read_body(call);
	const char *transition;

	if (!body)
		return;
	transition = json_string_value(json_object_get(body, "transition"));
	transition = transition ? transition : "";
	switch (workspace_begin_build(
			call->workspace, transition,
			json_object_get(body, "rich_parameter_values"))) {
	case 0:
		route_answer(call, 201,
			     build_json(call->workspace,
					&call->workspace->build));
		break;
	case ERR_CONFLICT:
		route_error(call, 409, "A workspace build is already active.",
			    NULL);
		break;
	default:
		refuse_transition(call, transition);
		break;
	}
	json_decref(body);
}

void handle_post_usage(struct route_call *call)
{
	call->sim->usage_posts++;
	exchange_respond(call->exchange, 204, NULL, NULL, 0);
}

/* The build of the first capture; NULL: answered. */
static const struct build *
find_build(struct route_call *call, struct simulation_workspace **of)
{
	struct uuid id;

	if (!route_id(call, &id))
		return NULL;
	list_each(at, next, &call->sim->workspaces) {
		const struct build *build;

		*of = container_of(at, struct simulation_workspace, link);
		build = workspace_build(*of, &id);
		if (build)
			return build;
	}
	route_error(call, 404, ROUTE_NOT_FOUND, NULL);
	return NULL;
}

void handle_get_build(struct route_call *call)
{
	struct simulation_workspace *workspace;
	const struct build *build = find_build(call, &workspace);

	if (build)
		route_answer(call, 200, build_json(workspace, build));
}

void handle_get_build_parameters(struct route_call *call)
{
	struct simulation_workspace *workspace;
	const struct build *build = find_build(call, &workspace);

	if (build)
		route_answer(call, 200, json_incref(build->parameters));
}

void handle_get_rich_parameters(struct route_call *call)
{
	struct uuid id;

	if (!route_id(call, &id))
		return;
	list_each(at, next, &call->sim->workspaces) {
		struct simulation_workspace *workspace = container_of(
			at, struct simulation_workspace, link);

		if (!uuid_equal(&workspace->template_id, &id))
			continue;
		route_answer(call, 200,
			     json_incref(workspace->rich_parameters));
		return;
	}
	route_error(call, 404, ROUTE_NOT_FOUND, NULL);
}

void handle_get_nothing(struct route_call *call)
{
	route_answer(call, 200, json_array());
}

void handle_get_agent(struct route_call *call)
{
	route_answer(call, 200,
		     agent_json(call->agent,
				&call->agent->workspace->build.job_id));
}

void handle_get_connection(struct route_call *call)
{
	route_answer(call, 200, connection_json(call->sim));
}

void handle_get_derp_map(struct route_call *call)
{
	route_answer(call, 200, derp_map_json(&call->sim->derp_map));
}

void handle_get_latency_check(struct route_call *call)
{
	exchange_respond(call->exchange, 200, "text/plain", NULL, 0);
}
