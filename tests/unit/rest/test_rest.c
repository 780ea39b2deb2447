#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/rest/rest.h"
#include "tests/support/fake_network.h"

#define ID "22222222-2222-2222-2222-222222222222"
#define BUILD                                                            \
	"{\"id\":\"" ID "\",\"build_number\":7,\"transition\":\"start\"," \
	"\"status\":\"pending\",\"job\":{\"status\":\"pending\"}}"

struct fixture {
	struct fake_network fake;
	struct rest rest;
	struct rest_call *call;
	unsigned done;
	struct error error;
	int64_t number;
	size_t count;
	char name[REST_NAME_CAP];
	struct derp_map map;
};

static const struct uuid id = { { 0x11 } };
static const struct http_header extra[] = { { "X-Extra", "yes" } };

static int set_up(void **state)
{
	static struct fixture f;

	f = (struct fixture){ .done = 0 };
	fake_network_init(&f.fake);
	f.rest = (struct rest){ &f.fake.network, "https://coder.example/sub/",
				"tok", extra, 1 };
	*state = &f;
	return 0;
}

static void note(struct fixture *f, const struct error *error)
{
	f->done++;
	f->call = NULL;
	f->error = error ? *error : (struct error){ .code = 0 };
}

static void on_workspace(void *user, const struct error *error,
			 const struct rest_workspace *workspace)
{
	struct fixture *f = user;

	note(f, error);
	assert_int_equal(error == NULL, workspace != NULL);
	if (workspace)
		memcpy(f->name, workspace->name, sizeof(f->name));
}

static void on_build(void *user, const struct error *error,
		     const struct rest_build *build)
{
	struct fixture *f = user;

	note(f, error);
	f->number = build ? build->number : -1;
}

static void on_builds(void *user, const struct error *error,
		      const struct rest_build *builds, size_t count)
{
	struct fixture *f = user;

	note(f, error);
	f->number = count ? builds[0].number : -1;
	f->count = count;
}

static void on_parameters(void *user, const struct error *error,
			  const struct rest_parameters *parameters)
{
	struct fixture *f = user;

	note(f, error);
	f->count = parameters ? parameters->count : 0;
}

static void on_connection(void *user, const struct error *error,
			  struct rest_connection *connection)
{
	struct fixture *f = user;

	note(f, error);
	if (!connection)
		return;
	f->map = connection->derp_map;
	connection->derp_map = (struct derp_map){ .region_count = 0 };
}

static void on_raw(void *user, const struct error *error,
		   const struct http_response *response)
{
	struct fixture *f = user;

	note(f, error);
	f->count = response ? response->body_len : 0;
}

static void test_workspace(void **state)
{
	struct fixture *f = *state;
	struct rest_workspace_ref ref;

	assert_int_equal(rest_parse_workspace("ada/dev", &ref, NULL), 0);
	assert_int_equal(rest_get_workspace(&f->rest, &ref, on_workspace, f,
					    &f->call, NULL), 0);
	assert_int_equal(f->done, 0);
	assert_string_equal(f->fake.method, "GET");
	assert_string_equal(f->fake.url, "https://coder.example/sub/api/v2/"
					 "users/ada/workspace/dev");
	assert_string_equal(f->fake.headers, "Coder-Session-Token: tok\n"
					     "X-Extra: yes\n");
	fake_answer(&f->fake, 200,
		    "{\"id\":\"" ID "\",\"name\":\"dev\",\"owner_name\":"
		    "\"ada\",\"latest_build\":" BUILD "}");
	assert_int_equal(f->done, 1);
	assert_int_equal(f->error.code, 0);
	assert_string_equal(f->name, "dev");
	assert_int_equal(rest_parse_workspace(ID, &ref, NULL), 0);
	assert_int_equal(rest_get_workspace(&f->rest, &ref, on_workspace, f,
					    &f->call, NULL), 0);
	assert_string_equal(f->fake.url, "https://coder.example/sub/api/v2/"
					 "workspaces/" ID);
	fake_answer(&f->fake, 404, "{\"message\":\"Resource not found\"}");
	assert_int_equal(f->done, 2);
	assert_int_equal(f->error.code, ERR_NOT_FOUND);
	assert_string_equal(f->error.message, "HTTP 404: Resource not found");
}

static void test_build(void **state)
{
	struct rest_build_request request = { .transition = "start" };
	struct fixture *f = *state;

	assert_int_equal(rest_create_build(&f->rest, &id, &request, on_build,
					   f, &f->call, NULL), 0);
	assert_string_equal(f->fake.method, "POST");
	assert_string_equal(f->fake.url,
			    "https://coder.example/sub/api/v2/workspaces/"
			    "11000000-0000-0000-0000-000000000000/builds");
	assert_string_equal(f->fake.body, "{\"transition\":\"start\"}");
	assert_string_equal(f->fake.headers,
			    "Coder-Session-Token: tok\n"
			    "Content-Type: application/json\nX-Extra: yes\n");
	fake_answer(&f->fake, 201, BUILD);
	assert_int_equal(f->error.code, 0);
	assert_int_equal(f->number, 7);
	assert_int_equal(rest_create_build(&f->rest, &id, &request, on_build,
					   f, &f->call, NULL), 0);
	fake_answer(&f->fake, 409,
		    "{\"message\":\"A workspace build is already active.\"}");
	assert_int_equal(f->error.code, ERR_CONFLICT);
	assert_int_equal(f->done, 2);
}

static void test_lists(void **state)
{
	struct fixture *f = *state;
	struct error error;

	assert_int_equal(rest_get_builds(&f->rest, &id, 0, on_builds, f,
					 &f->call, &error), ERR_MISUSE);
	assert_int_equal(rest_get_builds(&f->rest, &id, 1, on_builds, f,
					 &f->call, NULL), 0);
	assert_non_null(strstr(f->fake.url, "/builds?limit=1"));
	fake_answer(&f->fake, 200, "[" BUILD "]");
	assert_int_equal(f->count, 1);
	assert_int_equal(f->number, 7);
	assert_int_equal(rest_get_build_parameters(&f->rest, &id,
						   on_parameters, f, &f->call,
						   NULL), 0);
	assert_non_null(strstr(f->fake.url, "/api/v2/workspacebuilds/11"));
	fake_answer(&f->fake, 200, "[{\"name\":\"a\",\"value\":\"b\"}]");
	assert_int_equal(f->count, 1);
}

static void test_connection(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rest_get_connection(&f->rest, &id, on_connection, f,
					     &f->call, NULL), 0);
	assert_non_null(strstr(f->fake.url, "/workspaceagents/11000000-0000-"
					    "0000-0000-000000000000/"
					    "connection"));
	fake_answer(&f->fake, 200,
		    "{\"derp_map\":{\"Regions\":{\"1\":{\"RegionID\":1}}}}");
	assert_int_equal(f->error.code, 0);
	assert_int_equal(f->map.region_count, 1);
	derp_map_clear(&f->map);
	assert_int_equal(rest_get_connection(&f->rest, &id, on_connection, f,
					     &f->call, NULL), 0);
	fake_answer(&f->fake, 200, "{\"derp_map\":[]}");
	assert_int_equal(f->error.code, ERR_PROTOCOL);
	assert_string_equal(f->error.message,
			    "derp_map: expected an object, not a list");
}

static void test_failures(void **state)
{
	struct fixture *f = *state;
	struct error error;

	f->rest.token = NULL;
	f->rest.header_count = 0;
	assert_int_equal(rest_request(&f->rest, "GET", "/api/v2/buildinfo",
				      NULL, on_raw, f, &f->call, NULL), 0);
	assert_string_equal(f->fake.headers, "");
	fake_no_answer(&f->fake, ERR_TIMEOUT, "no answer within 30 s");
	assert_int_equal(f->error.code, ERR_TIMEOUT);
	assert_string_equal(f->error.message, "no answer within 30 s");
	assert_int_equal(rest_request(&f->rest, "GET", "/", NULL, on_raw, f,
				      &f->call, NULL), 0);
	fake_answer(&f->fake, 302, "");
	assert_int_equal(f->error.code, ERR_REFUSED);
	assert_int_equal(rest_request(&f->rest, "GET", "/", NULL, on_raw, f,
				      &f->call, NULL), 0);
	fake_answer(&f->fake, 204, "");
	assert_int_equal(f->error.code, 0);
	f->fake.refuse_with = ERR_DENIED;
	assert_int_equal(rest_request(&f->rest, "GET", "/", NULL, on_raw, f,
				      &f->call, &error), ERR_DENIED);
	assert_int_equal(f->done, 3);
	f->rest.header_count = REST_HEADERS_CAP + 1;
	assert_int_equal(rest_request(&f->rest, "GET", "/", NULL, on_raw, f,
				      &f->call, &error), ERR_TOO_LARGE);
}

static void test_cancel(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rest_request(&f->rest, "GET", "/", NULL, on_raw, f,
				      &f->call, NULL), 0);
	rest_cancel(f->call);
	rest_cancel(NULL);
	assert_int_equal(f->fake.cancels, 1);
	assert_int_equal(f->done, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
	const struct CMUnitTest tests[] = {
		TEST(test_workspace),	TEST(test_build),
		TEST(test_lists),	TEST(test_connection),
		TEST(test_failures),	TEST(test_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
