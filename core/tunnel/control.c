/*
 * Theory of operation. A session is a channel and, once that is open, the
 * coordinate object in it; every way down is drop_socket() and then a timer.
 * What is known of the agent outlives sessions: control_peer.c. How the channel
 * comes about: control_dial.c.
 */
#include <stdlib.h>
#include <string.h>

#include "core/tunnel/control_private.h"
#include "core/tunnel/text.h"

/* Nobody says when there is memory again. */
#define SEND_AGAIN_US (100 * US_PER_MS)
/* A session that lasted less is followed by an ever slower dial. */
#define STEADY_US (10 * US_PER_S)

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

static void on_token(void *user, const struct coordinate_token *token)
{
	struct control *control = user;
	char *copy = strdup(token->token);

	if (!copy)
		return;
	control_forget_token(control);
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

void control_pump(struct control *control)
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
	control_pump(user);
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

void control_session_lost(struct control *control, int code)
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

	control_pump(control);
	drop_socket(control, 1000);
	task_post(control->config.loop, &control->finished);
}

static void on_failed(void *user, const struct error *error)
{
	struct control *control = user;

	control_log_loss(control, error);
	control_session_lost(control, 1002);
	control_redial_later(control);
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
	control_session_lost(control, 1011);
	control_redial_later(control);
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

void control_channel_opened(void *user)
{
	struct control *control = user;
	int err;

	control->once_connected = true;
	control->opened_us = control_now(control);
	err = start_session(control);
	if (err < 0) {
		log_warn(control->config.log, "coordinate",
			 "cannot begin a session: %s", err_name(err));
		control_session_lost(control, 1011);
		control_redial_later(control);
		return;
	}
	control_peer_session(control, true);
	control_pump(control);
	control->config.events->on_connected(control->config.user);
}

void control_channel_message(void *user, const uint8_t *data, size_t len)
{
	struct control *control = user;

	coordinate_in(control->coordinate, data, len, control_now(control));
	control_pump(control);
}

void control_channel_writable(void *user)
{
	control_pump(user);
}

static void deadline_fired(struct timer *timer)
{
	struct control *control = timer->user;

	coordinate_tick(control->coordinate, control_now(control));
	control_pump(control);
}

static void run_finished(struct task *task)
{
	struct control *control = task->user;

	control->config.events->on_disconnected(control->config.user);
}

static void init_timers(struct control *control)
{
	control->deadline =
		(struct timer){ .fire = deadline_fired, .user = control };
	control_peer_init(control);
	control->finished =
		(struct task){ .run = run_finished, .user = control };
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
	init_timers(control);
	err = control_first_dial(control, error);
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
	control_pump(control);
	return true;
}

void control_disconnect(struct control *control)
{
	if (control->disconnecting)
		return;
	control->disconnecting = true;
	control_dial_stop(control);
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
	control_dial_stop(control);
	control_peer_stop(control);
	task_cancel(&control->finished);
	control_forget_token(control);
	free(control->url);
	free(control);
}
