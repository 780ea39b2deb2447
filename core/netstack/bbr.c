/*
 * BBR: a model of the path in place of a reaction to each loss. After
 * draft-ietf-ccwg-bbr (version 3), from which it departs in what loss means.
 *
 * The model is the bandwidth (most that was delivered in this and the last
 * probing cycle) and the least round trip of ten seconds. Their product is
 * what the path holds; sending is paced by the first and bounded by about
 * twice the product.
 *
 *	STARTUP		grow until the bandwidth stays flat for three rounds
 *	DRAIN		the queue that this made runs empty
 *	DOWN		likewise after UP; then
 *	CRUISE		at the bandwidth, until it is time to probe
 *	REFILL		a round without short-term bounds, so that UP begins
 *			with a full path
 *	UP		a quarter faster: is there more? As long as there is
 *	PROBE_RTT	half of what the path holds, for 200 ms, when no round
 *			trip was as short for ten seconds
 *
 * Loss. The draft takes more than 2 % in a round for congestion. A tunnel
 * runs over radio, where 5 % may be noise: so 2 % count only when the round
 * trip, too, says that a queue has grown; without one it takes LOSS_ALONE,
 * which a full queue too short to be seen in the round trip exceeds when UP
 * sends a quarter too much. Congestion in UP or STARTUP bounds what is in
 * flight for good (flight_high, raised by later probes); elsewhere, until
 * the next probe (low, flight_low).
 */
#include "core/netstack/internal.h"

#define UNIT 256u
#define LOSS_QUEUED (UNIT / 50)
#define LOSS_ALONE (UNIT / 8)
/* Fewer in a round say nothing. */
#define LOSS_SEGMENTS_QUEUED 2
#define LOSS_SEGMENTS_ALONE 6
#define BETA (UNIT * 7 / 10)
#define HEADROOM (UNIT * 85 / 100)
#define FLAT_ROUNDS 3
#define UP_ROUNDS 2
#define RENO_ROUNDS 63		/* as long as Reno would wait, at most */
#define WAIT_US (2 * US_PER_S)	/* and up to a second, at random */
#define MIN_RTT_US (10 * US_PER_S)
#define PROBE_RTT_US (200 * US_PER_MS)
#define MIN_SEGMENTS 4u

static const uint16_t pacing_gain[] = {
	[BBR_STARTUP] = UNIT * 277 / 100, [BBR_DRAIN] = UNIT / 2,
	[BBR_DOWN] = UNIT * 9 / 10, [BBR_CRUISE] = UNIT,
	[BBR_REFILL] = UNIT, [BBR_UP] = UNIT * 5 / 4,
	[BBR_PROBE_RTT] = UNIT,
};

static const uint16_t window_gain[] = {
	[BBR_STARTUP] = UNIT * 2, [BBR_DRAIN] = UNIT * 2,
	[BBR_DOWN] = UNIT * 2, [BBR_CRUISE] = UNIT * 2,
	[BBR_REFILL] = UNIT * 2, [BBR_UP] = UNIT * 9 / 4,
	[BBR_PROBE_RTT] = UNIT / 2,
};

static uint64_t bandwidth(const struct bbr *b)
{
	uint64_t most = b->bandwidth[0] > b->bandwidth[1] ? b->bandwidth[0] :
		b->bandwidth[1];

	return b->low && b->low < most ? b->low : most;
}

/* What the path holds, times gain / UNIT. */
static uint32_t holds(const struct bbr *b, uint32_t gain)
{
	uint64_t bytes = bandwidth(b) * b->min_rtt_us / US_PER_S;

	if (bytes > NS_SEND_CAP_MAX)
		bytes = NS_SEND_CAP_MAX;
	return (uint32_t)(bytes * gain / UNIT);
}

static void enter(struct bbr *b, enum bbr_phase phase, uint64_t now_us)
{
	b->phase = (uint8_t)phase;
	b->phase_us = now_us;
	b->rounds = 0;
}

static void bbr_begin(struct conn *conn, uint64_t now_us)
{
	struct bbr *b = &conn->congestion.bbr;

	*b = (struct bbr){
		.min_rtt_us = conn->srtt_us,
		.min_rtt_us_at = now_us,
		.round_end = conn->records.delivered,
		.round_rtt_us = UINT32_MAX,
	};
	conn->pacing_rate = 0;
	enter(b, BBR_STARTUP, now_us);
}

/* The model has its own opinion of loss. */
static uint32_t bbr_reduce(struct conn *conn, uint32_t flight)
{
	(void)flight;
	return conn->congestion.window;
}

static void bbr_grow(struct conn *conn, uint32_t acked, uint64_t now_us)
{
	(void)conn;
	(void)acked;
	(void)now_us;
}

static bool congested(const struct bbr *b)
{
	uint64_t all = (uint64_t)b->round_delivered + b->round_lost;
	bool queued = b->round_rtt_us != UINT32_MAX &&
		b->round_rtt_us > b->min_rtt_us + b->min_rtt_us / 8 +
		US_PER_MS;

	if (queued)
		return b->round_lost_segments >= LOSS_SEGMENTS_QUEUED &&
		       (uint64_t)b->round_lost * UNIT > all * LOSS_QUEUED;
	return b->round_lost_segments >= LOSS_SEGMENTS_ALONE &&
	       (uint64_t)b->round_lost * UNIT > all * LOSS_ALONE;
}

static void go_down(struct conn *conn, uint64_t now_us)
{
	struct bbr *b = &conn->congestion.bbr;

	b->wait_us = WAIT_US + rng_below(conn->ns->config.rng, US_PER_S);
	b->advance = true;
	enter(b, BBR_DOWN, now_us);
}

static void bound_flight(struct bbr *b)
{
	b->flight_high = max_u32(b->round_delivered, holds(b, BETA));
}

static void startup_round(struct bbr *b, bool app_limited, uint64_t now_us)
{
	uint64_t now = bandwidth(b);

	if (congested(b)) {
		bound_flight(b);
		b->filled = true;
	} else if (now >= b->full + b->full / 4) {
		b->full = now;
		b->flat_rounds = 0;
	} else if (!app_limited && ++b->flat_rounds >= FLAT_ROUNDS) {
		b->filled = true;
	}
	if (b->filled)
		enter(b, BBR_DRAIN, now_us);
}

static void lower_bounds(struct conn *conn)
{
	struct bbr *b = &conn->congestion.bbr;
	uint64_t low = b->low ? b->low : bandwidth(b);
	uint32_t flight = b->flight_low ? b->flight_low :
		conn->congestion.window;

	low = low * BETA / UNIT;
	b->low = low > b->latest ? low : b->latest;
	b->flight_low = max_u32((uint32_t)((uint64_t)flight * BETA / UNIT),
				b->round_delivered);
}

static void up_round(struct conn *conn, bool app_limited, uint64_t now_us)
{
	struct bbr *b = &conn->congestion.bbr;
	uint64_t now = bandwidth(b);
	uint32_t step = (uint32_t)conn->mss << min_u32(b->rounds, 10);

	if (congested(b)) {
		bound_flight(b);
		go_down(conn, now_us);
		return;
	}
	if (b->flight_high &&
	    b->flight_high < holds(b, window_gain[BBR_UP])) {
		b->flight_high += step;
		return;
	}
	b->flight_high = 0;
	if (now >= b->full + b->full / 8) {
		b->full = now;
		b->rounds = 0;
	} else if (b->rounds >= UP_ROUNDS || app_limited) {
		go_down(conn, now_us);
	}
}

static bool time_to_probe(const struct conn *conn, uint64_t now_us)
{
	const struct bbr *b = &conn->congestion.bbr;

	return now_us - b->phase_us >= b->wait_us ||
	       b->rounds >= min_u32(RENO_ROUNDS,
				    holds(b, UNIT) / conn->mss + 1);
}

static void steady_round(struct conn *conn, uint64_t now_us)
{
	struct bbr *b = &conn->congestion.bbr;

	/* Nothing measured, nothing forgotten. */
	if (b->advance && b->bandwidth[0]) {
		b->advance = false;
		b->bandwidth[1] = b->bandwidth[0];
		b->bandwidth[0] = 0;
	}
	if (congested(b))
		lower_bounds(conn);
	if (!time_to_probe(conn, now_us))
		return;
	b->low = 0;
	b->flight_low = 0;
	enter(b, BBR_REFILL, now_us);
}

static void end_round(struct conn *conn, const struct rate_sample *sample,
		      uint64_t now_us)
{
	struct bbr *b = &conn->congestion.bbr;

	b->rounds++;
	switch ((enum bbr_phase)b->phase) {
	case BBR_STARTUP:
		startup_round(b, sample->app_limited, now_us);
		break;
	case BBR_DOWN:
	case BBR_CRUISE:
		steady_round(conn, now_us);
		break;
	case BBR_REFILL:
		b->full = bandwidth(b);
		enter(b, BBR_UP, now_us);
		break;
	case BBR_UP:
		up_round(conn, sample->app_limited, now_us);
		break;
	case BBR_DRAIN:
	case BBR_PROBE_RTT:
		break;
	}
	b->round_end = conn->records.delivered;
	b->round_delivered = 0;
	b->round_lost = 0;
	b->round_lost_segments = 0;
	b->round_rtt_us = UINT32_MAX;
	b->latest = 0;
}

static void measure(struct conn *conn, const struct rate_sample *sample)
{
	struct bbr *b = &conn->congestion.bbr;
	uint64_t now;

	b->round_delivered += sample->acked;
	b->round_lost += sample->lost;
	b->round_lost_segments += sample->lost_segments;
	if (!sample->interval_us)
		return;
	now = (uint64_t)sample->delivered * US_PER_S / sample->interval_us;
	if (now > b->latest)
		b->latest = now;
	if (now > b->bandwidth[0] &&
	    (!sample->app_limited || now > b->bandwidth[1]))
		b->bandwidth[0] = now;
}

static void probe_rtt(struct conn *conn, uint32_t rtt_us, uint64_t now_us)
{
	struct bbr *b = &conn->congestion.bbr;
	bool old = now_us - b->min_rtt_us_at > MIN_RTT_US;

	if (rtt_us)
		b->round_rtt_us = min_u32(b->round_rtt_us, rtt_us);
	if (rtt_us && (rtt_us <= b->min_rtt_us || !b->min_rtt_us)) {
		b->min_rtt_us = rtt_us;
		b->min_rtt_us_at = now_us;
	}
	if (b->phase != BBR_PROBE_RTT) {
		if (old && b->filled)
			enter(b, BBR_PROBE_RTT, now_us);
		return;
	}
	if (now_us - b->phase_us < PROBE_RTT_US || !b->rounds)
		return;
	if (old && b->round_rtt_us != UINT32_MAX)
		b->min_rtt_us = b->round_rtt_us;
	b->min_rtt_us_at = now_us;
	go_down(conn, now_us);
	b->advance = false;
}

static void drained(struct conn *conn, uint64_t now_us)
{
	struct bbr *b = &conn->congestion.bbr;
	uint32_t most = holds(b, UNIT);

	if (b->flight_high)
		most = min_u32(most, (uint32_t)((uint64_t)b->flight_high *
						HEADROOM / UNIT));
	if (conn_pipe(conn) > max_u32(most, MIN_SEGMENTS * conn->mss))
		return;
	if (b->phase == BBR_DRAIN)
		go_down(conn, now_us);
	else if (b->phase == BBR_DOWN)
		b->phase = BBR_CRUISE;
}

static uint32_t bounded(const struct conn *conn, uint32_t window)
{
	const struct bbr *b = &conn->congestion.bbr;
	bool probing = b->phase == BBR_UP || b->phase == BBR_REFILL;
	uint32_t high = b->flight_high;

	if (high && !probing)
		high = (uint32_t)((uint64_t)high * HEADROOM / UNIT);
	if (high)
		window = min_u32(window, high);
	if (b->flight_low && !probing)
		window = min_u32(window, b->flight_low);
	return max_u32(window, MIN_SEGMENTS * conn->mss);
}

static void set_window(struct conn *conn, uint32_t acked)
{
	struct congestion *c = &conn->congestion;
	struct bbr *b = &c->bbr;
	uint64_t burst = conn->pacing_rate * PACE_QUANTUM_US / US_PER_S;
	uint32_t most = holds(b, window_gain[b->phase]);

	/* The other end answers in batches; so do we send. */
	burst = burst > UINT16_MAX ? UINT16_MAX : burst;
	if (b->phase != BBR_PROBE_RTT)
		most += 3 * max_u32((uint32_t)burst, 2u * conn->mss);
	if (b->filled)
		c->window = min_u32(c->window + acked, most);
	else if (c->window < most)
		c->window += acked;
	c->window = min_u32(bounded(conn, c->window), NS_SEND_CAP_MAX);
}

static void set_rate(struct conn *conn)
{
	struct bbr *b = &conn->congestion.bbr;
	uint64_t rate = bandwidth(b);
	uint64_t initial = (uint64_t)INITIAL_SEGMENTS * conn->mss * US_PER_S /
			   (b->min_rtt_us ? b->min_rtt_us : 1);

	/* A few small messages have measured next to nothing. */
	if (!b->filled && rate < initial)
		rate = initial;
	/* A little less, so that no queue is for ever. */
	rate = rate * pacing_gain[b->phase] / UNIT;
	rate -= rate / 100;
	if (b->filled || rate > conn->pacing_rate)
		conn->pacing_rate = rate;
}

static void bbr_sample(struct conn *conn, const struct rate_sample *sample,
		       uint64_t now_us)
{
	struct bbr *b = &conn->congestion.bbr;

	measure(conn, sample);
	probe_rtt(conn, sample->rtt_us, now_us);
	if (sample->interval_us &&
	    seq_le(b->round_end, sample->prior_delivered))
		end_round(conn, sample, now_us);
	drained(conn, now_us);
	if (!bandwidth(b))
		return;
	set_rate(conn);
	set_window(conn, sample->acked);
}

const struct congestion_ops ns_congestion_bbr = {
	.begin = bbr_begin,
	.reduce = bbr_reduce,
	.grow = bbr_grow,
	.sample = bbr_sample,
};
