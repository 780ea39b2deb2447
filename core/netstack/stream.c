/* A connection as its owner sees it: core/base/stream.h, in full. */
#include <arpa/inet.h>
#include <stdio.h>

#include "core/netstack/internal.h"

#define SEND_AHEAD (1u << 20)

static struct conn *self(const struct stream *stream)
{
	return container_of(stream, struct conn, stream);
}

static int failure(const struct conn *conn)
{
	if (conn->failure)
		return conn->failure;
	return conn->ns ? 0 : ERR_CLOSED;
}

static ssize_t op_peek(struct stream *stream, const uint8_t **data)
{
	struct conn *conn = self(stream);
	uint32_t unread = (uint32_t)ns_conn_unread(conn);

	if (unread)
		return ns_ring_piece(&conn->receive, conn->rcv_read, unread,
				     data);
	if (conn->fin_received)
		return 0;
	if (failure(conn))
		return failure(conn);
	return conn->state == TCP_CLOSED ? ERR_CLOSED : ERR_AGAIN;
}

static void op_consume(struct stream *stream, size_t len)
{
	struct conn *conn = self(stream);
	size_t unread = ns_conn_unread(conn);

	conn->rcv_read += (uint32_t)(len < unread ? len : unread);
	if (!conn->ns || conn->state == TCP_CLOSED)
		return;
	ns_receive_consumed(conn);
	if (conn->idle_at == DEADLINE_NONE && !ns_conn_unread(conn)) {
		conn->idle_at = conn->ns->now_us + BUFFER_IDLE_US;
		ns_conn_arm(conn);
	}
}

/*
 * What may wait for acknowledgment: twice the congestion window, because what
 * follows a loss is held until it is repaired, and something to send next.
 * More would only be memory, and older data.
 */
static uint32_t send_limit(const struct conn *conn)
{
	uint64_t useful = 2ull * conn->congestion.window + SEND_AHEAD;

	return useful < conn->send_cap ? (uint32_t)useful : conn->send_cap;
}

static ssize_t op_write(struct stream *stream, const void *data, size_t len)
{
	struct conn *conn = self(stream);
	uint32_t held = conn->snd_end - conn->snd_una;
	uint32_t limit = send_limit(conn);
	uint32_t take;
	int err = failure(conn);

	if (err)
		return err;
	if (conn->fin_queued || conn->state == TCP_CLOSED)
		return ERR_CLOSED;
	if (!len)
		return 0;
	/* The SYN lies before the data until it is acknowledged. */
	if (!conn->established)
		held--;
	take = limit > held ? limit - held : 0;
	if (len > take)
		conn->writer_refused = true;
	else
		take = (uint32_t)len;
	if (!take)
		return ERR_AGAIN;
	err = ns_ring_fit(&conn->send, conn->snd_end - held, conn->snd_end,
			  conn->snd_end + take);
	if (err < 0)
		return err;
	ns_ring_write(&conn->send, conn->snd_end, data, take);
	conn->snd_end += take;
	if (conn->established)
		ns_ready(conn);
	return take;
}

static size_t op_unsent(const struct stream *stream)
{
	const struct conn *conn = self(stream);

	if (failure(conn) || conn->state == TCP_CLOSED ||
	    seq_le(conn->snd_end, conn->snd_una))
		return 0;
	return conn->snd_end - conn->snd_una - (conn->established ? 0u : 1u);
}

static int op_shutdown(struct stream *stream)
{
	struct conn *conn = self(stream);

	if (failure(conn))
		return failure(conn);
	if (conn->fin_queued || conn->state == TCP_CLOSED)
		return 0;
	conn->fin_queued = true;
	conn->writer_refused = false;
	if (conn->established)
		ns_ready(conn);
	return 0;
}

static void op_close(struct stream *stream, bool abort)
{
	struct conn *conn = self(stream);
	struct ns *ns = conn->ns;

	if (!ns || conn->state == TCP_CLOSED) {
		ns_conn_free(conn);
		return;
	}
	op_shutdown(stream);
	conn->orphan = true;
	list_remove(&conn->notify);
	/* Nobody reads any more: what comes is acknowledged and dropped. */
	ns_ranges_free(&conn->ranges);
	conn->rcv_read = conn->rcv_nxt - (conn->fin_received ? 1u : 0u);
	ns_ring_free(&conn->receive);
	/* Still connecting with nothing to deliver: no reason to go on. */
	if (conn->state == TCP_SYN_SENT && conn->snd_end == conn->iss + 1)
		abort = true;
	if (abort) {
		if (conn->state != TCP_SYN_SENT &&
		    conn->state != TCP_TIME_WAIT)
			ns_conn_reset(conn);
		ns_conn_end(conn, ERR_CLOSED);
	} else {
		ns_ready(conn);
	}
}

static void op_address(const struct stream *stream, bool peer,
		       char out[STREAM_ADDRESS_CAP])
{
	const struct conn *conn = self(stream);
	char text[INET6_ADDRSTRLEN];
	const uint8_t *address = conn->remote;
	unsigned port = peer ? conn->remote_port : conn->local_port;

	out[0] = '\0';
	if (!peer && !conn->ns)
		return;
	if (!peer)
		address = conn->ns->addresses[conn->local];
	if (inet_ntop(AF_INET6, address, text, sizeof(text)))
		snprintf(out, STREAM_ADDRESS_CAP, "[%s]:%u", text, port);
}

const struct stream_ops ns_stream_ops = {
	.peek = op_peek,
	.consume = op_consume,
	.write = op_write,
	.unsent = op_unsent,
	.shutdown = op_shutdown,
	.close = op_close,
	.address = op_address,
};

int ns_stream_state(const struct stream *stream)
{
	const struct conn *conn = self(stream);

	if (failure(conn))
		return failure(conn);
	return conn->established ? 0 : ERR_AGAIN;
}

void ns_stream_set_send_cap(struct stream *stream, uint32_t cap)
{
	self(stream)->send_cap = min_u32(cap ? cap : 1, NS_SEND_CAP_MAX);
}

void ns_stream_set_congestion(struct stream *stream,
			      enum ns_congestion congestion)
{
	struct conn *conn = self(stream);

	conn->congestion_choice = (uint8_t)congestion;
	if (conn->ns && conn->established)
		ns_rate_begin(conn, conn->ns->now_us);
}

void ns_stream_set_keepalive(struct stream *stream, uint64_t idle_us)
{
	struct conn *conn = self(stream);

	conn->keepalive_us = idle_us;
	if (!conn->ns || conn->state == TCP_CLOSED)
		return;
	conn->keepalive_at = DEADLINE_NONE;
	if (idle_us && conn->established)
		conn->keepalive_at = conn->ns->now_us + idle_us;
	ns_conn_arm(conn);
}

uint64_t ns_stream_rtt_us(const struct stream *stream)
{
	return self(stream)->srtt_us;
}
