/* Loading, options, hooks, exit statuses, starters, the end of a tunnel. */
#include "fake_conn.h"
#include "fixture.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>

static void load_fails(const char *source, int status, const char *message)
{
	struct fixture f;
	struct outcome out;

	fixture_init(&f);
	fixture_load(&f, source, &out);
	if (out.ok || out.status != status ||
	    !strstr(out.error.message, message))
		fail_msg("%s: ok %d, status %d: %s", source, out.ok,
			 out.status, out.error.message);
	fixture_clear(&f);
}

static void refuses_what_is_no_application(void **state)
{
	(void)state;
	load_fails("return {", 78, "expected");
	load_fails("return 1", 78, "must return a table");
	load_fails("return {}", 78, "either `run` or `start`");
	load_fails("return {run = print, start = print}", 78, "either");
	load_fails("return {run = 1}", 78, "'run' must be a function");
	load_fails("return {run = print, options = 1}", 78, "must be a table");
	load_fails("return {run = print, needs = {'fs'}}", 78, "not granted");
	load_fails("error('at load')", 70, "at load");
	load_fails("assert(nil, select(2, require 'tunnel'.channel(1)"
		   ":receive{timeout = 0}))", 124, "nothing was sent");
}

static void load_of_nothing(void **state)
{
	struct fixture f;
	struct outcome out = { 0 };

	(void)state;
	fixture_init(&f);
	fixture_open(&f);
	assert_int_equal(script_load_app(f.script, "/nonexistent/app.lua",
					 outcome_set, &out), 0);
	virtual_loop_run(&f.v, FOREVER, &out.done);
	assert_false(out.ok);
	assert_int_equal(out.status, 78);
	assert_int_equal(out.error.code, ERR_NOT_FOUND);
	fixture_clear(&f);
}

static void shebang_waits_and_typos(void **state)
{
	struct fixture f;
	struct outcome out;

	(void)state;
	fixture_init(&f);
	fixture_load(&f, "#!/usr/bin/env -S tunnelhost run\n"
		     "require 'tunnel'.sleep(1)\n"
		     "return { strat = 1, colour = 2, run = function() "
		     "error('here') end }", &out);
	assert_true(out.ok);
	assert_true(script_is_job(f.script));
	assert_false(script_has(f.script, "start"));
	assert_non_null(strstr(f.logged, "'strat' is unknown: is 'start'"));
	assert_null(strstr(f.logged, "colour"));
	fixture_start(&f, NULL, &out);
	assert_non_null(strstr(out.error.message, "app:3: here"));
	assert_non_null(strstr(out.traceback, "stack traceback"));
	assert_int_equal(out.status, 70);
	fixture_clear(&f);
}

static void run_gives(const char *body, bool ok, int status, int code)
{
	struct fixture f;
	struct outcome out;
	char source[1024];

	fixture_init(&f);
	f.config.cpu_us = 5000000;	/* sanitizers are slow */
	snprintf(source, sizeof(source),
		 "local tunnel = require 'tunnel'\n"
		 "local function failure() return tunnel.channel(1):receive{"
		 "timeout = 0} end\n"
		 "return { run = function(conn, args, attempt) %s end }", body);
	fixture_run(&f, source, &out);
	if (out.ok != ok || out.status != status || out.error.code != code)
		fail_msg("%s: ok %d, status %d, %s", body, out.ok, out.status,
			 out.error.message);
	fixture_clear(&f);
}

static void exit_statuses(void **state)
{
	(void)state;
	run_gives("", true, 0, 0);
	run_gives("return nil", true, 0, 0);
	run_gives("return true", true, 0, 0);
	run_gives("return 7", true, 7, 0);
	run_gives("assert(attempt == 1 and conn == nil)", true, 0, 0);
	run_gives("return failure()", false, 124, ERR_TIMEOUT);
	run_gives("assert(failure())", false, 124, ERR_TIMEOUT);
	run_gives("error((select(2, failure())))", false, 124, ERR_TIMEOUT);
	run_gives("return nil, 'words'", false, 1, ERR_INTERNAL);
	run_gives("return false", false, 1, ERR_INTERNAL);
	run_gives("return {}", false, 1, ERR_INTERNAL);
	run_gives("local x = nil + 1", false, 70, ERR_INTERNAL);
	run_gives("tunnel.listen('127.0.0.1:1', print) "
		  "return tunnel.connect('127.0.0.1:1')", false, 77,
		  ERR_DENIED);
	run_gives("local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(100000) .. "
		  "i end", false, 1, ERR_LIMIT);
}

static const char options_app[] =
	"return { options = {\n"
	" { 'command', default = 'echo', help = 'what to run' },\n"
	" { 'rest', repeatable = true },\n"
	" { '--times', type = 'integer', min = 1, max = 9, default = 1 },\n"
	" { '--ratio', type = 'number' },\n"
	" { '--mode', choices = { 'a', 'b' } },\n"
	" { '--quick', type = 'boolean', default = false },\n"
	" { '--name', check = function(v) require 'tunnel'.sleep(1) "
	"return #v > 2, 'too short' end },\n"
	"}, run = function(_, args)\n"
	" print(args.command, args.times, args.ratio, args.mode, args.quick, "
	"args.name, table.concat(args.rest or {}, '+'))\n"
	"end }";

static void parse(struct fixture *f, char *const *argv, struct outcome *out)
{
	int argc = 0;

	fixture_init(f);
	fixture_load(f, options_app, out);
	if (!out->ok)
		fail_msg("%s", out->error.message);
	while (argv[argc])
		argc++;
	memset(out, 0, sizeof(*out));
	assert_int_equal(script_parse_args(f->script, "app", argc, argv,
					   outcome_set, out), 0);
	virtual_loop_run(&f->v, FOREVER, &out->done);
}

static void parse_gives(char *const *argv, const char *expected)
{
	struct fixture f;
	struct outcome out;

	parse(&f, argv, &out);
	if (!out.ok)
		fail_msg("%s", out.error.message);
	fixture_start(&f, NULL, &out);
	assert_true(out.ok);
	assert_string_equal(fixture_stdout(&f), expected);
	fixture_clear(&f);
}

static void parse_fails(char *const *argv, const char *message)
{
	struct fixture f;
	struct outcome out;

	parse(&f, argv, &out);
	assert_false(out.ok);
	assert_int_equal(out.status, 64);
	if (!strstr(out.error.message, message))
		fail_msg("%s", out.error.message);
	assert_non_null(strstr(out.text, "usage: app"));
	fixture_clear(&f);
}

#define ARGS(...) ((char *[]){ __VA_ARGS__, NULL })

static void options_are_parsed(void **state)
{
	(void)state;
	parse_gives((char *[]){ NULL }, "echo\t1\tnil\tnil\tfalse\tnil\t\n");
	parse_gives(ARGS("ls", "x", "y", "--times", "3", "--ratio=0.5",
			 "--mode", "b", "--quick", "--name", "long"),
		    "ls\t3\t0.5\tb\ttrue\tlong\tx+y\n");
	parse_gives(ARGS("--no-quick", "--", "--times", "-5"),
		    "--times\t1\tnil\tnil\tfalse\tnil\t-5\n");
	parse_fails(ARGS("--times", "x"), "--times must be an integer");
	parse_fails(ARGS("--times", "10"), "at most 9");
	parse_fails(ARGS("--times"), "needs a value");
	parse_fails(ARGS("--times=1", "--times=2"), "given twice");
	parse_fails(ARGS("--mode=c"), "one of a, b");
	parse_fails(ARGS("--name=x"), "too short");
	parse_fails(ARGS("--other"), "unknown option --other");
}

static void help_is_printed(void **state)
{
	struct fixture f;
	struct outcome out;

	(void)state;
	parse(&f, ARGS("--help"), &out);
	assert_true(out.ok);
	assert_int_equal(out.status, 0);
	assert_non_null(strstr(out.text, "usage: app"));
	assert_non_null(strstr(out.text, "what to run (default echo)"));
	assert_non_null(strstr(out.text, "(at least 1; at most 9; default 1)"));
	fixture_clear(&f);
}

static void hooks_in_order(void **state)
{
	static const char source[] =
		"local tunnel = require 'tunnel'\n"
		"return { init = function(args) print('init', #args) end,\n"
		" start = function(conn) tunnel.spawn(function()\n"
		"  local _ <close> = setmetatable({}, {__close = function()\n"
		"   tunnel.sleep(0.5) print('closed') end})\n"
		"  tunnel.sleep(1000) end) print('start') end,\n"
		" on_state = function(a, b) tunnel.sleep(0.1) "
		"print('state', a, b) end,\n"
		" on_log = function(s, l) print('log', s, l) end,\n"
		" close = function(r) print('close', r.kind, r.message, r.code) "
		"end,\n"
		" on_down = function(r) return 'reconnect', 1.5 end }";
	const struct script_reason reason = { "tailnet_lost", "gone",
					      ERR_RESET };
	struct fixture f;
	struct outcome out;
	char *argv[] = { "x", NULL };

	(void)state;
	fixture_init(&f);
	fixture_load(&f, source, &out);
	assert_false(script_is_job(f.script));
	out.done = false;
	script_parse_args(f.script, "app", 1, argv, outcome_set, &out);
	virtual_loop_run(&f.v, FOREVER, &out.done);
	out.done = false;
	script_call_init(f.script, outcome_set, &out);
	virtual_loop_run(&f.v, FOREVER, &out.done);
	script_post_state(f.script, "a", "b");
	script_post_log(f.script, "agent", "line");
	script_post_path(f.script, "direct");
	fixture_start(&f, NULL, &out);
	virtual_loop_run(&f.v, f.v.now_us + 1000000, NULL);
	out.done = false;
	script_call_close(f.script, &reason, outcome_set, &out);
	virtual_loop_run(&f.v, FOREVER, &out.done);
	out.done = false;
	script_cancel_tasks(f.script, SCRIPT_TREE_TUNNEL, outcome_set, &out);
	virtual_loop_run(&f.v, FOREVER, &out.done);
	out.done = false;
	script_call_down(f.script, &reason, outcome_set, &out);
	virtual_loop_run(&f.v, FOREVER, &out.done);
	assert_int_equal(out.verdict, SCRIPT_VERDICT_RECONNECT);
	assert_int_equal(out.delay_us, 1500000);
	assert_string_equal(fixture_stdout(&f),
			    "init\t1\nstart\nstate\ta\tb\nlog\tagent\tline\n"
			    "close\ttailnet_lost\tgone\treset\nclosed\n");
	fixture_clear(&f);
}

static void slow_handlers_lose_the_oldest(void **state)
{
	struct fixture f;
	struct outcome out;
	struct script_stats stats;

	(void)state;
	fixture_init(&f);
	fixture_load(&f, "return { run = function() end, on_log = function() "
		     "require 'tunnel'.sleep(1) end }", &out);
	for (int i = 0; i < 300; i++)
		script_post_log(f.script, "agent", "line");
	script_stats(f.script, &stats);
	assert_int_equal(stats.events_dropped, 300 - 256);
	fixture_clear(&f);
}

static void unheard_failures_are_logged(void **state)
{
	struct fixture f;
	struct outcome out;

	(void)state;
	fixture_init(&f);
	fixture_run(&f, "local tunnel = require 'tunnel' return { run = "
		    "function() tunnel.spawn(function() error('lost') end) "
		    "local heard = tunnel.spawn(error, 'heard') "
		    "tunnel.sleep(0.5) heard:wait() tunnel.sleep(2) "
		    "tunnel.log.warn('hot', {b = 2, a = 'x'}) end }", &out);
	assert_true(out.ok);
	assert_non_null(strstr(f.logged, "a task failed: "));
	assert_non_null(strstr(f.logged, "lost"));
	assert_null(strstr(f.logged, "heard"));
	assert_non_null(strstr(f.logged, "app: hot a=x b=2\n"));
	fixture_clear(&f);
}

static void stubborn_tasks_are_dropped(void **state)
{
	struct fixture f;
	struct outcome out;
	struct script_stats stats;

	(void)state;
	fixture_init(&f);
	fixture_load(&f, "local tunnel = require 'tunnel' return { start = "
		     "function(conn) tunnel.spawn(function() local c <close> = "
		     "setmetatable({}, {__close = function() while true do "
		     "tunnel.sleep(0.1) end end}) tunnel.sleep(1000) end) "
		     "end }", &out);
	fixture_start(&f, NULL, &out);
	out.done = false;
	script_cancel_tasks(f.script, SCRIPT_TREE_TUNNEL, outcome_set, &out);
	virtual_loop_run(&f.v, f.v.now_us + 3000000, &out.done);
	assert_true(out.done);
	script_stats(f.script, &stats);
	assert_int_equal(stats.tasks, 0);
	fixture_clear(&f);
}

static void an_old_conn_answers_closed(void **state)
{
	struct fixture f;
	struct fake_conn fake;
	struct outcome out;
	struct script_stats stats;

	(void)state;
	fixture_init(&f);
	fake_conn_init(&fake, &f.v.loop);
	fixture_load(&f, "local tunnel = require 'tunnel' return { start = "
		     "function(conn) open = conn:dial('tcp', 7) "
		     "tunnel.spawn(function() "
		     "print(select(2, conn:dial('tcp', 1001)).code) "
		     "print(select(2, conn:dial('tcp', 7)).code) "
		     "print(select(2, conn:ping()).code, conn.agent_name) "
		     "print(conn.tunnel:state()) end) "
		     "conn.tunnel:shutdown{status = 3} end }", &out);
	fixture_start(&f, &fake.conn, &out);
	assert_true(out.ok);
	assert_int_equal(fake.shutdown_status, 3);
	script_conn_end(f.script, &fake.conn);
	assert_int_equal(fake.canceled, 1);
	virtual_loop_run(&f.v, 1000, NULL);
	assert_string_equal(fixture_stdout(&f),
			    "closed\nclosed\nclosed\tmain\nexit\n");
	script_stats(f.script, &stats);
	assert_int_equal(stats.handles, 1);
	out.done = false;
	script_cancel_tasks(f.script, SCRIPT_TREE_TUNNEL, outcome_set, &out);
	virtual_loop_run(&f.v, FOREVER, &out.done);
	script_stats(f.script, &stats);
	assert_int_equal(stats.handles, 0);
	fixture_clear(&f);
	fake_conn_clear(&fake);
}

static void free_from_done(void *user, const struct script_result *result)
{
	struct fixture *f = user;

	assert_true(result->ok);
	script_free(f->script);
	f->script = NULL;
}

static void done_may_free_the_script(void **state)
{
	struct fixture f;
	struct outcome out;

	(void)state;
	fixture_init(&f);
	fixture_load(&f, "local tunnel = require 'tunnel' return { run = "
		     "function() tunnel.spawn(tunnel.sleep, 5) end }", &out);
	script_call_start(f.script, NULL, 1, free_from_done, &f);
	virtual_loop_run(&f.v, 1000, NULL);
	assert_null(f.script);
	fixture_clear(&f);
}

static int host_function(lua_State *L)
{
	lua_pushinteger(L, *(int *)lua_touserdata(L, lua_upvalueindex(1)));
	return 1;
}

static void the_host_registers_functions(void **state)
{
	static const luaL_Reg functions[] = {
		{ "answer", host_function },
		{ NULL, NULL },
	};
	struct fixture f;
	struct outcome out;
	int answer = 42;

	(void)state;
	fixture_init(&f);
	fixture_open(&f);
	assert_int_equal(script_register(f.script, functions, &answer), 0);
	fixture_run(&f, "return { run = function() return "
		    "require 'tunnel'.answer() end }", &out);
	assert_int_equal(out.status, 42);
	fixture_clear(&f);
}

/* A fake deployment for starters. */
struct fake_workspace {
	struct script_workspace workspace;
	struct loop *loop;
	struct task answer;
	script_builds *built;
	script_parameters *parameters;
	void *user;
	int answers[4];			/* enum err of each build; 0 success */
	unsigned builds;
	char asked[512];
	char logged[512];
};

static void answer_build(struct task *task)
{
	struct fake_workspace *fake = task->user;
	struct script_build build = { "b", 8, "pending", "start", "v" };
	struct error error = { fake->answers[fake->builds], "refused" };

	fake->builds++;
	fake->built(fake->user, error.code ? NULL : &build, 1,
		    error.code ? &error : NULL);
}

static int fake_build(struct script_workspace *workspace,
		      const struct script_build_request *request,
		      script_builds *done, void *user, void **op)
{
	struct fake_workspace *fake = (struct fake_workspace *)workspace;
	size_t used = strlen(fake->asked);

	snprintf(fake->asked + used, sizeof(fake->asked) - used, "%s/%s/",
		 request->transition, request->template_version_id
		 ? request->template_version_id : "-");
	for (size_t i = 0; i < request->parameter_count; i++) {
		used = strlen(fake->asked);
		if (strcmp(request->parameters[i].name, "size") == 0)
			snprintf(fake->asked + used,
				 sizeof(fake->asked) - used, "size=%s ",
				 request->parameters[i].value);
	}
	fake->built = done;
	fake->user = user;
	fake->answer = (struct task){ .run = answer_build, .user = fake };
	task_post(fake->loop, &fake->answer);
	*op = fake;
	return 0;
}

static void answer_parameters(struct task *task)
{
	struct fake_workspace *fake = task->user;
	const struct script_parameter items[] = { { "size", "1" },
						  { "zone", "x" } };

	fake->parameters(fake->user, items, 2, NULL);
}

static int fake_parameters(struct script_workspace *workspace,
			   script_parameters *done, void *user, void **op)
{
	struct fake_workspace *fake = (struct fake_workspace *)workspace;

	fake->parameters = done;
	fake->user = user;
	fake->answer = (struct task){ .run = answer_parameters, .user = fake };
	task_post(fake->loop, &fake->answer);
	*op = fake;
	return 0;
}

static void fake_workspace_cancel(struct script_workspace *workspace, void *op)
{
	(void)op;
	task_cancel(&((struct fake_workspace *)workspace)->answer);
}

static void fake_log(struct script_workspace *workspace, const char *line)
{
	struct fake_workspace *fake = (struct fake_workspace *)workspace;

	snprintf(fake->logged, sizeof(fake->logged), "%s", line);
}

static const struct script_workspace_ops workspace_ops = {
	.build = fake_build,
	.build_parameters = fake_parameters,
	.cancel = fake_workspace_cancel,
	.log = fake_log,
};

static void start(struct fake_workspace *fake, const char *name,
		  struct outcome *out)
{
	static const struct script_parameter overrides[] = { { "size", "2" } };
	struct fixture f;
	char path[512];

	fixture_init(&f);
	fixture_open(&f);
	fake->workspace = (struct script_workspace){
		.ops = &workspace_ops, .id = "w", .name = "n", .owner = "o",
		.template_id = "t", .active_version_id = "v2",
		.latest_build = { "b", 7, "succeeded", "stop", "v1" },
		.overrides = overrides, .override_count = 1,
	};
	fake->loop = &f.v.loop;
	snprintf(path, sizeof(path), "%s/lua/starters/%s.lua", TH_SOURCE_DIR,
		 name);
	memset(out, 0, sizeof(*out));
	script_load_starter(f.script, path, outcome_set, out);
	virtual_loop_run(&f.v, FOREVER, &out->done);
	if (!out->ok)
		fail_msg("%s", out->error.message);
	memset(out, 0, sizeof(*out));
	script_start_workspace(f.script, &fake->workspace, outcome_set, out);
	virtual_loop_run(&f.v, FOREVER, &out->done);
	fixture_clear(&f);
}

static void starters(void **state)
{
	struct fake_workspace ok = { .answers = { 0 } };
	struct fake_workspace conflict = { .answers = { ERR_CONFLICT } };
	struct fake_workspace outdated = { .answers = { ERR_DENIED, 0 } };
	struct fake_workspace denied = { .answers = { ERR_DENIED,
						      ERR_DENIED } };
	struct outcome out;

	(void)state;
	start(&ok, "api", &out);
	assert_true(out.ok);
	assert_string_equal(ok.asked, "start/-/size=2 ");
	assert_string_equal(ok.logged, "build 8: pending");
	start(&conflict, "api", &out);
	assert_true(out.ok);
	assert_int_equal(conflict.builds, 1);
	start(&outdated, "api", &out);
	assert_true(out.ok);
	assert_string_equal(outdated.asked, "start/-/size=2 start/v2/size=2 ");
	start(&denied, "api", &out);
	assert_false(out.ok);
	assert_int_equal(out.status, 77);
	start(&ok, "none", &out);
	assert_true(out.ok);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_what_is_no_application),
		cmocka_unit_test(load_of_nothing),
		cmocka_unit_test(shebang_waits_and_typos),
		cmocka_unit_test(exit_statuses),
		cmocka_unit_test(options_are_parsed),
		cmocka_unit_test(help_is_printed),
		cmocka_unit_test(hooks_in_order),
		cmocka_unit_test(slow_handlers_lose_the_oldest),
		cmocka_unit_test(unheard_failures_are_logged),
		cmocka_unit_test(stubborn_tasks_are_dropped),
		cmocka_unit_test(an_old_conn_answers_closed),
		cmocka_unit_test(done_may_free_the_script),
		cmocka_unit_test(the_host_registers_functions),
		cmocka_unit_test(starters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
