/* REST: which path is whose. The table below is the whole of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/simulate/handlers.h"

#define SIGNED_OUT                                                     \
	"You are signed out or your session has expired. Please sign " \
	"in again to continue."

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

bool route_id(struct route_call *call, struct uuid *id)
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

	if (!route_id(call, &id))
		return false;
	call->workspace = sim_workspace(call->sim, &id);
	if (!call->workspace)
		route_error(call, 404, ROUTE_NOT_FOUND, NULL);
	return call->workspace != NULL;
}

static bool find_agent(struct route_call *call)
{
	struct uuid id;

	if (!route_id(call, &id))
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

static const struct route routes[] = {
	{ "GET", "/api/v2/buildinfo", NEEDS_NOTHING, handle_get_buildinfo },
	{ "GET", "/api/v2/users/{}", NEEDS_TOKEN, handle_get_user },
	{ "GET", "/api/v2/users/{}/workspace/{}", NEEDS_TOKEN,
	  handle_get_workspace_by_name },
	{ "GET", "/api/v2/workspaces", NEEDS_TOKEN, handle_get_workspaces },
	{ "GET", "/api/v2/workspaces/{}", NEEDS_WORKSPACE, handle_get_workspace },
	{ "GET", "/api/v2/workspaces/{}/builds", NEEDS_WORKSPACE, handle_get_builds },
	{ "POST", "/api/v2/workspaces/{}/builds", NEEDS_WORKSPACE,
	  handle_post_build },
	{ "POST", "/api/v2/workspaces/{}/usage", NEEDS_WORKSPACE, handle_post_usage },
	{ "GET", "/api/v2/workspaces/{}/agent-connection-watch",
	  NEEDS_WORKSPACE, watch_route },
	{ "GET", "/api/v2/workspacebuilds/{}", NEEDS_TOKEN, handle_get_build },
	{ "GET", "/api/v2/workspacebuilds/{}/parameters", NEEDS_TOKEN,
	  handle_get_build_parameters },
	{ "GET", "/api/v2/workspacebuilds/{}/logs", NEEDS_TOKEN,
	  handle_get_nothing },
	{ "GET", "/api/v2/templateversions/{}/rich-parameters", NEEDS_TOKEN,
	  handle_get_rich_parameters },
	{ "GET", "/api/v2/workspaceagents/connection", NEEDS_TOKEN,
	  handle_get_connection },
	{ "GET", "/api/v2/workspaceagents/{}", NEEDS_AGENT, handle_get_agent },
	{ "GET", "/api/v2/workspaceagents/{}/connection", NEEDS_AGENT,
	  handle_get_connection },
	{ "GET", "/api/v2/workspaceagents/{}/logs", NEEDS_AGENT, handle_get_nothing },
	{ "GET", "/api/v2/workspaceagents/{}/coordinate", NEEDS_AGENT,
	  coordinate_route },
	{ "GET", "/api/v2/tailnet", NEEDS_TOKEN, coordinate_route },
	{ "GET", "/api/v2/derp-map", NEEDS_TOKEN, handle_get_derp_map },
	{ "GET", "/derp", NEEDS_NOTHING, relay_route },
	{ "*", "/derp/latency-check", NEEDS_NOTHING, handle_get_latency_check },
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
