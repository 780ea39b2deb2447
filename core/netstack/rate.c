/*
 * Which congestion control a connection runs, and pacing.
 *
 * NS_AUTO follows the round trip. Below MODEL_RTT_US timers of a millisecond
 * would send whole windows, what is measured is the machine and not a path,
 * and loss is a queue of ours that ran over: CUBIC, not paced. From there on
 * BBR. A path that has become longer is believed after FLOOR_US in which no
 * answer came faster than twice that, so that a queue is not taken for one;
 * one that has become shorter (the relay's place taken by a direct path) at
 * the first answer.
 *
 * Pacing lets a burst of what PACE_QUANTUM_US is worth leave at once: a timer
 * a burst, not a packet, and segments enough to batch.
 */
#include "core/netstack/internal.h"

#define FLOOR_US (10 * US_PER_S)

static void run(struct conn *conn, const struct congestion_ops *ops,
		uint64_t now_us)
{
	conn->ops = ops;
	conn->pace_at = DEADLINE_NONE;
	conn->floor_us = now_us;
	conn->floor_rtt_us = UINT32_MAX;
	ops->begin(conn, now_us);
}

void ns_rate_begin(struct conn *conn, uint64_t now_us)
{
	const struct congestion_ops *ops = &ns_congestion_cubic;

	switch ((enum ns_congestion)conn->congestion_choice) {
	case NS_AUTO:
		if (conn->srtt_us >= MODEL_RTT_US)
			ops = &ns_congestion_bbr;
		break;
	case NS_BBR:
		ops = &ns_congestion_bbr;
		break;
	case NS_CUBIC:
		break;
	case NS_RENO:
		ops = &ns_congestion_reno;
		break;
	}
	run(conn, ops, now_us);
	/* The first answer will tell. */
	if (!conn->srtt_us)
		conn->floor_us = 0;
}

static void follow_path(struct conn *conn, uint32_t rtt_us, uint64_t now_us)
{
	bool model = conn->ops->sample;

	if (model && rtt_us < MODEL_RTT_US) {
		/* The window is about right: on from here, carefully. */
		conn->congestion.threshold = conn->congestion.window;
		run(conn, &ns_congestion_cubic, now_us);
		return;
	}
	conn->floor_rtt_us = min_u32(conn->floor_rtt_us, rtt_us);
	if (now_us - conn->floor_us < FLOOR_US)
		return;
	if (!model && conn->floor_rtt_us >=
	    (conn->floor_us ? 2 * MODEL_RTT_US : MODEL_RTT_US))
		run(conn, &ns_congestion_bbr, now_us);
	conn->floor_us = now_us;
	conn->floor_rtt_us = UINT32_MAX;
}

void ns_rate_acked(struct conn *conn, uint64_t now_us)
{
	const struct rate_sample *sample = ns_records_sample(&conn->records);

	if (conn->congestion_choice == NS_AUTO && sample->rtt_us)
		follow_path(conn, sample->rtt_us, now_us);
	if (conn->ops->sample)
		conn->ops->sample(conn, sample, now_us);
}

bool ns_pace_waits(struct conn *conn, uint64_t now_us)
{
	if (!conn->pacing_rate || conn->pace_ns <= now_us * 1000)
		return false;
	conn->pace_at = conn->pace_ns / 1000 + PACE_QUANTUM_US;
	return true;
}

void ns_pace_sent(struct conn *conn, uint32_t len, uint64_t now_us)
{
	uint64_t floor = (now_us - PACE_SLACK_US) * 1000;

	if (!conn->pacing_rate)
		return;
	if (conn->pace_ns < floor)
		conn->pace_ns = floor;
	conn->pace_ns += len * UINT64_C(1000000000) / conn->pacing_rate;
}
