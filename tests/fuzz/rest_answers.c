/* One input through every decoder of core/rest. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/rest/answers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void decode_lists(const uint8_t *data, size_t len)
{
	static struct rest_build builds[REST_BUILDS_CAP];
	struct rest_parameters parameters;
	size_t count;

	if (rest_decode_builds(data, len, builds, &count, NULL) == 0 &&
	    count > REST_BUILDS_CAP)
		abort();
	if (rest_decode_parameters(data, len, &parameters, NULL) == 0)
		rest_parameters_clear(&parameters);
}

static void decode_connection(const uint8_t *data, size_t len)
{
	struct rest_connection connection;
	struct derp_map map;

	if (rest_decode_connection(data, len, &connection, NULL) == 0) {
		derp_map_rewrite_embedded(&connection.derp_map, "h", 1, true);
		rest_connection_clear(&connection);
	}
	if (rest_decode_derp_map(data, len, &map, NULL) == 0)
		derp_map_clear(&map);
}

static void parse_name(const uint8_t *data, size_t len)
{
	struct rest_workspace_ref ref;
	char *text = malloc(len + 1);

	if (!text)
		return;
	if (len)
		memcpy(text, data, len);
	text[len] = '\0';
	rest_parse_workspace(text, &ref, NULL);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rest_workspace workspace;
	struct rest_build build;
	struct error error;

	if (rest_decode_workspace(data, len, &workspace, &error) == 0 &&
	    workspace.agent_count > REST_AGENTS_CAP)
		abort();
	rest_decode_build(data, len, &build, NULL);
	decode_lists(data, len);
	decode_connection(data, len);
	parse_name(data, len);
	rest_error_from_response(500, data, len, &error);
	if (strlen(error.message) >= ERROR_MESSAGE_CAP ||
	    strpbrk(error.message, "\n\r\x1b"))
		abort();
	api_error_names_field(data, len, "resume_token");
	return 0;
}
