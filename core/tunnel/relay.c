/*
 * Theory of operation. A relay is down (redial is set), opening (channel, not
 * ready) or up (ready). Every way down goes through lost(). Timers are set
 * once and look, when they fire, at what has happened since, so that a packet
 * moves none of them: `deadline` is the DERP client's (10 s for a handshake,
 * 120 s of silence); `probe` runs 2 s after something was sent, and pings the
 * relay if nothing has come since. A pong that stays away is the end: that is
 * how a path that died in sleep is found while it matters.
 */
#include "core/tunnel/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/tailnet/derp/derp_client.h"
#include "core/tunnel/backoff.h"
#include "core/tunnel/text.h"

#define SLAB_LEN (16 * 1024)
#define QUEUE_CAP (256 * 1024)
#define MESSAGE_CAP (1024 * 1024)
#define URL_CAP (DERP_MAP_HOST_CAP + 32)
/* What send_control() may put in the queue besides the slab. */
#define ROOM_NEEDED (SLAB_LEN + DERP_CLIENT_OUT_CAP)
/* Together less than the 5 s to WireGuard's first retry, which then finds the
 * new connection, or waits for it. */
#define PROBE_AFTER_US (2 * US_PER_S)
#define PONG_WITHIN_US (2500 * US_PER_MS)
/* A relay that was up for less is dialled ever more slowly. */
#define STEADY_US (15 * US_PER_S)

struct relay {
	struct relay_config config;
	struct key32 private_key;
	char url[URL_CAP];
	struct channel *channel;
	bool open;		/* the channel is */
	bool ready;		/* the relay knows us */
	bool by_websocket;
	bool starved;		/* reserve said no: owes an on_writable */
	struct derp_client derp;
	uint8_t *slab;		/* while it holds something */
	size_t slab_len;
	struct timer redial;
	struct timer deadline;
	struct timer probe;
	uint64_t probe_us;	/* when the probe timer was set */
	bool pinged;		/* and nothing has come since */
	uint64_t up_us;		/* when it came up, while ready */
	struct backoff backoff;
};

static int dial(struct relay *relay, struct error *error);

static uint64_t now(const struct relay *relay)
{
	return loop_now_us(relay->config.loop);
}

static void drop_slab(struct relay *relay)
{
	free(relay->slab);
	relay->slab = NULL;
	relay->slab_len = 0;
}

static void forget_channel(struct relay *relay)
{
	relay->channel = NULL;
	relay->open = false;
	relay->ready = false;
	relay->starved = true;
	drop_slab(relay);
	relay->pinged = false;
	derp_client_clear(&relay->derp);
	timer_stop(relay->config.loop, &relay->deadline);
	timer_stop(relay->config.loop, &relay->probe);
}

static void redial_later(struct relay *relay)
{
	uint64_t wait = backoff_next(&relay->backoff, relay->config.rng);

	timer_set(relay->config.loop, &relay->redial, now(relay) + wait);
}

static void lost(struct relay *relay, const struct error *error)
{
	log_warn(relay->config.log, "derp", "relay %lld lost: %s",
		 (long long)relay->config.region_id, error->message);
	if (relay->ready && now(relay) - relay->up_us >= STEADY_US)
		backoff_reset(&relay->backoff);
	if (relay->channel)
		channel_close(relay->channel, 1002, "");
	forget_channel(relay);
	redial_later(relay);
}

static void set_deadline(struct relay *relay)
{
	timer_set(relay->config.loop, &relay->deadline,
		  derp_client_next_deadline(&relay->derp));
}

/* Control frames go before packets; both are one byte stream. */
static void send_control(struct relay *relay)
{
	struct buf *out = &relay->derp.out;
	int err;

	if (!relay->open || out->len == 0)
		return;
	err = channel_send(relay->channel, buf_data(out), out->len);
	if (err == 0)
		buf_consume(out, out->len);
}

static void on_ready(void *user)
{
	struct relay *relay = user;

	if (relay->config.home)
		derp_client_note_preferred(&relay->derp, true);
	log_debug(relay->config.log, "derp", "relay %lld is up by %s",
		  (long long)relay->config.region_id,
		  relay->by_websocket ? "WebSocket" : "upgrade");
}

static void on_packet(void *user, const struct key32 *from,
		      const uint8_t *data, size_t len)
{
	struct relay *relay = user;

	relay->config.events->on_packet(relay->config.user, relay, from, data,
					len);
}

static void on_peer_gone(void *user, const struct key32 *peer, uint8_t reason)
{
	struct relay *relay = user;

	(void)reason;
	relay->config.events->on_peer_gone(relay->config.user, relay, peer);
}

static void on_health(void *user, const char *text, size_t len)
{
	struct relay *relay = user;
	char clean[TEXT_CLEAN_CAP];

	text_clean(text, len, clean);
	if (len)
		log_warn(relay->config.log, "derp", "relay %lld says: %s",
			 (long long)relay->config.region_id, clean);
}

static const struct derp_client_events derp_events = {
	.on_ready = on_ready,
	.on_packet = on_packet,
	.on_peer_gone = on_peer_gone,
	.on_health = on_health,
};

static void come_up_if_ready(struct relay *relay)
{
	if (relay->ready || !derp_client_can_send(&relay->derp))
		return;
	relay->ready = true;
	relay->up_us = now(relay);
	relay->starved = false;
	relay->config.events->on_writable(relay->config.user, relay);
}

static void channel_opened(void *user)
{
	struct relay *relay = user;

	relay->open = true;
	send_control(relay);
}

static void channel_message(void *user, const uint8_t *data, size_t len)
{
	struct relay *relay = user;
	struct error error;

	if (derp_client_in(&relay->derp, data, len, now(relay), &error) < 0) {
		lost(relay, &error);
		return;
	}
	relay->pinged = false;
	send_control(relay);
	come_up_if_ready(relay);
}

static void channel_writable(void *user)
{
	struct relay *relay = user;

	send_control(relay);
	if (!relay->ready || !relay->starved)
		return;
	relay->starved = false;
	relay->config.events->on_writable(relay->config.user, relay);
}

/* A 4xx to the upgrade, or a proxy that strips it: the WebSocket may pass. */
static bool wants_websocket(const struct channel_end *end)
{
	return (end->http_status >= 400 && end->http_status < 500) ||
	       end->http_status == 200;
}

static void redial(struct relay *relay)
{
	struct error error;

	if (dial(relay, &error) < 0)
		lost(relay, &error);
}

static void channel_closed(void *user, const struct channel_end *end)
{
	struct relay *relay = user;

	relay->channel = NULL;
	if (relay->open || relay->by_websocket || !wants_websocket(end)) {
		lost(relay, &end->error);
		return;
	}
	log_info(relay->config.log, "derp",
		 "relay %lld refuses the upgrade (HTTP %d), trying a WebSocket",
		 (long long)relay->config.region_id, end->http_status);
	forget_channel(relay);
	relay->by_websocket = true;
	redial(relay);
}

static const struct channel_events channel_events = {
	.on_open = channel_opened,
	.on_message = channel_message,
	.on_writable = channel_writable,
	.on_close = channel_closed,
};

static int dial(struct relay *relay, struct error *error)
{
	struct channel_request request = {
		.kind = relay->by_websocket ? CHANNEL_BINARY : CHANNEL_UPGRADE,
		.url = relay->url,
		.protocol = relay->by_websocket ? "derp" : "DERP",
		.message_cap = MESSAGE_CAP,
		.queue_cap = QUEUE_CAP,
		.events = &channel_events,
		.user = relay,
	};
	int err;

	derp_client_init(&relay->derp, &relay->private_key, relay->config.rng,
			 &derp_events, relay, now(relay));
	err = network_open_channel(relay->config.network, &request,
				   &relay->channel, error);
	if (err < 0) {
		relay->channel = NULL;
		return err;
	}
	set_deadline(relay);
	return 0;
}

static void redial_fired(struct timer *timer)
{
	redial(timer->user);
}

static void deadline_fired(struct timer *timer)
{
	struct relay *relay = timer->user;
	struct error error;

	if (derp_client_tick(&relay->derp, now(relay), &error) < 0)
		lost(relay, &error);
	else
		set_deadline(relay);
}

static void set_probe(struct relay *relay, uint64_t after_us)
{
	relay->probe_us = now(relay);
	timer_set(relay->config.loop, &relay->probe, relay->probe_us + after_us);
}

static void probe_fired(struct timer *timer)
{
	struct relay *relay = timer->user;
	struct error error;

	if (relay->derp.heard_us > relay->probe_us)
		return;
	if (relay->pinged) {
		error_set(&error, ERR_TIMEOUT, "no answer to a ping in %llu ms",
			  PONG_WITHIN_US / US_PER_MS);
		lost(relay, &error);
		return;
	}
	(void)derp_client_ping(&relay->derp, now(relay));
	send_control(relay);
	relay->pinged = true;
	set_probe(relay, PONG_WITHIN_US);
}

static int make_url(const struct derp_map_node *node, char out[URL_CAP])
{
	bool literal_v6 = strchr(node->host_name, ':') != NULL;
	int port = node->derp_port ? node->derp_port :
		   node->force_http ? 80 : 443;
	int len = snprintf(out, URL_CAP, "%s://%s%s%s:%d/derp",
			   node->force_http ? "http" : "https",
			   literal_v6 ? "[" : "", node->host_name,
			   literal_v6 ? "]" : "", port);

	return len < URL_CAP ? 0 : ERR_TOO_LARGE;
}

int relay_set_node(struct relay *relay, const struct derp_map_node *node)
{
	char url[URL_CAP];
	int err = make_url(node, url);

	if (err == 0)
		memcpy(relay->url, url, sizeof(url));
	return err;
}

static void init_timers(struct relay *relay)
{
	relay->redial = (struct timer){ .fire = redial_fired, .user = relay };
	relay->deadline =
		(struct timer){ .fire = deadline_fired, .user = relay };
	relay->probe = (struct timer){ .fire = probe_fired, .user = relay };
	relay->backoff = (struct backoff){ .first_us = 250 * US_PER_MS,
					   .most_us = 15 * US_PER_S };
}

/* Trouble that may pass is tried again; a bad address never gets better. */
static int first_dial(struct relay *relay, struct error *error)
{
	int err = relay_set_node(relay, relay->config.node);

	if (err < 0)
		return error_set(error, err,
				 "the relay's address is too long");
	err = dial(relay, error);
	if (err != ERR_NOMEM && err != ERR_LIMIT)
		return err;
	lost(relay, error);
	return 0;
}

int relay_new(const struct relay_config *config, struct relay **out,
	      struct error *error)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	int err;

	if (!relay)
		return error_set(error, ERR_NOMEM, "no memory for a relay");
	relay->config = *config;
	relay->private_key = *config->private_key;
	relay->by_websocket = config->force_websocket;
	relay->starved = true;
	init_timers(relay);
	err = first_dial(relay, error);
	if (err < 0) {
		relay_free(relay);
		return err;
	}
	relay->config.node = NULL;	/* were the caller's */
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
	key_wipe(&relay->private_key);
	free(relay);
}

int64_t relay_region(const struct relay *relay)
{
	return relay->config.region_id;
}

bool relay_up(const struct relay *relay)
{
	return relay->ready;
}

static bool make_slab_room(struct relay *relay, size_t need)
{
	if (relay->slab && relay->slab_len + need > SLAB_LEN)
		relay_flush(relay);
	if (relay->slab_len + need > SLAB_LEN ||
	    channel_room(relay->channel) < ROOM_NEEDED)
		return false;
	if (!relay->slab)
		relay->slab = malloc(SLAB_LEN);
	return relay->slab != NULL;
}

uint8_t *relay_reserve(struct relay *relay, size_t len)
{
	if (!relay->ready || !make_slab_room(relay, DERP_PACKET_OVERHEAD + len)) {
		relay->starved = true;
		return NULL;
	}
	return relay->slab + relay->slab_len + DERP_PACKET_OVERHEAD;
}

void relay_commit(struct relay *relay, const struct key32 *dst, size_t len)
{
	derp_send_header(relay->slab + relay->slab_len, dst, len);
	relay->slab_len += DERP_PACKET_OVERHEAD + len;
}

void relay_flush(struct relay *relay)
{
	if (!relay->slab)
		return;
	if (relay->slab_len) {
		(void)channel_send(relay->channel, relay->slab,
				   relay->slab_len);
		if (!timer_active(&relay->probe))
			set_probe(relay, PROBE_AFTER_US);
	}
	drop_slab(relay);
}
