#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/host/fsm_print.h"
#include "core/host/replay.h"

#define ONE "11111111-1111-1111-1111-111111111111"
#define TWO "22222222-2222-2222-2222-222222222222"

struct result {
	int status;
	char *out;
	char *err;
};

static struct result run_bytes(const char *input, size_t len)
{
	struct result result;
	size_t out_len;
	size_t err_len;
	FILE *in = tmpfile();
	FILE *out = open_memstream(&result.out, &out_len);
	FILE *err = open_memstream(&result.err, &err_len);

	assert_non_null(in);
	fwrite(input, 1, len, in);
	rewind(in);
	result.status = replay_run(in, out, err);
	fclose(in);
	fclose(out);
	fclose(err);
	return result;
}

static struct result run(const char *input)
{
	return run_bytes(input, strlen(input));
}

static void release(struct result *result)
{
	free(result->out);
	free(result->err);
}

static void expect(const char *input, const char *output)
{
	struct result result = run(input);

	assert_string_equal(result.err, "");
	assert_string_equal(result.out, output);
	assert_int_equal(result.status, 0);
	release(&result);
}

static void expect_bad(const char *input, const char *output,
		       const char *message)
{
	struct result result = run(input);

	assert_string_equal(result.out, output);
	assert_string_equal(result.err, message);
	assert_int_equal(result.status, 65);
	release(&result);
}

static void test_example(void **state)
{
	(void)state;
	expect("{\"reset\":{\"state\":\"waitForAgent\",\"agent_id\":\"" ONE
	       "\",\"no_autostart\":false,\"no_wait_for_scripts\":true}}\n"
	       "{\"agent_update\":{\"lifecycle\":\"starting\",\"id\":\"" TWO
	       "\"}}\n",
	       "{\"reset\":{\"state\":\"waitForAgent\",\"starter\":false,"
	       "\"agent_id\":\"" ONE "\",\"no_autostart\":false,"
	       "\"no_wait_for_scripts\":true}}\n"
	       "{\"from\":\"waitForAgent\",\"to\":\"establishTailnet\","
	       "\"actions\":[\"connect_tailnet\"],\"log\":[{\"level\":"
	       "\"debug\",\"message\":\"handling agent update\"}]}\n");
}

static void test_defaults(void **state)
{
	(void)state;
	expect("", "");
	expect("\n  \r\n", "");
	expect("{\"reset\":{}}",
	       "{\"reset\":{\"state\":\"init\",\"starter\":false,"
	       "\"agent_id\":null,\"no_autostart\":false,"
	       "\"no_wait_for_scripts\":false}}\n");
	/* before any reset: a machine in init; no log, no key */
	expect("{\"abort\":{}}\n{\"abort\":{}}",
	       "{\"from\":\"init\",\"to\":\"exit\",\"actions\":[\"cancel\"]}\n"
	       "{\"from\":\"exit\",\"to\":\"exit\",\"actions\":[]}\n");
}

/* A reset is answered with what another reset can be made of. */
static void test_answer_is_input(void **state)
{
	struct result first = run("{\"reset\":{\"starter\":true}}\n");

	(void)state;
	expect(first.out, first.out);
	release(&first);
}

static void test_failed_start(void **state)
{
	(void)state;
	expect("{\"reset\":{\"state\":\"waitForWorkspaceStarted\","
	       "\"starter\":true}}\n"
	       "{\"starter_update\":{\"error\":\"\"}}\n"
	       "{\"starter_update\":{\"error\":null}}\n"
	       "{\"starter_update\":{\"error\":\"quota\"}}\n",
	       "{\"reset\":{\"state\":\"waitForWorkspaceStarted\","
	       "\"starter\":true,\"agent_id\":null,\"no_autostart\":false,"
	       "\"no_wait_for_scripts\":false}}\n"
	       "{\"from\":\"waitForWorkspaceStarted\",\"to\":"
	       "\"waitForWorkspaceStarted\",\"actions\":[]}\n"
	       "{\"from\":\"waitForWorkspaceStarted\",\"to\":"
	       "\"waitForWorkspaceStarted\",\"actions\":[]}\n"
	       "{\"from\":\"waitForWorkspaceStarted\",\"to\":\"exit\","
	       "\"actions\":[\"cancel\"],\"log\":[{\"level\":\"error\","
	       "\"message\":\"quota\"}]}\n");
}

static void test_unknown_values(void **state)
{
	(void)state;
	expect("{\"build_update\":{\"transition\":\"melt\","
	       "\"job_status\":\"running\",\"more\":1}}\n"
	       "{\"build_update\":{\"transition\":\"start\","
	       "\"job_status\":\"odd\"}}\n",
	       "{\"from\":\"init\",\"to\":\"init\",\"actions\":[],\"log\":["
	       "{\"level\":\"warn\",\"message\":\"unknown transition: melt\"},"
	       "{\"level\":\"critical\",\"message\":"
	       "\"unhandled build update\"}]}\n"
	       "{\"from\":\"init\",\"to\":\"exit\",\"actions\":[\"cancel\"],"
	       "\"log\":[{\"level\":\"warn\",\"message\":"
	       "\"unknown job_status: odd\"},{\"level\":\"info\",\"message\":"
	       "\"build job is in unhealthy state\"},{\"level\":\"debug\","
	       "\"message\":\"got shutdown signal\"}]}\n");
}

static void test_bad_lines(void **state)
{
	static const char *const bad[][2] = {
		{ "[]", "expected an object, not a list" },
		{ "{}", "expected one event, not 0" },
		{ "{\"abort\":{},\"app_update\":{\"up\":true}}",
		  "expected one event, not 2" },
		{ "{\"abort\":null}", "abort: missing" },
		{ "{\"abort\":1}", "abort: expected an object, not an integer" },
		{ "{\"launch\":{}}", "no such event" },
		{ "{\"reset\":{\"state\":\"up\"}}",
		  "reset.state: no such state" },
		{ "{\"reset\":{\"state\":5}}",
		  "reset.state: expected a string, not an integer" },
		{ "{\"reset\":{\"no_autosart\":true}}",
		  "reset: unknown field" },
		{ "{\"reset\":{\"agent_id\":\"1\"}}",
		  "reset.agent_id: not a UUID" },
		{ "{\"app_update\":{}}", "app_update.up: missing" },
		{ "{\"app_update\":{\"up\":\"yes\"}}",
		  "app_update.up: expected a boolean, not a string" },
		{ "{\"tailnet_update\":{\"up\":true,\"error\":[]}}",
		  "tailnet_update.error: expected a string, not a list" },
		{ "{\"agent_update\":{\"lifecycle\":\"ready\"}}",
		  "agent_update.id: missing" },
		{ "{\"build_update\":{\"transition\":\"start\"}}",
		  "build_update.job_status: missing" },
		{ "nonsense",
		  "not valid JSON at line 1, column 8: invalid token" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char input[256];
		char message[256];

		snprintf(input, sizeof(input),
			 "{\"abort\":{}}\n\n%s\n{\"abort\":{}}\n", bad[i][0]);
		snprintf(message, sizeof(message),
			 "tunnelhost: replay: line 3: %s\n", bad[i][1]);
		expect_bad(input,
			   "{\"from\":\"init\",\"to\":\"exit\",\"actions\":"
			   "[\"cancel\"]}\n",
			   message);
	}
}

static void test_long_and_deep_lines(void **state)
{
	size_t len = REPLAY_LINE_CAP + 1;
	char *line = malloc(len);
	struct result result;

	(void)state;
	memset(line, ' ', len);
	result = run_bytes(line, len - 1);
	assert_int_equal(result.status, 0);
	release(&result);
	result = run_bytes(line, len);
	assert_int_equal(result.status, 65);
	assert_string_equal(result.err, "tunnelhost: replay: line 1: longer "
					"than 1048576 bytes\n");
	release(&result);
	memset(line, '[', 100000);
	result = run_bytes(line, 100000);
	assert_string_equal(result.err, "tunnelhost: replay: line 1: JSON "
					"nested deeper than 64\n");
	release(&result);
	free(line);
}

static void test_json_table(void **state)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	json_t *table;

	(void)state;
	fsm_print_json(out);
	fclose(out);
	table = json_loads(text, 0, NULL);
	assert_non_null(table);
	assert_int_equal(json_array_size(json_object_get(table, "states")),
			 10);
	/* (8 + 4 * 7 + 10 * 3) events, 10 states, 8 flags */
	assert_int_equal(json_array_size(json_object_get(table, "table")),
			 66 * 80);
	json_decref(table);
	free(text);
}

static void test_dot(void **state)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	fsm_print_dot(out);
	fclose(out);
	assert_int_equal(strncmp(text, "digraph tunnel {\n", 17), 0);
	assert_non_null(strstr(text, "\tapplicationUp -> shutdownApplication "
				     "[label=\"shutdown_signal / close_app\"]"
				     ";\n"));
	assert_non_null(strstr(text, "[label=\"build stopped* / cancel\"]"));
	assert_null(strstr(text, "exit ->"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_example),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_answer_is_input),
		cmocka_unit_test(test_failed_start),
		cmocka_unit_test(test_unknown_values),
		cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_long_and_deep_lines),
		cmocka_unit_test(test_json_table),
		cmocka_unit_test(test_dot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
