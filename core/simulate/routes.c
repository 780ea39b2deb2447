/* REST: which path is whose. The table below is the whole of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/jread.h"
#include "core/simulate/simulate_private.h"

#define BODY_CAP (1024 * 1024)
#define SIGNED_OUT                                                     \
	"You are signed out or your session has expired. Please sign " \
	"in again to continue."
#define NOT_FOUND                                                       \
	"Resource not found or you do not have access to this resource"

enum route_needs {
	NEEDS_NOTHING,
	NEEDS_TOKEN,
	NEEDS_WORKSPACE,	/* and a token; the first capture is its id */
	NEEDS_AGENT,
};

struct route {
	const char *method;	/* "*": any */
	const char *pattern;	/* "{}" is one segment */
	enum route_needs needs;
	void (*serve)(struct route_call *call);
};

void route_answer(struct route_call *call, int status, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	json_decref(body);
	if (text)
		exchange_respond(call->exchange, status, NULL, text,
				 strlen(text));
	else
		exchange_respond(call->exchange, 500, NULL, "{}", 2);
	free(text);
}

void route_error(struct route_call *call, int status, const char *message,
		 const char *detail)
{
	route_answer(call, status,
		     detail ? json_pack("{s:s,s:s}", "message", message,
					"detail", detail) :
			      json_pack("{s:s}", "message", message));
}

bool route_wants_upgrade(struct route_call *call)
{
	if (call->request->kind == EXCHANGE_WEBSOCKET)
		return false;
	route_error(call, 426, "This needs a WebSocket.", NULL);
	return true;
}

/* --- who may -------------------------------------------------------------- */

static void token_shape(const char *token, char *out, size_t cap)
{
	int parts = 1;

	for (const char *at = token; *at; at++)
		parts += *at == '-';
	if (strcspn(token, "-") == 10 && strlen(token) == 33)
		snprintf(out, cap, "API key is invalid.");
	else
		snprintf(out, cap,
			 "Invalid API key format: incorrect amount of API key "
			 "parts, expected 2 got %d", parts);
}

static bool is_signed_in(struct route_call *call)
{
	char token[256];
	char detail[160];

	snprintf(token, sizeof(token), "%s", call->request->token);
	if (!*token && query_find(call->request->query, "coder_session_token",
				  token, sizeof(token)) < 0)
		*token = '\0';
	if (strcmp(token, call->sim->token) == 0)
		return true;
	if (*token)
		token_shape(token, detail, sizeof(detail));
	else
		snprintf(detail, sizeof(detail),
			 "Cookie \"coder_session_token\" or query parameter "
			 "must be provided.");
	route_error(call, 401, SIGNED_OUT, detail);
	return false;
}

static bool find_id(struct route_call *call, struct uuid *id)
{
	char message[192];

	if (uuid_from_text(call->captures[0], id) == 0)
		return true;
	snprintf(message, sizeof(message), "Invalid UUID \"%s\".",
		 call->captures[0]);
	route_error(call, 400, message, "invalid UUID length or form");
	return false;
}

static bool find_workspace(struct route_call *call)
{
	struct uuid id;

	if (!find_id(call, &id))
		return false;
	call->workspace = sim_workspace(call->sim, &id);
	if (!call->workspace)
		route_error(call, 404, NOT_FOUND, NULL);
	return call->workspace != NULL;
}

static bool find_agent(struct route_call *call)
{
	struct uuid id;

	if (!find_id(call, &id))
		return false;
	call->agent = sim_agent(call->sim, &id);
	if (!call->agent)
		route_error(call, 404,
			    "Agent doesn't exist with that id, or you do not "
			    "have access to it.", NULL);
	return call->agent != NULL;
}

static bool has_what_it_needs(struct route_call *call, enum route_needs needs)
{
	switch (needs) {
	case NEEDS_NOTHING:
		return true;
	case NEEDS_TOKEN:
		return is_signed_in(call);
	case NEEDS_WORKSPACE:
		return is_signed_in(call) && find_workspace(call);
	case NEEDS_AGENT:
		return is_signed_in(call) && find_agent(call);
	}
	return false;
}

/* --- what is served --------------------------------------------------------- */

static void get_buildinfo(struct route_call *call)
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

static void get_user(struct route_call *call)
{
	if (is_our_user(call))
		route_answer(call, 200, user_json(call->sim));
	else
		route_error(call, 404, NOT_FOUND, NULL);
}

static bool is_deleted(const struct simulation_workspace *workspace)
{
	return strcmp(workspace->build.transition, "delete") == 0 &&
	       strcmp(workspace->build.status, "succeeded") == 0;
}

static void get_workspace_by_name(struct route_call *call)
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
	route_error(call, 404, NOT_FOUND, NULL);
}

static void get_workspaces(struct route_call *call)
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

static void get_workspace(struct route_call *call)
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

static void get_builds(struct route_call *call)
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

static void post_build(struct route_call *call)
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

static void post_usage(struct route_call *call)
{
	call->sim->usage_posts++;
	exchange_respond(call->exchange, 204, NULL, NULL, 0);
}

/* The build of the first capture; NULL: answered. */
static const struct build *
find_build(struct route_call *call, struct simulation_workspace **of)
{
	struct uuid id;

	if (!find_id(call, &id))
		return NULL;
	list_each(at, next, &call->sim->workspaces) {
		const struct build *build;

		*of = container_of(at, struct simulation_workspace, link);
		build = workspace_build(*of, &id);
		if (build)
			return build;
	}
	route_error(call, 404, NOT_FOUND, NULL);
	return NULL;
}

static void get_build(struct route_call *call)
{
	struct simulation_workspace *workspace;
	const struct build *build = find_build(call, &workspace);

	if (build)
		route_answer(call, 200, build_json(workspace, build));
}

static void get_build_parameters(struct route_call *call)
{
	struct simulation_workspace *workspace;
	const struct build *build = find_build(call, &workspace);

	if (build)
		route_answer(call, 200, json_incref(build->parameters));
}

static void get_rich_parameters(struct route_call *call)
{
	struct uuid id;

	if (!find_id(call, &id))
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
	route_error(call, 404, NOT_FOUND, NULL);
}

static void get_nothing(struct route_call *call)
{
	route_answer(call, 200, json_array());
}

static void get_agent(struct route_call *call)
{
	route_answer(call, 200,
		     agent_json(call->agent,
				&call->agent->workspace->build.job_id));
}

static void get_connection(struct route_call *call)
{
	route_answer(call, 200, connection_json(call->sim));
}

static void get_derp_map(struct route_call *call)
{
	route_answer(call, 200, derp_map_json(&call->sim->derp_map));
}

static void get_latency_check(struct route_call *call)
{
	exchange_respond(call->exchange, 200, "text/plain", NULL, 0);
}

static const struct route routes[] = {
	{ "GET", "/api/v2/buildinfo", NEEDS_NOTHING, get_buildinfo },
	{ "GET", "/api/v2/users/{}", NEEDS_TOKEN, get_user },
	{ "GET", "/api/v2/users/{}/workspace/{}", NEEDS_TOKEN,
	  get_workspace_by_name },
	{ "GET", "/api/v2/workspaces", NEEDS_TOKEN, get_workspaces },
	{ "GET", "/api/v2/workspaces/{}", NEEDS_WORKSPACE, get_workspace },
	{ "GET", "/api/v2/workspaces/{}/builds", NEEDS_WORKSPACE, get_builds },
	{ "POST", "/api/v2/workspaces/{}/builds", NEEDS_WORKSPACE,
	  post_build },
	{ "POST", "/api/v2/workspaces/{}/usage", NEEDS_WORKSPACE, post_usage },
	{ "GET", "/api/v2/workspaces/{}/agent-connection-watch",
	  NEEDS_WORKSPACE, watch_route },
	{ "GET", "/api/v2/workspacebuilds/{}", NEEDS_TOKEN, get_build },
	{ "GET", "/api/v2/workspacebuilds/{}/parameters", NEEDS_TOKEN,
	  get_build_parameters },
	{ "GET", "/api/v2/workspacebuilds/{}/logs", NEEDS_TOKEN,
	  get_nothing },
	{ "GET", "/api/v2/templateversions/{}/rich-parameters", NEEDS_TOKEN,
	  get_rich_parameters },
	{ "GET", "/api/v2/workspaceagents/connection", NEEDS_TOKEN,
	  get_connection },
	{ "GET", "/api/v2/workspaceagents/{}", NEEDS_AGENT, get_agent },
	{ "GET", "/api/v2/workspaceagents/{}/connection", NEEDS_AGENT,
	  get_connection },
	{ "GET", "/api/v2/workspaceagents/{}/logs", NEEDS_AGENT, get_nothing },
	{ "GET", "/api/v2/workspaceagents/{}/coordinate", NEEDS_AGENT,
	  coordinate_route },
	{ "GET", "/api/v2/tailnet", NEEDS_TOKEN, coordinate_route },
	{ "GET", "/api/v2/derp-map", NEEDS_TOKEN, get_derp_map },
	{ "GET", "/derp", NEEDS_NOTHING, relay_route },
	{ "*", "/derp/latency-check", NEEDS_NOTHING, get_latency_check },
};

/* --- finding it --------------------------------------------------------------- */

static bool capture(struct route_call *call, size_t *count, const char *text,
		    size_t len)
{
	char *out = call->captures[*count];

	if (len == 0 || len >= sizeof(call->captures[0]))
		return false;
	memcpy(out, text, len);
	out[len] = '\0';
	(*count)++;
	return true;
}

static bool matches(struct route_call *call, const char *pattern)
{
	const char *path = call->request->path;
	size_t captures = 0;

	while (*pattern && *path) {
		size_t len = strcspn(path, "/");

		if (strncmp(pattern, "{}", 2) == 0) {
			if (!capture(call, &captures, path, len))
				return false;
			pattern += 2;
			path += len;
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	return *pattern == '\0' && *path == '\0';
}

static bool method_is(const struct route_call *call, const char *method)
{
	return *method == '*' || strcmp(call->request->method, method) == 0;
}

static void serve_unknown(struct route_call *call)
{
	static const char text[] = "404 page not found\n";

	if (strncmp(call->request->path, "/api/", 5) == 0)
		route_error(call, 404, "Route not found.", NULL);
	else
		exchange_respond(call->exchange, 404, "text/plain", text,
				 sizeof(text) - 1);
}

void sim_serve(struct service *service, struct exchange *exchange,
	       const struct server_request *request)
{
	struct route_call call = {
		.sim = container_of(service, struct simulation, service),
		.exchange = exchange,
		.request = request,
	};

	call.sim->requests++;
	if (fault_answers(&call))
		return;
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		const struct route *route = &routes[i];

		if (!method_is(&call, route->method) ||
		    !matches(&call, route->pattern))
			continue;
		if (has_what_it_needs(&call, route->needs))
			route->serve(&call);
		return;
	}
	serve_unknown(&call);
}
