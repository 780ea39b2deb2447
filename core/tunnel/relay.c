/*
 * Theory of operation. A relay is down (redial is set), opening (channel, not
 * ready) or up (ready). Every way down goes through relay_lost(). A dial that
 * comes to nothing is followed by one to the region's next node at once, and
 * after the last by a pause. Timers are set once and look, when they fire, at
 * what has happened since, so that a packet moves none of them: `deadline` is
 * the DERP client's (10 s for a handshake, 120 s of silence); the others are
 * explained in relay_send.c.
 */
#include "core/tunnel/relay.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/tunnel/relay_private.h"

#define QUEUE_CAP (256 * 1024)
#define MESSAGE_CAP (1024 * 1024)
/* A relay that was up for less is dialled ever more slowly. */
#define STEADY_US (15 * US_PER_S)
/* While there is another node to try. */
#define OPEN_WITHIN_US (3 * US_PER_S)
/* After a change of the network. */
#define ALIVE_WITHIN_US (2 * US_PER_S)

static void forget_channel(struct relay *relay)
{
	relay->channel = NULL;
	relay->open = false;
	relay->ready = false;
	relay_send_reset(relay);
	derp_client_clear(&relay->derp);
	timer_stop(relay->config.loop, &relay->deadline);
}

static void redial_in(struct relay *relay, uint64_t wait_us)
{
	timer_set(relay->config.loop, &relay->redial,
		  relay_now(relay) + wait_us);
}

/* One that has said that it restarts is waited for, and then insisted on. */
static uint64_t wait_us(struct relay *relay)
{
	uint64_t once = relay->restart_us;

	if (relay_now(relay) < relay->restart_until_us)
		backoff_reset(&relay->backoff);
	else
		once = 0;
	relay->restart_us = 0;
	return once + backoff_next(&relay->backoff, relay->config.rng);
}

static void redial_later(struct relay *relay, bool was_ready)
{
	struct relay_targets *targets = &relay->targets;

	if (!was_ready && ++targets->at < targets->count) {
		redial_in(relay, 0);
		return;
	}
	targets->at = 0;
	redial_in(relay, wait_us(relay));
}

static void hang_up(struct relay *relay)
{
	if (relay->ready)
		relay->down_us = relay_now(relay);
	if (relay->channel)
		channel_close(relay->channel, 1002, "");
	forget_channel(relay);
}

void relay_lost(struct relay *relay, const struct error *error)
{
	bool was_ready = relay->ready;

	log_warn(relay->config.log, "derp", "relay %lld lost: %s",
		 (long long)relay->region_id, error->message);
	if (was_ready && relay_now(relay) - relay->up_us >= STEADY_US)
		backoff_reset(&relay->backoff);
	hang_up(relay);
	redial_later(relay, was_ready);
}

static void set_deadline(struct relay *relay)
{
	timer_set(relay->config.loop, &relay->deadline,
		  derp_client_next_deadline(&relay->derp));
}

/* --- the channel ---------------------------------------------------- */

static void come_up_if_ready(struct relay *relay)
{
	if (relay->ready || !derp_client_can_send(&relay->derp))
		return;
	relay->ready = true;
	relay->up_us = relay_now(relay);
	relay->starved = false;
	relay->config.events->on_writable(relay->config.user, relay);
}

static void channel_opened(void *user)
{
	struct relay *relay = user;

	relay->open = true;
	relay_send_control(relay);
}

static void channel_message(void *user, const uint8_t *data, size_t len)
{
	struct relay *relay = user;
	struct error error;

	if (derp_client_in(&relay->derp, data, len, relay_now(relay),
			   &error) < 0) {
		relay_lost(relay, &error);
		return;
	}
	relay_send_control(relay);
	come_up_if_ready(relay);
}

static void channel_writable(void *user)
{
	relay_send_writable(user);
}

/* A 4xx to the upgrade, or a proxy that strips it: the WebSocket may pass. */
static bool wants_websocket(const struct channel_end *end)
{
	return (end->http_status >= 400 && end->http_status < 500) ||
	       end->http_status == 200;
}

static void channel_closed(void *user, const struct channel_end *end)
{
	struct relay *relay = user;
	struct relay_target *at = relay_target(relay);

	relay->channel = NULL;
	if (relay->open || at->by_websocket || !wants_websocket(end)) {
		/* Refused both ways: begin anew, it may do only one. */
		if (!relay->open)
			at->by_websocket = relay->config.force_websocket;
		relay_lost(relay, &end->error);
		return;
	}
	log_info(relay->config.log, "derp",
		 "relay %lld refuses the upgrade (HTTP %d), trying a WebSocket",
		 (long long)relay->region_id, end->http_status);
	forget_channel(relay);
	at->by_websocket = true;
	redial_in(relay, 0);
}

static const struct channel_events channel_events = {
	.on_open = channel_opened,
	.on_message = channel_message,
	.on_writable = channel_writable,
	.on_close = channel_closed,
};

static const char *or_null(const char *text)
{
	return *text ? text : NULL;
}

static int dial(struct relay *relay, struct error *error)
{
	const struct relay_target *at = relay_target(relay);
	bool another = relay->targets.at + 1 < relay->targets.count;
	struct channel_request request = {
		.kind = at->by_websocket ? CHANNEL_BINARY : CHANNEL_UPGRADE,
		.url = at->url,
		.address = or_null(at->address),
		.cert_name = or_null(at->cert_name),
		.protocol = at->by_websocket ? "derp" : "DERP",
		.timeout_us = another ? OPEN_WITHIN_US : 0,
		.message_cap = MESSAGE_CAP,
		.queue_cap = QUEUE_CAP,
		.events = &channel_events,
		.user = relay,
	};
	int err;

	derp_client_init(&relay->derp, &relay->private_key, relay->config.rng,
			 &relay_derp_events, relay, relay_now(relay));
	err = network_open_channel(relay->config.network, &request,
				   &relay->channel, error);
	if (err < 0) {
		relay->channel = NULL;
		return err;
	}
	relay->stats.dials++;
	set_deadline(relay);
	return 0;
}

static void redial_fired(struct timer *timer)
{
	struct relay *relay = timer->user;
	struct error error;

	if (dial(relay, &error) < 0)
		relay_lost(relay, &error);
}

static void deadline_fired(struct timer *timer)
{
	struct relay *relay = timer->user;
	struct error error;

	if (derp_client_tick(&relay->derp, relay_now(relay), &error) < 0)
		relay_lost(relay, &error);
	else
		set_deadline(relay);
}

/* --- life ----------------------------------------------------------- */

static void init_timers(struct relay *relay)
{
	relay->redial = (struct timer){ .fire = redial_fired, .user = relay };
	relay->deadline =
		(struct timer){ .fire = deadline_fired, .user = relay };
	relay->backoff = (struct backoff){ .first_us = 250 * US_PER_MS,
					   .most_us = 15 * US_PER_S };
	relay_send_init(relay);
}

/* Trouble that may pass is tried again; a bad address never gets better. */
static int first_dial(struct relay *relay, struct error *error)
{
	struct relay_targets *targets = &relay->targets;
	int err = relay_targets_make(relay->config.region,
				     relay->config.force_websocket, targets);

	if (err < 0)
		return error_set(error, err,
				 err == ERR_UNREACHABLE ?
					 "the region has no relay" :
				 err == ERR_TOO_LARGE ?
					 "the relay's address is too long" :
					 "no memory for a relay");
	for (targets->at = 0; targets->at < targets->count; targets->at++) {
		err = dial(relay, error);
		if (err == 0)
			return 0;
		if (err == ERR_NOMEM || err == ERR_LIMIT) {
			relay_lost(relay, error);
			return 0;
		}
	}
	return err;
}

int relay_new(const struct relay_config *config, struct relay **out,
	      struct error *error)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	int err;

	if (!relay)
		return error_set(error, ERR_NOMEM, "no memory for a relay");
	relay->config = *config;
	relay->region_id = config->region->region_id;
	relay->private_key = *config->private_key;
	relay->down_us = relay_now(relay);
	init_timers(relay);
	err = first_dial(relay, error);
	if (err < 0) {
		relay_free(relay);
		return err;
	}
	relay->config.region = NULL;	/* were the caller's */
	relay->config.private_key = NULL;
	*out = relay;
	return 0;
}

void relay_free(struct relay *relay)
{
	if (!relay)
		return;
	if (relay->channel) {
		relay_flush(relay);
		channel_close(relay->channel, 1000, "");
	}
	forget_channel(relay);
	timer_stop(relay->config.loop, &relay->redial);
	log_debug(relay->config.log, "derp",
		  "relay %lld: sent %llu frames in %llu messages, %llu bytes",
		  (long long)relay->region_id,
		  (unsigned long long)relay->stats.frames,
		  (unsigned long long)relay->stats.records,
		  (unsigned long long)relay->stats.bytes);
	key_wipe(&relay->private_key);
	free(relay->targets.list);
	free(relay);
}

/* --- changes -------------------------------------------------------- */

static void dial_anew(struct relay *relay, const char *why)
{
	log_info(relay->config.log, "derp", "relay %lld is dialled anew: %s",
		 (long long)relay->region_id, why);
	hang_up(relay);
	backoff_reset(&relay->backoff);
	relay->targets.at = 0;
	redial_in(relay, 0);
}

/* What is known of those that stay is kept, and the one in use stays so. */
static bool carry_over(const struct relay_targets *from,
		       struct relay_targets *to)
{
	bool found = false;

	for (size_t i = 0; i < to->count; i++)
		for (size_t k = 0; k < from->count; k++) {
			if (!relay_target_equal(&to->list[i], &from->list[k]))
				continue;
			to->list[i].by_websocket = from->list[k].by_websocket;
			if (k != from->at)
				continue;
			to->at = i;
			found = true;
		}
	return found;
}

int relay_set_region(struct relay *relay, const struct derp_map_region *region)
{
	struct relay_targets targets;
	bool found;
	int err = relay_targets_make(region, relay->config.force_websocket,
				     &targets);

	if (err < 0)
		return err;
	found = carry_over(&relay->targets, &targets);
	free(relay->targets.list);
	relay->targets = targets;
	if (!found)
		dial_anew(relay, "its region is another");
	return 0;
}

void relay_set_home(struct relay *relay, bool home)
{
	if (relay->config.home == home)
		return;
	relay->config.home = home;
	if (relay->derp.state != DERP_CLIENT_READY)
		return;		/* on_ready tells */
	(void)derp_client_note_preferred(&relay->derp, home);
	relay_send_control(relay);
}

/* False too when it cannot be known. */
static bool address_is_gone(const struct relay *relay,
			    const struct endpoint *addresses, size_t count)
{
	struct endpoint local;

	if (!relay->channel || channel_local(relay->channel, &local) < 0 ||
	    endpoint_is_loopback(&local))
		return false;
	for (size_t i = 0; i < count; i++)
		if (memcmp(addresses[i].address, local.address, 16) == 0)
			return false;
	return true;
}

void relay_network_changed(struct relay *relay,
			   const struct endpoint *addresses, size_t count)
{
	if (!relay->ready)
		dial_anew(relay, "the network has changed");
	else if (address_is_gone(relay, addresses, count))
		dial_anew(relay, "its local address is gone");
	else
		relay_send_probe(relay, ALIVE_WITHIN_US);
}

int64_t relay_region(const struct relay *relay)
{
	return relay->region_id;
}

bool relay_up(const struct relay *relay)
{
	return relay->ready;
}

uint64_t relay_down_for(const struct relay *relay)
{
	return relay->ready ? 0 : relay_now(relay) - relay->down_us;
}

bool relay_stalled(const struct relay *relay)
{
	return relay->stalled;
}

const struct relay_stats *relay_stats(const struct relay *relay)
{
	return &relay->stats;
}
