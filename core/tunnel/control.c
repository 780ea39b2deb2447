/*
 * Theory of operation. A session is a channel and, once that is open, the
 * coordinate object in it; every way down is drop_socket() and then a timer.
 * What is known of the agent outlives sessions. When a session ends the agent
 * counts as LOST: the clock of 15 min since its last handshake runs. When a
 * new one begins the coordinator tells the agent's node again, if it is still
 * there; if it is not told within 10 s, the agent may have said goodbye
 * meanwhile, or be about to dial in itself: the tunnel is asked. An agent that
 * answers stays, one that does not has left.
 */
#include "core/tunnel/control.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/api_error.h"
#include "core/tailnet/coordinate/coordinate.h"
#include "core/tailnet/wireguard/wireguard.h"
#include "core/tunnel/backoff.h"
#include "core/tunnel/text.h"

#define MESSAGE_CAP (4 * 1024 * 1024)
#define QUEUE_CAP (1024 * 1024)
#define API_VERSION "2.0"
#define READY_WAIT_US (5 * US_PER_S)
#define LOST_KEEP_US (15 * 60 * US_PER_S)
#define RETOLD_WITHIN_US (10 * US_PER_S)
#define ANSWER_WITHIN_US (5 * US_PER_S)
/* A session that lasted less is followed by an ever slower dial. */
#define STEADY_US (10 * US_PER_S)

struct control {
	struct control_config config;
	char *url;		/* of the coordinate socket, without token */
	uint8_t addresses[NODE_PEER_ADDRESS_CAP][16];
	char *token;		/* resume token; secret */
	int64_t node_id;
	struct channel *channel;
	struct coordinate *coordinate;	/* while the channel is open */
	uint64_t opened_us;	/* when the channel opened, last */
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
	struct timer retold;	/* the new session should have told the peer */
	struct task finished;	/* on_disconnected, from the loop */
	struct backoff backoff;
};

static void redial(struct control *control);

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

static void stop_asking(struct control *control)
{
	timer_stop(control->config.loop, &control->retold);
	node_ping_forget(control->config.node, control);
}

static void take_node(struct control *control, const struct coord_node *node)
{
	struct node_peer_config *peer = &control->peer;

	timer_stop(control->config.loop, &control->lost);
	stop_asking(control);
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
	stop_asking(control);
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

static void agent_asked(void *user, int err, uint64_t latency_us)
{
	struct control *control = user;

	(void)latency_us;
	if (err == ERR_CANCELED || !control->programmed)
		return;
	if (err == 0) {
		log_info(control->config.log, "coordinate",
			 "the coordinator does not know the agent, but the "
			 "agent answers");
		return;
	}
	log_warn(control->config.log, "coordinate",
		 "the agent has gone while the coordinator was away");
	peer_left(control);
}

static void retold_fired(struct timer *timer)
{
	struct control *control = timer->user;

	if (!control->programmed || !control->peer.address_count)
		return;
	(void)node_ping(control->config.node, control->peer.addresses[0],
			ANSWER_WITHIN_US, agent_asked, control);
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

static void forget_token(struct control *control)
{
	if (!control->token)
		return;
	sodium_memzero(control->token, strlen(control->token));
	free(control->token);
	control->token = NULL;
}

static void on_token(void *user, const struct coordinate_token *token)
{
	struct control *control = user;
	char *copy = strdup(token->token);

	if (!copy)
		return;
	forget_token(control);
	control->token = copy;
}

static void on_complaint(void *user, const char *text)
{
	struct control *control = user;

	char clean[TEXT_CLEAN_CAP];

	text_clean(text, strlen(text), clean);
	text_redact(clean);
	log_warn(control->config.log, "coordinate", "coordinator: %s", clean);
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

/* The sentence may hold the URL, and that the token. */
static void log_loss(struct control *control, const struct error *error)
{
	struct error clean = *error;

	text_redact(clean.message);
	log_warn(control->config.log, "coordinate", "lost: %s", clean.message);
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

static void session_lost(struct control *control, int code)
{
	if (control->coordinate &&
	    now(control) - control->opened_us >= STEADY_US)
		backoff_reset(&control->backoff);
	drop_socket(control, code);
	stop_asking(control);
	peer_lost(control);
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

	log_loss(control, error);
	session_lost(control, 1002);
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

static void fill_node(const struct control *control, struct coord_node *node)
{
	int64_t wall = loop_wall_us(control->config.loop);

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
}

/* The least that a peer needs to reach us by relay. On the heap: 8 KB. */
static int announce(struct control *control)
{
	struct coord_node *node = calloc(1, sizeof(*node));
	int err;

	if (!node)
		return ERR_NOMEM;
	fill_node(control, node);
	err = coordinate_set_node(control->coordinate, node, now(control));
	free(node);
	return err;
}

static int start_session(struct control *control)
{
	const struct coordinate_config config = {
		.agent = control->config.agent_id,
		.events = &coordinate_events,
		.user = control,
	};
	int err = coordinate_new(&config, now(control), &control->coordinate);

	return err < 0 ? err : announce(control);
}

static void channel_opened(void *user)
{
	struct control *control = user;
	int err;

	control->once_connected = true;
	control->opened_us = now(control);
	err = start_session(control);
	if (err < 0) {
		log_warn(control->config.log, "coordinate",
			 "cannot begin a session: %s", err_name(err));
		session_lost(control, 1011);
		redial_later(control);
		return;
	}
	if (control->programmed)
		timer_set(control->config.loop, &control->retold,
			  now(control) + RETOLD_WITHIN_US);
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
	       api_error_names_field(end->body, end->body_len,
				     "resume_token");
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

static void give_up(struct control *control, const struct error *error)
{
	struct error clean = *error;

	text_redact(clean.message);
	control->config.events->on_fatal(control->config.user, &clean);
}

static void channel_closed(void *user, const struct channel_end *end)
{
	struct control *control = user;

	control->channel = NULL;
	session_lost(control, 1000);
	if (token_was_refused(control, end)) {
		forget_token(control);
		redial(control);
		return;
	}
	log_loss(control, &end->error);
	if (is_final(control, end->http_status) && !control->disconnecting)
		give_up(control, &end->error);
	else
		redial_later(control);
}

static const struct channel_events channel_events = {
	.on_open = channel_opened,
	.on_message = channel_message,
	.on_writable = channel_writable,
	.on_close = channel_closed,
};

/* With the token if there is one; owned, secret. NULL: no memory. */
static char *make_url(const struct control *control)
{
	char *url;

	if (asprintf(&url, "%s%s%s", control->url,
		     control->token ? "&resume_token=" : "",
		     control->token ? control->token : "") < 0)
		return NULL;
	return url;
}

static int dial(struct control *control, struct error *error)
{
	char *url = make_url(control);
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
	int err;

	if (!url)
		return error_set(error, ERR_NOMEM, "no memory for a URL");
	err = network_open_channel(control->config.network, &request,
				   &control->channel, error);
	sodium_memzero(url, strlen(url));
	free(url);
	if (err < 0)
		control->channel = NULL;
	return err;
}

static bool may_pass(int err)
{
	return err == ERR_NOMEM || err == ERR_LIMIT;
}

/* A request that cannot be made never can, unless it was for the token. */
static void redial(struct control *control)
{
	struct error error;
	int err = dial(control, &error);

	if (err < 0 && !may_pass(err) && control->token) {
		forget_token(control);
		err = dial(control, &error);
	}
	if (err == 0)
		return;
	log_loss(control, &error);
	if (may_pass(err) || control->disconnecting)
		redial_later(control);
	else
		give_up(control, &error);
}

static void redial_fired(struct timer *timer)
{
	redial(timer->user);
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
	control->retold =
		(struct timer){ .fire = retold_fired, .user = control };
	control->finished =
		(struct task){ .run = run_finished, .user = control };
}

static int make_base_url(struct control *control)
{
	char agent[UUID_TEXT_CAP];

	uuid_to_text(&control->config.agent_id, agent);
	if (asprintf(&control->url,
		     "%s/api/v2/workspaceagents/%s/coordinate?version="
		     API_VERSION, control->config.url, agent) < 0)
		control->url = NULL;
	control->config.url = NULL;	/* was the caller's */
	return control->url ? 0 : ERR_NOMEM;
}

static int first_dial(struct control *control, struct error *error)
{
	int err = make_base_url(control);

	if (err < 0)
		return error_set(error, err, "no memory for a URL");
	err = dial(control, error);
	if (!may_pass(err))
		return err;
	redial_later(control);
	return 0;
}

int control_new(const struct control_config *config, struct control **out,
		struct error *error)
{
	struct control *control;
	int err;

	if (config->address_count > NODE_PEER_ADDRESS_CAP)
		return error_set(error, ERR_MISUSE, "%zu addresses of our own",
				 config->address_count);
	control = calloc(1, sizeof(*control));
	if (!control)
		return error_set(error, ERR_NOMEM, "no memory for a tunnel");
	control->config = *config;
	memcpy(control->addresses, config->addresses,
	       config->address_count * 16);
	control->config.addresses = NULL;
	control->node_id = (int64_t)(rng_u64(config->rng) >> 1);
	control->backoff = (struct backoff){ .first_us = 50 * US_PER_MS,
					     .most_us = 10 * US_PER_S };
	init_timers(control);
	err = first_dial(control, error);
	if (err < 0) {
		control_free(control);
		return err;
	}
	*out = control;
	return 0;
}

/* Disconnect is on its way; on_done will tell. False: there is no session. */
static bool say_disconnect(struct control *control)
{
	if (!control->coordinate ||
	    coordinate_disconnect(control->coordinate, now(control)) < 0)
		return false;
	pump(control);
	return true;
}

void control_disconnect(struct control *control)
{
	if (control->disconnecting)
		return;
	control->disconnecting = true;
	timer_stop(control->config.loop, &control->redial);
	stop_asking(control);
	if (say_disconnect(control))
		return;
	drop_socket(control, 1000);
	task_post(control->config.loop, &control->finished);
}

void control_free(struct control *control)
{
	if (!control)
		return;
	/* Or the agent would go on handshaking with nobody for 15 min. */
	if (!control->disconnecting)
		(void)say_disconnect(control);
	drop_socket(control, 1001);
	timer_stop(control->config.loop, &control->redial);
	timer_stop(control->config.loop, &control->gate);
	timer_stop(control->config.loop, &control->lost);
	stop_asking(control);
	task_cancel(&control->finished);
	forget_token(control);
	free(control->url);
	free(control);
}
