/*
 * core/rest/rest.h: calls of Coder's API, one at a time.
 *
 * Ties answers.h to a network. A call begins, and ends by its `done` exactly
 * once, later; or by rest_cancel(), and then `done` is never called. When
 * `done` is called the call is over and must not be cancelled any more. A
 * status that is no 2xx comes as the error that Coder's answer describes.
 */
#ifndef TUNNELHOST_REST_REST_H
#define TUNNELHOST_REST_REST_H

#include <stddef.h>

#include "core/base/network.h"
#include "core/rest/answers.h"

#define REST_HEADERS_CAP 32
#define REST_URL_CAP 2048

/* The owner's; all borrowed, and to outlive the calls. */
struct rest {
	struct network *network;
	const char *url;	/* of the deployment; may end in '/' */
	const char *token;	/* NULL: none is sent */
	const struct http_header *headers;	/* besides the token's */
	size_t header_count;	/* at most REST_HEADERS_CAP */
};

struct rest_call;

/* `error` is NULL on success, else the value is; borrowed for the call. */
typedef void rest_workspace_done(void *user, const struct error *error,
				 const struct rest_workspace *workspace);
typedef void rest_build_done(void *user, const struct error *error,
			     const struct rest_build *build);
typedef void rest_builds_done(void *user, const struct error *error,
			      const struct rest_build *builds, size_t count);
typedef void rest_parameters_done(void *user, const struct error *error,
				  const struct rest_parameters *parameters);
/* The map may be taken: copy the struct and zero `connection->derp_map`. */
typedef void rest_connection_done(void *user, const struct error *error,
				  struct rest_connection *connection);
/* Any 2xx answer as it is. */
typedef void rest_raw_done(void *user, const struct error *error,
			   const struct http_response *response);

/* All: 0 and *out, or a negative enum err when it could not begin. */
int rest_get_workspace(const struct rest *rest,
		       const struct rest_workspace_ref *ref,
		       rest_workspace_done *done, void *user,
		       struct rest_call **out, struct error *error);
int rest_create_build(const struct rest *rest,
		      const struct uuid *workspace_id,
		      const struct rest_build_request *request,
		      rest_build_done *done, void *user,
		      struct rest_call **out, struct error *error);
/* The newest `limit` (1 to REST_BUILDS_CAP) builds, newest first. */
int rest_get_builds(const struct rest *rest, const struct uuid *workspace_id,
		    unsigned limit, rest_builds_done *done, void *user,
		    struct rest_call **out, struct error *error);
int rest_get_build_parameters(const struct rest *rest,
			      const struct uuid *build_id,
			      rest_parameters_done *done, void *user,
			      struct rest_call **out, struct error *error);
/* agent_id NULL: what holds for all agents. */
int rest_get_connection(const struct rest *rest, const struct uuid *agent_id,
			rest_connection_done *done, void *user,
			struct rest_call **out, struct error *error);
/* `path` from "/api/…" on, encoded; `body` JSON or NULL. */
int rest_request(const struct rest *rest, const char *method,
		 const char *path, const char *body, rest_raw_done *done,
		 void *user, struct rest_call **out, struct error *error);

void rest_cancel(struct rest_call *call);	/* may be NULL */

#endif
