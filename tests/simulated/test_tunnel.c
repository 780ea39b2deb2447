/* The whole way: a client's tunnel to an agent of the deployment. */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "core/base/pipe.h"
#include "core/conn/sshc.h"
#include "tests/simulated/streams.h"
#include "tests/simulated/world.h"

#define MIB (1024u * 1024)
#define PORT 8000

static struct simulation_workspace *
add_workspace(struct world *world)
{
	const struct simulation_workspace_config config = { 0 };
	struct simulation_workspace *workspace;

	assert_int_equal(simulation_add_workspace(world->sim, &config,
						  &workspace), 0);
	assert_int_equal(simulation_set_port(workspace, PORT, echo_port, NULL),
			 0);
	return workspace;
}

/* A deployment, a workspace and a tunnel to its agent. */
struct scene {
	struct world world;
	struct simulation_workspace *workspace;
	struct client client;
};

static void scene_init(struct scene *scene, const struct world_config *config)
{
	world_init(&scene->world, config);
	scene->workspace = add_workspace(&scene->world);
	client_up(&scene->client, &scene->world,
		  simulation_agent_id(scene->workspace, 0));
}

static void scene_clear(struct scene *scene)
{
	struct simulation_stats stats;

	client_close(&scene->client);
	world_run(&scene->world, 5 * US_PER_S, NULL);
	simulation_get_stats(scene->world.sim, &stats);
	assert_int_equal(stats.clients, 0);
	assert_int_equal(stats.disconnects, 1);
	assert_int_equal(stats.coordinate_sockets, 0);
	assert_int_equal(stats.relay_sockets, 1);	/* the agent's */
	assert_int_equal(stats.flows_open, 0);
	world_clear(&scene->world);
}

static const struct world_config plain = { .seed = 1,
					   .latency_us = 2 * US_PER_MS };

static void comes_up_and_closes(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene, &plain);
	scene_clear(&scene);
}

static void echo_a_mebibyte(const struct world_config *config)
{
	struct scene scene;
	struct transfer transfer;
	struct stream *stream;

	scene_init(&scene, config);
	stream = client_dial(&scene.client, PORT);
	assert_non_null(stream);
	transfer_init(&transfer, stream, &scene.world.rng, MIB);
	assert_true(world_run(&scene.world, 60 * US_PER_S, &transfer.done));
	assert_true(transfer_is_right(&transfer));
	transfer_clear(&transfer);
	scene_clear(&scene);
}

static void carries_data_by_upgrade(void **state)
{
	(void)state;
	echo_a_mebibyte(&plain);
}

static void carries_data_in_chunks(void **state)
{
	const struct world_config config = { .seed = 2,
					     .latency_us = US_PER_MS,
					     .chunk_cap = 3000 };

	(void)state;
	echo_a_mebibyte(&config);
}

static void carries_data_by_websocket(void **state)
{
	const struct world_config config = { .seed = 3,
					     .latency_us = US_PER_MS,
					     .refuse_upgrade = true };

	(void)state;
	echo_a_mebibyte(&config);
}

static void carries_data_without_latency(void **state)
{
	const struct world_config config = { .seed = 4 };

	(void)state;
	echo_a_mebibyte(&config);
}

static void a_closed_port_refuses(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene, &plain);
	assert_null(client_dial(&scene.client, 9));
	assert_int_equal(scene.client.error.code, ERR_REFUSED);
	scene_clear(&scene);
}

struct pinged {
	struct tunnel_ping ping;
	bool done;
	bool answered;
};

static void on_ping(void *user, const struct tunnel_ping *ping,
		    const struct error *error)
{
	struct pinged *pinged = user;

	pinged->done = true;
	pinged->answered = error == NULL;
	if (ping)
		pinged->ping = *ping;
}

static void answers_pings(void **state)
{
	struct pinged pinged = { .done = false };
	struct scene scene;

	(void)state;
	scene_init(&scene, &plain);
	assert_int_equal(tunnel_ping(scene.client.tunnel, US_PER_S, on_ping,
				     &pinged), 0);
	assert_true(world_run(&scene.world, 2 * US_PER_S, &pinged.done));
	assert_true(pinged.answered);
	/* Client, agent and back: by the relay it would be four times. */
	assert_int_equal(pinged.ping.latency_us, 2 * plain.latency_us);
	assert_int_equal(pinged.ping.derp_region, SIMULATION_REGION);
	assert_true(pinged.ping.direct);
	scene_clear(&scene);
}

/* --- the dialler of forwarded ports, on pipes ------------------------------- */

#define SERVED 7000	/* on ::1 alone */

struct dial {
	struct task task;
	struct loop *loop;
	bool works;
	simulation_dialed *done;
	void *user;
	unsigned *open;
};

static unsigned dials_open;
static struct loop *dial_loop;

static void run_dial(struct task *task)
{
	struct dial *dial = task->user;
	simulation_dialed *done = dial->done;
	struct stream *ends[2] = { NULL, NULL };
	struct error error = { .code = 0 };
	void *user = dial->user;

	if (dial->works) {
		assert_int_equal(pipe_new(dial->loop, 65536, ends), 0);
		echo_port(NULL, ends[1]);
	} else {
		error_set(&error, ERR_REFUSED, "refused");
	}
	free(dial);
	dials_open--;
	done(user, ends[0], ends[0] ? NULL : &error);
}

static int begin_dial(void *context, const char *address, uint64_t timeout_us,
		      simulation_dialed *done, void *user, void **op,
		      struct error *error)
{
	struct dial *dial = calloc(1, sizeof(*dial));

	(void)context;
	(void)timeout_us;
	(void)error;
	*dial = (struct dial){ .loop = dial_loop, .done = done, .user = user };
	dial->works = strcmp(address, "[::1]:7000") == 0;
	dial->task = (struct task){ .run = run_dial, .user = dial };
	task_post(dial_loop, &dial->task);
	dials_open++;
	*op = dial;
	return 0;
}

static void cancel_dial(void *context, void *op)
{
	struct dial *dial = op;

	(void)context;
	task_cancel(&dial->task);
	free(dial);
	dials_open--;
}

static const struct simulation_dialer dialer = {
	.dial = begin_dial,
	.cancel = cancel_dial,
};

static void forwards_other_ports(void **state)
{
	const struct world_config config = { .seed = 5,
					     .latency_us = US_PER_MS,
					     .dialer = &dialer };
	struct scene scene;
	struct transfer transfer;
	struct stream *stream;

	(void)state;
	dial_loop = &scene.world.v.loop;
	scene_init(&scene, &config);
	assert_null(client_dial(&scene.client, SERVED + 1));
	assert_int_equal(scene.client.error.code, ERR_REFUSED);
	stream = client_dial(&scene.client, SERVED);
	assert_non_null(stream);
	transfer_init(&transfer, stream, &scene.world.rng, 100000);
	assert_true(world_run(&scene.world, 60 * US_PER_S, &transfer.done));
	assert_true(transfer_is_right(&transfer));
	transfer_clear(&transfer);
	assert_int_equal(dials_open, 0);
	scene_clear(&scene);
}

/* --- UDP --------------------------------------------------------------------- */

struct echo_socket {
	struct datagram *socket;
	unsigned got;
};

static void echo_datagram(void *user, const struct sockaddr *from,
			  uint8_t *data, size_t len, size_t segment)
{
	struct echo_socket *echo = user;

	echo->got++;
	(void)echo->socket->ops->send(echo->socket, from, data, len, segment);
}

struct udp_answer {
	char text[64];
	bool done;
};

static void udp_answered(void *user, const uint8_t *data, size_t len)
{
	struct udp_answer *answer = user;

	snprintf(answer->text, sizeof(answer->text), "%.*s", (int)len,
		 (const char *)data);
	answer->done = true;
}

static void forwards_udp(void **state)
{
	static const struct datagram_events events = {
		.on_receive = echo_datagram,
	};
	struct sockaddr_storage where;
	struct echo_socket echo = { .got = 0 };
	struct udp_answer answer = { .done = false };
	struct sockaddr_in v4;
	struct tunnel_udp *udp;
	struct scene scene;
	struct error error;

	(void)state;
	scene_init(&scene, &plain);
	assert_int_equal(network_open_datagram(scene.world.network, NULL,
					       &events, &echo, &echo.socket,
					       &error), 0);
	echo.socket->ops->local(echo.socket, &where);
	memcpy(&v4, &where, sizeof(v4));
	assert_int_equal(tunnel_udp_open(scene.client.tunnel,
					 ntohs(v4.sin_port), udp_answered,
					 &answer, &udp), 0);
	for (int i = 0; i < 2; i++) {
		answer.done = false;
		assert_int_equal(tunnel_udp_send(udp, "hello", 5), 0);
		assert_true(world_run(&scene.world, US_PER_S, &answer.done));
		assert_string_equal(answer.text, "hello");
	}
	assert_int_equal(echo.got, 2);
	world_run(&scene.world, 200 * US_PER_S, NULL);	/* idles out */
	tunnel_udp_close(udp);
	echo.socket->ops->close(echo.socket);
	scene_clear(&scene);
}

/* --- what agents offer --------------------------------------------------------- */

static void offers_an_http_api(void **state)
{
	struct scene scene;
	struct reading reading;
	struct stream *stream;

	(void)state;
	scene_init(&scene, &plain);
	stream = client_dial(&scene.client, 4);
	assert_non_null(stream);
	reading_init(&reading, stream,
		     "GET /api/v0/listening-ports HTTP/1.1\r\nHost: x\r\n"
		     "\r\n");
	assert_true(world_run(&scene.world, US_PER_S, &reading.done));
	assert_non_null(strstr(reading.text, "HTTP/1.1 200 OK\r\n"));
	assert_non_null(strstr(reading.text, "\"port\":8000"));
	stream_close(stream, false);
	stream = client_dial(&scene.client, 4);
	reading_init(&reading, stream, "GET /nothing HTTP/1.1\r\n\r\n");
	assert_true(world_run(&scene.world, US_PER_S, &reading.done));
	assert_non_null(strstr(reading.text, "HTTP/1.1 404 "));
	stream_close(stream, false);
	scene_clear(&scene);
}

static void measures_its_speed(void **state)
{
	struct scene scene;
	struct reading reading;
	struct stream *stream;

	(void)state;
	scene_init(&scene, &plain);
	stream = client_dial(&scene.client, 3);
	assert_non_null(stream);
	reading_init(&reading, stream,
		     "{\"version\":2,\"time\":50000000,\"direction\":0}\n");
	assert_true(world_run(&scene.world, 60 * US_PER_S, &reading.done));
	assert_int_equal(reading.err, 0);
	assert_memory_equal(reading.text, "{}\n", 3);
	assert_true(reading.total > 100000);
	stream_close(stream, false);
	stream = client_dial(&scene.client, 3);
	reading_init(&reading, stream, "{\"version\":1}\n");
	assert_true(world_run(&scene.world, US_PER_S, &reading.done));
	assert_non_null(strstr(reading.text, "error"));
	stream_close(stream, false);
	scene_clear(&scene);
}

struct exec {
	struct sshc *sshc;
	struct sshc_channel *channel;
	struct reading reading;
	bool exited;
	int status;
	bool ended;
};

static void on_exit_status(void *user, int status, const char *signal)
{
	struct exec *exec = user;

	(void)signal;
	exec->exited = true;
	exec->status = status;
}

static void on_failed(void *user, const struct error *error)
{
	(void)user;
	fail_msg("ssh: %s", error->message);
}

static void on_session_end(void *user, const struct error *error)
{
	struct exec *exec = user;

	(void)error;
	exec->ended = true;
}

/* The child runs in real time, the clock follows until it is done. */
static void wait_for_child(struct world *world, const bool *done)
{
	for (int i = 0; i < 2000 && !*done; i++) {
		const struct timespec pause = { .tv_nsec = 1000000 };

		world_run(world, US_PER_MS, done);
		if (!*done)
			nanosleep(&pause, NULL);
	}
	assert_true(*done);
}

/* Runs one command over SSH and waits for its end. */
static void run_command(struct world *world, struct client *client,
			const char *command, struct exec *exec)
{
	static const struct sshc_events session_events = {
		.on_end = on_session_end,
	};
	static const struct sshc_channel_events channel_events = {
		.on_failed = on_failed,
		.on_exit = on_exit_status,
	};
	const struct sshc_request request = { .kind = SSHC_EXEC,
					      .command = command };

	memset(exec, 0, sizeof(*exec));
	assert_int_equal(sshc_open(&world->v.loop, client_dial(client, 1),
				   NULL, &session_events, exec, &exec->sshc),
			 0);
	assert_int_equal(sshc_channel_open(exec->sshc, &request,
					   &channel_events, exec,
					   &exec->channel), 0);
	reading_init(&exec->reading, sshc_channel_stream(exec->channel), "");
	wait_for_child(world, &exec->exited);
	wait_for_child(world, &exec->reading.done);
	sshc_channel_close(exec->channel);
	sshc_close(exec->sshc);
}

static void runs_commands_by_ssh(void **state)
{
	struct scene scene;
	struct exec exec;

	(void)state;
	scene_init(&scene, &plain);
	run_command(&scene.world, &scene.client, "echo foo; exit 3", &exec);
	assert_string_equal(exec.reading.text, "foo\n");
	assert_int_equal(exec.status, 3);
	scene_clear(&scene);
}

static int start_own(void *context, struct sshd_channel *channel,
		     const struct sshd_request *request, void **run)
{
	struct stream *out = sshd_channel_stream(channel);

	(void)context;
	(void)stream_write(out, "asked for ", 10);
	(void)stream_write(out, request->command, strlen(request->command));
	sshd_channel_exit(channel, 7);
	*run = NULL;
	return 0;
}

static void close_own(void *run)
{
	(void)run;
}

/* As a test's `on_exec` does. */
static void lets_a_workspace_answer_itself(void **state)
{
	static const struct sshd_handler handler = {
		.start = start_own,
		.on_close = close_own,
	};
	const struct simulation_workspace_config config = { .name = "own",
							    .ssh = &handler };
	struct simulation_workspace *workspace;
	struct client client;
	struct world world;
	struct exec exec;

	(void)state;
	world_init(&world, &plain);
	assert_int_equal(simulation_add_workspace(world.sim, &config,
						  &workspace), 0);
	client_up(&client, &world, simulation_agent_id(workspace, 0));
	memory_network_set_latency(world.memory, 50 * US_PER_MS);
	run_command(&world, &client, "anything", &exec);
	assert_string_equal(exec.reading.text, "asked for anything");
	assert_int_equal(exec.status, 7);
	client_close(&client);
	world_clear(&world);
}

/* Names a session of port 2, then types. */
static void open_terminal(struct scene *scene, struct reading *reading,
			  const char *name, const char *keys)
{
	uint8_t head[2] = { (uint8_t)strlen(name), 0 };
	struct stream *stream = client_dial(&scene->client, 2);

	assert_non_null(stream);
	assert_int_equal(stream_write(stream, head, 2), 2);
	reading_init(reading, stream, name);
	(void)stream_write(stream, keys, strlen(keys));
}

static void wait_for_text(struct world *world, const struct reading *reading,
			  const char *text)
{
	bool never = false;

	for (int i = 0; i < 2000 && !strstr(reading->text, text); i++) {
		const struct timespec pause = { .tv_nsec = 1000000 };

		world_run(world, US_PER_MS, &never);
		nanosleep(&pause, NULL);
	}
	if (!strstr(reading->text, text))
		fail_msg("no %s in: %s", text, reading->text);
}

static void keeps_a_terminal(void **state)
{
	static const char cat[] =
		"{\"ID\":\"f1a5d3e0-0000-4000-8000-000000000001\","
		"\"Height\":30,\"Width\":90,\"Command\":\"stty size; cat\"}";
	static const char once[] = "{\"data\":\"once\\n\"}";
	struct reading reading, again;
	struct scene scene;

	(void)state;
	scene_init(&scene, &plain);
	open_terminal(&scene, &reading, cat, "");
	wait_for_text(&scene.world, &reading, "30 90");
	(void)stream_write(reading.stream, once, strlen(once));
	wait_for_text(&scene.world, &reading, "once\r\nonce\r\n");
	stream_close(reading.stream, false);
	world_run(&scene.world, US_PER_S, NULL);
	open_terminal(&scene, &again, cat,
		      "{\"data\":\"twice\\n\"}{\"data\":\"\\u0004\"}");
	wait_for_text(&scene.world, &again, "once\r\nonce\r\n");
	wait_for_child(&scene.world, &again.done);
	assert_non_null(strstr(again.text, "twice\r\ntwice\r\n"));
	stream_close(again.stream, false);
	scene_clear(&scene);
}

static void holds_twenty_tunnels(void **state)
{
	enum { COUNT = 20 };
	static struct client clients[COUNT];
	static struct transfer transfers[COUNT];
	struct simulation_workspace *workspace;
	struct simulation_stats stats;
	struct world world;

	(void)state;
	world_init(&world, &plain);
	workspace = add_workspace(&world);
	for (int i = 0; i < COUNT; i++)
		client_init(&clients[i], &world,
			    simulation_agent_id(workspace, 0));
	for (int i = 0; i < COUNT; i++)
		assert_true(world_run(&world, 40 * US_PER_S, &clients[i].up));
	for (int i = 0; i < COUNT; i++)
		transfer_init(&transfers[i], client_dial(&clients[i], PORT),
			      &world.rng, 50000);
	for (int i = 0; i < COUNT; i++) {
		assert_true(world_run(&world, 60 * US_PER_S,
				      &transfers[i].done));
		assert_true(transfer_is_right(&transfers[i]));
		transfer_clear(&transfers[i]);
	}
	simulation_get_stats(world.sim, &stats);
	assert_int_equal(stats.clients, COUNT);
	for (int i = 0; i < COUNT; i++)
		client_close(&clients[i]);
	simulation_get_stats(world.sim, &stats);
	assert_int_equal(stats.disconnects, COUNT);
	world_clear(&world);
}

/* When everything happened, and who was who. */
struct trace {
	struct tunnel_timeline timeline;
	struct uuid agent;
	struct uuid peer;
	uint64_t done_us;
};

static void run_once(const struct world_config *config, struct trace *trace)
{
	struct scene scene;
	struct transfer transfer;

	scene_init(&scene, config);
	trace->timeline = *tunnel_timeline(scene.client.tunnel);
	trace->agent = *simulation_agent_id(scene.workspace, 0);
	trace->peer = simulation_last_peer(scene.world.sim);
	transfer_init(&transfer, client_dial(&scene.client, PORT),
		      &scene.world.rng, MIB);
	assert_true(world_run(&scene.world, 60 * US_PER_S, &transfer.done));
	transfer_clear(&transfer);
	trace->done_us = scene.world.v.now_us;
	scene_clear(&scene);
}

static void is_the_same_with_the_same_seed(void **state)
{
	struct world_config config = { .seed = 31,
				       .latency_us = 3 * US_PER_MS,
				       .chunk_cap = 900 };
	struct trace a, b, other;

	(void)state;
	run_once(&config, &a);
	run_once(&config, &b);
	config.seed = 32;
	run_once(&config, &other);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_false(uuid_equal(&a.agent, &other.agent));
}

static void goes_away_under_a_tunnel(void **state)
{
	struct scene scene;

	(void)state;
	scene_init(&scene, &plain);
	simulation_free(scene.world.sim);
	scene.world.sim = NULL;
	memory_network_set_service(scene.world.memory, NULL);
	world_run(&scene.world, 10 * US_PER_S, NULL);
	client_free(&scene.client);
	world_clear(&scene.world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_up_and_closes),
		cmocka_unit_test(carries_data_by_upgrade),
		cmocka_unit_test(carries_data_in_chunks),
		cmocka_unit_test(carries_data_by_websocket),
		cmocka_unit_test(carries_data_without_latency),
		cmocka_unit_test(a_closed_port_refuses),
		cmocka_unit_test(answers_pings),
		cmocka_unit_test(forwards_other_ports),
		cmocka_unit_test(forwards_udp),
		cmocka_unit_test(is_the_same_with_the_same_seed),
		cmocka_unit_test(offers_an_http_api),
		cmocka_unit_test(measures_its_speed),
		cmocka_unit_test(runs_commands_by_ssh),
		cmocka_unit_test(lets_a_workspace_answer_itself),
		cmocka_unit_test(keeps_a_terminal),
		cmocka_unit_test(holds_twenty_tunnels),
		cmocka_unit_test(goes_away_under_a_tunnel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
