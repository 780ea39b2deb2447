/* The tunneler on its way up, and what can go wrong there. */
#include "tests/simulated/stage.h"

#define JOB(body) "local tunnel = require 'tunnel'\n"            \
	"return { run = function(conn, args, attempt)\n" body     \
	"\nend, close = function(reason)\n"                       \
	" io.write('close ', reason.kind, '\\n') end }"

static struct stage stage;

/* One completion an action, and nothing that the machine did not expect. */
static void check_in_order(unsigned starts)
{
	assert_int_equal(stage_said(&stage, "info starter: starting workspace"),
			 starts);
	assert_int_equal(stage_said(&stage, "handled event starter_update"),
			 starts);
	assert_int_equal(stage_said(&stage, "handled event tailnet_update"),
			 2);
	assert_int_equal(stage_said(&stage, "handled event app_update"), 2);
	assert_int_equal(stage_said(&stage, "starting networked application"),
			 1);
	assert_int_equal(stage_said(&stage, "closing networked application"),
			 1);
	assert_int_equal(stage_said(&stage, "info tailnet: connecting "
				    "tailnet"), 1);
	assert_int_equal(stage_said(&stage, "shutting down tailnet"), 1);
	assert_int_equal(stage_said(&stage, "unexpected"), 0);
	assert_int_equal(stage_said(&stage, "context expired"), 0);
	assert_int_equal(stage_said(&stage, "critical"), 0);
}

static void check_reason(enum reason_kind kind, int status, const char *what,
			 const char *why)
{
	if (stage.reason.kind != kind || stage.reason.status != status)
		fail_msg("%s %d: %s\n%s", reason_name(stage.reason.kind),
			 stage.reason.status, stage.reason.error.message,
			 stage.said);
	if (what)
		assert_string_equal(stage.reason.what, what);
	else
		assert_null(stage.reason.what);
	if (why && !strstr(stage.reason.error.message, why))
		fail_msg("'%s' is not in '%s'", why,
			 stage.reason.error.message);
}

static void job_gives_the_status(void **state)
{
	const struct stage_config config = {
		.app = JOB("assert(conn:ping()) io.write('run ', attempt, "
			   "'\\n') return 5"),
	};

	(void)state;
	stage_open(&stage, &config);
	stage_end(&stage, 60 * US_PER_S);
	check_reason(REASON_APP_DONE, 5, NULL, NULL);
	assert_string_equal(stage.path, " waitForAgent establishTailnet "
			    "tailnetUp applicationUp shutdownTailnet exit");
	check_in_order(0);
	assert_int_equal(stage_said(&stage, "run 1\n"), 1);
	assert_int_equal(stage_said(&stage, "close app_done\n"), 1);
	stage_clear(&stage);
}

static void starts_a_stopped_workspace(void **state)
{
	const struct stage_config config = {
		.app = JOB(""),
		.workspace = { .stopped = true },
	};

	(void)state;
	stage_open(&stage, &config);
	stage_end(&stage, 60 * US_PER_S);
	check_reason(REASON_APP_DONE, 0, NULL, NULL);
	assert_string_equal(stage.path, " waitForWorkspaceStarted waitForAgent "
			    "establishTailnet tailnetUp applicationUp "
			    "shutdownTailnet exit");
	check_in_order(1);
	assert_int_equal(stage_said(&stage, "note build 2: pending"), 1);
	stage_clear(&stage);
}

static void waits_for_a_stop_to_end(void **state)
{
	const struct stage_config config = { .app = JOB("") };

	(void)state;
	stage_init(&stage, &config);
	assert_int_equal(simulation_build(stage.workspace, "stop"), 0);
	stage_begin(&stage, &config);
	stage_end(&stage, 60 * US_PER_S);
	check_reason(REASON_APP_DONE, 0, NULL, NULL);
	assert_string_equal(stage.path, " waitToStart waitForWorkspaceStarted "
			    "waitForAgent establishTailnet tailnetUp "
			    "applicationUp shutdownTailnet exit");
	check_in_order(1);
	stage_clear(&stage);
}

static void failed_jobs(void **state)
{
	static const struct {
		const char *app;
		int status;
		const char *what;
		const char *why;
		unsigned tracebacks;
	} cases[] = {
		{ JOB("error('oops')"), 70, "the script failed", "oops", 1 },
		{ JOB("return nil, 'so'"), 1, "the script ended with an error",
		  "so", 0 },
		{ JOB("return conn:dial('tcp', 5555)"), 69,
		  "the script ended with an error", "5555", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct stage_config config = { .app = cases[i].app };

		stage_open(&stage, &config);
		stage_end(&stage, 60 * US_PER_S);
		check_reason(REASON_APP_FAILED, cases[i].status,
			     cases[i].what, NULL);
		check_in_order(0);
		assert_int_equal(stage_said(&stage, "traceback "),
				 cases[i].tracebacks);
		assert_int_equal(stage_said(&stage, "close app_failed\n"), 1);
		stage_clear(&stage);
	}
}

static void failing_build(void **state)
{
	const struct stage_config config = {
		.app = JOB(""),
		.workspace = { .stopped = true, .fail = true },
	};

	(void)state;
	stage_open(&stage, &config);
	stage_end(&stage, 60 * US_PER_S);
	check_reason(REASON_BUILD_FAILED, 69, "the workspace cannot be reached",
		     "the start build of workspace workspace is failed");
	assert_int_equal(stage_said(&stage, "close "), 0);
	stage_clear(&stage);
}

static void failing_starters(void **state)
{
	static const struct {
		const char *starter;
		int status;
		const char *why;
	} cases[] = {
		{ "return { start_workspace = function() return nil, 'not "
		  "today' end }", 69, "not today" },
		{ "return { start_workspace = function() error('typo') end }",
		  70, "typo" },
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const struct stage_config config = {
			.app = JOB(""),
			.starter = cases[i].starter,
			.workspace = { .stopped = true },
		};

		stage_open(&stage, &config);
		stage_end(&stage, 2 * US_PER_S);
		check_reason(REASON_BUILD_FAILED, cases[i].status,
			     "failed to start workspace", cases[i].why);
		assert_string_equal(stage.path,
				    " waitForWorkspaceStarted exit");
		assert_int_equal(stage_said(&stage, "failed to start "
					    "workspace: "), 1);
		stage_clear(&stage);
	}
}

static void forbidden_by_the_deployment(void **state)
{
	const struct stage_config config = {
		.app = JOB(""),
		.workspace = { .stopped = true },
	};

	(void)state;
	stage_init(&stage, &config);
	assert_non_null(simulation_fail(stage.world.sim, "/builds", 403, 0));
	stage_begin(&stage, &config);
	stage_end(&stage, 2 * US_PER_S);
	check_reason(REASON_BUILD_FAILED, 77, "failed to start workspace",
		     "injected failure");
	stage_clear(&stage);
}

static void may_not_start_it(void **state)
{
	const struct stage_config config = {
		.app = JOB(""),
		.workspace = { .stopped = true },
		.no_autostart = true,
	};

	(void)state;
	stage_open(&stage, &config);
	stage_end(&stage, 2 * US_PER_S);
	check_reason(REASON_STOPPED, 69, "the workspace cannot be reached",
		     "is not to be started");
	assert_string_equal(stage.path, " exit");
	stage_clear(&stage);
}

static void watch_refused(void **state)
{
	static const struct {
		int http;
		int status;
	} cases[] = { { 401, 77 }, { 403, 77 }, { 404, 69 } };
	const struct stage_config config = { .app = JOB("") };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		stage_init(&stage, &config);
		simulation_fail(stage.world.sim, "agent-connection-watch",
				cases[i].http, 0);
		stage_begin(&stage, &config);
		stage_end(&stage, 2 * US_PER_S);
		check_reason(REASON_UNREACHABLE, cases[i].status,
			     "the workspace cannot be watched", NULL);
		stage_clear(&stage);
	}
}

/* --- deadlines ------------------------------------------------------- */

static void check_waited(uint64_t us)
{
	uint64_t took = stage.exit_us - stage.began_us;

	if (took < us || took > us + 3 * US_PER_S)
		fail_msg("it took %llu ms", (unsigned long long)took / 1000);
}

static void no_build_follows(void **state)
{
	const struct stage_config config = {
		.app = JOB(""),
		.starter = "return { start_workspace = function() return true "
			   "end }",
		.workspace = { .stopped = true },
	};

	(void)state;
	stage_open(&stage, &config);
	stage_end(&stage, 700 * US_PER_S);
	check_reason(REASON_DEADLINE, 124, "a deadline ran out",
		     "gave up while starting the workspace");
	check_waited(60 * US_PER_S);
	stage_clear(&stage);
}

static void build_follows_late(void **state)
{
	const struct stage_config config = {
		.app = JOB(""),
		.starter = "return { start_workspace = function() return true "
			   "end }",
		.workspace = { .stopped = true },
	};

	(void)state;
	stage_open(&stage, &config);
	stage_for(&stage, 55 * US_PER_S);
	assert_int_equal(simulation_build(stage.workspace, "start"), 0);
	stage_end(&stage, 60 * US_PER_S);
	check_reason(REASON_APP_DONE, 0, NULL, NULL);
	stage_clear(&stage);
}

static void starter_never_returns(void **state)
{
	const struct stage_config config = {
		.app = JOB(""),
		.starter = "return { start_workspace = function() require("
			   "'tunnel').sleep(math.huge) end }",
		.workspace = { .stopped = true },
		.timeout_us = 100 * US_PER_S,
	};

	(void)state;
	stage_open(&stage, &config);
	stage_end(&stage, 700 * US_PER_S);
	check_reason(REASON_DEADLINE, 124, "a deadline ran out", NULL);
	check_waited(100 * US_PER_S);
	assert_int_equal(stage_said(&stage, "info starter: context expired "
				    "before sending signal after failed "
				    "workspace start"), 1);
	stage_clear(&stage);
}

static void build_never_ends(void **state)
{
	static const struct simulation_clock slow = {
		.running_us = 3600 * US_PER_S,
	};
	const struct stage_config config = {
		.app = JOB(""),
		.workspace = { .stopped = true, .clock = &slow },
		.timeout_us = 90 * US_PER_S,
	};

	(void)state;
	stage_open(&stage, &config);
	stage_end(&stage, 700 * US_PER_S);
	check_reason(REASON_DEADLINE, 124, "a deadline ran out",
		     "gave up while starting the workspace");
	check_waited(90 * US_PER_S);
	stage_clear(&stage);
}

/* The time until up is one, however many states it is spent in. */
static void agent_never_ready(void **state)
{
	const struct stage_config config = {
		.app = JOB(""),
		.workspace = { .stopped = true, .lifecycle = "starting" },
		.wait_for_scripts = true,
		.timeout_us = 90 * US_PER_S,
	};

	(void)state;
	stage_open(&stage, &config);
	stage_end(&stage, 700 * US_PER_S);
	check_reason(REASON_DEADLINE, 124, "a deadline ran out",
		     "gave up while waiting for the agent");
	check_waited(90 * US_PER_S);
	stage_clear(&stage);
}

static void dial_refused(void **state)
{
	const struct stage_config config = { .app = JOB("") };

	(void)state;
	stage_init(&stage, &config);
	simulation_fail(stage.world.sim, "/connection", 403, 0);
	stage_begin(&stage, &config);
	stage_end(&stage, 20 * US_PER_S);
	check_reason(REASON_UNREACHABLE, 77, "failed to dial workspace agent",
		     "injected failure");
	assert_int_equal(stage_said(&stage, "failed to connect agent: "), 1);
	assert_string_equal(stage.path, " waitForAgent establishTailnet exit");
	stage_clear(&stage);
}

static void nobody_tells_how_to_connect(void **state)
{
	const struct stage_config config = { .app = JOB("") };

	(void)state;
	stage_open(&stage, &config);
	stage_until(&stage, FSM_ESTABLISH_TAILNET);
	memory_network_set_latency(stage.world.memory, 100 * US_PER_S);
	stage_end(&stage, 700 * US_PER_S);
	check_reason(REASON_UNREACHABLE, 124,
		     "failed to dial workspace agent", NULL);
	check_waited(30 * US_PER_S);
	stage_clear(&stage);
}

static void no_coordinator(void **state)
{
	const struct stage_config config = { .app = JOB("") };

	(void)state;
	stage_init(&stage, &config);
	simulation_fail(stage.world.sim, "/coordinate", 503, 0);
	stage_begin(&stage, &config);
	stage_end(&stage, 700 * US_PER_S);
	check_reason(REASON_UNREACHABLE, 124,
		     "failed to dial workspace agent",
		     "no connection to the coordinator");
	check_waited(30 * US_PER_S);
	assert_int_equal(stage_said(&stage, "handled event tailnet_update"),
			 1);
	stage_clear(&stage);
}

/* --- the application's start ----------------------------------------- */

static void start_fails(void **state)
{
	const struct stage_config config = {
		.app = "return { start = function() return nil, 'no port' end,"
		       " close = function() io.write('close\\n') end }",
	};

	(void)state;
	stage_open(&stage, &config);
	stage_end(&stage, 60 * US_PER_S);
	check_reason(REASON_APP_FAILED, 1, "failed to start", "no port");
	assert_string_equal(stage.path, " waitForAgent establishTailnet "
			    "tailnetUp shutdownTailnet exit");
	assert_int_equal(stage_said(&stage, "close\n"), 0);
	assert_int_equal(stage_said(&stage, "failed to start application: "),
			 1);
	assert_int_equal(stage_said(&stage, "handled event app_update"), 1);
	stage_clear(&stage);
}

static void start_never_returns(void **state)
{
	const struct stage_config config = {
		.app = "return { start = function() require('tunnel').sleep("
		       "math.huge) end }",
	};

	(void)state;
	stage_open(&stage, &config);
	stage_end(&stage, 700 * US_PER_S);
	check_reason(REASON_DEADLINE, 124, "a deadline ran out",
		     "gave up while connected, starting the application");
	check_waited(60 * US_PER_S);
	assert_int_equal(stage_said(&stage, "handled event app_update"), 1);
	stage_clear(&stage);
}

/* --- two starts ------------------------------------------------------- */

static void emit(const char *json)
{
	assert_non_null(simulation_emit(stage.workspace, json));
}

static const struct stage_config twice = {
	.app = JOB(""),
	.starter = "local n = 0 return { start_workspace = function(ws) n = "
		   "n + 1 io.write('starter ', n, '\\n') "
		   "if n == 1 then require('tunnel').sleep(2) return nil, "
		   "'gave way' end return ws:build{} and true end }",
	.workspace = { .stopped = true },
};

static void ask_for_a_second_start(void)
{
	stage_open(&stage, &twice);
	stage_until(&stage, FSM_WAIT_FOR_WORKSPACE_STARTED);
	stage_for(&stage, 100 * US_PER_MS);
	emit("{\"build_update\":{\"transition\":\"stop\","
	     "\"job_status\":\"running\"}}");
	stage_until(&stage, FSM_WAIT_TO_START);
	emit("{\"build_update\":{\"transition\":\"stop\","
	     "\"job_status\":\"succeeded\"}}");
	stage_until(&stage, FSM_WAIT_FOR_WORKSPACE_STARTED);
	assert_int_equal(stage_said(&stage, "starter 2\n"), 0);
}

static void one_starter_at_a_time(void **state)
{
	(void)state;
	ask_for_a_second_start();
	stage_end(&stage, 60 * US_PER_S);
	check_reason(REASON_APP_DONE, 0, NULL, NULL);
	check_in_order(2);
	assert_int_equal(stage_said(&stage, "error starter: failed to start "
				    "workspace: gave way"), 1);
	stage_clear(&stage);
}

static void no_second_start_after_exit(void **state)
{
	(void)state;
	ask_for_a_second_start();
	tunneler_shutdown(stage.tunneler, REASON_SIGNAL, 130);
	stage_end(&stage, US_PER_S);
	check_reason(REASON_SIGNAL, 130, NULL, NULL);
	assert_int_equal(stage_said(&stage, "starter 2\n"), 0);
	stage_clear(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(job_gives_the_status),
		cmocka_unit_test(starts_a_stopped_workspace),
		cmocka_unit_test(waits_for_a_stop_to_end),
		cmocka_unit_test(failed_jobs),
		cmocka_unit_test(failing_build),
		cmocka_unit_test(failing_starters),
		cmocka_unit_test(forbidden_by_the_deployment),
		cmocka_unit_test(may_not_start_it),
		cmocka_unit_test(watch_refused),
		cmocka_unit_test(no_build_follows),
		cmocka_unit_test(build_follows_late),
		cmocka_unit_test(starter_never_returns),
		cmocka_unit_test(build_never_ends),
		cmocka_unit_test(agent_never_ready),
		cmocka_unit_test(dial_refused),
		cmocka_unit_test(nobody_tells_how_to_connect),
		cmocka_unit_test(no_coordinator),
		cmocka_unit_test(start_fails),
		cmocka_unit_test(start_never_returns),
		cmocka_unit_test(one_starter_at_a_time),
		cmocka_unit_test(no_second_start_after_exit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
