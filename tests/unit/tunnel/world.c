#include "tests/unit/tunnel/world.h"

#include "core/tailnet/coordinate/coordinate_server.h"
#include "core/tailnet/coordinate/node.h"

#define QUEUE_CAP (256 * 1024)
#define LATENCY_US 1000

unsigned world_has_memory;
static struct world *far_world;	/* the one there is */

/* --- relays --------------------------------------------------------- */

struct site_conn {
	struct list link;
	struct site *site;
	struct channel *channel;
	struct derp_relay_conn *conn;
	bool mute;
};

static void arm_site(struct site *site)
{
	timer_set(site->world->loop, &site->timer,
		  derp_relay_next_deadline(&site->relay));
}

static void drop_conn(struct site_conn *c)
{
	struct site *site = c->site;

	if (c->conn)
		derp_relay_conn_free(c->conn, loop_now_us(site->world->loop));
	if (c->channel)
		channel_close(c->channel, 1001, "");
	list_remove(&c->link);
	free(c);
	arm_site(site);
}

static int carrier_send(void *user, const uint8_t *data, size_t len)
{
	struct site_conn *c = user;

	return c->site->deaf || c->mute ? 0 : channel_send(c->channel, data, len);
}

static void carrier_close(void *user, const struct error *why)
{
	(void)why;
	drop_conn(user);
}

static const struct derp_relay_carrier carrier = {
	.send = carrier_send,
	.close = carrier_close,
};

static void conn_open(void *user)
{
	struct site_conn *c = user;
	struct site *site = c->site;

	if (site->garbage) {
		channel_send(c->channel, site->garbage, strlen(site->garbage));
		return;
	}
	assert_int_equal(derp_relay_conn_new(&site->relay, &carrier, c,
					     loop_now_us(site->world->loop),
					     &c->conn), 0);
	channel_pause(c->channel, site->frozen);
	arm_site(site);
}

static void conn_message(void *user, const uint8_t *data, size_t len)
{
	struct site_conn *c = user;
	struct site *site = c->site;
	struct error error;

	site->bytes_in += len;
	if (!c->conn || site->deaf || c->mute)
		return;
	if (derp_relay_conn_in(c->conn, data, len,
			       loop_now_us(site->world->loop), &error) < 0)
		drop_conn(c);
	else
		arm_site(site);
}

static void conn_writable(void *user)
{
	struct site_conn *c = user;

	if (c->conn)
		derp_relay_conn_writable(c->conn,
					 loop_now_us(c->site->world->loop));
}

static void conn_close(void *user, const struct channel_end *end)
{
	struct site_conn *c = user;

	(void)end;
	c->channel = NULL;
	drop_conn(c);
}

WITH_MEMORY(conn_open, (void *user), user)
WITH_MEMORY(conn_message, (void *user, const uint8_t *data, size_t len), user,
	    data, len)
WITH_MEMORY(conn_writable, (void *user), user)
WITH_MEMORY(conn_close, (void *user, const struct channel_end *end), user, end)

static const struct channel_events conn_events = {
	.on_open = conn_open_served,
	.on_message = conn_message_served,
	.on_writable = conn_writable_served,
	.on_close = conn_close_served,
};

static void site_tick(struct timer *timer)
{
	struct site *site = timer->user;

	derp_relay_tick(&site->relay, loop_now_us(site->world->loop));
	arm_site(site);
}

WITH_MEMORY(site_tick, (struct timer *timer), timer)

static void serve_relay(struct site *site, struct exchange *exchange,
			const struct server_request *request)
{
	bool upgrade = request->kind == EXCHANGE_UPGRADE;
	struct site_conn *c;

	if (strstr(request->path, "/latency-check")) {
		site->latency_checks++;
		exchange_respond(exchange, 200, NULL, "", 0);
		return;
	}
	site->last_us = loop_now_us(site->world->loop);
	site->upgrades += upgrade;
	site->websockets += !upgrade;
	if (site->refuse || (upgrade && site->refuse_upgrade)) {
		exchange_respond(exchange, site->refuse ? site->refuse :
					   site->refuse_upgrade,
				 NULL, "no", 2);
		return;
	}
	c = calloc(1, sizeof(*c));
	assert_non_null(c);
	c->site = site;
	list_add_tail(&site->conns, &c->link);
	assert_int_equal(exchange_accept(exchange, upgrade ? NULL : "derp",
					 1 << 20, QUEUE_CAP, &conn_events, c,
					 &c->channel), 0);
}

void site_cut(struct site *site)
{
	world_has_memory++;
	while (!list_empty(&site->conns))
		drop_conn(container_of(site->conns.next, struct site_conn,
				       link));
	world_has_memory--;
}

void site_mute(struct site *site)
{
	list_each(at, next, &site->conns)
		container_of(at, struct site_conn, link)->mute = true;
}

void site_freeze(struct site *site, bool frozen)
{
	site->frozen = frozen;
	list_each(at, next, &site->conns)
		channel_pause(container_of(at, struct site_conn, link)->channel,
			      frozen);
}

static void say(struct site *site, enum derp_type type, const void *body,
		size_t len)
{
	uint8_t frame[256];

	assert_true(DERP_HEADER_LEN + len <= sizeof(frame));
	derp_put_header(frame, type, len);
	if (len)
		memcpy(frame + DERP_HEADER_LEN, body, len);
	list_each(at, next, &site->conns)
		channel_send(container_of(at, struct site_conn, link)->channel,
			     frame, DERP_HEADER_LEN + len);
}

void site_say_restarting(struct site *site, uint32_t in_ms, uint32_t for_ms)
{
	uint8_t body[8];

	be_store(body, in_ms, 4);
	be_store(body + 4, for_ms, 4);
	say(site, DERP_RESTARTING, body, sizeof(body));
}

void site_say_health(struct site *site, const char *text)
{
	say(site, DERP_HEALTH, text, strlen(text));
}

size_t site_conns(const struct site *site)
{
	size_t count = 0;

	for (struct list *at = site->conns.next; at != &site->conns;
	     at = at->next)
		count++;
	return count;
}

static void init_site(struct world *world, int64_t region)
{
	struct site *site = &world->sites[region];
	struct key32 key;

	site->world = world;
	list_init(&site->conns);
	key_private(&world->rng, &key);
	derp_relay_init(&site->relay, &key, &world->rng);
	site->timer = (struct timer){ .fire = site_tick_served, .user = site };
}

/* --- the coordinate endpoint ---------------------------------------- */

struct socket {
	struct list link;
	struct world *world;
	struct channel *channel;
	struct coordinate_server *server;
	struct uuid peer;
	struct task pump;
	struct timer timer;
};

static void socket_drop(struct socket *socket)
{
	struct world *world = socket->world;

	timer_stop(world->loop, &socket->timer);
	task_cancel(&socket->pump);
	list_remove(&socket->link);
	coordinate_server_free(socket->server, loop_now_us(world->loop));
	task_cancel(&socket->pump);
	if (socket->channel)
		channel_close(socket->channel, 1001, "");
	free(socket);
}

static void socket_pump(struct task *task)
{
	struct socket *socket = task->user;
	struct world *world = socket->world;
	const uint8_t *data;
	size_t len;

	while ((len = coordinate_server_output(socket->server, &data)) > 0) {
		if (world->bytewise)
			len = 1;
		if (channel_send(socket->channel, data, len) < 0)
			break;
		coordinate_server_sent(socket->server, len,
				       loop_now_us(world->loop));
	}
	timer_set(world->loop, &socket->timer,
		  coordinate_server_next_deadline(socket->server));
}

static void socket_output(void *user)
{
	struct socket *socket = user;

	task_post(socket->world->loop, &socket->pump);
}

static void socket_tick(struct timer *timer)
{
	struct socket *socket = timer->user;
	struct error error;

	if (coordinate_server_tick(socket->server,
				   loop_now_us(socket->world->loop),
				   &error) < 0)
		socket_drop(socket);
	else
		socket_output(socket);
}

static void socket_opened(void *user)
{
	struct socket *socket = user;
	struct world *world = socket->world;
	const struct coordinate_server_config config = {
		.coordinator = world->coordinator,
		.peer = socket->peer,
		.agent = world->agent_id,
		.tokens = &world->tokens,
		.wall_offset_us = world->v.wall_us,
		.derp_map = &world->map,
		.on_output = socket_output,
		.user = socket,
	};

	assert_int_equal(coordinate_server_new(&config,
					       loop_now_us(world->loop),
					       &socket->server), 0);
	if (world->hang_up)
		socket_drop(socket);
	else if (world->garbage)
		(void)channel_send(socket->channel, world->garbage,
				   world->garbage_len);
}

static int feed(struct socket *socket, const uint8_t *data, size_t len)
{
	struct world *world = socket->world;
	struct error error;
	size_t step = world->bytewise ? 1 : len;

	for (size_t i = 0; i < len; i += step)
		if (coordinate_server_in(socket->server, data + i, step,
					 loop_now_us(world->loop), &error) < 0)
			return -1;
	return 0;
}

static void socket_message(void *user, const uint8_t *data, size_t len)
{
	struct socket *socket = user;

	if (socket->world->deaf || socket->world->garbage)
		return;
	if (feed(socket, data, len) < 0)
		socket_drop(socket);
	else
		socket_output(socket);
}

static void socket_closed(void *user, const struct channel_end *end)
{
	struct socket *socket = user;

	(void)end;
	socket->channel = NULL;
	socket_drop(socket);
}

WITH_MEMORY(socket_opened, (void *user), user)
WITH_MEMORY(socket_message, (void *user, const uint8_t *data, size_t len), user,
	    data, len)
WITH_MEMORY(socket_closed, (void *user, const struct channel_end *end), user,
	    end)
WITH_MEMORY(socket_tick, (struct timer *timer), timer)
WITH_MEMORY(socket_pump, (struct task *task), task)

static const struct channel_events socket_events = {
	.on_open = socket_opened_served,
	.on_message = socket_message_served,
	.on_writable = socket_output,
	.on_close = socket_closed_served,
};

static const char token_body[] =
	"{\"message\":\"Workspace agent RPC token invalid\",\"validations\":"
	"[{\"field\":\"resume_token\",\"detail\":\"bad\"}]}";

/* A good token gives the id in it; a bad one false. */
static bool peer_of(struct world *world, const char *query, struct uuid *peer)
{
	char token[RESUME_TOKEN_CAP];
	int64_t now_s = loop_wall_us(world->loop) / 1000000;

	uuid_random(&world->rng, peer);
	if (query_find(query, "resume_token", token, sizeof(token)) < 0)
		return true;
	if (world->refuse_tokens ||
	    resume_token_verify(&world->tokens, token, now_s, peer, NULL) < 0)
		return false;
	world->resumed++;
	return true;
}

static void serve_coordinate(struct world *world, struct exchange *exchange,
			     const struct server_request *request)
{
	struct socket *socket;
	struct uuid peer;

	if (world->dials < 64)
		world->dial_us[world->dials] = loop_now_us(world->loop);
	world->dials++;
	snprintf(world->last_query, sizeof(world->last_query), "%s",
		 request->query);
	if (world->refuse) {
		exchange_respond(exchange, world->refuse, NULL,
				 world->refuse_body,
				 strlen(world->refuse_body));
		return;
	}
	if (!peer_of(world, request->query, &peer)) {
		exchange_respond(exchange, 401, NULL, token_body,
				 strlen(token_body));
		return;
	}
	socket = calloc(1, sizeof(*socket));
	assert_non_null(socket);
	socket->world = world;
	socket->peer = peer;
	socket->pump = (struct task){ .run = socket_pump_served, .user = socket };
	socket->timer = (struct timer){ .fire = socket_tick_served, .user = socket };
	list_add_tail(&world->sockets, &socket->link);
	assert_int_equal(exchange_accept(exchange, NULL, 4 << 20, 4 << 20,
					 &socket_events, socket,
					 &socket->channel), 0);
}

void world_cut_coordinate(struct world *world)
{
	world_has_memory++;
	while (!list_empty(&world->sockets))
		socket_drop(container_of(world->sockets.next, struct socket,
					 link));
	world_has_memory--;
}

size_t world_sockets(const struct world *world)
{
	size_t count = 0;

	for (struct list *at = world->sockets.next; at != &world->sockets;
	     at = at->next)
		count++;
	return count;
}

/* --- the world ------------------------------------------------------ */

static void serve(struct service *service, struct exchange *exchange,
		  const struct server_request *request)
{
	struct world *world = container_of(service, struct world, service);

	if (strstr(request->path, "/coordinate"))
		serve_coordinate(world, exchange, request);
	else
		serve_relay(&world->sites[request->path[1] - '0'], exchange,
			    request);
}

WITH_MEMORY(serve,
	    (struct service *service, struct exchange *exchange,
	     const struct server_request *request),
	    service, exchange, request)

static void take_log(struct log *log, enum log_level level, const char *room,
		     const char *message)
{
	struct world *world = container_of(log, struct world, log);
	size_t left = WORLD_LOG_CAP - world->logged_len;
	int len = snprintf(world->logged + world->logged_len, left,
			   "%s %s: %s\n", log_level_name(level), room, message);

	if (getenv("SHOW"))
		fprintf(stderr, "%10llu %s %s: %s\n",
			(unsigned long long)world->v.now_us,
			log_level_name(level), room, message);
	if ((size_t)len < left)
		world->logged_len += (size_t)len;
}

static void add_region(struct world *world, int64_t id)
{
	struct derp_map_region *region = derp_map_add_region(&world->map, id);
	struct derp_map_node *node = derp_map_add_node(region);

	snprintf(region->name, sizeof(region->name), "Region %d", (int)id);
	snprintf(node->host_name, sizeof(node->host_name), "r%d/%d", (int)id,
		 (int)id);
	node->derp_port = 1;
}

/* Requests to a far site take their time; channels do not. */
static int far_http(struct network *network, const struct http_request *request,
		    http_done *done, void *user, struct http_call **out,
		    struct error *error)
{
	struct world *world = far_world;
	const char *site = strstr(request->url, "://r");
	uint64_t far_us = site ? world->sites[site[4] - '0'].far_us : 0;
	int err;

	memory_network_set_latency(world->memory, LATENCY_US + far_us / 2);
	err = world->memory_ops->http(network, request, done, user, out, error);
	memory_network_set_latency(world->memory, LATENCY_US);
	return err;
}

static void make_http_far(struct world *world)
{
	far_world = world;
	world->memory_ops = world->network->ops;
	world->ops = *world->memory_ops;
	world->ops.http = far_http;
	world->network->ops = &world->ops;
}

void world_init(struct world *world, uint64_t seed)
{
	struct memory_network_config config = { .latency_us = LATENCY_US,
						.chunk_cap = 3000 };

	const char *other = getenv("SEED");	/* to try more by hand */

	if (other)
		seed = strtoull(other, NULL, 10);
	memset(world, 0, sizeof(*world));
	virtual_loop_init(&world->v);
	world->loop = &world->v.loop;
	world->v.now_us = US_PER_S;
	rng_seeded(&world->rng, seed);
	world->log = (struct log){ .level = LOG_DEBUG, .write = take_log };
	world->service.serve = serve_served;
	config.loop = world->loop;
	config.rng = &world->rng;
	config.service = &world->service;
	assert_int_equal(memory_network_new(&config, &world->memory), 0);
	world->network = memory_network_of(world->memory);
	make_http_far(world);
	for (int64_t id = 1; id <= WORLD_REGIONS; id++) {
		add_region(world, id);
		init_site(world, id);
	}
	list_init(&world->sockets);
	resume_tokens_init(&world->tokens, &world->rng, 24 * 3600);
	assert_int_equal(coordinator_new(&world->rng, &world->coordinator), 0);
	uuid_random(&world->rng, &world->agent_id);
}

void world_clear(struct world *world)
{
	world_run(world, 10 * US_PER_S);
	assert_int_equal(world_sockets(world), 0);
	for (int64_t id = 1; id <= WORLD_REGIONS; id++) {
		assert_int_equal(site_conns(&world->sites[id]), 0);
		timer_stop(world->loop, &world->sites[id].timer);
		derp_relay_clear(&world->sites[id].relay);
	}
	coordinator_free(world->coordinator);
	resume_tokens_wipe(&world->tokens);
	memory_network_free(world->memory);
	derp_map_clear(&world->map);
	assert_null(heap_first(&world->loop->timers));
	assert_true(list_empty(&world->loop->tasks));
	virtual_loop_clear(&world->v);
}

void world_run(struct world *world, uint64_t us)
{
	virtual_loop_run(&world->v, world->v.now_us + us, NULL);
}

void world_until(struct world *world, const bool *done, uint64_t us)
{
	virtual_loop_run(&world->v, world->v.now_us + us, done);
	assert_true(*done);
}

bool world_logged(const struct world *world, const char *text)
{
	return strstr(world->logged, text) != NULL;
}
