#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/watch/decode.h"

#define ID "22222222-2222-2222-2222-222222222222"

static struct watch_message decode(const char *text)
{
	struct watch_message message;
	struct error error = { .message = "" };

	if (watch_decode(text, strlen(text), &message, &error) < 0)
		fail_msg("%s: %s", text, error.message);
	return message;
}

static void expect_bad(const char *text, int code, const char *why)
{
	struct watch_message message;
	struct error error;

	assert_int_equal(watch_decode(text, strlen(text), &message, &error),
			 code);
	assert_string_equal(error.message, why);
	assert_int_equal(watch_decode(text, strlen(text), &message, NULL),
			 code);
}

/* As coderd and the Go peer write them. */
static void test_frames(void **state)
{
	struct watch_message m;

	(void)state;
	m = decode("{\"error\":null,\"build_update\":{\"transition\":"
		   "\"start\",\"job_status\":\"running\"}}\n");
	assert_true(m.has_build && !m.has_agent && !m.has_error);
	assert_int_equal(m.build.kind, FSM_BUILD_UPDATE);
	assert_int_equal(m.build.build.transition, FSM_TRANSITION_START);
	assert_int_equal(m.build.build.job_status, FSM_JOB_RUNNING);
	m = decode("{\"error\":null,\"agent_update\":{\"lifecycle\":"
		   "\"ready\",\"id\":\"" ID "\"}}\n");
	assert_true(!m.has_build && m.has_agent && !m.has_error);
	assert_int_equal(m.agent.agent.lifecycle, FSM_LIFECYCLE_READY);
	assert_int_equal(m.agent.agent.id.bytes[15], 0x22);
	m = decode("{\"error\":{\"code\":2,\"retryable\":false,\"message\":"
		   "\"target agent\\nnot found\",\"details\":\"d\"}}");
	assert_true(!m.has_build && !m.has_agent && m.has_error);
	assert_int_equal(m.error.code, 2);
	assert_false(m.error.retryable);
	assert_string_equal(m.error.message, "target agent not found");
	assert_string_equal(m.error.details, "d");
}

static void test_every_known_value(void **state)
{
	char text[256];

	(void)state;
	for (int t = 0; t < FSM_TRANSITION_UNKNOWN; t++)
		for (int s = 0; s < FSM_JOB_COUNT; s++) {
			struct watch_message m;

			snprintf(text, sizeof(text),
				 "{\"build_update\":{\"transition\":\"%s\","
				 "\"job_status\":\"%s\"}}",
				 fsm_transition_name((enum fsm_transition)t),
				 fsm_job_status_name((enum fsm_job_status)s));
			m = decode(text);
			assert_int_equal(m.build.build.transition, t);
			assert_int_equal(m.build.build.job_status, s);
			assert_string_equal(m.strange, "");
		}
	for (int l = 0; l < FSM_LIFECYCLE_UNKNOWN; l++) {
		snprintf(text, sizeof(text),
			 "{\"agent_update\":{\"lifecycle\":\"%s\",\"id\":\"" ID
			 "\"}}", fsm_lifecycle_name((enum fsm_lifecycle)l));
		assert_int_equal(decode(text).agent.agent.lifecycle, l);
	}
}

static void test_what_is_tolerated(void **state)
{
	struct watch_message m;

	(void)state;
	m = decode("{}");
	assert_false(m.has_build || m.has_agent || m.has_error);
	m = decode("{\"error\":null,\"job_log\":{\"output\":\"\\u0000x\"},"
		   "\"later\":[[1]]}");
	assert_false(m.has_build || m.has_agent || m.has_error);
	m = decode("{\"build_update\":{\"transition\":\"melt\","
		   "\"job_status\":\"odd\\u001b[2J\",\"new\":{}},"
		   "\"agent_update\":{\"lifecycle\":\"\",\"id\":\"" ID "\"}}");
	assert_true(m.has_build && m.has_agent);
	assert_int_equal(m.build.build.transition, FSM_TRANSITION_UNKNOWN);
	assert_int_equal(m.build.build.job_status, FSM_JOB_UNKNOWN);
	assert_int_equal(m.agent.agent.lifecycle, FSM_LIFECYCLE_UNKNOWN);
	assert_string_equal(m.strange, "transition melt, job_status odd [2J, "
				       "lifecycle ");
	m = decode("{\"error\":{}}");
	assert_true(m.has_error && m.error.retryable);
}

static void test_what_is_refused(void **state)
{
	(void)state;
	expect_bad("", ERR_PROTOCOL,
		   "not valid JSON at line 1, column 0: unexpected token");
	expect_bad("{\"build_update\":", ERR_PROTOCOL,
		   "not valid JSON at line 1, column 16: unexpected token");
	expect_bad("[]", ERR_PROTOCOL, "expected an object, not a list");
	expect_bad("{\"error\":\"no\"}", ERR_PROTOCOL,
		   "error: expected an object, not a string");
	expect_bad("{\"error\":{\"code\":1.5}}", ERR_PROTOCOL,
		   "error.code: expected an integer, not a fraction");
	expect_bad("{\"build_update\":{\"transition\":\"start\"}}",
		   ERR_PROTOCOL, "build_update.job_status: missing");
	expect_bad("{\"build_update\":{\"transition\":1,\"job_status\":2}}",
		   ERR_PROTOCOL,
		   "build_update.transition: expected a string, not an "
		   "integer");
	expect_bad("{\"agent_update\":{\"lifecycle\":\"off\",\"id\":\"x\"}}",
		   ERR_PROTOCOL, "agent_update.id: not a UUID");
}

static void test_caps(void **state)
{
	struct watch_message m;
	struct error error;
	size_t len = WATCH_MESSAGE_CAP + 1;
	char *big = malloc(len);

	(void)state;
	memset(big, ' ', len);
	assert_int_equal(watch_decode(big, len, &m, &error), ERR_TOO_LARGE);
	assert_string_equal(error.message,
			    "1048577 bytes of JSON, more than 1048576");
	memset(big, '[', len);
	assert_int_equal(watch_decode(big, len - 1, &m, &error),
			 ERR_PROTOCOL);
	assert_string_equal(error.message, "JSON nested deeper than 64");
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_every_known_value),
		cmocka_unit_test(test_what_is_tolerated),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_caps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
