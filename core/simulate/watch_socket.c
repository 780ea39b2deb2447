/*
 * agent-connection-watch: build_update on every change of number, status or
 * transition; agent_update only while the latest build is start+succeeded;
 * an error event and a close when the agent cannot be chosen
 * (coder/coder coderd/workspaceconnwatcher).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/simulate/simulate_private.h"

#define MESSAGE_CAP (64 * 1024)
#define QUEUE_CAP (256 * 1024)

enum watch_error {
	WATCH_TOO_MANY = 1,
	WATCH_NO_SUCH_NAME = 2,
	WATCH_NO_AGENTS = 3,
};

struct watcher_socket {
	struct list link;
	struct simulation_workspace *workspace;
	struct channel *channel;
	char agent_name[SIMULATION_NAME_CAP];
	bool open;
	int64_t build_number;
	const char *transition;
	const char *status;
	struct uuid agent;
	const char *lifecycle;
};

static void end(struct watcher_socket *watcher, int code, const char *reason)
{
	if (watcher->channel)
		channel_close(watcher->channel, code, reason);
	list_remove(&watcher->link);
	free(watcher);
}

static int send_text(struct watcher_socket *watcher, const char *json)
{
	size_t len = strlen(json);
	char *line = malloc(len + 1);
	int err = ERR_NOMEM;

	if (line) {
		memcpy(line, json, len);
		line[len] = '\n';
		err = channel_send(watcher->channel, line, len + 1);
	}
	free(line);
	return err;
}

static int send_event(struct watcher_socket *watcher, json_t *event)
{
	char *text = event ? json_dumps(event, JSON_COMPACT) : NULL;
	int err = text ? send_text(watcher, text) : ERR_NOMEM;

	json_decref(event);
	free(text);
	return err;
}

static void fail(struct watcher_socket *watcher, enum watch_error code,
		 const char *message)
{
	(void)send_event(watcher,
			 json_pack("{s:{s:i,s:b,s:s}}", "error", "code",
				   (int)code, "retryable", 0, "message",
				   message));
	end(watcher, 1000, "error");
}

static int tell_build(struct watcher_socket *watcher)
{
	const struct build *build = &watcher->workspace->build;

	if (watcher->build_number == build->number &&
	    watcher->transition == build->transition &&
	    watcher->status == build->status)
		return 0;
	watcher->build_number = build->number;
	watcher->transition = build->transition;
	watcher->status = build->status;
	watcher->agent = (struct uuid){ { 0 } };
	return send_event(watcher,
			  json_pack("{s:n,s:{s:s,s:s}}", "error",
				    "build_update", "transition",
				    build->transition, "job_status",
				    build->status));
}

static int tell_agent(struct watcher_socket *watcher,
		      const struct agent *agent)
{
	char id[UUID_TEXT_CAP];

	if (uuid_equal(&watcher->agent, &agent->id) &&
	    watcher->lifecycle == agent->lifecycle)
		return 0;
	watcher->agent = agent->id;
	watcher->lifecycle = agent->lifecycle;
	uuid_to_text(&agent->id, id);
	return send_event(watcher,
			  json_pack("{s:n,s:{s:s,s:s}}", "error",
				    "agent_update", "lifecycle",
				    agent->lifecycle, "id", id));
}

static const struct agent *named(const struct watcher_socket *watcher)
{
	const struct simulation_workspace *workspace = watcher->workspace;

	for (size_t i = 0; i < workspace->agent_count; i++)
		if (strcmp(workspace->agents[i]->name,
			   watcher->agent_name) == 0)
			return workspace->agents[i];
	return NULL;
}

static void look_at_agents(struct watcher_socket *watcher)
{
	const struct simulation_workspace *workspace = watcher->workspace;
	const struct agent *agent = *watcher->agent_name ?
		named(watcher) : workspace->agents[0];

	if (workspace->agent_count == 0)
		fail(watcher, WATCH_NO_AGENTS,
		     "no agents found for workspace");
	else if (!*watcher->agent_name && workspace->agent_count > 1)
		fail(watcher, WATCH_TOO_MANY,
		     "more than one agent on workspace and target not "
		     "specified");
	else if (!agent)
		fail(watcher, WATCH_NO_SUCH_NAME,
		     "target agent not found by name");
	else if (tell_agent(watcher, agent) < 0)
		end(watcher, 1011, "too slow");
}

static void look(struct watcher_socket *watcher)
{
	if (!watcher->open)
		return;
	if (tell_build(watcher) < 0) {
		end(watcher, 1011, "too slow");
		return;
	}
	if (workspace_runs(watcher->workspace))
		look_at_agents(watcher);
}

static void opened(void *user)
{
	struct watcher_socket *watcher = user;

	watcher->open = true;
	look(watcher);
}

static void message(void *user, const uint8_t *data, size_t len)
{
	(void)user;
	(void)data;
	(void)len;	/* the client has nothing to say here */
}

static void closed(void *user, const struct channel_end *how)
{
	struct watcher_socket *watcher = user;

	(void)how;
	watcher->channel = NULL;
	end(watcher, 0, "");
}

static const struct channel_events events = {
	.on_open = opened,
	.on_message = message,
	.on_close = closed,
};

void watch_route(struct route_call *call)
{
	struct watcher_socket *watcher;

	if (route_wants_upgrade(call))
		return;
	watcher = calloc(1, sizeof(*watcher));
	if (!watcher) {
		route_error(call, 500, "no memory", NULL);
		return;
	}
	watcher->workspace = call->workspace;
	if (query_find(call->request->query, "agent_name",
		       watcher->agent_name, sizeof(watcher->agent_name)) < 0)
		*watcher->agent_name = '\0';
	if (exchange_accept(call->exchange, NULL, MESSAGE_CAP, QUEUE_CAP,
			    &events, watcher, &watcher->channel) < 0) {
		free(watcher);
		return;
	}
	list_add_tail(&call->sim->watchers, &watcher->link);
}

void watch_look(struct simulation_workspace *workspace)
{
	list_each(at, next, &workspace->sim->watchers) {
		struct watcher_socket *watcher =
			container_of(at, struct watcher_socket, link);

		if (watcher->workspace == workspace)
			look(watcher);
	}
}

unsigned watch_emit(struct simulation_workspace *workspace, const char *json)
{
	unsigned told = 0;

	list_each(at, next, &workspace->sim->watchers) {
		struct watcher_socket *watcher =
			container_of(at, struct watcher_socket, link);

		if (watcher->workspace == workspace && watcher->open &&
		    send_text(watcher, json) == 0)
			told++;
	}
	return told;
}

void watch_forget(struct simulation_workspace *workspace)
{
	list_each(at, next, &workspace->sim->watchers) {
		struct watcher_socket *watcher =
			container_of(at, struct watcher_socket, link);

		if (watcher->workspace == workspace)
			end(watcher, 1001, "");
	}
}

unsigned watch_drop_all(struct simulation *sim, int code)
{
	unsigned dropped = 0;

	while (!list_empty(&sim->watchers)) {
		end(container_of(sim->watchers.next, struct watcher_socket,
				 link), code, "dropped");
		dropped++;
	}
	return dropped;
}
