/* open and simulate inside a script of the host's, on real sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/host/lua_host.h"
#include "core/io/io.h"
#include "core/script/local_io.h"

struct world {
	struct io *io;
	struct rng rng;
	struct script_local *local;
	struct login login;
	struct lua_host host;
	struct script *script;
	bool done;
	bool ok;
	char message[8192];
};

static void on_done(void *user, const struct script_result *result)
{
	struct world *world = user;

	world->done = true;
	world->ok = result->ok;
	snprintf(world->message, sizeof(world->message), "%s\n%s",
		 result->error.message,
		 result->traceback ? result->traceback : "");
}

static void wait_done(struct world *world, const char *what)
{
	io_run(world->io, &world->done);
	if (!world->ok)
		fail_msg("%s: %s", what, world->message);
	world->done = false;
}

static void open_world(struct world *world, bool trusted)
{
	const struct io_config io_config = { 0 };
	struct error error;

	*world = (struct world){ .login = { .url = "http://127.0.0.1:1",
					    .token = "a-token" } };
	assert_int_equal(io_new(&io_config, &world->io, &error), 0);
	rng_seeded(&world->rng, 1);
	assert_int_equal(script_local_io_new(world->io, &world->local), 0);
	world->host = (struct lua_host){
		.io = world->io,
		.rng = &world->rng,
		.lua_path = TH_SOURCE_DIR "/lua",
		.login = &world->login,
		.trusted = trusted,
	};
}

static void open_script(struct world *world)
{
	const struct script_config config = {
		.loop = io_loop(world->io),
		.rng = &world->rng,
		.local = world->local,
		.lua_path = TH_SOURCE_DIR "/lua",
		.cpu_us = 20 * US_PER_S,	/* sanitizers are slow */
		.trusted = world->host.trusted,
	};
	struct error error;

	assert_int_equal(script_new(&config, &world->script, &error), 0);
	assert_int_equal(lua_host_register(world->script, &world->host), 0);
}

/* Where check.lua is: the first script's directory stays. */
static void load_beside_check(struct world *world)
{
	static const char source[] = "return { run = function() end }";

	assert_int_equal(script_load_app_source(
				 world->script, source, strlen(source),
				 "@" TH_SOURCE_DIR "/tests/unit/script/x.lua",
				 on_done, world), 0);
	wait_done(world, "source");
}

static void run_file(struct world *world, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/tests/unit/host/%s.lua",
		 TH_SOURCE_DIR, name);
	load_beside_check(world);
	assert_int_equal(script_load_app(world->script, path, on_done, world),
			 0);
	wait_done(world, name);
	assert_int_equal(script_call_start(world->script, NULL, 1, on_done,
					   world), 0);
	wait_done(world, name);
}

static void close_world(struct world *world)
{
	script_free(world->script);
	script_local_io_free(world->local);
	io_free(world->io);
}

static void run_suite(const char *name, bool trusted)
{
	struct script_stats stats;
	struct world world;

	open_world(&world, trusted);
	open_script(&world);
	run_file(&world, name);
	script_stats(world.script, &stats);
	assert_int_equal(stats.tasks, 0);
	close_world(&world);
}

static void open_and_simulate(void **state)
{
	(void)state;
	run_suite("open", true);
}

static void sandboxed(void **state)
{
	(void)state;
	run_suite("sandbox", false);
}

static void meta_names_what_is_registered(void **state)
{
	(void)state;
	run_suite("meta", true);
}

static void a_freed_script_leaves_nothing(void **state)
{
	struct world world;

	(void)state;
	open_world(&world, true);
	open_script(&world);
	run_file(&world, "abandon");
	close_world(&world);
}

/* As when the tunnel ends whose application has opened all that. */
static void an_ended_tree_leaves_nothing(void **state)
{
	struct script_stats stats;
	struct world world;

	(void)state;
	open_world(&world, true);
	open_script(&world);
	run_file(&world, "abandon");
	assert_int_equal(script_cancel_tasks(world.script, SCRIPT_TREE_TUNNEL,
					     on_done, &world), 0);
	wait_done(&world, "cancel");
	script_stats(world.script, &stats);
	assert_int_equal(stats.handles, 0);
	close_world(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_and_simulate),
		cmocka_unit_test(sandboxed),
		cmocka_unit_test(meta_names_what_is_registered),
		cmocka_unit_test(a_freed_script_leaves_nothing),
		cmocka_unit_test(an_ended_tree_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
