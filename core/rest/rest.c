#include "core/rest/rest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/line.h"

#define PATH_CAP 1024
#define ENCODED_CAP (3 * REST_NAME_CAP)

struct rest_call;
typedef void finish(struct rest_call *call, const struct error *error,
		    const struct http_response *response);

struct rest_call {
	struct network *network;
	struct http_call *http;
	finish *finish;		/* decodes and calls the `done` of its kind */
	union {
		rest_workspace_done *workspace;
		rest_build_done *build;
		rest_builds_done *builds;
		rest_parameters_done *parameters;
		rest_connection_done *connection;
		rest_raw_done *raw;
	} done;
	void *user;
};

static void on_answer(void *user, const struct http_response *response)
{
	struct rest_call *call = user;
	struct error error = response->error;

	if (!error.code && (response->status < 200 || response->status > 299))
		api_error_read(response->status, response->body,
			       response->body_len, &error);
	call->finish(call, error.code ? &error : NULL, response);
	free(call);
}

/* Each: `error` of the call, else of the decoder, else the value. */
static void finish_workspace(struct rest_call *call,
			     const struct error *error,
			     const struct http_response *response)
{
	struct rest_workspace workspace;
	struct error bad;

	if (!error && rest_decode_workspace(response->body,
					    response->body_len, &workspace,
					    &bad) < 0)
		error = &bad;
	call->done.workspace(call->user, error, error ? NULL : &workspace);
}

static void finish_build(struct rest_call *call, const struct error *error,
			 const struct http_response *response)
{
	struct rest_build build;
	struct error bad;

	if (!error && rest_decode_build(response->body, response->body_len,
					&build, &bad) < 0)
		error = &bad;
	call->done.build(call->user, error, error ? NULL : &build);
}

static void finish_builds(struct rest_call *call, const struct error *error,
			  const struct http_response *response)
{
	struct rest_build builds[REST_BUILDS_CAP];
	struct error bad;
	size_t count = 0;

	if (!error && rest_decode_builds(response->body, response->body_len,
					 builds, &count, &bad) < 0)
		error = &bad;
	call->done.builds(call->user, error, error ? NULL : builds,
			  error ? 0 : count);
}

static void finish_parameters(struct rest_call *call,
			      const struct error *error,
			      const struct http_response *response)
{
	struct rest_parameters parameters = { .count = 0 };
	struct error bad;

	if (!error && rest_decode_parameters(response->body,
					     response->body_len, &parameters,
					     &bad) < 0)
		error = &bad;
	call->done.parameters(call->user, error, error ? NULL : &parameters);
	rest_parameters_clear(&parameters);
}

static void finish_connection(struct rest_call *call,
			      const struct error *error,
			      const struct http_response *response)
{
	struct rest_connection connection = { .derp_map = { NULL, 0 } };
	struct error bad;

	if (!error && rest_decode_connection(response->body,
					     response->body_len, &connection,
					     &bad) < 0)
		error = &bad;
	call->done.connection(call->user, error, error ? NULL : &connection);
	rest_connection_clear(&connection);
}

static void finish_raw(struct rest_call *call, const struct error *error,
		       const struct http_response *response)
{
	call->done.raw(call->user, error, error ? NULL : response);
}

static size_t fill_headers(const struct rest *rest, const char *body,
			   struct http_header *out)
{
	size_t count = 0;

	if (rest->token)
		out[count++] = (struct http_header){ "Coder-Session-Token",
						     rest->token };
	if (body)
		out[count++] = (struct http_header){ "Content-Type",
						     "application/json" };
	for (size_t i = 0; i < rest->header_count; i++)
		out[count++] = rest->headers[i];
	return count;
}

static int build_url(const struct rest *rest, const char *path,
		     char out[REST_URL_CAP])
{
	size_t len = strlen(rest->url);

	while (len > 0 && rest->url[len - 1] == '/')
		len--;
	if (len + strlen(path) >= REST_URL_CAP)
		return ERR_TOO_LARGE;
	memcpy(out, rest->url, len);
	strcpy(out + len, path);
	return 0;
}

static int send_call(const struct rest *rest, struct rest_call *call,
		     const char *method, const char *path, const char *body,
		     struct error *error)
{
	struct http_header headers[REST_HEADERS_CAP + 2];
	char url[REST_URL_CAP];
	struct http_request request = {
		.method = method,
		.url = url,
		.headers = headers,
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.body_cap = REST_ANSWER_CAP,
	};

	if (rest->header_count > REST_HEADERS_CAP)
		return error_set(error, ERR_TOO_LARGE,
				 "%zu headers, more than %d",
				 rest->header_count, REST_HEADERS_CAP);
	if (build_url(rest, path, url) < 0)
		return error_set(error, ERR_TOO_LARGE,
				 "the URL is longer than %d bytes",
				 REST_URL_CAP - 1);
	request.header_count = fill_headers(rest, body, headers);
	return network_http(rest->network, &request, on_answer, call,
			    &call->http, error);
}

/* `like`: how it ends; copied. */
static int begin(const struct rest *rest, const struct rest_call *like,
		 const char *method, const char *path, const char *body,
		 struct rest_call **out, struct error *error)
{
	struct rest_call *call = malloc(sizeof(*call));
	int code;

	if (!call)
		return error_set(error, ERR_NOMEM, "out of memory");
	*call = *like;
	call->network = rest->network;
	code = send_call(rest, call, method, path, body, error);
	if (code < 0) {
		free(call);
		return code;
	}
	*out = call;
	return 0;
}

static void workspace_path(const struct rest_workspace_ref *ref,
			   char path[PATH_CAP])
{
	char owner[ENCODED_CAP];
	char name[ENCODED_CAP];
	char id[UUID_TEXT_CAP];

	if (ref->by_id) {
		uuid_to_text(&ref->id, id);
		snprintf(path, PATH_CAP, "/api/v2/workspaces/%s", id);
		return;
	}
	url_encode(ref->owner, owner, sizeof(owner));
	url_encode(ref->name, name, sizeof(name));
	snprintf(path, PATH_CAP, "/api/v2/users/%s/workspace/%s", owner,
		 name);
}

int rest_get_workspace(const struct rest *rest,
		       const struct rest_workspace_ref *ref,
		       rest_workspace_done *done, void *user,
		       struct rest_call **out, struct error *error)
{
	struct rest_call like = { .finish = finish_workspace,
				  .done.workspace = done, .user = user };
	char path[PATH_CAP];

	workspace_path(ref, path);
	return begin(rest, &like, "GET", path, NULL, out, error);
}

int rest_create_build(const struct rest *rest,
		      const struct uuid *workspace_id,
		      const struct rest_build_request *request,
		      rest_build_done *done, void *user,
		      struct rest_call **out, struct error *error)
{
	struct rest_call like = { .finish = finish_build, .done.build = done,
				  .user = user };
	char path[PATH_CAP];
	char id[UUID_TEXT_CAP];
	char *body;
	int code = rest_encode_build(request, &body, error);

	if (code < 0)
		return code;
	uuid_to_text(workspace_id, id);
	snprintf(path, sizeof(path), "/api/v2/workspaces/%s/builds", id);
	code = begin(rest, &like, "POST", path, body, out, error);
	free(body);
	return code;
}

int rest_get_builds(const struct rest *rest, const struct uuid *workspace_id,
		    unsigned limit, rest_builds_done *done, void *user,
		    struct rest_call **out, struct error *error)
{
	struct rest_call like = { .finish = finish_builds,
				  .done.builds = done, .user = user };
	char path[PATH_CAP];
	char id[UUID_TEXT_CAP];

	if (limit < 1 || limit > REST_BUILDS_CAP)
		return error_set(error, ERR_MISUSE,
				 "a limit of %u builds is not within 1 to %d",
				 limit, REST_BUILDS_CAP);
	uuid_to_text(workspace_id, id);
	snprintf(path, sizeof(path), "/api/v2/workspaces/%s/builds?limit=%u",
		 id, limit);
	return begin(rest, &like, "GET", path, NULL, out, error);
}

int rest_get_build_parameters(const struct rest *rest,
			      const struct uuid *build_id,
			      rest_parameters_done *done, void *user,
			      struct rest_call **out, struct error *error)
{
	struct rest_call like = { .finish = finish_parameters,
				  .done.parameters = done, .user = user };
	char path[PATH_CAP];
	char id[UUID_TEXT_CAP];

	uuid_to_text(build_id, id);
	snprintf(path, sizeof(path), "/api/v2/workspacebuilds/%s/parameters",
		 id);
	return begin(rest, &like, "GET", path, NULL, out, error);
}

int rest_get_connection(const struct rest *rest, const struct uuid *agent_id,
			rest_connection_done *done, void *user,
			struct rest_call **out, struct error *error)
{
	struct rest_call like = { .finish = finish_connection,
				  .done.connection = done, .user = user };
	char path[PATH_CAP];
	char id[UUID_TEXT_CAP + 1] = "";

	if (agent_id) {
		id[0] = '/';
		uuid_to_text(agent_id, id + 1);
	}
	snprintf(path, sizeof(path), "/api/v2/workspaceagents%s/connection",
		 id);
	return begin(rest, &like, "GET", path, NULL, out, error);
}

int rest_request(const struct rest *rest, const char *method,
		 const char *path, const char *body, rest_raw_done *done,
		 void *user, struct rest_call **out, struct error *error)
{
	struct rest_call like = { .finish = finish_raw, .done.raw = done,
				  .user = user };

	return begin(rest, &like, method, path, body, out, error);
}

void rest_cancel(struct rest_call *call)
{
	if (!call)
		return;
	network_http_cancel(call->network, call->http);
	free(call);
}
