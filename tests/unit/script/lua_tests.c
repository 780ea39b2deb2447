/* Runs the suites that are written in Lua. */
#include "fake_conn.h"
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void run_file(struct fixture *f, const char *name,
		     struct script_conn *conn)
{
	struct outcome out = { 0 };
	char path[512];

	snprintf(path, sizeof(path), "%s/tests/unit/script/%s.lua",
		 TH_SOURCE_DIR, name);
	if (!f->script)
		fixture_open(f);
	assert_int_equal(script_load_app(f->script, path, outcome_set, &out),
			 0);
	virtual_loop_run(&f->v, FOREVER, &out.done);
	if (!out.ok)
		fail_msg("load: %s\n%s", out.error.message, out.traceback);
	fixture_start(f, conn, &out);
	if (!out.ok)
		fail_msg("%s: %s\n%s", name, out.error.message, out.traceback);
	assert_int_equal(out.status, 0);
}

static void tasks(void **state)
{
	struct fixture f;
	struct script_stats stats;

	(void)state;
	setenv("TH_TEST_PLAIN", "yes", 1);
	setenv("CODER_SESSION_TOKEN", "hidden", 1);
	fixture_init(&f);
	run_file(&f, "tasks", NULL);
	script_stats(f.script, &stats);
	assert_int_equal(stats.handles, 0);
	fixture_clear(&f);
}

static void patterns(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f);
	run_file(&f, "patterns", NULL);
	fixture_clear(&f);
}

static void streams(void **state)
{
	static const char input[] = "line1\n42\nxyz\np\nq";
	struct fixture f;
	struct fake_conn fake;
	struct script_stats stats;
	const char *text;

	(void)state;
	fixture_init(&f);
	fake_conn_init(&fake, &f.v.loop);
	f.config.local = &fake.local;
	stream_write(f.stdio[1], input, sizeof(input) - 1);
	stream_shutdown(f.stdio[1]);
	run_file(&f, "streams", &fake.conn);
	text = fixture_stdout(&f);
	assert_string_equal(text, "a1\nb\tnil\ncd\nf\n");
	assert_int_equal(fake.canceled, 2);
	script_stats(f.script, &stats);
	script_conn_end(f.script, &fake.conn);
	fixture_clear(&f);
	fake_conn_clear(&fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tasks),
		cmocka_unit_test(patterns),
		cmocka_unit_test(streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
