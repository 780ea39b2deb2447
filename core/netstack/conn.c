/* The life of a connection: made, found, ended, freed. */
#include <stdlib.h>
#include <string.h>

#include "core/base/cursor.h"
#include "core/netstack/internal.h"

#define EPHEMERAL_FIRST 32768u
#define EPHEMERAL_COUNT 32768u
#define EPHEMERAL_TRIES 64
#define KEY_LEN (1 + NS_ADDRESS_LEN + 4)

static void make_key(uint8_t out[KEY_LEN], uint8_t local,
		     const uint8_t *remote, uint16_t local_port,
		     uint16_t remote_port)
{
	out[0] = local;
	memcpy(out + 1, remote, NS_ADDRESS_LEN);
	be_store(out + 1 + NS_ADDRESS_LEN, local_port, 2);
	be_store(out + 3 + NS_ADDRESS_LEN, remote_port, 2);
}

static void conn_key(const struct conn *conn, uint8_t out[KEY_LEN])
{
	make_key(out, conn->local, conn->remote, conn->local_port,
		 conn->remote_port);
}

static void fill(struct conn *conn, struct ns *ns)
{
	conn->stream.ops = &ns_stream_ops;
	conn->ns = ns;
	conn->iss = ns->config.initial_seq ? ns->initial_seq :
		rng_u32(ns->config.rng);
	conn->snd_una = conn->iss;
	conn->snd_nxt = conn->iss;
	conn->snd_end = conn->iss + 1;
	conn->send_cap = ns->config.send_cap;
	conn->rcv_cap = ns->config.receive_start;
	conn->mss = DEFAULT_MSS;
	conn->reorder_steps = 1;
	conn->rto_us = RTO_INITIAL_US;
	conn->keepalive_us = ns->config.keepalive_us;
	conn->rto_at = DEADLINE_NONE;
	conn->reorder_at = DEADLINE_NONE;
	conn->ack_at = DEADLINE_NONE;
	conn->keepalive_at = DEADLINE_NONE;
	conn->life_at = DEADLINE_NONE;
	conn->idle_at = DEADLINE_NONE;
	conn->pace_at = DEADLINE_NONE;
	conn->congestion_choice = (uint8_t)ns->config.congestion;
	conn->ops = &ns_congestion_cubic;
}

struct conn *ns_conn_new(struct ns *ns, uint8_t local, const uint8_t *remote,
			 uint16_t local_port, uint16_t remote_port)
{
	uint8_t key[KEY_LEN];
	struct conn *conn;

	if (ns->conns.len >= ns->config.connection_cap)
		return NULL;
	conn = calloc(1, sizeof(*conn));
	if (!conn)
		return NULL;
	fill(conn, ns);
	conn->local = local;
	memcpy(conn->remote, remote, NS_ADDRESS_LEN);
	conn->local_port = local_port;
	conn->remote_port = remote_port;
	/* In the heap for life, so that no later setting can fail. */
	if (heap_set(&ns->timers, &conn->timer, CONN_NO_DEADLINE) < 0) {
		free(conn);
		return NULL;
	}
	conn_key(conn, key);
	if (hash_put(&ns->conns, key, sizeof(key), conn) < 0) {
		heap_remove(&ns->timers, &conn->timer);
		free(conn);
		return NULL;
	}
	list_add_tail(&ns->all, &conn->all);
	return conn;
}

struct conn *ns_conn_find(struct ns *ns, const uint8_t *ip,
			  const struct segment *seg, int local)
{
	uint8_t key[KEY_LEN];

	make_key(key, (uint8_t)local, ip + 8, seg->dst_port, seg->src_port);
	return hash_get(&ns->conns, key, sizeof(key));
}

struct conn *ns_conn_at(struct ns *ns, const struct ns_held *held)
{
	uint8_t key[KEY_LEN];

	make_key(key, held->local, held->remote, held->local_port,
		 held->remote_port);
	return hash_get(&ns->conns, key, sizeof(key));
}

static uint16_t free_port(struct ns *ns, uint8_t local,
			  const uint8_t *remote, uint16_t remote_port)
{
	uint8_t key[KEY_LEN];

	for (int i = 0; i < EPHEMERAL_TRIES; i++) {
		uint32_t draw = rng_below(ns->config.rng, EPHEMERAL_COUNT);
		uint16_t port = (uint16_t)(EPHEMERAL_FIRST + draw);

		make_key(key, local, remote, port, remote_port);
		if (!hash_get(&ns->conns, key, sizeof(key)))
			return port;
	}
	return 0;
}

int ns_connect(struct ns *ns, const uint8_t dst[NS_ADDRESS_LEN],
	       uint16_t port, uint64_t now_us, struct stream **out)
{
	uint8_t local = ns_source_for(ns, dst);
	struct conn *conn;
	uint16_t local_port;

	if (!port)
		return ERR_MISUSE;
	local_port = free_port(ns, local, dst, port);
	if (!local_port || ns->conns.len >= ns->config.connection_cap)
		return ERR_LIMIT;
	conn = ns_conn_new(ns, local, dst, local_port, port);
	if (!conn)
		return ERR_NOMEM;
	conn->accepted = true;
	conn->state = TCP_SYN_SENT;
	conn->started_us = now_us;
	conn->syn_due = true;
	ns_ready(conn);
	*out = &conn->stream;
	return 0;
}

static void leave_waiting(struct conn *conn)
{
	if (!list_linked(&conn->waiting))
		return;
	list_remove(&conn->waiting);
	if (conn->listener)
		conn->listener->waiting_count--;
	else if (conn->state == TCP_TIME_WAIT)
		conn->ns->time_wait_count--;
}

static void free_send_side(struct conn *conn)
{
	ns_ring_free(&conn->send);
	ns_records_free(&conn->records);
}

void ns_conn_end(struct conn *conn, int failure)
{
	struct ns *ns = conn->ns;
	uint8_t key[KEY_LEN];

	if (conn->state == TCP_CLOSED)
		return;
	leave_waiting(conn);
	conn->state = TCP_CLOSED;
	conn->failure = (int8_t)failure;
	conn_key(conn, key);
	hash_remove(&ns->conns, key, sizeof(key));
	heap_remove(&ns->timers, &conn->timer);
	list_remove(&conn->ready);
	free_send_side(conn);
	ns_ranges_free(&conn->ranges);
	/* Not handed out yet: nobody will ever close it. */
	if (!conn->accepted) {
		conn->orphan = true;
		conn->listener = NULL;
	}
	if (conn->orphan) {
		list_remove(&conn->notify);
		list_add_tail(&ns->dead, &conn->waiting);
	} else {
		ns_notify(conn);
	}
}

void ns_conn_free(struct conn *conn)
{
	list_remove(&conn->all);
	list_remove(&conn->notify);
	list_remove(&conn->waiting);
	free_send_side(conn);
	ns_ring_free(&conn->receive);
	ns_ranges_free(&conn->ranges);
	free(conn);
}

void ns_reap(struct ns *ns)
{
	struct list *link;

	while ((link = list_pop(&ns->dead)) != NULL)
		ns_conn_free(container_of(link, struct conn, waiting));
}

void ns_conn_time_wait(struct conn *conn, uint64_t now_us)
{
	struct ns *ns = conn->ns;

	conn->state = TCP_TIME_WAIT;
	conn->rto_at = DEADLINE_NONE;
	conn->reorder_at = DEADLINE_NONE;
	conn->keepalive_at = DEADLINE_NONE;
	conn->life_at = now_us + ns->config.time_wait_us;
	free_send_side(conn);
	list_add_tail(&ns->time_wait, &conn->waiting);
	if (++ns->time_wait_count > NS_TIME_WAIT_CAP)
		ns_conn_end(container_of(ns->time_wait.next, struct conn,
					 waiting), 0);
}

void ns_conn_established(struct conn *conn, uint64_t now_us)
{
	struct congestion *c = &conn->congestion;
	uint32_t initial = min_u32(INITIAL_SEGMENTS * conn->mss,
				   max_u32(2u * conn->mss, 14600));

	conn->state = TCP_ESTABLISHED;
	conn->established = true;
	conn->rto_at = DEADLINE_NONE;
	conn->backoff = 0;
	conn->started_us = 0;
	conn->syn_due = false;
	conn->heard_us = now_us;
	conn->epoch_us = now_us;
	conn->epoch_read = conn->rcv_read;
	c->window = initial;
	c->threshold = NS_SEND_CAP_MAX;
	ns_rate_begin(conn, now_us);
	if (conn->keepalive_us)
		conn->keepalive_at = now_us + conn->keepalive_us;
	ns_notify(conn);
	ns_ready(conn);
}

size_t ns_conn_unread(const struct conn *conn)
{
	return conn->rcv_nxt - (conn->fin_received ? 1u : 0u) -
	       conn->rcv_read;
}

/*
 * RFC 9293 3.8.6.2.2: the right edge moves by at least a segment (or half
 * the buffer), and never back. Nor does it move in a duplicate ACK while
 * there is room enough: with another window it would be none (RFC 5681 2),
 * and a sender that counts them would not see the loss.
 */
uint32_t ns_conn_window(const struct conn *conn)
{
	uint32_t unread = (uint32_t)ns_conn_unread(conn);
	uint32_t space = conn->rcv_cap > unread ? conn->rcv_cap - unread : 0;
	uint32_t current = seq_lt(conn->rcv_nxt, conn->rcv_edge) ?
		conn->rcv_edge - conn->rcv_nxt : 0;

	if (conn->ranges.len && conn->last_ack_sent == conn->rcv_nxt &&
	    current >= conn->rcv_cap / 2)
		return current;
	if (space < current ||
	    space - current < min_u32(conn->rcv_cap / 2, conn->mss))
		return current;
	return space;
}
