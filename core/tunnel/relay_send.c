/*
 * Packets out. Frames are written into a slab, which is handed to the channel
 * when the next would not fit and at the end of a turn. `probe` runs 2 s after
 * something was sent, and pings the relay if nothing has come since; a pong
 * that stays away is the end: that is how a path that died in sleep is found
 * while it matters. `stall` runs while the channel's queue has no room: after
 * 100 ms nobody should wait for this relay, after 10 s it is given up.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/tunnel/relay_private.h"

/* What relay_send_control() may put in the queue besides the slab. */
#define ROOM_NEEDED (RELAY_SLAB_LEN + DERP_CLIENT_OUT_CAP)
/* Together less than the 5 s to WireGuard's first retry, which then finds the
 * new connection, or waits for it. */
#define PROBE_AFTER_US (2 * US_PER_S)
#define PONG_WITHIN_US (2500 * US_PER_MS)
#define LATE_US (500 * US_PER_MS)
#define STALLED_US (100 * US_PER_MS)
#define FULL_US (10 * US_PER_S)

static void set_probe(struct relay *relay, uint64_t after_us)
{
	relay->probe_us = relay_now(relay);
	timer_set(relay->config.loop, &relay->probe,
		  relay->probe_us + after_us);
}

static void ping(struct relay *relay, uint64_t within_us)
{
	relay->pinged = derp_client_ping(&relay->derp, relay_now(relay)) == 0;
	relay_send_control(relay);
	set_probe(relay, within_us);
}

/* What was under way, or read late, is no sign of life after a change. */
void relay_send_probe(struct relay *relay, uint64_t within_us)
{
	ping(relay, within_us);
	relay->probe_us += LATE_US;
}

static bool is_alive(const struct relay *relay)
{
	return relay->derp.heard_us > relay->probe_us ||
	       (relay->pinged && relay->derp.ping_us == DEADLINE_NONE);
}

static void probe_fired(struct timer *timer)
{
	struct relay *relay = timer->user;
	struct error error;

	if (is_alive(relay)) {
		relay->pinged = false;
	} else if (!relay->pinged) {
		ping(relay, PONG_WITHIN_US);
	} else {
		error_set(&error, ERR_TIMEOUT, "no answer to a ping");
		relay_lost(relay, &error);
	}
}

static void stall_fired(struct timer *timer)
{
	struct relay *relay = timer->user;
	struct error error;

	if (!relay->stalled) {
		relay->stalled = true;
		timer_set(relay->config.loop, &relay->stall,
			  relay->full_us + FULL_US);
		if (relay->config.events->on_stalled)
			relay->config.events->on_stalled(relay->config.user,
							 relay);
		return;
	}
	error_set(&error, ERR_TIMEOUT, "it has taken nothing for %llu s",
		  FULL_US / US_PER_S);
	relay_lost(relay, &error);
}

static void tell_writable(struct relay *relay)
{
	if (!relay->ready || !relay->starved)
		return;
	relay->starved = false;
	relay->config.events->on_writable(relay->config.user, relay);
}

static void refill_fired(struct timer *timer)
{
	tell_writable(timer->user);
}

void relay_send_init(struct relay *relay)
{
	relay->starved = true;
	relay->probe = (struct timer){ .fire = probe_fired, .user = relay };
	relay->stall = (struct timer){ .fire = stall_fired, .user = relay };
	relay->refill = (struct timer){ .fire = refill_fired, .user = relay };
}

static void drop_slab(struct relay *relay)
{
	free(relay->slab);
	relay->slab = NULL;
	relay->slab_len = 0;
}

static void forget_stall(struct relay *relay)
{
	relay->stalled = false;
	timer_stop(relay->config.loop, &relay->stall);
}

void relay_send_reset(struct relay *relay)
{
	relay->starved = true;
	relay->pinged = false;
	relay->bucket = (struct relay_bucket){ .rate = 0 };
	drop_slab(relay);
	forget_stall(relay);
	timer_stop(relay->config.loop, &relay->probe);
	timer_stop(relay->config.loop, &relay->refill);
}

/* Control frames go before packets; both are one byte stream. */
void relay_send_control(struct relay *relay)
{
	struct buf *out = &relay->derp.out;
	int err;

	if (!relay->open || out->len == 0)
		return;
	err = channel_send(relay->channel, buf_data(out), out->len);
	if (err == 0)
		buf_consume(out, out->len);
}

void relay_send_writable(struct relay *relay)
{
	forget_stall(relay);
	relay_send_control(relay);
	tell_writable(relay);
}

static bool channel_is_full(struct relay *relay)
{
	if (channel_room(relay->channel) >= ROOM_NEEDED)
		return false;
	if (!timer_active(&relay->stall)) {
		relay->full_us = relay_now(relay);
		timer_set(relay->config.loop, &relay->stall,
			  relay->full_us + STALLED_US);
	}
	return true;
}

static void fill_bucket(struct relay_bucket *bucket, uint64_t now_us)
{
	uint64_t passed_us = deadline_min(now_us - bucket->filled_us,
					  60 * US_PER_S);
	uint64_t more = passed_us * bucket->rate / US_PER_S;

	if (more == 0)
		return;
	bucket->tokens = deadline_min(bucket->tokens + more, bucket->burst);
	bucket->filled_us = now_us;
}

/* Tailscale's client drops beyond the rate; here the packets wait. */
static bool rate_allows(struct relay *relay, size_t need)
{
	struct relay_bucket *bucket = &relay->bucket;

	if (!bucket->rate)
		return true;
	fill_bucket(bucket, relay_now(relay));
	if (bucket->tokens >= need)
		return true;
	timer_set(relay->config.loop, &relay->refill,
		  relay_now(relay) +
			  (need - bucket->tokens) * US_PER_S / bucket->rate +
			  US_PER_MS);
	return false;
}

static bool make_slab_room(struct relay *relay, size_t need)
{
	if (relay->slab && relay->slab_len + need > RELAY_SLAB_LEN)
		relay_flush(relay);
	if (relay->slab_len + need > RELAY_SLAB_LEN ||
	    channel_is_full(relay) || !rate_allows(relay, need))
		return false;
	if (!relay->slab)
		relay->slab = malloc(RELAY_SLAB_LEN);
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
	size_t frame = DERP_PACKET_OVERHEAD + len;

	derp_send_header(relay->slab + relay->slab_len, dst, len);
	relay->slab_len += frame;
	relay->stats.frames++;
	if (relay->bucket.rate)
		relay->bucket.tokens -= frame;
}

void relay_flush(struct relay *relay)
{
	if (!relay->slab)
		return;
	if (relay->slab_len) {
		relay->stats.records++;
		relay->stats.bytes += relay->slab_len;
		(void)channel_send(relay->channel, relay->slab,
				   relay->slab_len);
		if (!timer_active(&relay->probe))
			set_probe(relay, PROBE_AFTER_US);
	}
	drop_slab(relay);
}
