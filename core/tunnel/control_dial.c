/*
 * How the coordinate socket is dialled, and again: with the resume token if
 * there is one, ever more slowly, at once when the network has changed; and
 * which refusals are the end of it.
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
/* After a change of the network. */
#define ALIVE_WITHIN_US (2 * US_PER_S)
#define ADDRESS_CAP 64

static void redial(struct control *control);

void control_forget_token(struct control *control)
{
	if (!control->token)
		return;
	sodium_memzero(control->token, strlen(control->token));
	free(control->token);
	control->token = NULL;
}

void control_log_loss(struct control *control, const struct error *error)
{
	struct error clean = *error;

	text_redact(clean.message);
	log_warn(control->config.log, "coordinate", "lost: %s", clean.message);
}

void control_redial_later(struct control *control)
{
	uint64_t wait = backoff_next(&control->backoff, control->config.rng);

	if (control->disconnecting)
		task_post(control->config.loop, &control->finished);
	else
		timer_set(control->config.loop, &control->redial,
			  control_now(control) + wait);
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
	control_session_lost(control, 1000);
	if (token_was_refused(control, end)) {
		control_forget_token(control);
		redial(control);
		return;
	}
	control_log_loss(control, &end->error);
	if (is_final(control, end->http_status) && !control->disconnecting)
		give_up(control, &end->error);
	else
		control_redial_later(control);
}

static const struct channel_events channel_events = {
	.on_open = control_channel_opened,
	.on_message = control_channel_message,
	.on_writable = control_channel_writable,
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
		control_forget_token(control);
		err = dial(control, &error);
	}
	if (err == 0)
		return;
	control_log_loss(control, &error);
	if (control_may_pass(err) || control->disconnecting)
		control_redial_later(control);
	else
		give_up(control, &error);
}

static void redial_now(struct control *control)
{
	backoff_reset(&control->backoff);
	timer_set(control->config.loop, &control->redial, control_now(control));
}

static bool address_is_gone(const struct control *control)
{
	struct endpoint addresses[ADDRESS_CAP], local;
	size_t count;

	if (channel_local(control->channel, &local) < 0 ||
	    endpoint_is_loopback(&local))
		return false;
	count = network_local_addresses(control->config.network, addresses,
					ADDRESS_CAP);
	for (size_t i = 0; i < count; i++)
		if (memcmp(addresses[i].address, local.address, 16) == 0)
			return false;
	return true;
}

/* After on_fatal there is neither a channel nor a timer, and no way back. */
static void network_changed(struct network_monitor *monitor)
{
	struct control *control = monitor->user;

	if (control->disconnecting)
		return;
	if (!control->channel) {
		if (timer_active(&control->redial))
			redial_now(control);
	} else if (!control->coordinate || address_is_gone(control)) {
		log_info(control->config.log, "coordinate",
			 "dialled anew: the network has changed");
		control_session_lost(control, 1001);
		redial_now(control);
	} else {
		coordinate_probe(control->coordinate, ALIVE_WITHIN_US,
				 control_now(control));
		control_pump(control);
	}
}

void control_dial_stop(struct control *control)
{
	timer_stop(control->config.loop, &control->redial);
	if (control->monitored)
		network_monitor_remove(control->config.network,
				       &control->monitor);
	control->monitored = false;
}

static void redial_fired(struct timer *timer)
{
	redial(timer->user);
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

int control_first_dial(struct control *control, struct error *error)
{
	int err = make_base_url(control);

	control->redial =
		(struct timer){ .fire = redial_fired, .user = control };
	control->backoff = (struct backoff){ .first_us = 50 * US_PER_MS,
					     .most_us = 10 * US_PER_S };
	control->monitor = (struct network_monitor){ .changed = network_changed,
						     .user = control };
	control->monitored = network_monitor_add(control->config.network,
						 &control->monitor) == 0;
	if (err < 0)
		return error_set(error, err, "no memory for a URL");
	err = dial(control, error);
	if (!control_may_pass(err))
		return err;
	control_redial_later(control);
	return 0;
}
