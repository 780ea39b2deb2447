/*
 * Segments in: RFC 9293 3.10.7 in its order, with the blind attack rules of
 * RFC 5961 (a reset counts only at exactly rcv_nxt, a SYN never, an ACK only
 * within what was sent) and PAWS (RFC 7323 5.3).
 *
 * What may be done in a state:
 *	SYN_SENT	wait for a SYN; data is kept for later
 *	SYN_RCVD	wait for the ACK of our SYN
 *	ESTABLISHED	both directions
 *	FIN_WAIT_1/2	we have ended, still receive
 *	CLOSE_WAIT	the peer has ended, we still send
 *	CLOSING, LAST_ACK	both have ended, our FIN is not acknowledged
 *	TIME_WAIT	answer a FIN sent again
 */
#include "core/netstack/internal.h"

static uint32_t segment_end(const struct segment *seg)
{
	return seg->seq + seg->len + (seg->flags & TCP_FIN ? 1u : 0u) +
	       (seg->flags & TCP_SYN ? 1u : 0u);
}

static void ack_now(struct conn *conn)
{
	conn->ack_due = true;
	ns_ready(conn);
}

/* RFC 5961 section 7: limited, and by connection, so that it tells nothing
 * about any other. */
static void challenge(struct conn *conn, uint64_t now_us)
{
	if (conn->challenge_us &&
	    now_us - conn->challenge_us < CHALLENGE_GAP_US)
		return;
	conn->challenge_us = now_us;
	conn->ns->stats.challenge_acks++;
	ack_now(conn);
}

void ns_syn_options(struct conn *conn, const struct segment *seg,
		    uint64_t now_us)
{
	uint32_t most = (uint32_t)conn->ns->config.mtu - IPV6_HEADER_LEN -
			TCP_HEADER_LEN;

	conn->irs = seg->seq;
	conn->rcv_nxt = seg->seq + 1;
	conn->rcv_read = conn->rcv_nxt;
	conn->rcv_edge = conn->rcv_nxt;
	conn->last_ack_sent = conn->rcv_nxt;
	conn->mss = (uint16_t)min_u32(seg->mss ? seg->mss : DEFAULT_MSS, most);
	conn->mss = (uint16_t)max_u32(conn->mss, MIN_MSS);
	conn->sack_ok = seg->sack_ok;
	conn->ts_ok = seg->has_ts;
	conn->ts_recent = seg->ts_value;
	conn->ts_recent_us = now_us;
	/* RFC 7323 2.3: more than 14 is taken as 14. */
	conn->scaled = seg->has_window_shift;
	conn->send_shift = seg->has_window_shift ?
		(uint8_t)min_u32(seg->window_shift, 14) : 0;
	conn->snd_wnd = seg->window;
	conn->snd_wnd_max = seg->window;
	conn->snd_wl1 = seg->seq;
	conn->snd_wl2 = seg->ack;
}

static void syn_acked(struct conn *conn, const struct segment *seg,
		      uint64_t now_us)
{
	uint64_t rtt_us = now_us - conn->sent_us;
	uint64_t echo_us = (ts_now(conn->ns, now_us) - seg->ts_echo) *
			   US_PER_MS;

	conn->snd_una = seg->ack;
	/* Karn: one transmission, or its time stamp; else RFC 6298 5.7. */
	if (!conn->backoff)
		ns_rtt_sample(conn, rtt_us);
	else if (conn->ts_ok && seg->has_ts && echo_us <= rtt_us + US_PER_MS)
		ns_rtt_sample(conn, echo_us);
	else if (conn->rto_us < 3 * US_PER_S)
		conn->rto_us = 3 * US_PER_S;
	conn->sent_us = 0;
	ns_conn_established(conn, now_us);
}

static void syn_sent_in(struct conn *conn, const uint8_t *ip,
			const struct segment *seg, uint64_t now_us)
{
	bool acks = seg->flags & TCP_ACK;

	if (acks && (seq_le(seg->ack, conn->iss) ||
		     seq_lt(conn->snd_nxt, seg->ack))) {
		conn->ns->stats.drop_ack++;
		ns_reset_answer(conn->ns, ip, seg);
		return;
	}
	if (seg->flags & TCP_RST) {
		conn->ns->stats.resets_in++;
		if (acks)
			ns_conn_end(conn, ERR_REFUSED);
		return;
	}
	if (!(seg->flags & TCP_SYN))
		return;
	ns_syn_options(conn, seg, now_us);
	if (acks) {
		syn_acked(conn, seg, now_us);
		ack_now(conn);
		return;
	}
	/* Simultaneous open. */
	conn->state = TCP_SYN_RCVD;
	conn->syn_due = true;
	ns_ready(conn);
}

static bool window_acceptable(const struct conn *conn,
			      const struct segment *seg)
{
	uint32_t end = segment_end(seg);
	uint32_t edge = conn->rcv_edge;

	if (end == seg->seq)
		return seq_le(conn->rcv_nxt, seg->seq) &&
		       (seq_lt(seg->seq, edge) || seg->seq == conn->rcv_nxt);
	/* With a closed window the ACK of a segment still counts. */
	return seq_lt(conn->rcv_nxt, end) &&
	       (seq_lt(seg->seq, edge) || seg->seq == conn->rcv_nxt);
}

static bool paws_fails(const struct conn *conn, const struct segment *seg,
		       uint64_t now_us)
{
	if (!conn->ts_ok || seg->flags & TCP_RST)
		return false;
	if (!seg->has_ts)
		return true;
	return seq_lt(seg->ts_value, conn->ts_recent) &&
	       now_us - conn->ts_recent_us < PAWS_IDLE_US;
}

static void remember_ts(struct conn *conn, const struct segment *seg,
			uint64_t now_us)
{
	if (!conn->ts_ok || !seg->has_ts ||
	    seq_lt(conn->last_ack_sent, seg->seq) ||
	    seq_lt(seg->ts_value, conn->ts_recent))
		return;
	conn->ts_recent = seg->ts_value;
	conn->ts_recent_us = now_us;
}

static void reset_in(struct conn *conn, const struct segment *seg,
		     uint64_t now_us)
{
	conn->ns->stats.resets_in++;
	if (seg->seq != conn->rcv_nxt) {
		challenge(conn, now_us);
		return;
	}
	/* An end in order has nothing left to lose. */
	if (conn->state == TCP_TIME_WAIT)
		ns_conn_end(conn, 0);
	else if (conn->state == TCP_SYN_RCVD)
		ns_conn_end(conn, ERR_REFUSED);
	else
		ns_conn_end(conn, ERR_RESET);
}

/* The peer's SYN again, or the other half of a simultaneous open. */
static bool syn_again(struct conn *conn, const struct segment *seg)
{
	if (seg->flags & TCP_ACK)
		return true;
	conn->syn_due = true;
	ns_ready(conn);
	return false;
}

static void outside(struct conn *conn, const struct segment *seg,
		    uint64_t now_us)
{
	/* Sent again because our ACK was lost: echo this one, or the peer
	 * measures back to the first. */
	if (conn->rcv_nxt - seg->seq <= conn->rcv_cap)
		remember_ts(conn, seg, now_us);
	if (segment_end(seg) == seg->seq || seg->flags & TCP_SYN)
		challenge(conn, now_us);
	else
		ack_now(conn);
	if (seq_le(conn->rcv_edge, seg->seq))
		conn->ns->stats.drop_window++;
	else if (seg->len)
		ns_receive_duplicate(conn, seg);
}

/* Sequence and reset checks; false: done with the segment. */
static bool acceptable(struct conn *conn, const struct segment *seg,
		       uint64_t now_us)
{
	struct ns_stats *stats = &conn->ns->stats;

	if (paws_fails(conn, seg, now_us)) {
		stats->drop_paws++;
		/* Data sent twice deserves an ACK at once. */
		if (seg->has_ts && seg->len)
			ack_now(conn);
		else if (seg->has_ts)
			challenge(conn, now_us);
		return false;
	}
	if (conn->state == TCP_SYN_RCVD && seg->flags & TCP_SYN &&
	    seg->seq == conn->irs && !(seg->flags & TCP_RST))
		return !conn->held && syn_again(conn, seg);
	if (!window_acceptable(conn, seg)) {
		if (!(seg->flags & TCP_RST))
			outside(conn, seg, now_us);
		return false;
	}
	if (seg->flags & TCP_RST) {
		reset_in(conn, seg, now_us);
		return false;
	}
	if (seg->flags & TCP_SYN) {
		challenge(conn, now_us);
		return false;
	}
	return true;
}

static bool syn_rcvd_in(struct conn *conn, const uint8_t *ip,
			const struct segment *seg, uint64_t now_us)
{
	if (seq_le(seg->ack, conn->iss) || seq_lt(conn->snd_nxt, seg->ack)) {
		conn->ns->stats.drop_ack++;
		ns_reset_answer(conn->ns, ip, seg);
		return false;
	}
	syn_acked(conn, seg, now_us);
	/* RFC 7323 2.2: the window of a SYN is not scaled. */
	conn->snd_wnd = seg->flags & TCP_SYN ? seg->window :
		seg->window << conn->send_shift;
	conn->snd_wl1 = seg->seq;
	conn->snd_wl2 = seg->ack;
	if (conn->fin_queued)
		ns_ready(conn);
	if (seg->flags & TCP_SYN) {
		ack_now(conn);
		return false;
	}
	return true;
}

/* RFC 5961 section 5. */
static bool ack_acceptable(struct conn *conn, const struct segment *seg,
			   uint64_t now_us)
{
	if (seq_le(seg->ack, conn->snd_nxt) &&
	    seq_le(conn->snd_una - conn->snd_wnd_max, seg->ack))
		return true;
	conn->ns->stats.drop_ack++;
	challenge(conn, now_us);
	return false;
}

/* Nobody will read it any more, and we have said all: RFC 9293 3.6.1. */
static bool unwanted(const struct conn *conn, const struct segment *seg)
{
	return conn->orphan && conn->state == TCP_FIN_WAIT_2 &&
	       seq_lt(conn->rcv_nxt, seg->seq + seg->len);
}

static void time_wait_in(struct conn *conn, const struct segment *seg,
			 uint64_t now_us)
{
	if (!(seg->flags & TCP_FIN))
		return;
	conn->life_at = now_us + conn->ns->config.time_wait_us;
	ack_now(conn);
}

static void conn_in(struct conn *conn, const uint8_t *ip,
		    const struct segment *seg, uint64_t now_us)
{
	if (conn->state == TCP_SYN_SENT) {
		syn_sent_in(conn, ip, seg, now_us);
		return;
	}
	conn->heard_us = now_us;
	if (!acceptable(conn, seg, now_us)) {
		if (conn->state == TCP_TIME_WAIT)
			time_wait_in(conn, seg, now_us);
		return;
	}
	if (!(seg->flags & TCP_ACK))
		return;
	remember_ts(conn, seg, now_us);
	if (conn->state == TCP_SYN_RCVD &&
	    !syn_rcvd_in(conn, ip, seg, now_us))
		return;
	if (!ack_acceptable(conn, seg, now_us))
		return;
	ns_ack_in(conn, seg, now_us);
	if (conn->state == TCP_CLOSED || conn->state == TCP_TIME_WAIT)
		return;
	if (unwanted(conn, seg)) {
		ns_conn_reset(conn);
		ns_conn_end(conn, ERR_RESET);
		return;
	}
	ns_receive_in(conn, seg, now_us);
}

/* RFC 9293 3.6.1 and RFC 6191: a later SYN may take an old one's place. */
static bool replaces(const struct conn *conn, const struct segment *seg)
{
	if (conn->state != TCP_TIME_WAIT ||
	    (seg->flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN)
		return false;
	return seq_lt(conn->rcv_nxt, seg->seq) ||
	       (conn->ts_ok && seg->has_ts &&
		seq_lt(conn->ts_recent, seg->ts_value));
}

void ns_tcp_in(struct ns *ns, const uint8_t *ip, const uint8_t *payload,
	       size_t len, int local, uint64_t now_us)
{
	struct segment seg;
	struct conn *conn;
	struct ns_listener *listener;

	if (!ns_segment_parse(payload, len, &seg)) {
		ns->stats.drop_malformed++;
		return;
	}
	conn = ns_conn_find(ns, ip, &seg, local);
	if (conn && replaces(conn, &seg)) {
		ns_conn_end(conn, 0);
		conn = NULL;
	}
	if (conn) {
		conn_in(conn, ip, &seg, now_us);
		if (conn->timer.slot)
			ns_conn_arm(conn);
		return;
	}
	listener = ns_listener_find(ns, seg.dst_port);
	if (listener && (seg.flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN)
		ns_listen_in(ns, listener, ip, &seg, local, now_us);
	else
		ns_reset_answer(ns, ip, &seg);
}
