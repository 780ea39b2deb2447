#include "tests/simulated/world.h"

#include "core/netstack/netstack.h"

static void write_log(struct log *log, enum log_level level, const char *room,
		      const char *message)
{
	struct world *world = log->user;

	fprintf(stderr, "%10.6f %s %s: %s\n",
		(double)world->v.now_us / 1e6, log_level_name(level), room,
		message);
}

void world_init(struct world *world, const struct world_config *config)
{
	struct memory_network_config memory = {
		.latency_us = config->latency_us,
		.chunk_cap = config->chunk_cap,
	};
	struct simulation_config simulation = {
		.refuse_upgrade = config->refuse_upgrade,
		.dialer = config->dialer,
	};
	struct error error;

	memset(world, 0, sizeof(*world));
	virtual_loop_init(&world->v);
	rng_seeded(&world->rng, config->seed);
	world->log = (struct log){
		.level = getenv("WORLD_LOG") ? LOG_DEBUG : LOG_CRITICAL,
		.write = write_log,
		.user = world,
	};
	memory.loop = &world->v.loop;
	memory.rng = &world->rng;
	assert_int_equal(memory_network_new(&memory, &world->memory), 0);
	world->network = memory_network_of(world->memory);
	simulation.loop = &world->v.loop;
	simulation.network = world->network;
	simulation.rng = &world->rng;
	simulation.log = &world->log;
	assert_int_equal(simulation_new(&simulation, &world->sim, &error), 0);
	memory_network_set_service(world->memory,
				   simulation_service(world->sim));
	assert_int_equal(simulation_set_url(world->sim, WORLD_URL), 0);
	snprintf(world->token, sizeof(world->token), "%s",
		 simulation_token(world->sim));
	world->header = (struct http_header){ "Coder-Session-Token",
					      world->token };
}

void world_clear(struct world *world)
{
	simulation_free(world->sim);
	memory_network_free(world->memory);
	virtual_loop_clear(&world->v);
}

bool world_run(struct world *world, uint64_t for_us, const bool *done)
{
	virtual_loop_run(&world->v, world->v.now_us + for_us, done);
	return done && *done;
}

static void on_up(void *user)
{
	struct client *client = user;

	client->up = true;
}

static void on_end(void *user, const struct error *error)
{
	struct client *client = user;

	client->ended = true;
	client->failed = error != NULL;
	if (error)
		client->error = *error;
}

static const struct tunnel_events events = {
	.on_up = on_up,
	.on_end = on_end,
};

void client_init(struct client *client, struct world *world,
		 const struct uuid *agent)
{
	const struct tunnel_config config = {
		.loop = &world->v.loop,
		.network = world->network,
		.rng = &world->rng,
		.log = &world->log,
		.url = WORLD_URL,
		.headers = &world->header,
		.header_count = 1,
		.agent_id = *agent,
		.derp_map = simulation_derp_map(world->sim),
		.events = &events,
		.user = client,
	};

	memset(client, 0, sizeof(*client));
	client->world = world;
	assert_int_equal(tunnel_new(&config, &client->tunnel, &client->error),
			 0);
}

void client_up(struct client *client, struct world *world,
	       const struct uuid *agent)
{
	client_init(client, world, agent);
	if (!world_run(world, 40 * US_PER_S, &client->up))
		fail_msg("no tunnel: %s", client->error.message);
}

void client_close(struct client *client)
{
	tunnel_close(client->tunnel);
	assert_true(world_run(client->world, 20 * US_PER_S, &client->ended));
	client_free(client);
}

void client_free(struct client *client)
{
	tunnel_free(client->tunnel);
	client->tunnel = NULL;
}

struct dialing {
	struct stream *stream;
	struct error error;
	bool done;
};

static void dialed(void *user, struct stream *stream,
		   const struct error *error)
{
	struct dialing *dialing = user;

	dialing->stream = stream;
	if (error)
		dialing->error = *error;
	dialing->done = true;
}

struct stream *client_dial(struct client *client, uint16_t port)
{
	struct dialing dialing = { .stream = NULL };
	struct tunnel_dial *dial;

	assert_int_equal(tunnel_dial(client->tunnel, port, 10 * US_PER_S,
				     dialed, &dialing, &dial), 0);
	assert_true(world_run(client->world, 20 * US_PER_S, &dialing.done));
	if (!dialing.stream)
		client->error = dialing.error;
	return dialing.stream;
}

struct answer {
	char *out;
	size_t cap;
	int status;
	bool done;
};

static void answered(void *user, const struct http_response *response)
{
	struct answer *answer = user;
	size_t len = response->body_len < answer->cap - 1 ?
		response->body_len : answer->cap - 1;

	if (len)
		memcpy(answer->out, response->body, len);
	answer->out[len] = '\0';
	answer->status = response->error.code ? response->error.code :
						response->status;
	answer->done = true;
}

int world_http(struct world *world, const char *method, const char *path,
	       const char *body, char *out, size_t cap)
{
	struct answer answer = { .out = out, .cap = cap };
	struct http_call *call;
	struct error error;
	char url[1024];
	struct http_request request = {
		.method = method,
		.url = url,
		.headers = &world->header,
		.header_count = 1,
		.body = body,
		.body_len = body ? strlen(body) : 0,
	};

	snprintf(url, sizeof(url), "%s%s", WORLD_URL, path);
	assert_int_equal(network_http(world->network, &request, answered,
				      &answer, &call, &error), 0);
	assert_true(world_run(world, 60 * US_PER_S, &answer.done));
	return answer.status;
}
