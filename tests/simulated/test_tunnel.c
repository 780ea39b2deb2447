/* The whole way: a client's tunnel to an agent of the deployment. */
#include "tests/simulated/world.h"

static void comes_up_and_closes(void **state)
{
	const struct world_config config = { .seed = 1,
					     .latency_us = 5 * US_PER_MS };
	const struct simulation_workspace_config workspace_config = { 0 };
	struct simulation_workspace *workspace;
	struct simulation_stats stats;
	struct client client;
	struct world world;

	(void)state;
	world_init(&world, &config);
	assert_int_equal(simulation_add_workspace(world.sim, &workspace_config,
						  &workspace), 0);
	client_up(&client, &world, simulation_agent_id(workspace, 0));
	client_close(&client);
	world_run(&world, US_PER_S, NULL);
	simulation_get_stats(world.sim, &stats);
	assert_int_equal(stats.disconnects, 1);
	assert_int_equal(stats.clients, 0);
	assert_int_equal(stats.coordinate_sockets, 0);
	assert_int_equal(stats.relay_sockets, 1);	/* the agent's */
	world_clear(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_up_and_closes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
