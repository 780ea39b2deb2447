/* The deployment on real sockets, and a tunnel to it on the same loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/simulate/serve.h"
#include "core/tunnel/tunnel.h"
#include "tests/simulated/streams.h"

#define PATIENCE_US (20 * US_PER_S)
#define LENGTH 300000

struct scene {
	struct io *io;
	struct rng rng;
	struct simulate_server *server;
	struct tunnel *tunnel;
	struct http_header header;
	bool up;
	bool ended;
	bool timed_out;
	struct timer patience;
	struct stream *stream;
	bool dialed;
	struct error error;
};

static void lose_patience(struct timer *timer)
{
	struct scene *scene = timer->user;

	scene->timed_out = true;
	io_stop(scene->io);
}

static void wait_for(struct scene *scene, const bool *done)
{
	struct loop *loop = io_loop(scene->io);

	if (*done)
		return;
	timer_set(loop, &scene->patience, loop_now_us(loop) + PATIENCE_US);
	io_run(scene->io, done);
	timer_stop(loop, &scene->patience);
	assert_false(scene->timed_out);
	assert_true(*done);
}

static void on_up(void *user)
{
	struct scene *scene = user;

	scene->up = true;
}

static void on_end(void *user, const struct error *error)
{
	struct scene *scene = user;

	scene->ended = true;
	if (!error)
		return;
	scene->error = *error;
	print_message("tunnel: %s\n", error->message);
}

static const struct tunnel_events events = {
	.on_up = on_up,
	.on_end = on_end,
};

static void open_tunnel(struct scene *scene)
{
	struct simulation *sim = simulate_server_simulation(scene->server);
	const struct tunnel_config config = {
		.loop = io_loop(scene->io),
		.network = io_network(scene->io),
		.rng = &scene->rng,
		.url = simulation_url(sim),
		.headers = &scene->header,
		.header_count = 1,
		.agent_id = *simulation_agent_id(
			simulate_server_workspace(scene->server), 0),
		.derp_map = simulation_derp_map(sim),
		.events = &events,
		.user = scene,
	};

	scene->header = (struct http_header){ "Coder-Session-Token",
					      simulation_token(sim) };
	assert_int_equal(tunnel_new(&config, &scene->tunnel, &scene->error),
			 0);
	wait_for(scene, &scene->up);
}

static void dialed(void *user, struct stream *stream,
		   const struct error *error)
{
	struct scene *scene = user;

	scene->dialed = true;
	scene->stream = stream;
	if (error)
		scene->error = *error;
}

static struct stream *dial(struct scene *scene, uint16_t port)
{
	struct tunnel_dial *dialing;

	scene->dialed = false;
	scene->stream = NULL;
	assert_int_equal(tunnel_dial(scene->tunnel, port, PATIENCE_US, dialed,
				     scene, &dialing), 0);
	wait_for(scene, &scene->dialed);
	return scene->stream;
}

static void make_io(struct scene *scene, const char *ca_file)
{
	const struct io_config config = { .ca_file = ca_file };

	memset(scene, 0, sizeof(*scene));
	rng_system(&scene->rng);
	scene->patience = (struct timer){ .fire = lose_patience,
					  .user = scene };
	assert_int_equal(io_new(&config, &scene->io, &scene->error), 0);
}

static void scene_init(struct scene *scene, struct simulate_serve_config how)
{
	make_io(scene, NULL);
	how.io = scene->io;
	how.rng = &scene->rng;
	assert_int_equal(simulate_serve(&how, &scene->server, &scene->error),
			 0);
	open_tunnel(scene);
}

static void scene_clear(struct scene *scene)
{
	tunnel_close(scene->tunnel);
	wait_for(scene, &scene->ended);
	tunnel_free(scene->tunnel);
	simulate_server_free(scene->server);
	io_free(scene->io);
}

/* To a real port of this machine, through the agent. */
static void forward(struct scene *scene, const char *listen)
{
	char bound[STREAM_ADDRESS_CAP];
	struct io_listener *listener;
	struct transfer transfer;
	struct stream *stream;
	uint16_t port;

	assert_int_equal(io_listen(scene->io, listen, echo_port, NULL,
				   &listener, bound, &scene->error), 0);
	port = (uint16_t)strtoul(strrchr(bound, ':') + 1, NULL, 10);
	stream = dial(scene, port);
	assert_non_null(stream);
	transfer_init(&transfer, stream, &scene->rng, LENGTH);
	wait_for(scene, &transfer.done);
	assert_true(transfer_is_right(&transfer));
	transfer_clear(&transfer);
	io_listener_close(listener);
	assert_null(dial(scene, port));
	assert_int_equal(scene->error.code, ERR_REFUSED);
}

static void forwards_by_upgrade(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene, (struct simulate_serve_config){ .agents = 1 });
	forward(&scene, "127.0.0.1:0");
	scene_clear(&scene);
}

static void forwards_by_websocket(void **state)
{
	const struct simulate_serve_config how = { .websockets_only = true };
	struct scene scene;

	(void)state;
	scene_init(&scene, how);
	forward(&scene, "[::1]:0");
	scene_clear(&scene);
}

static void comes_back_when_dropped(void **state)
{
	struct scene scene;
	struct simulation *sim;

	(void)state;
	scene_init(&scene, (struct simulate_serve_config){ .agents = 1 });
	sim = simulate_server_simulation(scene.server);
	assert_int_equal(simulation_drop(sim, SIMULATION_COORDINATE)->fired,
			 1);
	assert_int_equal(simulation_drop(sim, SIMULATION_DERP)->fired, 1);
	forward(&scene, "127.0.0.1:0");
	scene_clear(&scene);
}

static void says_where_it_is(void **state)
{
	const struct simulate_serve_config how = { .tls = true };
	struct simulate_serve_config config = how;
	const struct simulate_facts *facts;
	struct scene scene;
	struct buf out;

	(void)state;
	make_io(&scene, NULL);
	config.io = scene.io;
	config.rng = &scene.rng;
	config.workspace_state = "odd";
	assert_int_equal(simulate_serve(&config, &scene.server, &scene.error),
			 ERR_MISUSE);
	config.workspace_state = "running";
	assert_int_equal(simulate_serve(&config, &scene.server, &scene.error),
			 0);
	facts = simulate_server_facts(scene.server);
	assert_memory_equal(facts->url, "https://127.0.0.1:", 18);
	assert_int_equal(access(facts->ca_file, R_OK), 0);
	buf_init(&out, 65536);
	assert_int_equal(simulate_server_json(scene.server, &out), 0);
	assert_int_equal(buf_append(&out, "", 1), 0);
	assert_non_null(strstr((char *)buf_data(&out), "\"name\":\"main\""));
	buf_clear(&out);
	assert_int_equal(simulate_server_exports(scene.server, &out), 0);
	assert_memory_equal(buf_data(&out), "export CODER_URL=https://", 25);
	buf_clear(&out);
	simulate_server_free(scene.server);
	io_free(scene.io);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forwards_by_upgrade),
		cmocka_unit_test(forwards_by_websocket),
		cmocka_unit_test(comes_back_when_dropped),
		cmocka_unit_test(says_where_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
