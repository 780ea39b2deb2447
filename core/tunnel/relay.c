#include "core/tunnel/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/tailnet/derp/derp_client.h"
#include "core/tunnel/backoff.h"

#define SLAB_LEN (16 * 1024)
#define QUEUE_CAP (256 * 1024)
#define MESSAGE_CAP (1024 * 1024)
#define URL_CAP (DERP_MAP_HOST_CAP + 32)

struct relay {
	struct relay_config config;
	struct derp_map_node node;
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
	struct backoff backoff;
};

static void dial(struct relay *relay);

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
	derp_client_clear(&relay->derp);
	timer_stop(relay->config.loop, &relay->deadline);
}

static void redial_later(struct relay *relay)
{
	uint64_t wait = backoff_next(&relay->backoff, relay->config.rng);

	timer_set(relay->config.loop, &relay->redial, now(relay) + wait);
}

static void fail(struct relay *relay, const struct error *error)
{
	log_warn(relay->config.log, "derp", "relay %lld lost: %s",
		 (long long)relay->config.region_id, error->message);
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

	backoff_reset(&relay->backoff);
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

	if (len)
		log_warn(relay->config.log, "derp", "relay %lld says: %.*s",
			 (long long)relay->config.region_id, (int)len, text);
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
		fail(relay, &error);
		return;
	}
	send_control(relay);
	set_deadline(relay);
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

static void channel_closed(void *user, const struct channel_end *end)
{
	struct relay *relay = user;
	bool was_open = relay->open;

	relay->channel = NULL;
	if (!was_open && !relay->by_websocket && wants_websocket(end)) {
		forget_channel(relay);
		relay->by_websocket = true;
		log_info(relay->config.log, "derp",
			 "relay %lld refuses the upgrade (HTTP %d), "
			 "trying a WebSocket",
			 (long long)relay->config.region_id,
			 end->http_status);
		dial(relay);
		return;
	}
	fail(relay, &end->error);
}

static const struct channel_events channel_events = {
	.on_open = channel_opened,
	.on_message = channel_message,
	.on_writable = channel_writable,
	.on_close = channel_closed,
};

static void dial(struct relay *relay)
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
	struct error error;

	derp_client_init(&relay->derp, &relay->private_key, relay->config.rng,
			 &derp_events, relay, now(relay));
	if (network_open_channel(relay->config.network, &request,
				 &relay->channel, &error) < 0) {
		relay->channel = NULL;
		fail(relay, &error);
		return;
	}
	set_deadline(relay);
}

static void redial_fired(struct timer *timer)
{
	dial(timer->user);
}

static void deadline_fired(struct timer *timer)
{
	struct relay *relay = timer->user;
	struct error error;

	if (derp_client_tick(&relay->derp, now(relay), &error) < 0)
		fail(relay, &error);
	else
		set_deadline(relay);
}

static int make_url(struct relay *relay)
{
	const struct derp_map_node *node = &relay->node;
	bool literal_v6 = strchr(node->host_name, ':') != NULL;
	int port = node->derp_port ? node->derp_port :
		   node->force_http ? 80 : 443;
	int len = snprintf(relay->url, sizeof(relay->url),
			   "%s://%s%s%s:%d/derp",
			   node->force_http ? "http" : "https",
			   literal_v6 ? "[" : "", node->host_name,
			   literal_v6 ? "]" : "", port);

	return len < (int)sizeof(relay->url) ? 0 : ERR_TOO_LARGE;
}

int relay_new(const struct relay_config *config, struct relay **out,
	      struct error *error)
{
	struct relay *relay = calloc(1, sizeof(*relay));

	if (!relay)
		return error_set(error, ERR_NOMEM, "no memory for a relay");
	relay->config = *config;
	relay->node = *config->node;
	relay->private_key = *config->private_key;
	relay->by_websocket = config->force_websocket;
	relay->starved = true;
	relay->redial = (struct timer){ .fire = redial_fired, .user = relay };
	relay->deadline =
		(struct timer){ .fire = deadline_fired, .user = relay };
	relay->backoff = (struct backoff){ .first_us = 250 * US_PER_MS,
					   .most_us = 15 * US_PER_S };
	if (make_url(relay) < 0) {
		free(relay);
		return error_set(error, ERR_TOO_LARGE,
				 "the relay's address is too long");
	}
	*out = relay;
	dial(relay);
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
	    channel_room(relay->channel) < SLAB_LEN)
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
	if (relay->slab_len)
		channel_send(relay->channel, relay->slab, relay->slab_len);
	drop_slab(relay);
}
