/* The tunneler on its way down: by every cause, from every state. */
#include "tests/simulated/stage.h"

#define TUNNEL "local tunnel = require 'tunnel'\n"
/* close and <close> both still have the tunnel. */
#define SERVICE(start, close)                                               \
	TUNNEL "local conn\n"                                               \
	"return { start = function(c) conn = c\n" start "\nend,\n"          \
	"close = function(reason) io.write('close ', reason.kind, ' ',\n"   \
	" conn:ping() and 'reached' or 'lost', '\\n')\n" close "\nend }"
#define PLAIN SERVICE(                                                      \
	"tunnel.spawn(function() local x <close> = setmetatable({}, {"      \
	"__close = function() io.write('task ', conn:ping() and 'reached'"  \
	" or 'lost', '\\n') end }) tunnel.sleep(math.huge) end)", "")
#define FOREVER "tunnel.sleep(math.huge)"

static struct stage stage;
static const struct stage_config plain = { .app = PLAIN };

static void check_end(enum reason_kind kind, int status)
{
	if (stage.reason.kind != kind || stage.reason.status != status)
		fail_msg("%s %d: %s\n%s", reason_name(stage.reason.kind),
			 stage.reason.status, stage.reason.error.message,
			 stage.said);
	assert_int_equal(stage_said(&stage, "critical"), 0);
}

static void check_took(uint64_t since_us, uint64_t us)
{
	uint64_t took = stage.exit_us - since_us;

	if (took < us || took > us + 300 * US_PER_MS)
		fail_msg("it took %llu ms:\n%s",
			 (unsigned long long)took / 1000, stage.said);
}

/* Application down, once; then its tasks; then the tunnel. */
static void check_graceful(const char *close)
{
	const char *closed = strstr(stage.said, close);
	const char *task = strstr(stage.said, "task reached\n");

	if (!closed || !task || task < closed)
		fail_msg("'%s' is missing in:\n%s", close, stage.said);
	assert_int_equal(stage_said(&stage, "close "), 1);
	assert_int_equal(stage_said(&stage, "handled event tailnet_update"),
			 2);
	assert_int_equal(stage_said(&stage, "handled event app_update"), 2);
	assert_int_equal(stage_said(&stage, "unexpected"), 0);
	assert_int_equal(stage_said(&stage, "context expired"), 0);
}

static void up(const struct stage_config *config)
{
	stage_open(&stage, config);
	stage_until(&stage, FSM_APPLICATION_UP);
	stage_for(&stage, US_PER_S);
	assert_int_equal(stage_state(&stage), FSM_APPLICATION_UP);
}

static void emit(const char *json)
{
	assert_non_null(simulation_emit(stage.workspace, json));
}

static void by_signal(void **state)
{
	(void)state;
	up(&plain);
	tunneler_shutdown(stage.tunneler, REASON_SIGNAL, 143);
	tunneler_shutdown(stage.tunneler, REASON_SIGNAL, 130);
	stage_end(&stage, 3 * US_PER_S);
	check_end(REASON_SIGNAL, 143);
	check_graceful("close signal reached\n");
	assert_string_equal(stage.path, " waitForAgent establishTailnet "
			    "tailnetUp applicationUp shutdownApplication "
			    "shutdownTailnet exit");
	stage_clear(&stage);
}

static void by_builds(void **state)
{
	static const struct {
		const char *transition;
		enum reason_kind kind;
		const char *close;
	} cases[] = {
		{ "stop", REASON_STOPPED, "close stopped reached\n" },
		{ "delete", REASON_DELETED, "close deleted reached\n" },
		{ "start", REASON_REPLACED, "close replaced reached\n" },
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		up(&plain);
		assert_int_equal(simulation_build(stage.workspace,
						  cases[i].transition), 0);
		stage_end(&stage, 3 * US_PER_S);
		check_end(cases[i].kind, 69);
		check_graceful(cases[i].close);
		assert_non_null(stage.reason.what);
		stage_clear(&stage);
	}
}

static void by_a_failed_build(void **state)
{
	(void)state;
	up(&plain);
	emit("{\"build_update\":{\"transition\":\"start\","
	     "\"job_status\":\"failed\"}}");
	stage_end(&stage, 3 * US_PER_S);
	check_end(REASON_BUILD_FAILED, 69);
	check_graceful("close build_failed reached\n");
	stage_clear(&stage);
}

static void by_another_agent(void **state)
{
	(void)state;
	up(&plain);
	emit("{\"agent_update\":{\"lifecycle\":\"ready\",\"id\":"
	     "\"11111111-1111-4111-8111-111111111111\"}}");
	stage_end(&stage, 3 * US_PER_S);
	check_end(REASON_REPLACED, 69);
	check_graceful("close replaced reached\n");
	stage_clear(&stage);
}

static void by_the_script(void **state)
{
	const struct stage_config config = {
		.app = SERVICE("tunnel.spawn(function() tunnel.sleep(2) for _ "
			       "= 1, 5000 do conn.tunnel:shutdown{status = 3} "
			       "end end)", ""),
	};

	(void)state;
	up(&config);
	stage_end(&stage, 5 * US_PER_S);
	check_end(REASON_APP_DONE, 3);
	assert_int_equal(stage_said(&stage, "close app_done reached"), 1);
	assert_int_equal(stage_said(&stage, "handled event shutdown_signal"),
			 1);
	stage_clear(&stage);
}

/* With the watch down, only the tailnet can tell. */
static void by_loss(void **state)
{
	const struct stage_config config = { .app = SERVICE("", "") };
	uint64_t lost_us;

	(void)state;
	up(&config);
	simulation_fail(stage.world.sim, "agent-connection-watch", 503, 0);
	assert_int_equal(simulation_drop(stage.world.sim,
					 SIMULATION_WATCH)->fired, 1);
	stage_for(&stage, 100 * US_PER_MS);
	assert_int_equal(simulation_build(stage.workspace, "stop"), 0);
	stage_until(&stage, FSM_SHUTDOWN_APPLICATION);
	lost_us = stage.world.v.now_us;
	stage_end(&stage, 20 * US_PER_S);
	check_end(REASON_TAILNET_LOST, 69);
	assert_string_equal(stage.reason.what, "the tunnel was lost");
	assert_int_equal(stage_said(&stage, "close tailnet_lost lost\n"), 1);
	assert_int_equal(stage_said(&stage, "handled event tailnet_update"),
			 3);
	assert_int_equal(stage_said(&stage, "context expired"), 0);
	check_took(lost_us, 0);
	stage_clear(&stage);
}

static void watch_lost_while_up(void **state)
{
	const struct simulation_fault *fault;

	(void)state;
	up(&plain);
	fault = simulation_fail(stage.world.sim, "agent-connection-watch", 401,
				0);
	assert_int_equal(simulation_drop(stage.world.sim,
					 SIMULATION_WATCH)->fired, 1);
	stage_for(&stage, 1200 * US_PER_S);
	assert_true(fault->fired > 0);
	assert_int_equal(stage_state(&stage), FSM_APPLICATION_UP);
	tunneler_shutdown(stage.tunneler, REASON_SIGNAL, 130);
	stage_end(&stage, 3 * US_PER_S);
	check_end(REASON_SIGNAL, 130);
	check_graceful("close signal reached\n");
	stage_clear(&stage);
}

static void storm_of_events(void **state)
{
	static const char build[] = "{\"build_update\":{\"transition\":"
				    "\"start\",\"job_status\":\"succeeded\"}}";

	(void)state;
	up(&plain);
	for (int i = 0; i < 3000; i++)
		emit(build);
	tunneler_shutdown(stage.tunneler, REASON_SIGNAL, 130);
	for (int i = 0; i < 3000; i++)
		emit(build);
	stage_end(&stage, 5 * US_PER_S);
	check_end(REASON_SIGNAL, 130);
	check_graceful("close signal reached\n");
	assert_int_equal(stage_said(&stage, "too many events"), 0);
	stage_clear(&stage);
}

/* --- the budget ------------------------------------------------------ */

static void close_never_returns(void **state)
{
	const struct stage_config config = { .app = SERVICE("", FOREVER) };
	uint64_t asked_us;

	(void)state;
	up(&config);
	asked_us = stage.world.v.now_us;
	tunneler_shutdown(stage.tunneler, REASON_SIGNAL, 130);
	stage_end(&stage, 20 * US_PER_S);
	check_end(REASON_SIGNAL, 124);
	check_took(asked_us, 5 * US_PER_S);
	assert_string_equal(stage.reason.what, "a deadline ran out");
	assert_string_equal(stage.reason.error.message, "the shutdown budget "
			    "was spent while closing the application");
	assert_int_equal(stage_said(&stage, "handled event abort"), 1);
	stage_clear(&stage);
}

/* The first failure is the one that the status tells. */
static void close_never_returns_after_a_failure(void **state)
{
	const struct stage_config config = {
		.app = TUNNEL "return { run = function() error('first') end, "
			      "close = function() " FOREVER " end }",
	};

	(void)state;
	stage_open(&stage, &config);
	stage_until(&stage, FSM_APPLICATION_UP);
	stage_for(&stage, US_PER_S);
	tunneler_shutdown(stage.tunneler, REASON_SIGNAL, 130);
	stage_end(&stage, 20 * US_PER_S);
	check_end(REASON_APP_FAILED, 70);
	assert_int_equal(stage_said(&stage, "the shutdown budget was spent"),
			 1);
	stage_clear(&stage);
}

static void close_fails(void **state)
{
	const struct stage_config config = {
		.app = SERVICE("", "error('in close')"),
	};

	(void)state;
	up(&config);
	tunneler_shutdown(stage.tunneler, REASON_SIGNAL, 130);
	stage_end(&stage, 3 * US_PER_S);
	check_end(REASON_SIGNAL, 130);
	assert_int_equal(stage_said(&stage, "failed to close networked "
				    "application: "), 1);
	assert_int_equal(stage_said(&stage, "traceback "), 1);
	stage_clear(&stage);
}

/* A <close> that waits has its 2 s, then the task is dropped. */
static void task_never_ends(void **state)
{
	const struct stage_config config = {
		.app = SERVICE("tunnel.spawn(function() local x <close> = "
			       "setmetatable({}, { __close = function() while "
			       "true do tunnel.sleep(1) end end }) "
			       FOREVER " end)", ""),
	};

	(void)state;
	up(&config);
	tunneler_shutdown(stage.tunneler, REASON_SIGNAL, 130);
	stage_end(&stage, 5 * US_PER_S);
	check_end(REASON_SIGNAL, 130);
	assert_int_equal(stage_said(&stage, "context expired"), 0);
	stage_clear(&stage);
}

/* A job whose end and a signal come in one turn posts one completion. */
static void returns_when_it_is_closed(void **state)
{
	const struct stage_config config = {
		.app = TUNNEL "local c = tunnel.channel(0)\n"
			      "return { run = function() c:receive() return 9 "
			      "end, close = function(r) io.write('close ', "
			      "r.kind, '\\n') c:send(1) tunnel.sleep(0.1) "
			      "end }",
	};

	(void)state;
	up(&config);
	tunneler_shutdown(stage.tunneler, REASON_SIGNAL, 130);
	stage_end(&stage, 3 * US_PER_S);
	check_end(REASON_SIGNAL, 130);
	assert_int_equal(stage_said(&stage, "close signal\n"), 1);
	assert_int_equal(stage_said(&stage, "handled event app_update"), 2);
	assert_int_equal(stage_said(&stage, "unexpected"), 0);
	stage_clear(&stage);
}

static void signal_while_a_job_closes(void **state)
{
	const struct stage_config config = {
		.app = TUNNEL "return { run = function() tunnel.sleep(2) "
			      "return 9 end, close = function(r) io.write("
			      "'close ', r.kind, '\\n') tunnel.sleep(1) end }",
	};

	(void)state;
	up(&config);
	stage_for(&stage, 1500 * US_PER_MS);
	tunneler_shutdown(stage.tunneler, REASON_SIGNAL, 130);
	stage_until(&stage, FSM_SHUTDOWN_APPLICATION);
	stage_end(&stage, 3 * US_PER_S);
	check_end(REASON_APP_DONE, 9);
	assert_int_equal(stage_said(&stage, "close "), 1);
	assert_int_equal(stage_said(&stage, "handled event app_update"), 2);
	assert_int_equal(stage_said(&stage, "unexpected"), 0);
	stage_clear(&stage);
}

/* --- from each state -------------------------------------------------- */

#define HOUR_US (3600 * US_PER_S)
#define SLOW_END SERVICE(                                                  \
	"tunnel.spawn(function() local x <close> = setmetatable({}, {"     \
	"__close = function() tunnel.sleep(1) end }) " FOREVER " end)",    \
	"tunnel.sleep(1)")

static const struct simulation_clock never = { .pending_us = HOUR_US };

/* How each state is reached and held. */
static const struct stage_config holds[FSM_STATE_COUNT] = {
	[FSM_INIT] = { .app = PLAIN },
	[FSM_EXIT] = { .app = PLAIN },
	[FSM_WAIT_TO_START] = { .app = PLAIN,
				.workspace = { .clock = &never } },
	[FSM_WAIT_FOR_WORKSPACE_STARTED] = {
		.app = PLAIN,
		.workspace = { .stopped = true, .clock = &never },
		.starter = TUNNEL "return { start_workspace = function() "
			   FOREVER " end }",
	},
	[FSM_WAIT_FOR_AGENT] = { .app = PLAIN,
				 .workspace = { .lifecycle = "created" } },
	[FSM_ESTABLISH_TAILNET] = { .app = PLAIN },
	[FSM_TAILNET_UP] = { .app = SERVICE("tunnel.sleep(2)", "") },
	[FSM_APPLICATION_UP] = { .app = PLAIN },
	[FSM_SHUTDOWN_APPLICATION] = { .app = SLOW_END },
	[FSM_SHUTDOWN_TAILNET] = { .app = SLOW_END },
};

static void hold(enum fsm_state at)
{
	stage_init(&stage, &holds[at]);
	if (at == FSM_INIT)
		simulation_fail(stage.world.sim, "agent-connection-watch", 503,
				0);
	if (at == FSM_WAIT_TO_START)
		assert_int_equal(simulation_build(stage.workspace, "stop"),
				 0);
	if (at == FSM_ESTABLISH_TAILNET)
		simulation_fail(stage.world.sim, "/coordinate", 503, 0);
	stage_begin(&stage, &holds[at]);
	if (at == FSM_SHUTDOWN_APPLICATION || at == FSM_SHUTDOWN_TAILNET ||
	    at == FSM_EXIT) {
		stage_until(&stage, FSM_APPLICATION_UP);
		tunneler_shutdown(stage.tunneler, REASON_APP_DONE, 7);
	}
	stage_until(&stage, at);
	if (at == FSM_EXIT)
		return;
	stage_for(&stage, 500 * US_PER_MS);
	assert_int_equal(stage_state(&stage), at);
}

static bool is_down(enum fsm_state at)
{
	return at == FSM_SHUTDOWN_APPLICATION || at == FSM_SHUTDOWN_TAILNET ||
	       at == FSM_EXIT;
}

static bool is_up(enum fsm_state at)
{
	return is_down(at) || at == FSM_TAILNET_UP || at == FSM_APPLICATION_UP;
}

static void signal_in_each_state(void **state)
{
	(void)state;
	for (int i = 0; i < FSM_STATE_COUNT; i++) {
		enum fsm_state at = (enum fsm_state)i;

		hold(at);
		tunneler_shutdown(stage.tunneler, REASON_SIGNAL, 130);
		stage_end(&stage, 5 * US_PER_S);
		check_end(is_down(at) ? REASON_APP_DONE : REASON_SIGNAL,
			  is_down(at) ? 7 : 130);
		assert_int_equal(stage_said(&stage, "close "), is_up(at));
		assert_int_equal(stage_said(&stage, "unexpected"), 0);
		stage_clear(&stage);
	}
}

/* What was owed then is said, in the seed's words. */
static const char *const owed_at[FSM_STATE_COUNT] = {
	[FSM_ESTABLISH_TAILNET] = "info tailnet: context expired before "
				  "sending event after failed agent dial",
	[FSM_TAILNET_UP] = "info app: context expired before sending network "
			   "application start update",
	[FSM_SHUTDOWN_APPLICATION] = "info app: context expired before "
				     "sending app down",
	[FSM_SHUTDOWN_TAILNET] = "debug tailnet: context expired before "
				 "sending event after shutting down tailnet",
};

static void start_fails_after_an_abort(void **state)
{
	const struct stage_config config = {
		.app = SERVICE("tunnel.sleep(2) error('late')", ""),
	};

	(void)state;
	stage_open(&stage, &config);
	stage_until(&stage, FSM_TAILNET_UP);
	tunneler_abort(stage.tunneler);
	stage_end(&stage, US_PER_S);
	check_end(REASON_SIGNAL, 130);
	assert_int_equal(stage_said(&stage, "info app: context expired before "
				    "sending event after failed network "
				    "application start"), 1);
	stage_clear(&stage);
}

static void abort_in_each_state(void **state)
{
	(void)state;
	for (int i = 0; i < FSM_STATE_COUNT; i++) {
		enum fsm_state at = (enum fsm_state)i;
		uint64_t asked_us;

		hold(at);
		asked_us = stage.world.v.now_us;
		tunneler_abort(stage.tunneler);
		stage_end(&stage, 5 * US_PER_S);
		check_end(is_down(at) ? REASON_APP_DONE : REASON_SIGNAL,
			  is_down(at) ? 7 : 130);
		if (at != FSM_EXIT)
			check_took(asked_us, 0);
		if (owed_at[at])
			assert_int_equal(stage_said(&stage, owed_at[at]), 1);
		stage_clear(&stage);
	}
}

static void owner_gives_up_in_each_state(void **state)
{
	(void)state;
	for (int i = 0; i < FSM_STATE_COUNT; i++) {
		hold((enum fsm_state)i);
		tunneler_shutdown(stage.tunneler, REASON_SIGNAL, 130);
		if (i % 2)
			tunneler_abort(stage.tunneler);
		tunneler_stop(stage.tunneler);
		stage_for(&stage, 10 * US_PER_S);
		assert_int_equal(stage.exits, i == FSM_EXIT);
		stage_clear(&stage);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_signal),
		cmocka_unit_test(by_builds),
		cmocka_unit_test(by_a_failed_build),
		cmocka_unit_test(by_another_agent),
		cmocka_unit_test(by_the_script),
		cmocka_unit_test(by_loss),
		cmocka_unit_test(watch_lost_while_up),
		cmocka_unit_test(storm_of_events),
		cmocka_unit_test(close_never_returns),
		cmocka_unit_test(close_never_returns_after_a_failure),
		cmocka_unit_test(close_fails),
		cmocka_unit_test(task_never_ends),
		cmocka_unit_test(returns_when_it_is_closed),
		cmocka_unit_test(signal_while_a_job_closes),
		cmocka_unit_test(signal_in_each_state),
		cmocka_unit_test(start_fails_after_an_abort),
		cmocka_unit_test(abort_in_each_state),
		cmocka_unit_test(owner_gives_up_in_each_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
