/*
 * Data in: trimmed to the promised window, put at its place in the ring,
 * acknowledged by RFC 5681 4.2, and the window grown to what the owner reads
 * in a round trip.
 *
 * When to acknowledge. At once: what is out of order, every second full
 * segment, and over a path of MODEL_RTT_US or more every full segment (what
 * comes in one batch gets one ACK all the same). A sender that lost much has
 * a window of a few segments; an ACK held back costs it round trips, and
 * makes its time-out longer. While segments get lost and few are under way,
 * a batch gets two ACKs, for RFC 5681 4.2 allows one a segment: when the only
 * one is lost, the sender has nothing but its time-out. On short paths a single one waits a
 * millisecond, and small ones a quarter of a round trip, for an answer that
 * can carry the ACK.
 */
#include <string.h>

#include "core/netstack/internal.h"

#define FULL_SEGMENT 512	/* less is a message, not a part of a bulk */
#define ACK_WAIT_MIN_US (1 * US_PER_MS)
#define LOSSY_US (10 * US_PER_S)
#define ACKS_A_ROUND 4
#define THIN_ROUND 32u		/* segments; fewer are acknowledged singly */
#define ACK_BYTES_CAP (64u << 10)

static void ack_now(struct conn *conn)
{
	conn->ack_due = true;
	ns_ready(conn);
}

static void measure_rtt(struct conn *conn, const struct segment *seg,
			uint64_t now_us)
{
	uint32_t ticks;
	uint32_t rtt;

	if (!conn->ts_ok || !seg->has_ts || !seg->ts_echo)
		return;
	ticks = ts_now(conn->ns, now_us) - seg->ts_echo;
	if (ticks > RTO_MAX_US / US_PER_MS)
		return;
	rtt = (uint32_t)(max_u32(ticks, 1) * US_PER_MS);
	/* The peer may have had nothing to say: it is an upper bound. */
	if (!conn->rcv_rtt_us || rtt < conn->rcv_rtt_us)
		conn->rcv_rtt_us = rtt;
	else
		conn->rcv_rtt_us += (rtt - conn->rcv_rtt_us) / 16;
}

/* Newest first, each once: RFC 2018 section 4. */
static void remember_sack(struct conn *conn, uint32_t start)
{
	uint8_t keep = 0;
	uint32_t old[SACK_BLOCK_CAP];
	uint8_t count = conn->sack_recent_count;

	memcpy(old, conn->sack_recent, sizeof(old));
	conn->sack_recent[keep++] = start;
	for (uint8_t i = 0; i < count && keep < SACK_BLOCK_CAP; i++) {
		const struct range *a = ns_ranges_find(&conn->ranges, old[i]);

		/* Gone, or joined with the newest. */
		if (!a || (seq_le(a->start, start) && seq_lt(start, a->end)))
			continue;
		conn->sack_recent[keep++] = old[i];
	}
	conn->sack_recent_count = keep;
}

static bool listed(const struct range *blocks, size_t count,
		   const struct range *range)
{
	for (size_t i = 0; i < count; i++)
		if (blocks[i].start == range->start)
			return true;
	return false;
}

size_t ns_receive_sack(const struct conn *conn, struct range *out, size_t cap)
{
	size_t count = 0;

	if (!conn->sack_ok || !cap)
		return 0;
	/* RFC 2883: the duplicate comes first, once. */
	if (conn->dsack.start != conn->dsack.end)
		out[count++] = conn->dsack;
	for (uint8_t i = 0; i < conn->sack_recent_count && count < cap; i++) {
		const struct range *range =
			ns_ranges_find(&conn->ranges, conn->sack_recent[i]);

		if (range && !listed(out, count, range))
			out[count++] = *range;
	}
	return count;
}

void ns_receive_duplicate(struct conn *conn, const struct segment *seg)
{
	conn->ns->stats.duplicates++;
	conn->dsack = (struct range){ seg->seq, seg->seq + seg->len };
}

static uint32_t received_end(const struct conn *conn)
{
	const struct ranges *r = &conn->ranges;

	return r->len ? r->at[r->len - 1].end : conn->rcv_nxt;
}

static bool store(struct conn *conn, uint32_t seq, const uint8_t *data,
		  uint32_t len)
{
	int err = ns_ring_fit(&conn->receive, conn->rcv_read,
			      received_end(conn), seq + len);

	if (!err && seq != conn->rcv_nxt)
		err = ns_ranges_add(&conn->ranges, seq, seq + len);
	if (err < 0) {
		conn->ns->stats.drop_memory++;
		return false;
	}
	ns_ring_write(&conn->receive, seq, data, len);
	return true;
}

static uint32_t path_rtt_us(const struct conn *conn)
{
	return conn->srtt_us ? conn->srtt_us : conn->rcv_rtt_us;
}

/* Another ACK, if this segment is not the first of its batch. */
static void owe_again(struct conn *conn, uint64_t now_us)
{
	if (!conn->sack_ok || !conn->lossy_us ||
	    now_us - conn->lossy_us > LOSSY_US ||
	    conn->rcv_round >= THIN_ROUND * conn->rcv_mss ||
	    path_rtt_us(conn) < MODEL_RTT_US)
		return;
	if (conn->dup_acks_owed < 2)
		conn->dup_acks_owed++;
}

/* How much may come before it must be acknowledged. */
static uint32_t ack_every(const struct conn *conn)
{
	if (path_rtt_us(conn) < MODEL_RTT_US)
		return 2u * conn->rcv_mss;
	if (conn->rcv_round < THIN_ROUND * conn->rcv_mss)
		return conn->rcv_mss;
	return min_u32(conn->rcv_round / ACKS_A_ROUND, ACK_BYTES_CAP);
}

static void schedule_ack(struct conn *conn, uint32_t len, uint64_t now_us)
{
	bool full = len >= conn->rcv_mss && len >= FULL_SEGMENT;
	uint64_t wait_us = path_rtt_us(conn) / (full ? 8 : 4);

	conn->rcv_mss = (uint16_t)max_u32(conn->rcv_mss,
					  min_u32(len, UINT16_MAX));
	conn->rcv_unacked += len;
	if (conn->rcv_unacked >= 2u * conn->rcv_mss || full) {
		if (conn->rcv_unacked >= ack_every(conn)) {
			ack_now(conn);
			return;
		}
	}
	if (wait_us < ACK_WAIT_MIN_US)
		wait_us = ACK_WAIT_MIN_US;
	conn->ack_at = deadline_min(conn->ack_at, now_us +
				    deadline_min(wait_us, DELAYED_ACK_US));
}

static void in_order(struct conn *conn, uint32_t len, uint64_t now_us)
{
	uint32_t before = conn->rcv_nxt;

	conn->rcv_nxt += len;
	if (conn->ranges.len) {
		conn->rcv_nxt = ns_ranges_advance(&conn->ranges,
						  conn->rcv_nxt);
		ack_now(conn);
	}
	conn->ns->stats.bytes_in += conn->rcv_nxt - before;
	if (conn->orphan)
		conn->rcv_read = conn->rcv_nxt;
	schedule_ack(conn, len, now_us);
	ns_notify(conn);
}

static void out_of_order(struct conn *conn, uint32_t seq)
{
	conn->ns->stats.out_of_order++;
	remember_sack(conn, seq);
	if (!conn->sack_ok && conn->dup_acks_owed < UINT8_MAX)
		conn->dup_acks_owed++;
	ack_now(conn);
}

static void data_in(struct conn *conn, uint32_t seq, const uint8_t *data,
		    uint32_t len, uint64_t now_us)
{
	bool next = seq == conn->rcv_nxt;

	if (conn->orphan && !next) {
		ack_now(conn);
		return;
	}
	if (!conn->orphan && !store(conn, seq, data, len)) {
		ack_now(conn);
		return;
	}
	if (next) {
		in_order(conn, len, now_us);
	} else {
		conn->lossy_us = now_us;
		out_of_order(conn, seq);
	}
	if (len >= FULL_SEGMENT)
		owe_again(conn, now_us);
}

static void fin_in_order(struct conn *conn, uint64_t now_us)
{
	conn->rcv_nxt++;
	conn->fin_received = true;
	ack_now(conn);
	ns_notify(conn);
	switch ((enum tcp_state)conn->state) {
	case TCP_ESTABLISHED:
		conn->state = TCP_CLOSE_WAIT;
		break;
	case TCP_FIN_WAIT_1:
		conn->state = TCP_CLOSING;
		break;
	case TCP_FIN_WAIT_2:
		ns_conn_time_wait(conn, now_us);
		break;
	case TCP_SYN_SENT:
	case TCP_SYN_RCVD:
	case TCP_CLOSE_WAIT:
	case TCP_CLOSING:
	case TCP_LAST_ACK:
	case TCP_TIME_WAIT:
	case TCP_CLOSED:
		break;
	}
}

static void note_fin(struct conn *conn, uint32_t seq)
{
	if (conn->fin_seen)
		return;
	conn->fin_seen = true;
	conn->fin_seq = seq;
	if (seq != conn->rcv_nxt)
		ack_now(conn);
}

void ns_receive_in(struct conn *conn, const struct segment *seg,
		   uint64_t now_us)
{
	uint32_t seq = seg->seq;
	uint32_t end = seg->seq + seg->len;
	uint32_t edge = conn->rcv_edge;
	const uint8_t *data = seg->data;

	if (conn->fin_received)
		return;
	/* Nothing comes after the end. */
	if (conn->fin_seen && seq_lt(conn->fin_seq, edge))
		edge = conn->fin_seq;
	if (seg->flags & TCP_FIN && seq_le(end, edge) &&
	    seq_le(received_end(conn), end))
		note_fin(conn, end);
	if (seq_lt(edge, end))
		end = edge;
	if (seq_lt(seq, conn->rcv_nxt)) {
		data += conn->rcv_nxt - seq;
		seq = conn->rcv_nxt;
		if (seg->len)
			ack_now(conn);
	}
	if (seq_lt(seq, end)) {
		measure_rtt(conn, seg, now_us);
		data_in(conn, seq, data, end - seq, now_us);
	} else if (seg->len) {
		ns_receive_duplicate(conn, seg);
		ack_now(conn);
	}
	if (conn->fin_seen && conn->rcv_nxt == conn->fin_seq)
		fin_in_order(conn, now_us);
}

/* A window of four times what is read in a round trip never holds back a
 * sender that doubles. */
static void tune(struct conn *conn)
{
	uint64_t now_us = conn->ns->now_us;
	uint32_t rtt = conn->rcv_rtt_us ? conn->rcv_rtt_us : conn->srtt_us;
	uint32_t got;

	if (now_us - conn->epoch_us < rtt)
		return;
	got = conn->rcv_read - conn->epoch_read;
	got = min_u32(got, NS_RECEIVE_CAP_MAX);
	conn->rcv_round = got;
	if (got > conn->rcv_cap / 4)
		conn->rcv_cap = min_u32(got * 4,
					conn->ns->config.receive_cap);
	conn->epoch_us = now_us;
	conn->epoch_read = conn->rcv_read;
}

void ns_receive_consumed(struct conn *conn)
{
	uint32_t current = seq_lt(conn->rcv_nxt, conn->rcv_edge) ?
		conn->rcv_edge - conn->rcv_nxt : 0;
	uint32_t more;

	if (conn->fin_received || conn->state == TCP_CLOSED)
		return;
	tune(conn);
	more = ns_conn_window(conn) - current;
	if (more >= conn->rcv_cap / 4 ||
	    (more && current < 2u * conn->mss))
		ack_now(conn);
}
