#include "core/tunnel/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/tailnet/coordinate/coordinate.h"
#include "core/tailnet/wireguard/wireguard.h"
#include "core/tunnel/backoff.h"

#define URL_CAP 4096
#define MESSAGE_CAP (4 * 1024 * 1024)
#define QUEUE_CAP (1024 * 1024)
#define API_VERSION "2.0"
#define READY_WAIT_US (5 * US_PER_S)
#define LOST_KEEP_US (15 * 60 * US_PER_S)

struct control {
	struct control_config config;
	char url[URL_CAP];
	uint8_t addresses[NODE_PEER_ADDRESS_CAP][16];
	char *token;		/* resume token; secret */
	int64_t node_id;
	struct channel *channel;
	struct coordinate *coordinate;	/* while the channel is open */
	bool once_connected;
	bool disconnecting;
	bool have_peer;		/* peer.config holds the agent's node */
	bool ready;		/* READY_FOR_HANDSHAKE seen, or waited for */
	bool programmed;
	struct node_peer_config peer;
	struct timer redial;
	struct timer deadline;	/* of the coordinate object */
	struct timer gate;	/* READY_FOR_HANDSHAKE may never come */
	struct timer lost;	/* the peer was LOST: drop it some day */
	struct task finished;	/* on_disconnected, from the loop */
	struct backoff backoff;
};

static void dial(struct control *control);

static uint64_t now(const struct control *control)
{
	return loop_now_us(control->config.loop);
}

/* --- the agent's node ------------------------------------------------ */

static void program_peer(struct control *control)
{
	bool first = !control->programmed;
	int err;

	if (!control->have_peer || !control->ready)
		return;
	err = node_peer_set(control->config.node, &control->peer);
	if (err < 0) {
		log_error(control->config.log, "coordinate",
			  "the agent's node cannot be used: %s",
			  err_name(err));
		return;
	}
	control->programmed = true;
	if (first)
		control->config.events->on_peer(control->config.user);
}

static void gate_fired(struct timer *timer)
{
	struct control *control = timer->user;

	log_info(control->config.log, "coordinate",
		 "no ready-for-handshake in 5 s, going on without");
	control->ready = true;
	program_peer(control);
}

static void take_node(struct control *control, const struct coord_node *node)
{
	struct node_peer_config *peer = &control->peer;

	timer_stop(control->config.loop, &control->lost);
	if (node->preferred_derp == 0)
		return;		/* not complete yet: another will follow */
	peer->id = control->config.agent_id;
	peer->key = node->key;
	peer->disco_key = node->disco;
	peer->home_region = node->preferred_derp;
	peer->keepalive = true;
	peer->address_count = 0;
	for (size_t i = 0; i < node->allowed_count; i++)
		if (node->allowed[i].bits == 128 &&
		    peer->address_count < NODE_PEER_ADDRESS_CAP)
			memcpy(peer->addresses[peer->address_count++],
			       node->allowed[i].address, 16);
	control->have_peer = true;
	if (!control->ready && !timer_active(&control->gate))
		timer_set(control->config.loop, &control->gate,
			  now(control) + READY_WAIT_US);
	program_peer(control);
}

static void forget_peer(struct control *control)
{
	timer_stop(control->config.loop, &control->gate);
	timer_stop(control->config.loop, &control->lost);
	node_peer_remove(control->config.node, &control->config.agent_id);
	control->have_peer = control->ready = control->programmed = false;
}

static void peer_left(struct control *control)
{
	bool programmed = control->programmed;

	forget_peer(control);
	if (programmed)
		control->config.events->on_peer_left(control->config.user);
}

/* The last handshake decides, looked at again when it could have aged. */
static void lost_fired(struct timer *timer)
{
	struct control *control = timer->user;
	struct node_peer_stats stats;

	if (node_peer_stats(control->config.node, &control->config.agent_id,
			    &stats) < 0)
		return;
	if (stats.last_handshake_us != WG_NEVER &&
	    stats.last_handshake_us + LOST_KEEP_US > now(control))
		timer_set(control->config.loop, &control->lost,
			  stats.last_handshake_us + LOST_KEEP_US);
	else
		peer_left(control);
}

static void peer_lost(struct control *control)
{
	if (control->programmed && !timer_active(&control->lost))
		timer_set(control->config.loop, &control->lost,
			  now(control) + LOST_KEEP_US);
}

/* --- what the coordinator says ----------------------------------------- */

static void on_update(void *user, const struct coordinate_update *update)
{
	struct control *control = user;

	if (!uuid_equal(&update->peer, &control->config.agent_id))
		return;
	switch (update->kind) {
	case COORDINATE_NODE:
		take_node(control, update->node);
		break;
	case COORDINATE_READY:
		control->ready = true;
		timer_stop(control->config.loop, &control->gate);
		program_peer(control);
		break;
	case COORDINATE_LOST:
		peer_lost(control);
		break;
	case COORDINATE_DISCONNECTED:
		peer_left(control);
		break;
	}
}

static void on_bad_update(void *user, const struct uuid *peer,
			  const struct error *error)
{
	struct control *control = user;

	(void)peer;
	log_error(control->config.log, "coordinate",
		  "a peer update cannot be understood: %s", error->message);
}

static void on_derp_map(void *user, const struct derp_map *map)
{
	struct control *control = user;

	control->config.events->on_derp_map(control->config.user, map);
}

static void on_token(void *user, const struct coordinate_token *token)
{
	struct control *control = user;
	char *copy = strdup(token->token);

	if (!copy)
		return;
	free(control->token);
	control->token = copy;
}

static void on_complaint(void *user, const char *text)
{
	struct control *control = user;

	log_warn(control->config.log, "coordinate", "coordinator: %s", text);
}

static void on_rpc_failed(void *user, const char *rpc,
			  const struct error *error)
{
	struct control *control = user;

	log_debug(control->config.log, "coordinate", "%s: %s", rpc,
		  error->message);
}

/* --- the socket ---------------------------------------------------------- */

static void pump(struct control *control)
{
	const uint8_t *data;
	size_t len;

	while (control->coordinate && control->channel &&
	       (len = coordinate_output(control->coordinate, &data)) > 0) {
		size_t room = channel_room(control->channel);

		if (len > room)
			len = room;
		if (len == 0 || channel_send(control->channel, data, len) < 0)
			break;
		coordinate_sent(control->coordinate, len, now(control));
	}
	if (control->coordinate)
		timer_set(control->config.loop, &control->deadline,
			  coordinate_next_deadline(control->coordinate));
}

static void on_output(void *user)
{
	pump(user);
}

static void drop_socket(struct control *control, int code)
{
	if (control->channel)
		channel_close(control->channel, code, "");
	control->channel = NULL;
	coordinate_free(control->coordinate);
	control->coordinate = NULL;
	timer_stop(control->config.loop, &control->deadline);
}

static void redial_later(struct control *control)
{
	uint64_t wait = backoff_next(&control->backoff, control->config.rng);

	if (control->disconnecting)
		task_post(control->config.loop, &control->finished);
	else
		timer_set(control->config.loop, &control->redial,
			  now(control) + wait);
}

static void on_done(void *user)
{
	struct control *control = user;

	pump(control);
	drop_socket(control, 1000);
	task_post(control->config.loop, &control->finished);
}

static void on_failed(void *user, const struct error *error)
{
	struct control *control = user;

	log_warn(control->config.log, "coordinate", "lost: %s",
		 error->message);
	drop_socket(control, 1002);
	peer_lost(control);
	redial_later(control);
}

static const struct coordinate_events coordinate_events = {
	.on_update = on_update,
	.on_bad_update = on_bad_update,
	.on_derp_map = on_derp_map,
	.on_token = on_token,
	.on_complaint = on_complaint,
	.on_rpc_failed = on_rpc_failed,
	.on_output = on_output,
	.on_done = on_done,
	.on_failed = on_failed,
};

/* The least that a peer needs to reach us by relay. */
static void announce(struct control *control)
{
	struct coord_node *node = calloc(1, sizeof(*node));
	int64_t wall = loop_wall_us(control->config.loop);

	if (!node)
		return;
	node->id = control->node_id;
	node->as_of_s = wall / 1000000;
	node->as_of_ns = (int32_t)(wall % 1000000) * 1000;
	node->key = *node_public_key(control->config.node);
	node->disco = *node_disco_key(control->config.node);
	node->preferred_derp =
		(int32_t)node_home_region(control->config.node);
	for (size_t i = 0; i < control->config.address_count; i++) {
		struct node_prefix prefix = { .bits = 128 };

		memcpy(prefix.address, control->addresses[i], 16);
		node->addresses[node->address_count++] = prefix;
		node->allowed[node->allowed_count++] = prefix;
	}
	coordinate_set_node(control->coordinate, node, now(control));
	free(node);
}

static void channel_opened(void *user)
{
	struct control *control = user;
	const struct coordinate_config config = {
		.agent = control->config.agent_id,
		.events = &coordinate_events,
		.user = control,
	};

	backoff_reset(&control->backoff);
	control->once_connected = true;
	if (coordinate_new(&config, now(control), &control->coordinate) < 0) {
		drop_socket(control, 1011);
		redial_later(control);
		return;
	}
	announce(control);
	pump(control);
	control->config.events->on_connected(control->config.user);
}

static void channel_message(void *user, const uint8_t *data, size_t len)
{
	struct control *control = user;

	coordinate_in(control->coordinate, data, len, now(control));
	pump(control);
}

static void channel_writable(void *user)
{
	pump(user);
}

/* A 401 about the resume token is no sign-in problem. */
static bool token_was_refused(const struct control *control,
			      const struct channel_end *end)
{
	return end->http_status == 401 && control->token && end->body &&
	       memmem(end->body, end->body_len, "resume_token",
		      strlen("resume_token")) != NULL;
}

static bool is_final(const struct control *control, int status)
{
	switch (status) {
	case 401:
	case 403:
		return true;
	case 400:
	case 404:
	case 409:
	case 500:
		return !control->once_connected;
	default:
		return false;
	}
}

static void channel_closed(void *user, const struct channel_end *end)
{
	struct control *control = user;

	control->channel = NULL;
	drop_socket(control, 1000);
	peer_lost(control);
	if (token_was_refused(control, end)) {
		free(control->token);
		control->token = NULL;
		dial(control);
		return;
	}
	log_warn(control->config.log, "coordinate", "lost: %s",
		 end->error.message);
	if (is_final(control, end->http_status) && !control->disconnecting)
		control->config.events->on_fatal(control->config.user,
						 &end->error);
	else
		redial_later(control);
}

static const struct channel_events channel_events = {
	.on_open = channel_opened,
	.on_message = channel_message,
	.on_writable = channel_writable,
	.on_close = channel_closed,
};

static int make_url(const struct control *control, char out[URL_CAP])
{
	char agent[UUID_TEXT_CAP];
	int len;

	uuid_to_text(&control->config.agent_id, agent);
	len = snprintf(out, URL_CAP,
		       "%s/api/v2/workspaceagents/%s/coordinate?version="
		       API_VERSION "%s%s",
		       control->url, agent,
		       control->token ? "&resume_token=" : "",
		       control->token ? control->token : "");
	return len < URL_CAP ? 0 : ERR_TOO_LARGE;
}

static void dial(struct control *control)
{
	char url[URL_CAP];
	struct channel_request request = {
		.kind = CHANNEL_BINARY,
		.url = url,
		.headers = control->config.headers,
		.header_count = control->config.header_count,
		.message_cap = MESSAGE_CAP,
		.queue_cap = QUEUE_CAP,
		.events = &channel_events,
		.user = control,
	};
	struct error error;

	if (make_url(control, url) < 0) {
		error_set(&error, ERR_TOO_LARGE, "the URL is too long");
		control->config.events->on_fatal(control->config.user, &error);
		return;
	}
	if (network_open_channel(control->config.network, &request,
				 &control->channel, &error) < 0) {
		control->channel = NULL;
		log_warn(control->config.log, "coordinate", "%s",
			 error.message);
		redial_later(control);
	}
}

static void redial_fired(struct timer *timer)
{
	dial(timer->user);
}

static void deadline_fired(struct timer *timer)
{
	struct control *control = timer->user;

	coordinate_tick(control->coordinate, now(control));
	pump(control);
}

static void run_finished(struct task *task)
{
	struct control *control = task->user;

	control->config.events->on_disconnected(control->config.user);
}

static void init_timers(struct control *control)
{
	control->redial =
		(struct timer){ .fire = redial_fired, .user = control };
	control->deadline =
		(struct timer){ .fire = deadline_fired, .user = control };
	control->gate = (struct timer){ .fire = gate_fired, .user = control };
	control->lost = (struct timer){ .fire = lost_fired, .user = control };
	control->finished =
		(struct task){ .run = run_finished, .user = control };
}

int control_new(const struct control_config *config, struct control **out)
{
	struct control *control = calloc(1, sizeof(*control));

	if (!control)
		return ERR_NOMEM;
	control->config = *config;
	snprintf(control->url, sizeof(control->url), "%s", config->url);
	memcpy(control->addresses, config->addresses,
	       config->address_count * 16);
	control->node_id = (int64_t)(rng_u64(config->rng) >> 1);
	control->backoff = (struct backoff){ .first_us = 50 * US_PER_MS,
					     .most_us = 10 * US_PER_S };
	init_timers(control);
	*out = control;
	dial(control);
	return 0;
}

void control_disconnect(struct control *control)
{
	if (control->disconnecting)
		return;
	control->disconnecting = true;
	timer_stop(control->config.loop, &control->redial);
	if (control->coordinate &&
	    coordinate_disconnect(control->coordinate, now(control)) == 0) {
		pump(control);
		return;
	}
	drop_socket(control, 1000);
	task_post(control->config.loop, &control->finished);
}

void control_free(struct control *control)
{
	if (!control)
		return;
	drop_socket(control, 1001);
	timer_stop(control->config.loop, &control->redial);
	timer_stop(control->config.loop, &control->gate);
	timer_stop(control->config.loop, &control->lost);
	task_cancel(&control->finished);
	free(control->token);
	free(control);
}
