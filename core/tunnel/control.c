/*
 * Theory of operation. A session is a channel and, once that is open, the
 * coordinate object in it; every way down is drop_socket() and then a timer.
 * What is known of the agent outlives sessions: control_peer.c.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/api_error.h"
#include "core/tunnel/control_private.h"
#include "core/tunnel/text.h"

#define MESSAGE_CAP (4 * 1024 * 1024)
#define QUEUE_CAP (1024 * 1024)
#define API_VERSION "2.0"
/* Nobody says when there is memory again. */
#define SEND_AGAIN_US (100 * US_PER_MS)
/* A session that lasted less is followed by an ever slower dial. */
#define STEADY_US (10 * US_PER_S)

static void redial(struct control *control);

/* --- what the coordinator says -------------------------------------- */

static void on_update(void *user, const struct coordinate_update *update)
{
	struct control *control = user;

	if (uuid_equal(&update->peer, &control->config.agent_id))
		control_peer_update(control, update);
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

/* --- the socket ----------------------------------------------------- */

/* How much left; 0: nothing more now, negative: no memory for it. */
static ssize_t send_piece(struct control *control)
{
	const uint8_t *data;
	size_t len = coordinate_output(control->coordinate, &data);
	size_t room = channel_room(control->channel);
	int err;

	if (len > room)
		len = room;
	if (len == 0)
		return 0;
	err = channel_send(control->channel, data, len);
	if (err < 0)
		return err == ERR_NOMEM ? ERR_NOMEM : 0;
	coordinate_sent(control->coordinate, len, control_now(control));
	return (ssize_t)len;
}

static void pump(struct control *control)
{
	uint64_t deadline;
	ssize_t sent;

	if (!control->coordinate || !control->channel)
		return;
	while ((sent = send_piece(control)) > 0)
		;
	deadline = coordinate_next_deadline(control->coordinate);
	if (sent < 0)
		deadline = deadline_min(deadline, control_now(control) +
						  SEND_AGAIN_US);
	timer_set(control->config.loop, &control->deadline, deadline);
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
			  control_now(control) + wait);
}

static void session_lost(struct control *control, int code)
{
	if (control->coordinate &&
	    control_now(control) - control->opened_us >= STEADY_US)
		backoff_reset(&control->backoff);
	drop_socket(control, code);
	control_peer_session(control, false);
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

/* What there was no memory for is told again in the next session. */
static void on_bad_update(void *user, const struct uuid *peer,
			  const struct error *error)
{
	struct control *control = user;

	(void)peer;
	log_error(control->config.log, "coordinate",
		  "a peer update cannot be understood: %s", error->message);
	if (error->code != ERR_NOMEM)
		return;
	session_lost(control, 1011);
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
	node_describe(control->config.node, node);
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
	err = coordinate_set_node(control->coordinate, node, control_now(control));
	free(node);
	return err;
}

void control_announce(struct control *control)
{
	if (control->coordinate && !control->disconnecting)
		(void)announce(control);
}

static int start_session(struct control *control)
{
	const struct coordinate_config config = {
		.agent = control->config.agent_id,
		.events = &coordinate_events,
		.user = control,
	};
	int err = coordinate_new(&config, control_now(control), &control->coordinate);

	return err < 0 ? err : announce(control);
}

static void channel_opened(void *user)
{
	struct control *control = user;
	int err;

	control->once_connected = true;
	control->opened_us = control_now(control);
	err = start_session(control);
	if (err < 0) {
		log_warn(control->config.log, "coordinate",
			 "cannot begin a session: %s", err_name(err));
		session_lost(control, 1011);
		redial_later(control);
		return;
	}
	control_peer_session(control, true);
	pump(control);
	control->config.events->on_connected(control->config.user);
}

static void channel_message(void *user, const uint8_t *data, size_t len)
{
	struct control *control = user;

	coordinate_in(control->coordinate, data, len, control_now(control));
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

/* A request that cannot be made never can, unless it was for the token. */
static void redial(struct control *control)
{
	struct error error;
	int err = dial(control, &error);

	if (err < 0 && !control_may_pass(err) && control->token) {
		forget_token(control);
		err = dial(control, &error);
	}
	if (err == 0)
		return;
	log_loss(control, &error);
	if (control_may_pass(err) || control->disconnecting)
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

	coordinate_tick(control->coordinate, control_now(control));
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
	control_peer_init(control);
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
	if (!control_may_pass(err))
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
	    coordinate_disconnect(control->coordinate, control_now(control)) < 0)
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
	control_peer_stop(control);
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
	control_peer_stop(control);
	task_cancel(&control->finished);
	forget_token(control);
	free(control->url);
	free(control);
}
