#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rest/answers.h"

#define ID "22222222-2222-2222-2222-222222222222"
#define JOB "\"job\":{\"status\":\"succeeded\"}"
#define BUILD                                                           \
	"{\"id\":\"" ID "\",\"build_number\":7,\"transition\":\"start\"," \
	"\"status\":\"running\",\"template_version_id\":\"" ID "\"," JOB "}"

static void test_workspace(void **state)
{
	static const char text[] =
		"{\"id\":\"" ID "\",\"name\":\"dev\",\"owner_name\":\"ada\","
		"\"template_id\":\"" ID "\",\"outdated\":true,"
		"\"template_active_version_id\":\"" ID "\",\"ttl_ms\":null,"
		"\"latest_build\":{\"id\":\"" ID "\",\"build_number\":3,"
		"\"transition\":\"stop\",\"status\":\"stopped\",\"job\":{"
		"\"status\":\"failed\",\"error\":\"no\\nquota\"},"
		"\"resources\":[{\"agents\":null},{},{\"agents\":[{\"id\":\"" ID
		"\",\"name\":\"main\",\"lifecycle_state\":\"ready\","
		"\"status\":\"connected\",\"startup_script_behavior\":"
		"\"blocking\"}]}]}}";
	struct rest_workspace w;

	(void)state;
	assert_int_equal(rest_decode_workspace(text, strlen(text), &w, NULL),
			 0);
	assert_string_equal(w.name, "dev");
	assert_string_equal(w.owner, "ada");
	assert_true(w.outdated);
	assert_int_equal(w.template_id.bytes[0], 0x22);
	assert_int_equal(w.latest_build.number, 3);
	assert_string_equal(w.latest_build.transition, "stop");
	assert_string_equal(w.latest_build.job_status, "failed");
	assert_string_equal(w.latest_build.job_error, "no quota");
	assert_int_equal(w.agent_count, 1);
	assert_string_equal(w.agents[0].name, "main");
	assert_string_equal(w.agents[0].lifecycle_state, "ready");
	assert_string_equal(w.agents[0].status, "connected");
	assert_true(w.agents[0].blocking_scripts);
}

static void bad_workspace(const char *build, const char *why)
{
	struct rest_workspace w;
	struct error error;
	char text[2048];

	snprintf(text, sizeof(text),
		 "{\"id\":\"" ID "\",\"name\":\"dev\",\"owner_name\":\"ada\","
		 "\"latest_build\":%s}", build);
	assert_true(rest_decode_workspace(text, strlen(text), &w, &error) < 0);
	assert_string_equal(error.message, why);
}

#define WITH_AGENTS(agents)                                          \
	"{\"id\":\"" ID "\",\"transition\":\"start\"," JOB             \
	",\"resources\":[{},{\"agents\":" agents "}]}"

static void test_wrong_types_name_the_path(void **state)
{
	(void)state;
	bad_workspace("null", "latest_build: missing");
	bad_workspace("[]", "latest_build: expected an object, not a list");
	bad_workspace("{\"id\":\"" ID "\"}", "latest_build.job: missing");
	bad_workspace("{\"id\":4," JOB "}",
		      "latest_build.id: expected a string, not an integer");
	bad_workspace(WITH_AGENTS("{}"),
		      "latest_build.resources[1].agents: expected a list, not "
		      "an object");
	bad_workspace(WITH_AGENTS("[3]"),
		      "latest_build.resources[1].agents[0]: expected an "
		      "object, not an integer");
	bad_workspace(WITH_AGENTS("[{\"id\":\"" ID "\",\"name\":true}]"),
		      "latest_build.resources[1].agents[0].name: expected a "
		      "string, not a boolean");
	bad_workspace(WITH_AGENTS("[{\"id\":\"" ID "\",\"name\":"
				  "\"a\\u0000b\"}]"),
		      "latest_build.resources[1].agents[0].name: contains a "
		      "NUL");
}

/* 64 agents are taken, wherever they stand; one more is not. */
static void test_agent_cap(void **state)
{
	static const char agent[] = "{\"id\":\"" ID "\",\"name\":\"a\"},";
	static const char last[] = "{\"id\":\"" ID "\",\"name\":\"a\"}";
	struct rest_workspace w;
	struct error error;

	(void)state;
	for (int extra = 0; extra < 2; extra++) {
		char *text;
		size_t len;
		FILE *out = open_memstream(&text, &len);

		fprintf(out, "{\"id\":\"" ID "\",\"name\":\"dev\","
			     "\"owner_name\":\"ada\",\"latest_build\":{"
			     "\"id\":\"" ID "\",\"transition\":\"start\"," JOB
			     ",\"resources\":[{\"agents\":[");
		for (int i = 0; i < 62; i++)
			fputs(agent, out);
		fprintf(out, "%s]},{\"agents\":[%s%s]}]}}", last,
			extra ? agent : "", last);
		fclose(out);
		assert_int_equal(rest_decode_workspace(text, len, &w, &error),
				 extra ? ERR_TOO_LARGE : 0);
		free(text);
	}
	assert_string_equal(error.message,
			    "latest_build.resources[1].agents: more than 64 "
			    "agents in all");
}

static void test_builds(void **state)
{
	struct rest_build builds[REST_BUILDS_CAP];
	static const char text[] = "[" BUILD "," BUILD "]";
	static const char bad[] = "[" BUILD ",{}]";
	struct rest_build build;
	struct error error;
	size_t count;

	(void)state;
	assert_int_equal(rest_decode_build(BUILD, strlen(BUILD), &build,
					   NULL), 0);
	assert_int_equal(build.number, 7);
	assert_string_equal(build.status, "running");
	assert_int_equal(build.template_version_id.bytes[3], 0x22);
	assert_int_equal(rest_decode_builds(text, strlen(text), builds, &count,
					    NULL), 0);
	assert_int_equal(count, 2);
	assert_int_equal(builds[1].number, 7);
	assert_int_equal(rest_decode_builds("{}", 2, builds, &count, &error),
			 ERR_PROTOCOL);
	assert_string_equal(error.message, "expected a list, not an object");
	assert_int_equal(rest_decode_builds(bad, strlen(bad), builds, &count,
					    &error), ERR_PROTOCOL);
	assert_string_equal(error.message, "[1].job: missing");
}

static void test_parameters(void **state)
{
	static const char text[] = "[{\"name\":\"region\",\"value\":\"eu\"},"
				   "{\"name\":\"\",\"value\":\"\"}]";
	static const char bad[] = "[{\"name\":\"region\",\"value\":1}]";
	struct rest_parameters p;
	struct error error;

	(void)state;
	assert_int_equal(rest_decode_parameters(text, strlen(text), &p, NULL),
			 0);
	assert_int_equal(p.count, 2);
	assert_string_equal(p.list[0].name, "region");
	assert_string_equal(p.list[0].value, "eu");
	assert_string_equal(p.list[1].value, "");
	rest_parameters_clear(&p);
	assert_int_equal(rest_decode_parameters(bad, strlen(bad), &p, &error),
			 ERR_PROTOCOL);
	assert_string_equal(error.message, "[0].value: expected a string, not "
					   "an integer");
	assert_int_equal(rest_decode_parameters("[]", 2, &p, NULL), 0);
	rest_parameters_clear(&p);
}

static void test_encode_build(void **state)
{
	struct rest_parameter parameters[] = { { "region", "e\"u" },
					       { "cpu", "" } };
	struct uuid version = { { 0xab } };
	struct rest_build_request request = { .transition = "start" };
	struct error error;
	char *text;

	(void)state;
	assert_int_equal(rest_encode_build(&request, &text, NULL), 0);
	assert_string_equal(text, "{\"transition\":\"start\"}");
	free(text);
	request.template_version_id = &version;
	request.parameters = parameters;
	request.parameter_count = 2;
	assert_int_equal(rest_encode_build(&request, &text, NULL), 0);
	assert_string_equal(
		text, "{\"transition\":\"start\",\"template_version_id\":"
		      "\"ab000000-0000-0000-0000-000000000000\","
		      "\"rich_parameter_values\":[{\"name\":\"region\","
		      "\"value\":\"e\\\"u\"},{\"name\":\"cpu\",\"value\":"
		      "\"\"}]}");
	free(text);
	parameters[1].value = "\xff";
	assert_int_equal(rest_encode_build(&request, &text, &error),
			 ERR_MISUSE);
	assert_null(text);
}

/* As the Go peer serves it: node 999b, STUN-only nodes first. */
#define MAP                                                                  \
	"{\"Regions\":{\"1001\":{\"EmbeddedRelay\":false,\"RegionID\":1001," \
	"\"RegionCode\":\"far\",\"RegionName\":\"Far\",\"Nodes\":null},"     \
	"\"7\":null,\"999\":{\"EmbeddedRelay\":true,\"RegionID\":999,"       \
	"\"RegionCode\":\"coder\",\"RegionName\":\"Coder\",\"Avoid\":true,"  \
	"\"Nodes\":[{\"Name\":\"999stun0\",\"RegionID\":999,\"HostName\":"   \
	"\"127.0.0.1\",\"STUNOnly\":true,\"STUNPort\":3479},{\"Name\":"      \
	"\"999b\",\"RegionID\":999,\"HostName\":\"inner\",\"STUNPort\":-1,"  \
	"\"DERPPort\":3000,\"CanPort80\":true}]}}}"

static void test_connection(void **state)
{
	static const char text[] =
		"{\"derp_map\":" MAP ",\"derp_force_websockets\":true,"
		"\"disable_direct_connections\":false,\"hostname_suffix\":"
		"\"coder\"}";
	const struct derp_map_region *home;
	const struct derp_map_node *relay;
	struct rest_connection c;

	(void)state;
	assert_int_equal(rest_decode_connection(text, strlen(text), &c, NULL),
			 0);
	assert_true(c.derp_force_websockets);
	assert_false(c.disable_direct_connections);
	assert_string_equal(c.hostname_suffix, "coder");
	assert_int_equal(c.derp_map.region_count, 2);
	assert_int_equal(c.derp_map.regions[0].region_id, 999);
	assert_int_equal(derp_map_first_home(&c.derp_map), 999);
	home = derp_map_region(&c.derp_map, 999);
	assert_true(home->embedded_relay && home->avoid);
	assert_int_equal(home->nodes[0].stun_port, 3479);
	relay = derp_map_relay(home);
	assert_string_equal(relay->name, "999b");
	assert_int_equal(relay->stun_port, -1);
	assert_int_equal(relay->derp_port, 3000);
	assert_true(relay->can_port_80);
	assert_int_equal(derp_map_rewrite_embedded(&c.derp_map, "outer", 443,
						   false), 0);
	assert_string_equal(relay->host_name, "outer");
	assert_int_equal(relay->derp_port, 443);
	assert_string_equal(home->nodes[0].host_name, "127.0.0.1");
	rest_connection_clear(&c);
	assert_int_equal(c.derp_map.region_count, 0);
}

static void bad_map(const char *text, int code, const char *why)
{
	struct derp_map map;
	struct error error;

	assert_int_equal(rest_decode_derp_map(text, strlen(text), &map,
					      &error), code);
	assert_string_equal(error.message, why);
	assert_int_equal(map.region_count, 0);
}

static void test_bad_maps(void **state)
{
	struct rest_connection c;
	struct error error;
	char *text;
	size_t len;
	FILE *out;

	(void)state;
	assert_int_equal(rest_decode_connection("{}", 2, &c, &error),
			 ERR_PROTOCOL);
	assert_string_equal(error.message, "derp_map: missing");
	bad_map("{\"Regions\":[]}", ERR_PROTOCOL,
		"Regions: expected an object, not a list");
	bad_map("{\"Regions\":{\"1\":{\"RegionID\":0}}}", ERR_PROTOCOL,
		"Regions.1.RegionID: 0 is not within 1 to 2147483647");
	bad_map("{\"Regions\":{\"1\":{\"RegionID\":5},\"2\":{\"RegionID\":5}}"
		"}", ERR_PROTOCOL, "Regions.2.RegionID: region 5 stands twice");
	bad_map("{\"Regions\":{\"1\":{\"RegionID\":1,\"Nodes\":[{\"Name\":"
		"\"a\"},{\"Name\":\"b\",\"DERPPort\":65536}]}}}",
		ERR_PROTOCOL, "Regions.1.Nodes[1].DERPPort: 65536 is not "
			      "within 0 to 65535");
	bad_map("{\"Regions\":{\"1\":{\"RegionID\":1,\"Nodes\":["
		"{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}]}}}",
		ERR_TOO_LARGE, "Regions.1.Nodes: 17 elements, more than 16");
	out = open_memstream(&text, &len);
	fprintf(out, "{\"Regions\":{");
	for (int i = 1; i <= 257; i++)
		fprintf(out, "%s\"%d\":{\"RegionID\":%d}", i > 1 ? "," : "", i,
			i);
	fprintf(out, "}}");
	fclose(out);
	bad_map(text, ERR_TOO_LARGE, "Regions: 257 elements, more than 256");
	free(text);
}

static void expect_error(int status, const char *body, int code,
			 const char *message)
{
	struct error error;

	assert_int_equal(rest_error_from_response(status, body, strlen(body),
						  &error), code);
	assert_string_equal(error.message, message);
}

static void test_error_bodies(void **state)
{
	char huge[5000];
	struct error error;

	(void)state;
	expect_error(401, "{\"message\":\"You are signed out.\",\"detail\":"
			  "\"API key is invalid.\"}",
		     ERR_UNAUTHORIZED,
		     "HTTP 401: You are signed out: API key is invalid");
	expect_error(404, "{\"message\":\"Resource not found\"}",
		     ERR_NOT_FOUND, "HTTP 404: Resource not found");
	expect_error(409, "{\"message\":\"A workspace build is already "
			  "active.\"}", ERR_CONFLICT,
		     "HTTP 409: A workspace build is already active");
	expect_error(400, "{\"message\":\"Validation failed.\","
			  "\"validations\":[{\"field\":\"transition\","
			  "\"detail\":\"bad\"},{\"field\":\"x\",\"detail\":"
			  "\"worse.\"}]}",
		     ERR_REFUSED,
		     "HTTP 400: Validation failed (transition: bad, x: "
		     "worse)");
	expect_error(403, "", ERR_DENIED, "HTTP 403");
	expect_error(429, "{}", ERR_LIMIT, "HTTP 429: {}");
	expect_error(502, "<html>\n\x1b[31mBad \xff Gateway\n", ERR_UNREACHABLE,
		     "HTTP 502: <html>  [31mBad   Gateway");
	expect_error(500, "{\"message\":5}", ERR_UNREACHABLE,
		     "HTTP 500: {\"message\":5}");
	memset(huge, 'x', sizeof(huge));
	assert_int_equal(rest_error_from_response(500, huge, sizeof(huge),
						  &error), ERR_UNREACHABLE);
	assert_true(strlen(error.message) < 250);
	assert_int_equal(rest_error_from_response(500, NULL, 0, NULL),
			 ERR_UNREACHABLE);
}

static void test_field_of_a_401(void **state)
{
	static const char body[] =
		"{\"message\":\"Invalid resume token\",\"validations\":["
		"{\"field\":\"resume_token\",\"detail\":\"x\"}]}";

	(void)state;
	assert_true(api_error_names_field(body, strlen(body),
					  "resume_token"));
	assert_false(api_error_names_field(body, strlen(body), "version"));
	assert_false(api_error_names_field("nonsense", 8, "resume_token"));
	assert_false(api_error_names_field(NULL, 0, "resume_token"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_workspace),
		cmocka_unit_test(test_wrong_types_name_the_path),
		cmocka_unit_test(test_agent_cap),
		cmocka_unit_test(test_builds),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_encode_build),
		cmocka_unit_test(test_connection),
		cmocka_unit_test(test_bad_maps),
		cmocka_unit_test(test_error_bodies),
		cmocka_unit_test(test_field_of_a_401),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
