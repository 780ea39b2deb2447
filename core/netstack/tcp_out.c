/*
 * Segments out, one a call, straight into the caller's buffer. In order of
 * urgency: SYN, what is lost, new data with the FIN, probes, bare ACKs.
 */
#include <string.h>

#include "core/base/cursor.h"
#include "core/netstack/internal.h"

#define OPTION_TS_LEN 12	/* two NOPs before it */
#define SYN_OPTIONS_CAP 20

uint32_t ns_options_len(const struct conn *conn, size_t sacks)
{
	uint32_t len = conn->ts_ok ? OPTION_TS_LEN : 0;

	return sacks ? len + 4 + 8 * (uint32_t)sacks : len;
}

static size_t most_sacks(const struct conn *conn, uint32_t payload_len)
{
	size_t most = conn->ts_ok ? SACK_BLOCK_CAP - 1 : SACK_BLOCK_CAP;

	while (most && ns_options_len(conn, most) + payload_len > conn->mss)
		most--;
	return most;
}

static void write_ts(struct writer *w, const struct conn *conn,
		     uint64_t now_us)
{
	write_be(w, 0x0101080au, 4);
	write_u32(w, ts_now(conn->ns, now_us));
	write_u32(w, conn->ts_recent);
}

static void write_sack(struct writer *w, const struct range *blocks,
		       size_t count)
{
	if (!count)
		return;
	write_be(w, 0x0101, 2);
	write_u8(w, 5);
	write_u8(w, (uint8_t)(2 + 8 * count));
	for (size_t i = 0; i < count; i++) {
		write_u32(w, blocks[i].start);
		write_u32(w, blocks[i].end);
	}
}

static void write_header(struct writer *w, const struct conn *conn,
			 uint32_t seq, unsigned flags, uint32_t options_len,
			 uint32_t window)
{
	write_u16(w, conn->local_port);
	write_u16(w, conn->remote_port);
	write_u32(w, seq);
	write_u32(w, flags & TCP_ACK ? conn->rcv_nxt : 0);
	write_u8(w, (uint8_t)((TCP_HEADER_LEN + options_len) / 4 << 4));
	write_u8(w, (uint8_t)flags);
	write_u16(w, (uint16_t)min_u32(window, UINT16_MAX));
	write_u32(w, 0);
}

static size_t seal(struct conn *conn, uint8_t *out, size_t len)
{
	uint16_t sum;

	ns_ip_header(out, conn->ns->addresses[conn->local], conn->remote,
		     NS_HEADER_TCP, len);
	sum = ns_checksum(out, NS_HEADER_TCP, len);
	be_store(out + IPV6_HEADER_LEN + 16, sum, 2);
	return IPV6_HEADER_LEN + len;
}

/* Every segment carries the newest ACK and promises the newest window. */
static uint32_t promise_window(struct conn *conn, bool scaled)
{
	unsigned shift = scaled && conn->scaled ? WINDOW_SHIFT : 0;
	uint32_t wire = min_u32(ns_conn_window(conn) >> shift, UINT16_MAX);
	uint32_t edge = conn->rcv_nxt + (wire << shift);

	if (seq_lt(conn->rcv_edge, edge))
		conn->rcv_edge = edge;
	conn->last_ack_sent = conn->rcv_nxt;
	conn->rcv_unacked = 0;
	conn->ack_at = DEADLINE_NONE;
	if (conn->dup_acks_owed)
		conn->dup_acks_owed--;
	conn->ack_due = conn->dup_acks_owed > 0;
	return wire;
}

static size_t write_segment(struct conn *conn, uint8_t *out, uint32_t seq,
			    unsigned flags, uint32_t payload_len,
			    uint64_t now_us)
{
	struct range blocks[SACK_BLOCK_CAP];
	size_t sacks = ns_receive_sack(conn, blocks,
				       most_sacks(conn, payload_len));
	uint32_t options_len = ns_options_len(conn, sacks);
	struct writer w = writer_of(out + IPV6_HEADER_LEN,
				    conn->ns->config.mtu - IPV6_HEADER_LEN);
	uint8_t *payload;

	write_header(&w, conn, seq, flags | TCP_ACK, options_len,
		     promise_window(conn, true));
	if (conn->ts_ok)
		write_ts(&w, conn, now_us);
	write_sack(&w, blocks, sacks);
	if (sacks)
		conn->dsack = (struct range){ 0 };
	payload = write_space(&w, payload_len);
	if (payload && payload_len)
		ns_ring_read(&conn->send, seq, payload, payload_len);
	return seal(conn, out, w.len);
}

static size_t out_syn(struct conn *conn, uint8_t *out, uint64_t now_us)
{
	struct writer w = writer_of(out + IPV6_HEADER_LEN,
				    TCP_HEADER_LEN + SYN_OPTIONS_CAP);
	bool answer = conn->state == TCP_SYN_RCVD;
	bool ts = !answer || conn->ts_ok;
	bool sack = !answer || conn->sack_ok;
	uint32_t window = answer ? promise_window(conn, false) :
		min_u32(conn->rcv_cap, UINT16_MAX);

	write_header(&w, conn, conn->iss, TCP_SYN | (answer ? TCP_ACK : 0u),
		     SYN_OPTIONS_CAP, window);
	write_be(&w, 0x0204, 2);
	write_u16(&w, (uint16_t)(conn->ns->config.mtu - IPV6_HEADER_LEN -
				 TCP_HEADER_LEN));
	write_be(&w, sack ? 0x0402 : 0x0101, 2);
	write_be(&w, ts ? 0x080a : 0x0101, 2);
	write_be(&w, ts ? ts_now(conn->ns, now_us) : 0x01010101u, 4);
	write_be(&w, ts ? (answer ? conn->ts_recent : 0) : 0x01010101u, 4);
	if (!answer || conn->scaled)
		write_be(&w, 0x01030300u | WINDOW_SHIFT, 4);
	else
		write_be(&w, 0x01010101u, 4);
	conn->syn_due = false;
	conn->snd_nxt = conn->iss + 1;
	conn->sent_us = now_us;
	if (conn->rto_at == DEADLINE_NONE)
		conn->rto_at = now_us + conn->rto_us;
	return seal(conn, out, w.len);
}

static size_t again(struct conn *conn, uint8_t *out, struct record *record,
		    uint64_t now_us)
{
	uint32_t len = record->len;
	unsigned flags = 0;

	if (record->flags & RECORD_FIN) {
		flags |= TCP_FIN;
		len--;
	}
	if (record->seq + len == conn->snd_end)
		flags |= TCP_PSH;
	ns_record_retransmitted(&conn->records, record, now_us);
	if (conn->undo_armed) {
		conn->undo_armed = false;
		conn->undo_open = true;
		conn->undo_ts = ts_now(conn->ns, now_us);
	}
	conn->congestion.sent += record->len;
	ns_pace_sent(conn, record->len, now_us);
	conn->ns->stats.retransmits++;
	return write_segment(conn, out, record->seq, flags, len, now_us);
}

/* The loss probe that is a retransmission. */
static size_t out_last(struct conn *conn, uint8_t *out, uint64_t now_us)
{
	struct records *r = &conn->records;
	struct record *record;

	conn->tlp_due = false;
	if (r->head == r->tail)
		return 0;
	record = record_at(r, r->tail - 1);
	if (record->flags & (RECORD_SACKED | RECORD_LOST))
		return 0;
	conn->tlp_again = true;
	return again(conn, out, record, now_us);
}

static size_t out_lost(struct conn *conn, uint8_t *out, uint64_t now_us)
{
	struct record *record = ns_records_next_lost(&conn->records);
	uint32_t pipe = conn_pipe(conn);

	if (!record)
		return 0;
	if (!conn->force_retransmit && pipe &&
	    (pipe + record->len > conn->congestion.window ||
	     ns_pace_waits(conn, now_us)))
		return 0;
	conn->force_retransmit = false;
	/* RFC 6298 5.1; anew for the head, whose loss only it finds. */
	if (conn->rto_at == DEADLINE_NONE || record->seq == conn->snd_una)
		ns_conn_rto_restart(conn, now_us);
	return again(conn, out, record, now_us);
}

static uint32_t data_left(const struct conn *conn)
{
	return seq_lt(conn->snd_nxt, conn->snd_end) ?
		conn->snd_end - conn->snd_nxt : 0;
}

/* RFC 9293 3.8.6.1: asks again and again for a window. */
static void persist(struct conn *conn, uint64_t now_us)
{
	if (conn_flight(conn) || conn->rto_at != DEADLINE_NONE)
		return;
	conn->persisting = true;
	conn->rto_at = now_us + conn->rto_us;
}

/*
 * How much new data may go now; 0 with *fin false: nothing. Silly window
 * avoidance by RFC 9293 3.8.6.2.1; no Nagle, but a short tail waits while a
 * writer who was refused is about to fill it and an ACK is under way.
 */
static uint32_t sendable(struct conn *conn, bool *fin, uint64_t now_us)
{
	struct range blocks[SACK_BLOCK_CAP];
	size_t sacks = ns_receive_sack(conn, blocks, most_sacks(conn, 0));
	uint32_t most = conn->mss - ns_options_len(conn, sacks);
	uint32_t left = data_left(conn);
	uint32_t edge = conn->snd_una + conn->snd_wnd;
	uint32_t room = seq_lt(conn->snd_nxt, edge) ?
		edge - conn->snd_nxt : 0;
	uint32_t len = min_u32(min_u32(left, most), room);

	*fin = conn->fin_queued && len == left && room > len &&
	       seq_le(conn->snd_nxt, conn->snd_end);
	if (*fin)
		return len;
	if (!len || (len < most && len < left && !conn->force_small &&
		     room < conn->snd_wnd_max / 2)) {
		if (left || (conn->fin_queued &&
			     conn->snd_nxt == conn->snd_end))
			persist(conn, now_us);
		return 0;
	}
	if (len < most && conn->writer_refused && conn_flight(conn))
		return 0;
	return len;
}

static void fin_sent(struct conn *conn)
{
	if (conn->state == TCP_ESTABLISHED)
		conn->state = TCP_FIN_WAIT_1;
	else if (conn->state == TCP_CLOSE_WAIT)
		conn->state = TCP_LAST_ACK;
}

/* RFC 5681 4.1: after idleness the old window says nothing. */
static void restart_after_idle(struct conn *conn, uint64_t now_us)
{
	struct congestion *c = &conn->congestion;

	/* What is paced by a model is no burst. */
	if (conn->pacing_rate || conn_flight(conn) || !conn->sent_us ||
	    now_us - conn->sent_us < conn->rto_us)
		return;
	c->window = min_u32(c->window, INITIAL_SEGMENTS * conn->mss);
	c->epoch_us = 0;
}

static void probe_later(struct conn *conn, uint64_t now_us)
{
	const struct records *r = &conn->records;
	uint64_t rto_at = record_at(r, r->head)->sent_us + conn->rto_us;

	ns_conn_rto_restart(conn, now_us);
	if (conn->rto_at >= rto_at) {
		conn->rto_at = rto_at;
		conn->tlp_armed = false;
	}
}

static size_t out_new(struct conn *conn, uint8_t *out, uint64_t now_us)
{
	bool fin;
	uint32_t len = sendable(conn, &fin, now_us);
	uint32_t pipe = conn_pipe(conn);
	uint32_t seq = conn->snd_nxt;
	struct record *record;
	unsigned flags = 0;

	if (!len && !fin) {
		/* Nothing more to send, or no window to send it into. */
		if (pipe + conn->mss <= conn->congestion.window)
			ns_records_app_limited(&conn->records, pipe);
		return 0;
	}
	restart_after_idle(conn, now_us);
	if (!conn->force_new &&
	    ((pipe && pipe + len > conn->congestion.window) ||
	     ns_pace_waits(conn, now_us)))
		return 0;
	record = ns_record_add(&conn->records, seq, (uint16_t)(len + fin),
			       now_us);
	if (!record) {
		persist(conn, now_us);
		return 0;
	}
	if (fin) {
		record->flags |= RECORD_FIN;
		flags |= TCP_FIN;
		fin_sent(conn);
	}
	if (seq + len == conn->snd_end)
		flags |= TCP_PSH;
	conn->snd_nxt = seq + len + fin;
	conn->force_small = false;
	conn->force_new = false;
	conn->sent_us = now_us;
	conn->congestion.sent += len;
	ns_pace_sent(conn, len, now_us);
	conn->ns->stats.bytes_out += len;
	/* A probe counts from the last transmission, the RTO from the first. */
	if (conn->rto_at == DEADLINE_NONE || conn->persisting)
		ns_conn_rto_restart(conn, now_us);
	else if (conn->tlp_armed)
		probe_later(conn, now_us);
	return write_segment(conn, out, seq, flags, len, now_us);
}

/* One below what was acknowledged: an answer costs the peer nothing. */
static size_t out_probe(struct conn *conn, uint8_t *out, uint64_t now_us)
{
	conn->probe_due = false;
	conn->ns->stats.probes++;
	return write_segment(conn, out, conn->snd_una - 1, 0, 0, now_us);
}

static size_t out_data(struct conn *conn, uint8_t *out, uint64_t now_us)
{
	size_t len = 0;

	if (conn->state == TCP_FIN_WAIT_2 || conn->state == TCP_TIME_WAIT)
		return 0;
	if (conn->tlp_due)
		len = out_last(conn, out, now_us);
	if (!len && conn->records.lost_bytes)
		len = out_lost(conn, out, now_us);
	if (!len)
		len = out_new(conn, out, now_us);
	return len;
}

/*
 * Of a bare ACK: the peer takes none beyond its window, and may have drawn
 * that in below what is in flight (gVisor does). With snd_nxt both ends
 * would then refuse each other's ACKs until one gives up.
 */
static uint32_t ack_seq(const struct conn *conn)
{
	uint32_t edge = conn->snd_una + conn->snd_wnd;

	return seq_lt(edge, conn->snd_nxt) ? edge : conn->snd_nxt;
}

size_t ns_conn_out(struct conn *conn, uint8_t *out, uint64_t now_us)
{
	size_t len;

	if (conn->orphan && conn->life_at == DEADLINE_NONE)
		conn->life_at = now_us + conn->ns->config.linger_timeout_us;
	if (conn->state == TCP_SYN_SENT || conn->state == TCP_SYN_RCVD)
		return conn->syn_due ? out_syn(conn, out, now_us) : 0;
	/* What is missing is told by itself: with data it is no duplicate. */
	if (conn->ack_due && conn->ranges.len)
		return write_segment(conn, out, ack_seq(conn), 0, 0, now_us);
	len = out_data(conn, out, now_us);
	if (!len && conn->probe_due)
		len = out_probe(conn, out, now_us);
	if (!len && conn->ack_due)
		len = write_segment(conn, out, ack_seq(conn), 0, 0, now_us);
	return len;
}
