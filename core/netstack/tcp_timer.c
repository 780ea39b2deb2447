/*
 * What a connection does when one of its deadlines comes.
 *
 *	rto_at		SYN or data again (RFC 6298), a loss probe (RFC 8985
 *			section 7) before it, or a window probe
 *	reorder_at	what was overtaken is late enough to be lost
 *	pace_at		the next burst may leave
 *	ack_at		the delayed ACK
 *	keepalive_at	nothing heard for so long
 *	life_at		end of TIME_WAIT; an orphan that gets nowhere
 *	idle_at		empty buffers are given back
 */
#include "core/netstack/internal.h"

void ns_conn_rto_restart(struct conn *conn, uint64_t now_us)
{
	uint64_t pto = 2ull * conn->srtt_us;

	ns_persist_end(conn);
	conn->rto_at = now_us + conn->rto_us;
	conn->tlp_armed = false;
	if (conn->recovery || !conn->sack_ok || conn->tlp_done ||
	    !conn->srtt_us || conn->records.sacked_bytes)
		return;
	if (pto < TLP_MIN_US)
		pto = TLP_MIN_US;
	/* The ACK of a single segment may be delayed. */
	if (conn->records.tail - conn->records.head == 1)
		pto += TLP_ACK_DELAY_US;
	if (pto >= conn->rto_us)
		return;
	conn->rto_at = now_us + pto;
	conn->tlp_armed = true;
}

void ns_persist_end(struct conn *conn)
{
	if (!conn->persisting)
		return;
	conn->persisting = false;
	conn->backoff = 0;
	conn->started_us = 0;
	conn->rto_at = DEADLINE_NONE;
}

static void give_up(struct conn *conn, int err)
{
	if (conn->state != TCP_SYN_SENT)
		ns_conn_reset(conn);
	ns_conn_end(conn, err);
}

static void syn_again(struct conn *conn, uint64_t now_us)
{
	uint64_t limit = conn->ns->config.connect_timeout_us;

	if (now_us - conn->started_us >= limit) {
		ns_conn_end(conn, ERR_TIMEOUT);
		return;
	}
	conn->backoff++;
	conn->rto_us = min_u32(conn->rto_us * 2, (uint32_t)RTO_MAX_US);
	conn->rto_at = deadline_min(now_us + conn->rto_us,
				    conn->started_us + limit);
	conn->syn_due = true;
	conn->ns->stats.retransmits++;
	ns_ready(conn);
}

/* For ever, as long as the peer answers: RFC 9293 3.8.6.1. */
static void persist_again(struct conn *conn, uint64_t now_us)
{
	if (conn->probes &&
	    now_us - conn->started_us >= conn->ns->config.retry_timeout_us) {
		give_up(conn, ERR_TIMEOUT);
		return;
	}
	if (!conn->probes++)
		conn->started_us = now_us;
	if (conn->probes == UINT8_MAX)
		conn->probes--;
	if (conn->backoff < 16)
		conn->backoff++;
	conn->rto_at = now_us + deadline_min((uint64_t)conn->rto_us <<
					     conn->backoff, RTO_MAX_US);
	/* What little window there is goes to data, else a probe. */
	if (conn->snd_wnd && !conn_flight(conn))
		conn->force_small = true;
	else
		conn->probe_due = true;
	ns_ready(conn);
}

/* New data if there is any, else the last segment again. */
static void probe_loss(struct conn *conn, uint64_t now_us)
{
	conn->tlp_armed = false;
	conn->tlp_done = true;
	conn->tlp_end = conn->snd_nxt;
	conn->rto_at = now_us + conn->rto_us;
	if (seq_lt(conn->snd_nxt, conn->snd_end) &&
	    conn_flight(conn) < conn->snd_wnd)
		conn->force_new = true;
	else
		conn->tlp_due = true;
	conn->ns->stats.loss_probes++;
	ns_ready(conn);
}

static void retransmit(struct conn *conn, uint64_t now_us)
{
	if (conn->started_us &&
	    now_us - conn->started_us >= conn->ns->config.retry_timeout_us) {
		give_up(conn, ERR_TIMEOUT);
		return;
	}
	ns_rto_fired(conn, now_us);
}

static void rto_due(struct conn *conn, uint64_t now_us)
{
	conn->rto_at = DEADLINE_NONE;
	if (conn->state == TCP_SYN_SENT || conn->state == TCP_SYN_RCVD)
		syn_again(conn, now_us);
	else if (conn->persisting)
		persist_again(conn, now_us);
	else if (conn_flight(conn) && conn->tlp_armed)
		probe_loss(conn, now_us);
	else if (conn_flight(conn))
		retransmit(conn, now_us);
}

static void keepalive_due(struct conn *conn, uint64_t now_us)
{
	uint64_t idle = now_us - conn->heard_us;

	conn->keepalive_at = DEADLINE_NONE;
	if (!conn->keepalive_us)
		return;
	if (idle < conn->keepalive_us) {
		conn->keepalive_at = conn->heard_us + conn->keepalive_us;
		return;
	}
	/* With data under way the RTO finds out. */
	if (conn_flight(conn) || conn->persisting) {
		conn->keepalive_at = now_us + conn->keepalive_us;
		return;
	}
	if (conn->probes >= KEEPALIVE_PROBES) {
		give_up(conn, ERR_TIMEOUT);
		return;
	}
	conn->probes++;
	conn->probe_due = true;
	conn->keepalive_at = now_us + deadline_min(KEEPALIVE_GAP_US,
						   conn->keepalive_us);
	ns_ready(conn);
}

static void life_over(struct conn *conn)
{
	bool waited = conn->state == TCP_TIME_WAIT;

	if (!waited)
		ns_conn_reset(conn);
	ns_conn_end(conn, waited ? 0 : ERR_TIMEOUT);
}

static void free_empty(struct conn *conn, uint64_t now_us)
{
	bool busy = false;

	conn->idle_at = DEADLINE_NONE;
	if (conn->snd_una == conn->snd_end || seq_lt(conn->snd_end,
						     conn->snd_una))
		ns_ring_free(&conn->send);
	else
		busy = true;
	if (!conn_flight(conn))
		ns_records_free(&conn->records);
	if (!ns_conn_unread(conn) && !conn->ranges.len)
		ns_ring_free(&conn->receive);
	else
		busy = true;
	if (busy)
		conn->idle_at = now_us + BUFFER_IDLE_US;
}

void ns_conn_tick(struct conn *conn, uint64_t now_us)
{
	if (conn->life_at <= now_us) {
		life_over(conn);
		return;
	}
	if (conn->ack_at <= now_us) {
		conn->ack_at = DEADLINE_NONE;
		conn->ack_due = true;
		ns_ready(conn);
	}
	if (conn->reorder_at <= now_us) {
		ns_find_loss(conn, now_us);
		ns_ready(conn);
	}
	if (conn->pace_at <= now_us) {
		conn->pace_at = DEADLINE_NONE;
		ns_ready(conn);
	}
	if (conn->idle_at <= now_us)
		free_empty(conn, now_us);
	if (conn->keepalive_at <= now_us)
		keepalive_due(conn, now_us);
	if (conn->state != TCP_CLOSED && conn->rto_at <= now_us)
		rto_due(conn, now_us);
}
