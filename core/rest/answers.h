/*
 * core/rest/answers.h: what Coder's API says, and what is asked of it.
 *
 * Pure: JSON text in, structs out, and the other way round. A decoder returns
 * 0; ERR_PROTOCOL for what is no JSON or of a wrong type, with the member's
 * path; ERR_TOO_LARGE beyond a cap; ERR_NOMEM. Unknown members are skipped;
 * unknown words (a new status) are kept, cut to their cap. Follows
 * protocol.md, "REST" and "DERP map".
 */
#ifndef TUNNELHOST_REST_ANSWERS_H
#define TUNNELHOST_REST_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/api_error.h"
#include "core/base/derp_map.h"
#include "core/base/err.h"
#include "core/base/id.h"
#include "core/rest/workspace_ref.h"

#define REST_ANSWER_CAP (4u << 20)
#define REST_WORD_CAP 32
#define REST_TEXT_CAP 256
#define REST_AGENTS_CAP 64
#define REST_RESOURCES_CAP 1024
#define REST_BUILDS_CAP 100
#define REST_PARAMETERS_CAP 256
#define REST_SUFFIX_CAP 254

struct rest_agent {
	struct uuid id;
	char name[REST_NAME_CAP];
	char lifecycle_state[REST_WORD_CAP];
	char status[REST_WORD_CAP];
	bool blocking_scripts;		/* startup_script_behavior */
};

struct rest_build {
	struct uuid id;
	int64_t number;
	char transition[REST_WORD_CAP];
	char status[REST_WORD_CAP];
	char job_status[REST_WORD_CAP];
	char job_error[REST_TEXT_CAP];	/* printable, cut; "" when none */
	struct uuid template_version_id;	/* nil when not said */
};

struct rest_workspace {
	struct uuid id;
	char name[REST_NAME_CAP];
	char owner[REST_NAME_CAP];
	struct uuid template_id;	/* these two nil when not said */
	struct uuid template_active_version_id;
	bool outdated;
	struct rest_build latest_build;
	struct rest_agent agents[REST_AGENTS_CAP];
	size_t agent_count;
};

/* Both strings borrowed by whoever holds one to send. */
struct rest_parameter {
	const char *name;
	const char *value;
};

struct rest_parameters {
	struct rest_parameter *list;
	size_t count;
	char *storage;			/* of all the strings */
};

struct rest_connection {
	struct derp_map derp_map;
	bool derp_force_websockets;
	bool disable_direct_connections;
	char hostname_suffix[REST_SUFFIX_CAP];
};

struct rest_build_request {
	const char *transition;		/* "start", "stop" or "delete" */
	const struct uuid *template_version_id;	/* NULL: as it is */
	const struct rest_parameter *parameters;	/* none: as they are */
	size_t parameter_count;
};

int rest_decode_workspace(const void *data, size_t len,
			  struct rest_workspace *out, struct error *error);
int rest_decode_build(const void *data, size_t len, struct rest_build *out,
		      struct error *error);
/* Newest first, as Coder sends them; `out` has REST_BUILDS_CAP elements. */
int rest_decode_builds(const void *data, size_t len, struct rest_build *out,
		       size_t *count, struct error *error);
/* `out` is to be cleared after success. */
int rest_decode_parameters(const void *data, size_t len,
			   struct rest_parameters *out, struct error *error);
void rest_parameters_clear(struct rest_parameters *parameters);
int rest_decode_connection(const void *data, size_t len,
			   struct rest_connection *out, struct error *error);
void rest_connection_clear(struct rest_connection *connection);
/* The map alone, as GET /api/v2/derp-map answers it. */
int rest_decode_derp_map(const void *data, size_t len, struct derp_map *out,
			 struct error *error);

/* *out: owned JSON text, freed with free(). 0, ERR_MISUSE or ERR_NOMEM. */
int rest_encode_build(const struct rest_build_request *request, char **out,
		      struct error *error);

/* core/base/api_error.h by the name of this room. */
static inline int rest_error_from_response(int status, const void *body,
					   size_t len, struct error *error)
{
	return api_error_read(status, body, len, error);
}

#endif
