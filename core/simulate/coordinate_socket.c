/* Coordinate sockets: a WebSocket around a coordinate_server. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/simulate/simulate_private.h"
#include "core/tailnet/coordinate/coordinate_server.h"

#define MESSAGE_CAP (4 * 1024 * 1024)
#define QUEUE_CAP (1024 * 1024)
#define API_MAJOR 2
#define API_MINOR 6

struct coordinate_socket {
	struct list link;
	struct simulation *sim;
	struct channel *channel;
	struct coordinate_server *server;
	struct task output;
	struct timer deadline;
};

static void end(struct coordinate_socket *socket, int code,
		const char *reason)
{
	struct loop *loop = socket->sim->config.loop;

	task_cancel(&socket->output);
	if (socket->channel)
		channel_close(socket->channel, code, reason);
	socket->channel = NULL;
	list_remove(&socket->link);
	coordinate_server_free(socket->server, loop_now_us(loop));
	task_cancel(&socket->output);	/* freeing may have woken it */
	timer_stop(loop, &socket->deadline);
	free(socket);
}

static void pump(struct coordinate_socket *socket)
{
	uint64_t now_us = sim_now(socket->sim);
	const uint8_t *data;
	size_t len;

	while ((len = coordinate_server_output(socket->server, &data)) > 0) {
		size_t room = channel_room(socket->channel);

		len = len < room ? len : room;
		if (len == 0 || channel_send(socket->channel, data, len) < 0)
			break;
		coordinate_server_sent(socket->server, len, now_us);
	}
	timer_set(socket->sim->config.loop, &socket->deadline,
		  coordinate_server_next_deadline(socket->server));
}

static void run_output(struct task *task)
{
	pump(task->user);
}

static void on_output(void *user)
{
	struct coordinate_socket *socket = user;

	task_post(socket->sim->config.loop, &socket->output);
}

static void give_up(struct coordinate_socket *socket,
		    const struct error *error)
{
	log_debug(socket->sim->config.log, "simulate",
		  "coordinate socket ends: %s", error->message);
	pump(socket);
	end(socket, 1000, "");
}

static void opened(void *user)
{
	pump(user);
}

static void message(void *user, const uint8_t *data, size_t len)
{
	struct coordinate_socket *socket = user;
	struct error error;

	if (coordinate_server_in(socket->server, data, len,
				 sim_now(socket->sim), &error) < 0)
		give_up(socket, &error);
	else
		pump(socket);
}

static void writable(void *user)
{
	pump(user);
}

static void closed(void *user, const struct channel_end *how)
{
	struct coordinate_socket *socket = user;

	(void)how;
	socket->channel = NULL;
	end(socket, 0, "");
}

static const struct channel_events events = {
	.on_open = opened,
	.on_message = message,
	.on_writable = writable,
	.on_close = closed,
};

static void deadline_fired(struct timer *timer)
{
	struct coordinate_socket *socket = timer->user;
	struct error error;

	if (coordinate_server_tick(socket->server, sim_now(socket->sim),
				   &error) < 0)
		give_up(socket, &error);
	else
		pump(socket);
}

static int make_server(struct coordinate_socket *socket,
		       const struct route_call *call, const struct uuid *peer)
{
	struct simulation *sim = socket->sim;
	struct coordinate_server_config config = {
		.coordinator = sim->coordinator,
		.peer = *peer,
		.tokens = &sim->tokens,
		.wall_offset_us = loop_wall_us(sim->config.loop) -
				  (int64_t)sim_now(sim),
		.derp_map = &sim->derp_map,
		.on_output = on_output,
		.user = socket,
	};

	if (call->agent)
		config.agent = call->agent->id;
	return coordinate_server_new(&config, sim_now(sim), &socket->server);
}

static void begin(struct route_call *call, const struct uuid *peer)
{
	struct coordinate_socket *socket = calloc(1, sizeof(*socket));

	if (!socket)
		goto no_memory;
	socket->sim = call->sim;
	socket->output = (struct task){ .run = run_output, .user = socket };
	socket->deadline =
		(struct timer){ .fire = deadline_fired, .user = socket };
	if (make_server(socket, call, peer) < 0)
		goto no_memory;
	list_add_tail(&call->sim->coordinate_sockets, &socket->link);
	call->sim->last_peer = *peer;
	if (exchange_accept(call->exchange, NULL, MESSAGE_CAP, QUEUE_CAP,
			    &events, socket, &socket->channel) < 0)
		end(socket, 0, "");
	return;

no_memory:
	free(socket);
	route_error(call, 500, "no memory", NULL);
}

/* "" when the version will do; else what is wrong with it. */
static void check_version(const char *version, char *out, size_t cap)
{
	unsigned major, minor;
	char rest;

	*out = '\0';
	if (sscanf(version, "%u.%u%c", &major, &minor, &rest) != 2)
		snprintf(out, cap, "invalid version string: %s", version);
	else if (major < API_MAJOR)
		snprintf(out, cap, "version %s is no longer supported",
			 version);
	else if (major > API_MAJOR || minor > API_MINOR)
		snprintf(out, cap,
			 "server is at version %d.%d, behind requested %s "
			 "version %s", API_MAJOR, API_MINOR,
			 major > API_MAJOR ? "major" : "minor", version);
}

static void refuse_field(struct route_call *call, int status,
			 const char *message, const char *field,
			 const char *detail)
{
	route_answer(call, status,
		     json_pack("{s:s,s:[{s:s,s:s}]}", "message", message,
			       "validations", "field", field, "detail",
			       detail));
}

static bool version_is_good(struct route_call *call)
{
	char version[32];
	char wrong[160];

	if (query_find(call->request->query, "version", version,
		       sizeof(version)) <= 0)
		snprintf(version, sizeof(version), "1.0");
	check_version(version, wrong, sizeof(wrong));
	if (*wrong)
		refuse_field(call, 400, "Unknown or unsupported API version",
			     "version", wrong);
	return !*wrong;
}

/* The peer id of the token, or a new one. False: answered. */
static bool choose_peer(struct route_call *call, struct uuid *peer)
{
	struct simulation *sim = call->sim;
	char token[RESUME_TOKEN_CAP];
	struct error error;
	int len = query_find(call->request->query, "resume_token", token,
			     sizeof(token));

	if (len == ERR_NOT_FOUND || len == 0) {
		uuid_random(sim->config.rng, peer);
		return true;
	}
	if (len > 0 &&
	    resume_token_verify(&sim->tokens, token,
				loop_wall_us(sim->config.loop) / 1000000,
				peer, &error) == 0)
		return true;
	refuse_field(call, 401, "Invalid resume token", "resume_token",
		     "Invalid resume token");
	return false;
}

void coordinate_route(struct route_call *call)
{
	struct uuid peer;

	if (!version_is_good(call) || !choose_peer(call, &peer) ||
	    route_wants_upgrade(call))
		return;
	begin(call, &peer);
}

unsigned coordinate_drop_all(struct simulation *sim, int code)
{
	unsigned dropped = 0;

	while (!list_empty(&sim->coordinate_sockets)) {
		end(container_of(sim->coordinate_sockets.next,
				 struct coordinate_socket, link),
		    code, "dropped");
		dropped++;
	}
	return dropped;
}
