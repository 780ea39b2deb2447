/* REST and the watch, as the client's own decoders understand them. */
#include "core/rest/answers.h"
#include "core/watch/watch.h"
#include "tests/simulated/world.h"

#define ANSWER_CAP (256 * 1024)

struct scene {
	struct world world;
	struct simulation_workspace *workspace;
	char id[UUID_TEXT_CAP];
	char answer[ANSWER_CAP];
};

static void scene_init(struct scene *scene,
		       const struct simulation_workspace_config *config)
{
	const struct world_config world = { .seed = 21,
					    .latency_us = US_PER_MS };

	world_init(&scene->world, &world);
	assert_int_equal(simulation_add_workspace(scene->world.sim, config,
						  &scene->workspace), 0);
	uuid_to_text(simulation_workspace_id(scene->workspace), scene->id);
}

static int get(struct scene *scene, const char *format, const char *id)
{
	char path[256];

	snprintf(path, sizeof(path), format, id);
	return world_http(&scene->world, "GET", path, NULL, scene->answer,
			  ANSWER_CAP);
}

static int post_build(struct scene *scene, const char *body)
{
	char path[256];

	snprintf(path, sizeof(path), "/api/v2/workspaces/%s/builds",
		 scene->id);
	return world_http(&scene->world, "POST", path, body, scene->answer,
			  ANSWER_CAP);
}

static const struct simulation_workspace_config running = { 0 };
static const struct simulation_workspace_config stopped = { .stopped = true };
static struct scene scene;

static void tells_of_workspaces(void **state)
{
	struct rest_workspace workspace;
	struct error error;

	(void)state;
	scene_init(&scene, &running);
	assert_int_equal(get(&scene, "/api/v2/users/me/workspace/%s",
			     "workspace"), 200);
	assert_int_equal(rest_decode_workspace(scene.answer,
					       strlen(scene.answer),
					       &workspace, &error), 0);
	assert_true(uuid_equal(&workspace.id,
			       simulation_workspace_id(scene.workspace)));
	assert_string_equal(workspace.owner, "simulated");
	assert_string_equal(workspace.latest_build.transition, "start");
	assert_string_equal(workspace.latest_build.job_status, "succeeded");
	assert_string_equal(workspace.latest_build.status, "running");
	assert_int_equal(workspace.agent_count, 1);
	assert_string_equal(workspace.agents[0].name, "main");
	assert_string_equal(workspace.agents[0].lifecycle_state, "ready");
	assert_true(uuid_equal(&workspace.agents[0].id,
			       simulation_agent_id(scene.workspace, 0)));
	assert_int_equal(get(&scene, "/api/v2/workspaces/%s", scene.id), 200);
	assert_int_equal(get(&scene, "/api/v2/workspaces%s", ""), 200);
	assert_non_null(strstr(scene.answer, "\"count\":1"));
	assert_int_equal(get(&scene, "/api/v2/users/me%s", ""), 200);
	assert_int_equal(get(&scene, "/api/v2/buildinfo%s", ""), 200);
	world_clear(&scene.world);
}

static void tells_how_to_connect(void **state)
{
	struct rest_connection connection;
	char agent[UUID_TEXT_CAP];
	struct error error;

	(void)state;
	scene_init(&scene, &running);
	uuid_to_text(simulation_agent_id(scene.workspace, 0), agent);
	assert_int_equal(get(&scene,
			     "/api/v2/workspaceagents/%s/connection", agent),
			 200);
	assert_int_equal(rest_decode_connection(scene.answer,
						strlen(scene.answer),
						&connection, &error), 0);
	assert_true(derp_map_equal(&connection.derp_map,
				   simulation_derp_map(scene.world.sim)));
	assert_false(connection.disable_direct_connections);
	assert_false(connection.derp_force_websockets);
	derp_map_clear(&connection.derp_map);
	assert_int_equal(get(&scene, "/api/v2/workspaceagents/%s", agent),
			 200);
	world_clear(&scene.world);
}

static void has_a_region_for_upgrades(void **state)
{
	const struct world_config config = { .seed = 22 };
	const struct derp_map *map;
	struct world world;

	(void)state;
	world_init(&world, &config);
	assert_int_equal(simulation_set_upgrade_port(world.sim, 9000), 0);
	map = simulation_derp_map(world.sim);
	assert_int_equal(map->region_count, 2);
	assert_int_equal(derp_map_first_home(map), SIMULATION_UPGRADE_REGION);
	assert_int_equal(derp_map_relay(&map->regions[0])->derp_port, 9000);
	assert_false(map->regions[0].embedded_relay);
	assert_true(map->regions[1].embedded_relay);
	assert_true(map->regions[1].avoid);
	assert_string_equal(derp_map_relay(&map->regions[1])->name, "999b");
	assert_int_equal(derp_map_relay(&map->regions[1])->stun_port, -1);
	assert_true(map->regions[1].nodes[0].stun_only);
	world_clear(&world);
}

static void refuses_as_coder_does(void **state)
{
	char agent[UUID_TEXT_CAP];

	(void)state;
	scene_init(&scene, &running);
	uuid_to_text(simulation_agent_id(scene.workspace, 0), agent);
	assert_int_equal(get(&scene, "/api/v2/users/me/workspace/%s", "no"),
			 404);
	assert_non_null(strstr(scene.answer, "Resource not found or"));
	assert_int_equal(get(&scene, "/api/v2/workspaces/%s", "no"), 400);
	assert_int_equal(get(&scene, "/api/v2/workspaces/%s", agent), 404);
	assert_int_equal(get(&scene, "/api/v2/workspaceagents/%s", scene.id),
			 404);
	assert_int_equal(get(&scene, "/api/v2/%s", "no"), 404);
	assert_non_null(strstr(scene.answer, "Route not found."));
	assert_int_equal(get(&scene, "/%s", "no"), 404);
	/* What a WebSocket would be refused for, asked plainly. */
	assert_int_equal(get(&scene, "/api/v2/workspaceagents/%s/coordinate",
			     agent), 400);
	assert_non_null(strstr(scene.answer, "\"field\":\"version\""));
	assert_int_equal(get(&scene,
			     "/api/v2/workspaceagents/%s/coordinate"
			     "?version=2.0&resume_token=no", agent), 401);
	assert_non_null(strstr(scene.answer, "\"field\":\"resume_token\""));
	assert_int_equal(get(&scene,
			     "/api/v2/workspaceagents/%s/coordinate"
			     "?version=2.0", agent), 426);
	scene.world.header.value = "";
	assert_int_equal(get(&scene, "/api/v2/workspaces/%s", scene.id), 401);
	assert_non_null(strstr(scene.answer, "must be provided."));
	scene.world.header.value = "no";
	assert_int_equal(get(&scene, "/api/v2/workspaces/%s", scene.id), 401);
	assert_non_null(strstr(scene.answer, "expected 2 got 1"));
	world_clear(&scene.world);
}

static void builds_one_after_the_other(void **state)
{
	struct rest_build build;
	struct error error;
	struct uuid first;
	char build_id[UUID_TEXT_CAP];

	(void)state;
	scene_init(&scene, &running);
	first = *simulation_agent_id(scene.workspace, 0);
	assert_int_equal(post_build(&scene, "no"), 400);
	assert_int_equal(post_build(&scene, "{\"transition\":\"no\"}"), 400);
	assert_non_null(strstr(scene.answer, "\"field\":\"transition\""));
	assert_int_equal(post_build(&scene,
				    "{\"transition\":\"stop\","
				    "\"rich_parameter_values\":[{\"name\":"
				    "\"size\",\"value\":\"2\"}]}"), 201);
	assert_int_equal(rest_decode_build(scene.answer, strlen(scene.answer),
					   &build, &error), 0);
	assert_string_equal(build.job_status, "pending");
	assert_int_equal(build.number, 2);
	assert_int_equal(post_build(&scene, "{\"transition\":\"start\"}"),
			 409);
	world_run(&scene.world, US_PER_S, NULL);
	assert_int_equal(simulation_agent_count(scene.workspace), 0);
	assert_int_equal(post_build(&scene, "{\"transition\":\"start\"}"),
			 201);
	world_run(&scene.world, US_PER_S, NULL);
	assert_int_equal(simulation_agent_count(scene.workspace), 1);
	assert_false(uuid_equal(&first,
				simulation_agent_id(scene.workspace, 0)));
	assert_int_equal(get(&scene, "/api/v2/workspaces/%s/builds?limit=2",
			     scene.id), 200);
	assert_non_null(strstr(scene.answer, "\"build_number\":3"));
	assert_non_null(strstr(scene.answer, "\"build_number\":2"));
	assert_null(strstr(scene.answer, "\"build_number\":1"));
	/* The stop build's values are the start build's, too. */
	uuid_to_text(&build.id, build_id);
	assert_int_equal(get(&scene, "/api/v2/workspacebuilds/%s/parameters",
			     build_id), 200);
	assert_string_equal(scene.answer,
			    "[{\"name\":\"size\",\"value\":\"2\"}]");
	assert_int_equal(get(&scene, "/api/v2/workspacebuilds/%s", build_id),
			 200);
	world_clear(&scene.world);
}

/* --- the watch ------------------------------------------------------------------ */

struct watching {
	struct watch *watch;
	char seen[2048];	/* "start/pending …" */
	bool fatal;
	char why[ERROR_MESSAGE_CAP];
};

static void note(struct watching *watching, const char *a, const char *b)
{
	size_t len = strlen(watching->seen);

	snprintf(watching->seen + len, sizeof(watching->seen) - len,
		 "%s%s/%s", len ? " " : "", a, b);
}

static void on_event(void *user, const struct fsm_event *event)
{
	if (event->kind == FSM_BUILD_UPDATE)
		note(user, fsm_transition_name(event->build.transition),
		     fsm_job_status_name(event->build.job_status));
	else
		note(user, "agent",
		     fsm_lifecycle_name(event->agent.lifecycle));
}

static void on_fatal(void *user, const struct error *error)
{
	struct watching *watching = user;

	watching->fatal = true;
	snprintf(watching->why, sizeof(watching->why), "%s", error->message);
}

static const struct watch_handlers handlers = {
	.on_event = on_event,
	.on_fatal = on_fatal,
};

static void begin_watch(struct watching *watching, const char *agent)
{
	const struct watch_config config = {
		.network = scene.world.network,
		.loop = &scene.world.v.loop,
		.rng = &scene.world.rng,
		.log = &scene.world.log,
		.url = WORLD_URL,
		.token = scene.world.token,
		.workspace_id = *simulation_workspace_id(scene.workspace),
		.agent_name = agent,
		.handlers = &handlers,
		.user = watching,
	};
	struct error error;

	memset(watching, 0, sizeof(*watching));
	assert_int_equal(watch_new(&config, &watching->watch, &error), 0);
	world_run(&scene.world, 100 * US_PER_MS, NULL);
}

static void watches_a_workspace_start(void **state)
{
	struct watching watching;

	(void)state;
	scene_init(&scene, &stopped);
	begin_watch(&watching, NULL);
	assert_string_equal(watching.seen, "stop/succeeded");
	assert_int_equal(post_build(&scene, "{\"transition\":\"start\"}"),
			 201);
	world_run(&scene.world, 5 * US_PER_S, NULL);
	assert_string_equal(watching.seen,
			    "stop/succeeded start/pending start/running "
			    "start/succeeded agent/created agent/starting "
			    "agent/ready");
	assert_int_equal(simulation_emit(scene.workspace,
					 "{\"error\":null,\"build_update\":"
					 "{\"transition\":\"delete\","
					 "\"job_status\":\"running\"}}")
				 ->fired, 1);
	world_run(&scene.world, US_PER_S, NULL);
	assert_non_null(strstr(watching.seen, " delete/running"));
	watch_free(watching.watch);
	world_clear(&scene.world);
}

static void watches_again_after_a_drop(void **state)
{
	struct watching watching;

	(void)state;
	scene_init(&scene, &running);
	begin_watch(&watching, NULL);
	assert_string_equal(watching.seen, "start/succeeded agent/ready");
	assert_int_equal(simulation_drop(scene.world.sim, SIMULATION_WATCH)
				 ->fired, 1);
	world_run(&scene.world, 10 * US_PER_S, NULL);
	assert_string_equal(watching.seen,
			    "start/succeeded agent/ready "
			    "start/succeeded agent/ready");
	watch_free(watching.watch);
	world_clear(&scene.world);
}

static void watches_a_build_fail(void **state)
{
	const struct simulation_workspace_config failing = {
		.stopped = true, .fail = true };
	struct watching watching;

	(void)state;
	scene_init(&scene, &failing);
	begin_watch(&watching, NULL);
	assert_int_equal(simulation_build(scene.workspace, "start"), 0);
	world_run(&scene.world, 5 * US_PER_S, NULL);
	assert_string_equal(watching.seen,
			    "stop/succeeded start/pending start/running "
			    "start/failed");
	watch_free(watching.watch);
	world_clear(&scene.world);
}

static void watches_one_of_many_agents(void **state)
{
	const struct simulation_workspace_config many = { .agents = 3 };
	struct watching watching;

	(void)state;
	scene_init(&scene, &many);
	begin_watch(&watching, NULL);
	assert_true(watching.fatal);
	assert_non_null(strstr(watching.why, "more than one agent"));
	watch_free(watching.watch);
	begin_watch(&watching, "agent3");
	assert_true(watching.fatal);
	assert_non_null(strstr(watching.why, "not found by name"));
	watch_free(watching.watch);
	begin_watch(&watching, "agent2");
	assert_false(watching.fatal);
	assert_string_equal(watching.seen, "start/succeeded agent/ready");
	watch_free(watching.watch);
	world_clear(&scene.world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_of_workspaces),
		cmocka_unit_test(tells_how_to_connect),
		cmocka_unit_test(has_a_region_for_upgrades),
		cmocka_unit_test(refuses_as_coder_does),
		cmocka_unit_test(builds_one_after_the_other),
		cmocka_unit_test(watches_a_workspace_start),
		cmocka_unit_test(watches_again_after_a_drop),
		cmocka_unit_test(watches_a_build_fail),
		cmocka_unit_test(watches_one_of_many_agents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
