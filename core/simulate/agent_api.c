/* The agent's HTTP API on port 4: one request a connection. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/simulate/simulate_private.h"

#define HEAD_CAP (8 * 1024)
#define PATH_CAP 512

struct api {
	struct flow flow;
	struct stream *stream;
	struct buf out;
	bool answered;
};

static void api_free(struct api *api, bool abort)
{
	stream_close(api->stream, abort);
	flow_end(&api->flow);
	buf_clear(&api->out);
	free(api);
}

static void api_close(struct flow *flow)
{
	api_free(container_of(flow, struct api, flow), true);
}

static json_t *ports_json(const struct agent *agent)
{
	json_t *ports = json_array();

	for (size_t i = 0; i < agent->workspace->port_count; i++)
		json_array_append_new(
			ports, json_pack("{s:s,s:s,s:i}", "process_name", "",
					 "network", "tcp", "port",
					 agent->workspace->ports[i].port));
	return json_pack("{s:o}", "ports", ports);
}

static json_t *manifest_json(const struct agent *agent)
{
	char id[UUID_TEXT_CAP], workspace[UUID_TEXT_CAP];

	uuid_to_text(&agent->id, id);
	uuid_to_text(&agent->workspace->id, workspace);
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:o}", "agent_id", id,
			 "agent_name", agent->name, "workspace_id", workspace,
			 "workspace_name", agent->workspace->name,
			 "owner_name", agent->sim->user_name, "directory",
			 "/tmp", "derpmap",
			 derp_map_json(&agent->sim->derp_map));
}

static json_t *answer_to(const struct agent *agent, const char *path,
			 int *status)
{
	*status = 200;
	if (strcmp(path, "/") == 0)
		return json_pack("{s:s}", "message", "Hello from the agent!");
	if (strcmp(path, "/api/v0/listening-ports") == 0)
		return ports_json(agent);
	if (strcmp(path, "/api/v0/containers") == 0)
		return json_pack("{s:[],s:[]}", "devcontainers",
				 "containers");
	if (strcmp(path, "/debug/manifest") == 0)
		return manifest_json(agent);
	*status = 404;
	return json_pack("{s:s}", "message", "Route not found.");
}

static void make_answer(struct api *api, const char *path)
{
	int status;
	json_t *json = answer_to(api->flow.agent, path, &status);
	char *body = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	(void)buf_printf(&api->out,
			 "HTTP/1.1 %d %s\r\nContent-Type: application/json; "
			 "charset=utf-8\r\nContent-Length: %zu\r\n"
			 "Connection: close\r\n\r\n%s",
			 body ? status : 500,
			 status == 200 ? "OK" : "Not Found",
			 body ? strlen(body) : 0, body ? body : "");
	free(body);
	api->answered = true;
}

/* "GET /path?query HTTP/1.1": the path, or ERR_PROTOCOL. */
static int read_path(const char *head, size_t len, char out[PATH_CAP])
{
	const char *from = memchr(head, ' ', len);
	size_t at = 0;

	if (!from++)
		return ERR_PROTOCOL;
	while (from + at < head + len && !strchr(" ?\r\n", from[at]) &&
	       at + 1 < PATH_CAP) {
		out[at] = from[at];
		at++;
	}
	out[at] = '\0';
	return at ? 0 : ERR_PROTOCOL;
}

/* False: the head is not whole yet, or the connection has been freed. */
static bool take_request(struct api *api)
{
	char path[PATH_CAP];
	const uint8_t *data;
	ssize_t len = stream_peek(api->stream, &data);
	const uint8_t *end;

	if (len == ERR_AGAIN)
		return false;
	end = len > 0 ? memmem(data, (size_t)len, "\r\n\r\n", 4) : NULL;
	if (len > 0 && !end && len < HEAD_CAP)
		return false;
	if (!end || read_path((const char *)data, (size_t)(end - data),
			      path) < 0) {
		api_free(api, true);
		return false;
	}
	stream_consume(api->stream, (size_t)(end - data) + 4);
	make_answer(api, path);
	return true;
}

static void changed(struct stream *stream, void *user)
{
	struct api *api = user;
	ssize_t wrote = 0;

	if (!api->answered && !take_request(api))
		return;
	while (api->out.len && (wrote = stream_write(stream,
						     buf_data(&api->out),
						     api->out.len)) > 0)
		buf_consume(&api->out, (size_t)wrote);
	if (api->out.len == 0)
		api_free(api, false);
	else if (wrote != ERR_AGAIN)
		api_free(api, true);
}

void agent_api_serve(struct agent *agent, struct stream *stream)
{
	struct api *api = calloc(1, sizeof(*api));

	if (!api) {
		stream_close(stream, true);
		return;
	}
	api->stream = stream;
	buf_init(&api->out, 1024 * 1024);
	stream->on_change = changed;
	stream->user = api;
	flow_begin(&api->flow, agent, api_close);
}
