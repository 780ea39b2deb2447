/*
 * Every state × event × flag against a table written by hand from the seed
 * and D1 to D8 of fsm.md. A row has a letter a state, in the order of
 * STATES; the letters are explained at outcome_of().
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/fsm/fsm.h"

/* init exit waitToStart waitForWorkspaceStarted waitForAgent
 * establishTailnet tailnetUp applicationUp shutdownApplication
 * shutdownTailnet */
#define STATES 10

/*			      IEtwaTUPst */
#define NOTHING		     ".........."
#define WIND_DOWN	     "X.XXXtac.."
#define ABORT		     "X.XXXXXXXX"
#define STARTING	     "W.WWWtac.."
#define STARTED		     "A.AAA....."
#define STOPPING	     "T.TTTtac.."
#define STOPPED		     "S.SSStac.."
#define STOPPED_BUSY	     "S.S.Stac.."
#define CONNECT		     "....C....."
#define CONNECT_OTHER	     "....Ctac.."
#define OTHER		     ".....tac.."
#define STARTER_FAILED	     "...X......"
#define TAILNET_UP	     ".....u...d"
#define TAILNET_DOWN	     ".....Xac.X"
#define APP_UP		     "......U.c."
#define APP_DOWN	     "......ddd."

enum whose { AGENT_NONE, AGENT_SAME, AGENT_OTHER };

struct flags {
	bool no_autostart;
	bool no_wait;
	bool starter;
	enum whose whose;
};

static const struct uuid connected = { { 1 } };
static const struct uuid another = { { 2 } };

struct outcome {
	enum fsm_state to;
	enum fsm_action action;
};

static struct outcome outcome_of(char letter, enum fsm_state from)
{
	switch (letter) {
	case '.': return (struct outcome){ from, FSM_NO_ACTION };
	case 'X': return (struct outcome){ FSM_EXIT, FSM_CANCEL };
	case 'W': return (struct outcome){ FSM_WAIT_FOR_WORKSPACE_STARTED,
					   FSM_NO_ACTION };
	case 'S': return (struct outcome){ FSM_WAIT_FOR_WORKSPACE_STARTED,
					   FSM_START_WORKSPACE };
	case 'A': return (struct outcome){ FSM_WAIT_FOR_AGENT, FSM_NO_ACTION };
	case 'T': return (struct outcome){ FSM_WAIT_TO_START, FSM_NO_ACTION };
	case 'C': return (struct outcome){ FSM_ESTABLISH_TAILNET,
					   FSM_CONNECT_TAILNET };
	case 'u': return (struct outcome){ FSM_TAILNET_UP, FSM_START_APP };
	case 'U': return (struct outcome){ FSM_APPLICATION_UP,
					   FSM_NO_ACTION };
	case 't': return (struct outcome){ FSM_SHUTDOWN_TAILNET,
					   FSM_NO_ACTION };
	case 'd': return (struct outcome){ FSM_SHUTDOWN_TAILNET,
					   FSM_SHUTDOWN_TAILNET_CONN };
	case 'a': return (struct outcome){ FSM_SHUTDOWN_APPLICATION,
					   FSM_NO_ACTION };
	case 'c': return (struct outcome){ FSM_SHUTDOWN_APPLICATION,
					   FSM_CLOSE_APP };
	}
	fail_msg("no such letter: %c", letter);
	return (struct outcome){ from, FSM_NO_ACTION };
}

static const char *expected_build(enum fsm_transition transition,
				  enum fsm_job_status status, struct flags f)
{
	bool pending = status == FSM_JOB_PENDING || status == FSM_JOB_RUNNING;
	bool succeeded = status == FSM_JOB_SUCCEEDED;

	if (transition == FSM_TRANSITION_DELETE)
		return WIND_DOWN;
	if (!pending && !succeeded)
		return WIND_DOWN;
	if (transition == FSM_TRANSITION_UNKNOWN)
		return NOTHING;
	if (transition == FSM_TRANSITION_START)
		return pending ? STARTING : STARTED;
	if (f.no_autostart)
		return WIND_DOWN;
	if (pending)
		return STOPPING;
	return f.starter ? STOPPED_BUSY : STOPPED;
}

static const char *expected_agent(enum fsm_lifecycle lifecycle, struct flags f)
{
	static const struct {
		bool connects;
		bool connects_early;
	} table[FSM_LIFECYCLE_COUNT] = {
		[FSM_LIFECYCLE_CREATED] = { false, false },
		[FSM_LIFECYCLE_STARTING] = { false, true },
		[FSM_LIFECYCLE_START_TIMEOUT] = { false, true },
		[FSM_LIFECYCLE_START_ERROR] = { true, true },
		[FSM_LIFECYCLE_READY] = { true, true },
		[FSM_LIFECYCLE_SHUTTING_DOWN] = { false, false },
		[FSM_LIFECYCLE_SHUTDOWN_TIMEOUT] = { false, false },
		[FSM_LIFECYCLE_SHUTDOWN_ERROR] = { false, false },
		[FSM_LIFECYCLE_OFF] = { false, false },
		[FSM_LIFECYCLE_UNKNOWN] = { false, false },
	};
	bool connects = f.no_wait ? table[lifecycle].connects_early :
				    table[lifecycle].connects;

	if (f.whose == AGENT_OTHER)
		return connects ? CONNECT_OTHER : OTHER;
	return connects ? CONNECT : NOTHING;
}

static struct fsm machine(enum fsm_state state, struct flags f)
{
	return (struct fsm){
		.state = state,
		.starter = f.starter,
		.has_agent = f.whose != AGENT_NONE,
		.agent_id = f.whose == AGENT_NONE ? (struct uuid){ { 0 } } :
						    connected,
	};
}

static void check_books(const struct fsm *after, const struct fsm_event *event,
			struct outcome want, struct flags f)
{
	bool starter = f.starter && event->kind != FSM_STARTER_UPDATE;

	assert_int_equal(after->starter,
			 starter || want.action == FSM_START_WORKSPACE);
	if (want.action == FSM_CONNECT_TAILNET) {
		assert_true(after->has_agent);
		assert_true(uuid_equal(&after->agent_id, &event->agent.id));
	} else {
		assert_int_equal(after->has_agent, f.whose != AGENT_NONE);
	}
}

static void check_cell(enum fsm_state state, char letter,
		       const struct fsm_event *event, struct flags f)
{
	struct fsm_config config = { f.no_autostart, f.no_wait };
	struct outcome want = outcome_of(letter, state);
	struct fsm fsm = machine(state, f);
	struct fsm_step step;

	fsm_step(&fsm, &config, event, &step);
	if (step.to != want.to || fsm.state != want.to)
		fail_msg("%s in %s: to %s, not %s", fsm_event_name(event->kind),
			 fsm_state_name(state), fsm_state_name(step.to),
			 fsm_state_name(want.to));
	assert_int_equal(step.from, state);
	assert_int_equal(step.action_count, want.action != FSM_NO_ACTION);
	if (step.action_count)
		assert_int_equal(step.actions[0], want.action);
	check_books(&fsm, event, want, f);
}

static size_t cells;

static void check_row(const char *row, const struct fsm_event *event,
		      struct flags f)
{
	assert_int_equal(strlen(row), FSM_STATE_COUNT);
	for (size_t state = 0; state < FSM_STATE_COUNT; state++, cells++)
		check_cell((enum fsm_state)state, row[state], event, f);
}

static void check_builds(struct flags f)
{
	for (int t = 0; t < FSM_TRANSITION_COUNT; t++)
		for (int s = 0; s < FSM_JOB_COUNT; s++) {
			struct fsm_event event = { .kind = FSM_BUILD_UPDATE };

			event.build.transition = (enum fsm_transition)t;
			event.build.job_status = (enum fsm_job_status)s;
			check_row(expected_build(event.build.transition,
						 event.build.job_status, f),
				  &event, f);
		}
}

static void check_agents(struct flags f)
{
	for (int l = 0; l < FSM_LIFECYCLE_COUNT; l++) {
		struct fsm_event event = { .kind = FSM_AGENT_UPDATE };

		event.agent.lifecycle = (enum fsm_lifecycle)l;
		event.agent.id = f.whose == AGENT_OTHER ? another : connected;
		check_row(expected_agent(event.agent.lifecycle, f), &event, f);
	}
}

static void check_simple(struct flags f)
{
	struct fsm_event event = { .kind = FSM_SHUTDOWN_SIGNAL };

	check_row(WIND_DOWN, &event, f);
	event.kind = FSM_ABORT;
	check_row(ABORT, &event, f);
	event = (struct fsm_event){ .kind = FSM_STARTER_UPDATE };
	check_row(NOTHING, &event, f);
	event.starter.failed = true;
	check_row(STARTER_FAILED, &event, f);
	event = (struct fsm_event){ .kind = FSM_TAILNET_UPDATE };
	check_row(TAILNET_DOWN, &event, f);
	event.tailnet.up = true;
	check_row(TAILNET_UP, &event, f);
	event = (struct fsm_event){ .kind = FSM_APP_UPDATE };
	check_row(APP_DOWN, &event, f);
	event.app.up = true;
	check_row(APP_UP, &event, f);
}

static void test_every_state_event_and_flag(void **state)
{
	(void)state;
	cells = 0;
	for (unsigned bits = 0; bits < 8; bits++)
		for (int whose = 0; whose <= AGENT_OTHER; whose++) {
			struct flags f = { bits & 1, bits & 2, bits & 4,
					   (enum whose)whose };

			check_simple(f);
			check_builds(f);
			check_agents(f);
		}
	/* 8 + 28 + 10 rows of 10 states under 24 combinations of flags */
	assert_int_equal(cells, 46 * 10 * 24);
}

static void run(enum fsm_state state, const struct fsm_event *event,
		struct fsm_step *step)
{
	struct fsm fsm = { .state = state, .has_agent = true,
			   .agent_id = connected };
	struct fsm_config config = { false, false };

	fsm_step(&fsm, &config, event, step);
}

struct saying {
	enum fsm_state state;
	struct fsm_event event;
	struct fsm_log logs[FSM_LOG_CAP];
};

#define UP_TAILNET { .kind = FSM_TAILNET_UPDATE, .tailnet = { true } }
#define DOWN_TAILNET { .kind = FSM_TAILNET_UPDATE, .tailnet = { false } }
#define UP_APP { .kind = FSM_APP_UPDATE, .app = { true } }
#define DOWN_APP { .kind = FSM_APP_UPDATE, .app = { false } }
#define BUILD(t, s) \
	{ .kind = FSM_BUILD_UPDATE, .build = { FSM_TRANSITION_##t, FSM_JOB_##s } }
#define AGENT(l, id) \
	{ .kind = FSM_AGENT_UPDATE, .agent = { FSM_LIFECYCLE_##l, id } }
#define ME { { 1 } }
#define YOU { { 2 } }

static const struct saying sayings[] = {
	{ FSM_INIT, { .kind = FSM_SHUTDOWN_SIGNAL },
	  { { LOG_DEBUG, "got shutdown signal" } } },
	{ FSM_INIT, BUILD(DELETE, RUNNING),
	  { { LOG_INFO, "workspace is being deleted" },
	    { LOG_DEBUG, "got shutdown signal" } } },
	{ FSM_INIT, BUILD(START, FAILED),
	  { { LOG_INFO, "build job is in unhealthy state" },
	    { LOG_DEBUG, "got shutdown signal" } } },
	{ FSM_INIT, BUILD(START, PENDING),
	  { { LOG_DEBUG, "workspace is starting" } } },
	{ FSM_INIT, BUILD(START, SUCCEEDED),
	  { { LOG_DEBUG, "workspace is started" } } },
	{ FSM_INIT, BUILD(UNKNOWN, RUNNING),
	  { { LOG_CRITICAL, "unhandled build update" } } },
	{ FSM_EXIT, BUILD(DELETE, RUNNING), { { LOG_DEBUG, NULL } } },
	{ FSM_INIT, BUILD(STOP, RUNNING), { { LOG_DEBUG, NULL } } },
	{ FSM_INIT, AGENT(READY, ME),
	  { { LOG_DEBUG, "handling agent update" } } },
	{ FSM_WAIT_FOR_AGENT, AGENT(UNKNOWN, ME),
	  { { LOG_DEBUG, "handling agent update" },
	    { LOG_CRITICAL, "unhandled agent update" } } },
	{ FSM_WAIT_FOR_AGENT, AGENT(START_ERROR, ME),
	  { { LOG_DEBUG, "handling agent update" },
	    { LOG_WARN,
	      "startup scripts failed, connecting all the same" } } },
	{ FSM_APPLICATION_UP, AGENT(READY, YOU),
	  { { LOG_DEBUG, "handling agent update" },
	    { LOG_INFO, "another agent has replaced the connected one" } } },
	{ FSM_EXIT, UP_APP, { { LOG_DEBUG, "networked application up" } } },
	{ FSM_INIT, DOWN_APP,
	  { { LOG_DEBUG, "networked application down" },
	    { LOG_ERROR,
	      "unexpected: application update before we started it" } } },
	{ FSM_APPLICATION_UP, UP_APP,
	  { { LOG_DEBUG, "networked application up" },
	    { LOG_ERROR, "unexpected: application 'up' update when it is "
			 "already up" } } },
	{ FSM_SHUTDOWN_APPLICATION, UP_APP,
	  { { LOG_DEBUG, "networked application up" },
	    { LOG_DEBUG, "gracefully shutting down application after it "
			 "started" } } },
	{ FSM_SHUTDOWN_TAILNET, UP_APP,
	  { { LOG_DEBUG, "networked application up" },
	    { LOG_ERROR, "unexpected: application 'up' update when we were "
			 "tearing down tailnet" } } },
	{ FSM_SHUTDOWN_TAILNET, DOWN_APP,
	  { { LOG_DEBUG, "networked application down" },
	    { LOG_ERROR, "unexpected: application 'down' update when we were "
			 "tearing down tailnet" } } },
	{ FSM_EXIT, UP_TAILNET, { { LOG_DEBUG, NULL } } },
	{ FSM_WAIT_FOR_AGENT, UP_TAILNET,
	  { { LOG_ERROR,
	      "unexpected: tailnet update before we started it" } } },
	{ FSM_ESTABLISH_TAILNET, UP_TAILNET,
	  { { LOG_DEBUG, "got tailnet 'up' update" } } },
	{ FSM_SHUTDOWN_TAILNET, UP_TAILNET,
	  { { LOG_DEBUG, "got tailnet 'up' update" },
	    { LOG_DEBUG,
	      "gracefully shutting down tailnet after it started" } } },
	{ FSM_TAILNET_UP, UP_TAILNET,
	  { { LOG_DEBUG, "got tailnet 'up' update" },
	    { LOG_ERROR, "unexpected: got tailnet 'up' update when it is "
			 "already up" } } },
	{ FSM_APPLICATION_UP, UP_TAILNET,
	  { { LOG_DEBUG, "got tailnet 'up' update" },
	    { LOG_CRITICAL, "unhandled tailnet update" } } },
	{ FSM_SHUTDOWN_APPLICATION, UP_TAILNET,
	  { { LOG_DEBUG, "got tailnet 'up' update" },
	    { LOG_ERROR, "unexpected: got tailnet 'up' update when we "
			 "expected application update" } } },
	{ FSM_SHUTDOWN_TAILNET, DOWN_TAILNET,
	  { { LOG_DEBUG, "got tailnet 'down' update" } } },
	{ FSM_TAILNET_UP, DOWN_TAILNET,
	  { { LOG_DEBUG, "got tailnet 'down' update" },
	    { LOG_ERROR, "unexpected: got tailnet 'down' update when we were "
			 "starting the application" } } },
	{ FSM_APPLICATION_UP, DOWN_TAILNET,
	  { { LOG_DEBUG, "got tailnet 'down' update" },
	    { LOG_ERROR, "unexpected: got tailnet 'down' update when the "
			 "application was up" } } },
	{ FSM_SHUTDOWN_APPLICATION, DOWN_TAILNET,
	  { { LOG_DEBUG, "got tailnet 'down' update" },
	    { LOG_ERROR, "unexpected: got tailnet 'down' update when we were "
			 "stopping the application" } } },
};

static void check_saying(const struct saying *saying)
{
	struct fsm_step step;
	size_t count = 0;

	run(saying->state, &saying->event, &step);
	while (count < FSM_LOG_CAP && saying->logs[count].message)
		count++;
	assert_int_equal(step.log_count, count);
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(step.logs[i].message,
				    saying->logs[i].message);
		assert_int_equal(step.logs[i].level, saying->logs[i].level);
	}
}

static void test_what_the_seed_logs(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(sayings) / sizeof(sayings[0]); i++)
		check_saying(&sayings[i]);
}

/* fsm.md's own example line. */
static void test_example_of_the_document(void **state)
{
	struct fsm fsm = { .state = FSM_WAIT_FOR_AGENT, .has_agent = true,
			   .agent_id = connected };
	struct fsm_config config = { .no_wait_for_scripts = true };
	struct fsm_event event = AGENT(STARTING, YOU);
	struct fsm_step step;

	(void)state;
	fsm_step(&fsm, &config, &event, &step);
	assert_int_equal(step.to, FSM_ESTABLISH_TAILNET);
	assert_int_equal(step.actions[0], FSM_CONNECT_TAILNET);
	assert_true(uuid_equal(&fsm.agent_id, &another));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_state_event_and_flag),
		cmocka_unit_test(test_what_the_seed_logs),
		cmocka_unit_test(test_example_of_the_document),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
