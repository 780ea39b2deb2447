#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/fsm/fsm.h"

#define BOTH_WAYS(thing, first, count)                                      \
	do {                                                                \
		for (int i = (first); i < (count); i++) {                   \
			enum fsm_##thing back = (enum fsm_##thing)0;        \
			const char *name =                                  \
				fsm_##thing##_name((enum fsm_##thing)i);    \
                                                                            \
			assert_true(fsm_##thing##_from_name(name, &back));  \
			assert_int_equal(back, i);                          \
		}                                                           \
	} while (0)

static void test_both_ways(void **state)
{
	(void)state;
	BOTH_WAYS(state, 0, FSM_STATE_COUNT);
	BOTH_WAYS(transition, 0, FSM_TRANSITION_UNKNOWN);
	BOTH_WAYS(job_status, 0, FSM_JOB_COUNT);
	BOTH_WAYS(lifecycle, 0, FSM_LIFECYCLE_UNKNOWN);
	BOTH_WAYS(action, FSM_START_WORKSPACE, FSM_ACTION_COUNT);
	for (int i = 0; i < FSM_EVENT_COUNT; i++) {
		enum fsm_event_kind back = FSM_EVENT_COUNT;

		assert_true(fsm_event_from_name(
			fsm_event_name((enum fsm_event_kind)i), &back));
		assert_int_equal(back, i);
	}
}

static void test_strange_names(void **state)
{
	enum fsm_state found = FSM_TAILNET_UP;
	enum fsm_transition transition;
	enum fsm_lifecycle lifecycle;
	enum fsm_action action;
	enum fsm_event_kind kind;

	(void)state;
	assert_false(fsm_state_from_name("WaitForAgent", &found));
	assert_int_equal(found, FSM_TAILNET_UP);
	assert_false(fsm_state_from_name("", &found));
	assert_false(fsm_transition_from_name("unknown", &transition));
	assert_false(fsm_lifecycle_from_name("unknown", &lifecycle));
	assert_false(fsm_action_from_name("none", &action));
	assert_false(fsm_event_from_name("job_log", &kind));
	assert_string_equal(fsm_state_name(FSM_STATE_COUNT), "unknown");
	assert_string_equal(fsm_event_name(FSM_EVENT_COUNT), "unknown");
}

/* The spelling that people and recordings see. */
static void test_spelling(void **state)
{
	(void)state;
	assert_string_equal(fsm_state_name(FSM_WAIT_FOR_WORKSPACE_STARTED),
			    "waitForWorkspaceStarted");
	assert_string_equal(fsm_action_name(FSM_SHUTDOWN_TAILNET_CONN),
			    "shutdown_tailnet");
	assert_string_equal(fsm_lifecycle_name(FSM_LIFECYCLE_SHUTDOWN_ERROR),
			    "shutdown_error");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_strange_names),
		cmocka_unit_test(test_spelling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
