/*
 * Acknowledgments: the round trip (RFC 6298, 7323 4), the send window,
 * SACK, and loss recovery (RFC 6675; RFC 6582 for a peer without SACK).
 */
#include "core/netstack/internal.h"

/* RFC 6298 section 2, clock granularity 1 ms. */
void ns_rtt_sample(struct conn *conn, uint64_t rtt_us)
{
	uint32_t rtt = (uint32_t)(rtt_us > RTO_MAX_US ? RTO_MAX_US : rtt_us);
	uint32_t off;
	uint64_t rto;

	if (!rtt)
		rtt = 1;
	if (!conn->min_rtt_us || rtt < conn->min_rtt_us)
		conn->min_rtt_us = rtt;
	if (!conn->srtt_us) {
		conn->srtt_us = rtt;
		conn->rttvar_us = rtt / 2;
	} else {
		off = rtt > conn->srtt_us ? rtt - conn->srtt_us :
			conn->srtt_us - rtt;
		conn->rttvar_us = conn->rttvar_us - conn->rttvar_us / 4 +
				  off / 4;
		conn->srtt_us = conn->srtt_us - conn->srtt_us / 8 + rtt / 8;
		if (!conn->srtt_us)
			conn->srtt_us = 1;
	}
	rto = conn->srtt_us + (conn->rttvar_us * 4ull > US_PER_MS ?
		conn->rttvar_us * 4ull : US_PER_MS);
	if (rto < RTO_MIN_US)
		rto = RTO_MIN_US;
	conn->rto_us = (uint32_t)(rto > RTO_MAX_US ? RTO_MAX_US : rto);
}

/*
 * After a retransmission only the timestamp can tell which transmission is
 * answered; and an echo older than the last one may as well be the peer's
 * repetition of an ACK that was lost. It is no sample then (Karn), and the
 * time-out stays backed off.
 */
static void take_sample(struct conn *conn, const struct segment *seg,
			uint64_t sent_us, uint64_t again_us, uint64_t now_us)
{
	uint64_t echo_us;

	if (!again_us) {
		if (sent_us)
			ns_rtt_sample(conn, now_us - sent_us);
		return;
	}
	if (!conn->ts_ok || !seg->has_ts)
		return;
	echo_us = (ts_now(conn->ns, now_us) - seg->ts_echo) * US_PER_MS;
	if (echo_us <= now_us - again_us + US_PER_MS)
		ns_rtt_sample(conn, echo_us);
}

static void reduce(struct conn *conn, uint32_t flight)
{
	struct congestion *c = &conn->congestion;

	c->prior = c->window;
	c->prior_threshold = c->threshold;
	c->threshold = conn->ops->reduce(conn, flight);
	conn->undo_armed = conn->ts_ok;
	conn->undo_open = false;
	if (conn->reorder_keep && !--conn->reorder_keep)
		conn->reorder_steps = 1;
}

/* RFC 8985 6.2 step 4: what was called lost had only been overtaken. */
static void reordering_seen(struct conn *conn)
{
	conn->reorder_keep = REORDER_KEEP;
	if (conn->reorder_steps == 4 ||
	    (seq_lt(conn->snd_una, conn->reorder_point) &&
	     seq_le(conn->reorder_point, conn->snd_nxt)))
		return;
	conn->reorder_steps++;
	conn->reorder_point = conn->snd_nxt;
}

/*
 * Eifel, RFC 3522 and 4015: the first ACK after the first retransmission
 * echoes a time stamp from before it. The original had arrived, so nothing
 * was lost, and the window is what it was.
 */
static bool spurious(struct conn *conn, const struct segment *seg)
{
	bool open = conn->undo_open;

	conn->undo_open = false;
	if (open)
		return seg->has_ts && seq_lt(seg->ts_echo, conn->undo_ts);
	/* All of it came before anything was sent again. */
	return conn->undo_armed && seq_le(conn->recovery_point, seg->ack);
}

static bool undo(struct conn *conn, const struct segment *seg)
{
	struct congestion *c = &conn->congestion;

	if (!spurious(conn, seg))
		return false;
	c->window = max_u32(c->window, c->prior);
	c->threshold = max_u32(c->threshold, c->prior_threshold);
	c->epoch_us = 0;
	conn->recovery = RECOVERY_NONE;
	conn->force_retransmit = false;
	conn->ns->stats.undone++;
	ns_records_forgive(&conn->records);
	reordering_seen(conn);
	return true;
}

static void enter_fast(struct conn *conn)
{
	struct congestion *c = &conn->congestion;
	uint32_t flight = min_u32(conn_flight(conn), c->window);

	reduce(conn, flight);
	c->flight = max_u32(flight, 1);
	c->delivered = 0;
	c->sent = 0;
	conn->recovery = RECOVERY_FAST;
	conn->recovery_point = conn->snd_nxt;
	conn->force_retransmit = true;
	conn->ns->stats.fast_recoveries++;
}

/*
 * Proportional rate reduction, RFC 6937: while the pipe empties, sends in
 * proportion to what is delivered, instead of a silence and then a burst.
 */
static void reduce_rate(struct conn *conn, uint32_t delivered)
{
	struct congestion *c = &conn->congestion;
	uint32_t pipe = conn_pipe(conn);
	uint32_t send = 0;
	uint64_t share;

	c->delivered += delivered;
	share = ((uint64_t)c->delivered * c->threshold + c->flight - 1) /
		c->flight;
	if (pipe > c->threshold)
		send = share > c->sent ? (uint32_t)share - c->sent : 0;
	else
		send = min_u32(c->threshold - pipe, conn->mss +
			max_u32(c->delivered > c->sent ?
				c->delivered - c->sent : 0, delivered));
	c->window = pipe + send;
}

void ns_rto_fired(struct conn *conn, uint64_t now_us)
{
	struct congestion *c = &conn->congestion;
	uint32_t flight = min_u32(conn_flight(conn), c->window);

	conn->ns->stats.timeouts++;
	/* RFC 5681 (4): once for each loss, not for each time-out. */
	if (!conn->backoff)
		reduce(conn, flight);
	if (!conn->started_us)
		conn->started_us = now_us - conn->rto_us;
	conn->tlp_due = false;
	conn->tlp_again = false;
	if (conn->backoff < UINT8_MAX)
		conn->backoff++;
	conn->rto_us = min_u32(conn->rto_us * 2, (uint32_t)RTO_MAX_US);
	c->window = conn->mss;
	conn->recovery = RECOVERY_RTO;
	conn->recovery_point = conn->snd_nxt;
	conn->dup_acks = 0;
	conn->force_retransmit = true;
	ns_records_all_lost(&conn->records);
	ns_conn_rto_restart(conn, now_us);
	ns_ready(conn);
}

static void sack_in(struct conn *conn, const struct segment *seg)
{
	if (seg->sack_count && seq_lt(seg->sack[0].start, seg->ack))
		reordering_seen(conn);
	for (uint8_t i = 0; i < seg->sack_count; i++) {
		const struct range *block = &seg->sack[i];

		/* RFC 2883 blocks lie below the ACK: nothing to mark. */
		if (seq_le(block->end, block->start) ||
		    seq_le(block->start, seg->ack) ||
		    seq_lt(conn->snd_nxt, block->end))
			continue;
		ns_records_sack(&conn->records, block->start, block->end);
	}
}

static void leave_recovery(struct conn *conn)
{
	struct congestion *c = &conn->congestion;

	/* A model has kept the window; only a time-out broke it. */
	if (conn->ops->sample)
		c->window = max_u32(c->window, c->prior);
	else if (conn->recovery == RECOVERY_FAST)
		c->window = c->threshold;
	conn->recovery = RECOVERY_NONE;
	conn->force_retransmit = false;
}

/* RFC 6582 3.2 step 5: the next hole begins where this ACK ends. */
static void partial_ack(struct conn *conn, uint32_t acked)
{
	uint32_t counted = acked / conn->mss;

	if (conn->sack_ok || conn->recovery != RECOVERY_FAST)
		return;
	/* All but the one that was lost have been duplicates before. */
	counted = min_u32(counted ? counted - 1 : 0, conn->dup_acks);
	conn->dup_acks = (uint16_t)(conn->dup_acks - counted);
	ns_record_mark_lost(&conn->records, conn->records.head);
	conn->force_retransmit = true;
}

/* Grows only a window that was in use: RFC 7661's reason, Linux's rule. */
static void grow(struct conn *conn, uint32_t flight, uint32_t acked,
		 uint64_t now_us)
{
	struct congestion *c = &conn->congestion;
	bool in_use = c->window < c->threshold ?
		flight * 2ull >= c->window :
		flight + 3ull * conn->mss >= c->window;

	if (in_use && conn->recovery != RECOVERY_FAST)
		conn->ops->grow(conn, acked, now_us);
}

static void fin_acked(struct conn *conn, uint64_t now_us)
{
	switch ((enum tcp_state)conn->state) {
	case TCP_FIN_WAIT_1:
		conn->state = TCP_FIN_WAIT_2;
		if (conn->orphan)
			conn->life_at = now_us +
				conn->ns->config.linger_timeout_us;
		break;
	case TCP_CLOSING:
		ns_conn_time_wait(conn, now_us);
		break;
	case TCP_LAST_ACK:
		ns_conn_end(conn, 0);
		break;
	case TCP_SYN_SENT:
	case TCP_SYN_RCVD:
	case TCP_ESTABLISHED:
	case TCP_FIN_WAIT_2:
	case TCP_CLOSE_WAIT:
	case TCP_TIME_WAIT:
	case TCP_CLOSED:
		break;
	}
}

static void progress(struct conn *conn, uint64_t now_us)
{
	conn->backoff = 0;
	conn->started_us = 0;
	conn->rto_at = DEADLINE_NONE;
	conn->tlp_done = false;
	conn->force_new = false;
	if (conn_flight(conn))
		ns_conn_rto_restart(conn, now_us);
	else if (conn->idle_at == DEADLINE_NONE)
		conn->idle_at = now_us + BUFFER_IDLE_US;
	if (conn->orphan && conn->state != TCP_FIN_WAIT_2)
		conn->life_at = now_us + conn->ns->config.linger_timeout_us;
	ns_notify(conn);
}

/*
 * RFC 8985 7.4: what a probe repaired was a loss all the same, unless the
 * peer says that it had it before.
 */
static void probe_answered(struct conn *conn, const struct segment *seg)
{
	struct congestion *c = &conn->congestion;
	bool duplicate = seg->sack_count &&
			 seq_lt(seg->sack[0].start, seg->ack);

	if (!conn->tlp_again || seq_lt(seg->ack, conn->tlp_end))
		return;
	conn->tlp_again = false;
	if (duplicate || conn->recovery)
		return;
	c->threshold = conn->ops->reduce(conn, c->window);
	c->window = min_u32(c->window, c->threshold);
}

static void advance(struct conn *conn, const struct segment *seg,
		    uint64_t now_us)
{
	uint32_t flight = conn_flight(conn);
	uint32_t acked = seg->ack - conn->snd_una;
	uint64_t sent_us;
	uint64_t again_us;

	ns_records_ack(&conn->records, seg->ack, &sent_us, &again_us);
	conn->snd_una = seg->ack;
	conn->writer_refused = false;
	probe_answered(conn, seg);
	take_sample(conn, seg, sent_us, again_us, now_us);
	progress(conn, now_us);
	if (conn->recovery && undo(conn, seg))
		conn->dup_acks = 0;
	else if (conn->recovery && seq_le(conn->recovery_point, seg->ack))
		leave_recovery(conn);
	else if (conn->recovery)
		partial_ack(conn, acked);
	if (!conn->recovery)
		conn->dup_acks = 0;
	grow(conn, flight, acked, now_us);
	if (seq_lt(conn->snd_end, seg->ack))
		fin_acked(conn, now_us);
}

/* RFC 5681 section 2. */
static bool is_duplicate(const struct conn *conn, const struct segment *seg,
			 uint32_t window)
{
	return seg->ack == conn->snd_una && conn_flight(conn) && !seg->len &&
	       !(seg->flags & TCP_FIN) && window == conn->snd_wnd;
}

static void update_window(struct conn *conn, const struct segment *seg,
			  uint32_t window)
{
	if (seq_lt(seg->seq, conn->snd_wl1) ||
	    (seg->seq == conn->snd_wl1 && seq_lt(seg->ack, conn->snd_wl2)))
		return;
	conn->snd_wl1 = seg->seq;
	conn->snd_wl2 = seg->ack;
	conn->snd_wnd = window;
	conn->snd_wnd_max = max_u32(conn->snd_wnd_max, window);
	/* tcp_out.c begins to persist again where there is reason. */
	if (window)
		ns_persist_end(conn);
}

static bool duplicates_say_lost(struct conn *conn)
{
	return !conn->recovery && conn->dup_acks >= DUP_THRESHOLD &&
	       conn_flight(conn) &&
	       ns_record_mark_lost(&conn->records, conn->records.head);
}

void ns_find_loss(struct conn *conn, uint64_t now_us)
{
	bool lost;

	conn->reorder_at = DEADLINE_NONE;
	if (conn->sack_ok)
		lost = ns_records_judge(&conn->records, now_us,
					conn->min_rtt_us / 4ull *
					conn->reorder_steps,
					conn->reorder_steps == 1,
					&conn->reorder_at);
	else
		lost = duplicates_say_lost(conn);
	if (lost && !conn->recovery)
		enter_fast(conn);
}

void ns_ack_in(struct conn *conn, const struct segment *seg, uint64_t now_us)
{
	uint32_t window = seg->window << conn->send_shift;
	bool duplicate = is_duplicate(conn, seg, window);
	uint32_t before = conn->snd_una + conn->records.sacked_bytes;
	uint32_t delivered = duplicate && !conn->sack_ok ? conn->mss : 0;

	conn->probes = 0;
	if (conn->keepalive_us)
		conn->keepalive_at = now_us + conn->keepalive_us;
	if (conn->state == TCP_TIME_WAIT)
		return;
	ns_records_begin(&conn->records, now_us);
	conn->records.min_rtt_us = conn->min_rtt_us;
	if (conn->sack_ok)
		sack_in(conn, seg);
	if (seq_lt(conn->snd_una, seg->ack)) {
		advance(conn, seg, now_us);
		if (conn->state == TCP_CLOSED ||
		    conn->state == TCP_TIME_WAIT)
			return;
	}
	update_window(conn, seg, window);
	if (!conn->sack_ok && duplicate && conn->dup_acks < UINT16_MAX)
		conn->dup_acks++;
	ns_find_loss(conn, now_us);
	if (conn->recovery == RECOVERY_FAST && !conn->ops->sample)
		reduce_rate(conn, delivered + conn->snd_una +
			    conn->records.sacked_bytes - before);
	ns_rate_acked(conn, now_us);
	ns_ready(conn);
}
