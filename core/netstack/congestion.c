/*
 * Congestion control: CUBIC (RFC 9438) and Reno (RFC 5681), both with
 * HyStart++ (RFC 9406) in the first slow start. Windows are in
 * bytes and grow by bytes acknowledged, because the pulled output makes the
 * other end acknowledge many segments at once.
 */
#include <math.h>

#include "core/netstack/internal.h"

#define HYSTART_SAMPLES 8
#define HYSTART_ROUNDS 5
#define HYSTART_MIN_US (4 * US_PER_MS)
#define HYSTART_MAX_US (16 * US_PER_MS)
#define CUBIC_C 0.4f
#define CUBIC_BETA 0.7f
#define CUBIC_ALPHA 0.529f	/* 3 (1 - beta) / (1 + beta) */

static uint32_t at_least_two(const struct conn *conn, uint32_t window)
{
	return max_u32(window, 2u * conn->mss);
}

/* RFC 9406 4.2: a round ends; the conservative part lasts five of them. */
static void hystart_round(struct conn *conn, struct hystart *h)
{
	h->last_us = h->least_us;
	h->least_us = UINT32_MAX;
	h->samples = 0;
	h->round_end = conn->snd_nxt;
	if (h->slow_rounds && ++h->slow_rounds > HYSTART_ROUNDS)
		conn->congestion.threshold = conn->congestion.window;
}

/* What of `acked` counts: a quarter once the round trip has grown. */
static uint32_t hystart(struct conn *conn, uint32_t acked)
{
	struct hystart *h = &conn->congestion.hystart;
	uint32_t rtt_us = conn->records.sample.rtt_us;
	uint32_t more_us;

	if (!h->round_end || seq_le(h->round_end, conn->snd_una))
		hystart_round(conn, h);
	if (rtt_us) {
		h->least_us = min_u32(h->least_us, rtt_us);
		if (h->samples < UINT8_MAX)
			h->samples++;
	}
	if (h->samples >= HYSTART_SAMPLES && h->last_us &&
	    h->last_us != UINT32_MAX) {
		more_us = max_u32(HYSTART_MIN_US, min_u32(HYSTART_MAX_US,
							  h->last_us / 8));
		if (!h->slow_rounds && h->least_us >= h->last_us + more_us) {
			h->slow_rounds = 1;
			h->baseline_us = h->least_us;
		} else if (h->least_us < h->baseline_us) {
			h->slow_rounds = 0;
		}
	}
	return h->slow_rounds ? acked / 4 : acked;
}

static bool slow_start(struct conn *conn, uint32_t acked)
{
	struct congestion *c = &conn->congestion;

	if (c->window >= c->threshold)
		return false;
	if (c->threshold == NS_SEND_CAP_MAX)
		acked = hystart(conn, acked);
	c->window = min_u32(c->window + acked, NS_SEND_CAP_MAX);
	return true;
}

static uint32_t reno_reduce(struct conn *conn, uint32_t flight)
{
	conn->congestion.acked = 0;
	return at_least_two(conn, flight / 2);
}

static void by_loss(struct conn *conn, uint64_t now_us)
{
	struct congestion *c = &conn->congestion;

	(void)now_us;
	c->epoch_us = 0;
	c->acked = 0;
	c->hystart = (struct hystart){ 0 };
	conn->pacing_rate = 0;
}

static void reno_grow(struct conn *conn, uint32_t acked, uint64_t now_us)
{
	struct congestion *c = &conn->congestion;

	(void)now_us;
	if (slow_start(conn, acked))
		return;
	c->acked += acked;
	if (c->acked < c->window)
		return;
	c->acked -= c->window;
	c->window = min_u32(c->window + conn->mss, NS_SEND_CAP_MAX);
}

static uint32_t cubic_reduce(struct conn *conn, uint32_t flight)
{
	struct congestion *c = &conn->congestion;
	float window = (float)flight;

	/* Fast convergence, RFC 9438 4.7. */
	if (flight < c->w_max)
		window *= (1.0f + CUBIC_BETA) / 2.0f;
	c->w_max = (uint32_t)window;
	c->epoch_us = 0;
	return at_least_two(conn, (uint32_t)((float)flight * CUBIC_BETA));
}

static void cubic_begin(struct conn *conn, uint64_t now_us)
{
	struct congestion *c = &conn->congestion;
	float behind;

	c->epoch_us = now_us;
	c->w_est = c->window;
	if (c->w_max < c->window)
		c->w_max = c->window;
	behind = (float)(c->w_max - c->window) / (float)conn->mss;
	c->k = cbrtf(behind / CUBIC_C);
}

/* RFC 9438 4.2: W_cubic(t + RTT), in bytes, within [window, 1.5 window]. */
static float cubic_target(const struct conn *conn, uint64_t now_us)
{
	const struct congestion *c = &conn->congestion;
	float t = (float)(now_us - c->epoch_us + conn->srtt_us) / 1e6f - c->k;
	float target = CUBIC_C * t * t * t * (float)conn->mss +
		       (float)c->w_max;
	float window = (float)c->window;

	if (target < window)
		return window;
	return target > 1.5f * window ? 1.5f * window : target;
}

static void cubic_grow(struct conn *conn, uint32_t acked, uint64_t now_us)
{
	struct congestion *c = &conn->congestion;
	float window;
	float share;

	if (slow_start(conn, acked))
		return;
	if (!c->epoch_us)
		cubic_begin(conn, now_us);
	window = (float)c->window;
	share = (float)acked / window;
	window += (cubic_target(conn, now_us) - window) * share;
	/* RFC 9438 4.3: as Reno from where the last loss was. */
	if (c->w_est >= c->prior)
		share *= 1.0f / CUBIC_ALPHA;
	c->w_est += (uint32_t)(CUBIC_ALPHA * share * (float)conn->mss + 0.5f);
	if (window < (float)c->w_est)
		window = (float)c->w_est;
	c->window = min_u32((uint32_t)(window + 0.5f), NS_SEND_CAP_MAX);
}

const struct congestion_ops ns_congestion_cubic = {
	.begin = by_loss,
	.reduce = cubic_reduce,
	.grow = cubic_grow,
};

const struct congestion_ops ns_congestion_reno = {
	.begin = by_loss,
	.reduce = reno_reduce,
	.grow = reno_grow,
};
