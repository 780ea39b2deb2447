/* What goes wrong on the way, and that tunnels live on. */
#include "tests/simulated/streams.h"
#include "tests/simulated/world.h"

#define PORT 8000
#define MIB (1024u * 1024)

struct scene {
	struct world world;
	struct simulation_workspace *workspace;
	struct client client;
};

static void scene_init(struct scene *scene, uint64_t seed)
{
	const struct world_config config = { .seed = seed,
					     .latency_us = 2 * US_PER_MS };
	const struct simulation_workspace_config workspace = { 0 };

	world_init(&scene->world, &config);
	assert_int_equal(simulation_add_workspace(scene->world.sim,
						  &workspace,
						  &scene->workspace), 0);
	assert_int_equal(simulation_set_port(scene->workspace, PORT,
					     echo_port, NULL), 0);
	client_up(&scene->client, &scene->world,
		  simulation_agent_id(scene->workspace, 0));
}

static void scene_clear(struct scene *scene)
{
	client_close(&scene->client);
	world_clear(&scene->world);
}

static void begin_transfer(struct scene *scene, struct transfer *transfer,
			   size_t len)
{
	struct stream *stream = client_dial(&scene->client, PORT);

	assert_non_null(stream);
	transfer_init(transfer, stream, &scene->world.rng, len);
}

static void end_transfer(struct scene *scene, struct transfer *transfer)
{
	assert_true(world_run(&scene->world, 120 * US_PER_S,
			      &transfer->done));
	assert_true(transfer_is_right(transfer));
	transfer_clear(transfer);
}

static void exchange(struct scene *scene, size_t len)
{
	struct transfer transfer;

	begin_transfer(scene, &transfer, len);
	end_transfer(scene, &transfer);
}

static void the_coordinator_comes_back_to_the_same_peer(void **state)
{
	struct simulation_stats stats;
	const struct simulation_fault *fault;
	struct scene scene;
	struct uuid before, after;

	(void)state;
	scene_init(&scene, 11);
	world_run(&scene.world, US_PER_S, NULL);
	before = simulation_last_peer(scene.world.sim);
	fault = simulation_drop(scene.world.sim, SIMULATION_COORDINATE);
	assert_int_equal(fault->fired, 1);
	exchange(&scene, 20000);	/* nothing was torn down */
	world_run(&scene.world, 15 * US_PER_S, NULL);
	after = simulation_last_peer(scene.world.sim);
	assert_true(uuid_equal(&before, &after));
	simulation_get_stats(scene.world.sim, &stats);
	assert_int_equal(stats.clients, 1);
	assert_int_equal(stats.coordinate_sockets, 1);
	assert_true(stats.update_self >= 3);	/* the agent's, and twice ours */
	assert_false(scene.client.ended);
	exchange(&scene, 20000);
	scene_clear(&scene);
}

static void coordinate_is_dialled_until_it_answers(void **state)
{
	const struct simulation_fault *fault;
	struct scene scene;

	(void)state;
	scene_init(&scene, 12);
	world_run(&scene.world, US_PER_S, NULL);
	fault = simulation_fail(scene.world.sim, "/coordinate", 502, 3);
	simulation_drop(scene.world.sim, SIMULATION_COORDINATE);
	world_run(&scene.world, 30 * US_PER_S, NULL);
	assert_int_equal(fault->fired, 3);
	assert_false(scene.client.ended);
	exchange(&scene, 20000);
	scene_clear(&scene);
}

static void drop_while_data_flows(enum simulation_socket kind, uint64_t seed)
{
	const struct simulation_fault *fault;
	struct transfer transfer;
	struct scene scene;
	bool never = false;

	scene_init(&scene, seed);
	begin_transfer(&scene, &transfer, 4 * MIB);
	world_run(&scene.world, 30 * US_PER_MS, &never);
	assert_true(transfer.got > 0 && !transfer.done);
	fault = simulation_drop(scene.world.sim, kind);
	assert_true(fault->fired > 0);
	end_transfer(&scene, &transfer);
	assert_false(scene.client.ended);
	scene_clear(&scene);
}

static void the_relay_comes_back_while_data_flows(void **state)
{
	(void)state;
	drop_while_data_flows(SIMULATION_DERP, 13);
}

static void the_agents_relay_comes_back_while_data_flows(void **state)
{
	(void)state;
	drop_while_data_flows(SIMULATION_AGENT_DERP, 14);
}

static void a_restarted_agent_is_reached_again(void **state)
{
	const struct simulation_fault *fault;
	struct transfer transfer;
	struct scene scene;

	(void)state;
	scene_init(&scene, 15);
	begin_transfer(&scene, &transfer, 8 * MIB);
	world_run(&scene.world, 30 * US_PER_MS, NULL);
	fault = simulation_restart_agents(scene.workspace);
	world_run(&scene.world, US_PER_S, NULL);
	assert_int_equal(fault->fired, 1);
	/* The new agent knows nothing of the old one's connections. */
	assert_true(world_run(&scene.world, 60 * US_PER_S, &transfer.done));
	assert_int_equal(transfer.err, ERR_RESET);
	transfer_clear(&transfer);
	exchange(&scene, 20000);
	assert_false(scene.client.ended);
	scene_clear(&scene);
}

static void ready_for_handshake_may_never_come(void **state)
{
	const struct world_config config = { .seed = 16,
					     .latency_us = 2 * US_PER_MS };
	const struct simulation_workspace_config workspace_config = { 0 };
	struct simulation_workspace *workspace;
	struct client client;
	struct world world;

	(void)state;
	world_init(&world, &config);
	assert_int_equal(simulation_add_workspace(world.sim, &workspace_config,
						  &workspace), 0);
	simulation_mute_ready(world.sim, true);
	client_up(&client, &world, simulation_agent_id(workspace, 0));
	assert_true(tunnel_timeline(client.tunnel)->up_us > 5 * US_PER_S);
	client_close(&client);
	world_clear(&world);
}

static void a_stopped_agent_ends_the_tunnel(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene, 17);
	assert_int_equal(simulation_build(scene.workspace, "stop"), 0);
	assert_true(world_run(&scene.world, 60 * US_PER_S,
			      &scene.client.ended));
	assert_true(scene.client.failed);
	client_free(&scene.client);
	world_clear(&scene.world);
}

static void a_first_dial_that_is_refused_is_final(void **state)
{
	const struct world_config config = { .seed = 18 };
	const struct simulation_workspace_config workspace_config = { 0 };
	struct simulation_workspace *workspace;
	struct client client;
	struct world world;

	(void)state;
	world_init(&world, &config);
	assert_int_equal(simulation_add_workspace(world.sim, &workspace_config,
						  &workspace), 0);
	simulation_fail(world.sim, "/coordinate", 404, 0);
	client_init(&client, &world, simulation_agent_id(workspace, 0));
	assert_true(world_run(&world, 5 * US_PER_S, &client.ended));
	assert_true(client.failed);
	client_free(&client);
	world_clear(&world);
}

static void an_hour_is_nothing(void **state)
{
	struct scene scene;
	struct simulation_stats stats;

	(void)state;
	scene_init(&scene, 19);
	world_run(&scene.world, 3600 * US_PER_S, NULL);
	assert_false(scene.client.ended);
	exchange(&scene, 200000);
	world_run(&scene.world, 24 * 3600 * US_PER_S, NULL);
	exchange(&scene, 200000);
	simulation_get_stats(scene.world.sim, &stats);
	assert_int_equal(stats.coordinate_sockets, 1);
	assert_int_equal(stats.relay_sockets, 2);
	scene_clear(&scene);
}

static void a_client_that_vanishes_is_forgotten(void **state)
{
	const struct simulation_fault *fault;
	struct simulation_stats stats;
	struct client second;
	struct scene scene;

	(void)state;
	scene_init(&scene, 20);
	client_up(&second, &scene.world,
		  simulation_agent_id(scene.workspace, 0));
	/* Its coordinate socket has gone, so that it cannot say goodbye. */
	fault = simulation_fail(scene.world.sim, "/coordinate", 502, 2);
	simulation_drop(scene.world.sim, SIMULATION_COORDINATE);
	client_free(&second);
	world_run(&scene.world, 30 * US_PER_S, NULL);
	simulation_get_stats(scene.world.sim, &stats);
	assert_int_equal(fault->fired, 2);
	assert_int_equal(stats.clients, 1);
	assert_int_equal(stats.disconnects, 0);
	world_run(&scene.world, 20 * 60 * US_PER_S, NULL);
	exchange(&scene, 20000);
	scene_clear(&scene);
}

/* Many seeds, everything dropped again and again, nothing may be lost. */
static void bears_a_bad_day(void **state)
{
	(void)state;
	for (uint64_t seed = 100; seed < 106; seed++) {
		struct transfer transfer;
		struct scene scene;

		print_message("seed %llu\n", (unsigned long long)seed);
		scene_init(&scene, seed);
		begin_transfer(&scene, &transfer, 3 * MIB);
		for (int i = 0; i < 6 && !transfer.done; i++) {
			enum simulation_socket kind = rng_below(
				&scene.world.rng, 4);

			world_run(&scene.world,
				  rng_below(&scene.world.rng, 200000),
				  &transfer.done);
			simulation_drop(scene.world.sim, kind);
		}
		end_transfer(&scene, &transfer);
		scene_clear(&scene);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_coordinator_comes_back_to_the_same_peer),
		cmocka_unit_test(coordinate_is_dialled_until_it_answers),
		cmocka_unit_test(the_relay_comes_back_while_data_flows),
		cmocka_unit_test(the_agents_relay_comes_back_while_data_flows),
		cmocka_unit_test(a_restarted_agent_is_reached_again),
		cmocka_unit_test(ready_for_handshake_may_never_come),
		cmocka_unit_test(a_stopped_agent_ends_the_tunnel),
		cmocka_unit_test(a_first_dial_that_is_refused_is_final),
		cmocka_unit_test(an_hour_is_nothing),
		cmocka_unit_test(a_client_that_vanishes_is_forgotten),
		cmocka_unit_test(bears_a_bad_day),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
