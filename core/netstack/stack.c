/* The node: making it, its lists and deadlines, whose turn it is to send. */
#include <stdlib.h>
#include <string.h>

#include "core/netstack/internal.h"

#define IPV6_DST 24	/* offset in the header */

static uint32_t or_u32(uint32_t value, uint32_t otherwise, uint32_t most)
{
	return min_u32(value ? value : otherwise, most);
}

static uint64_t or_u64(uint64_t value, uint64_t otherwise)
{
	return value ? value : otherwise;
}

static void fill_defaults(struct ns_config *c)
{
	c->mtu = c->mtu ? c->mtu : NS_MTU_MIN;
	c->send_cap = or_u32(c->send_cap, 4u << 20, NS_SEND_CAP_MAX);
	c->receive_cap = or_u32(c->receive_cap, NS_RECEIVE_CAP_MAX,
				NS_RECEIVE_CAP_MAX);
	c->receive_start = or_u32(c->receive_start, 256u << 10,
				  c->receive_cap);
	c->connection_cap = or_u32(c->connection_cap, 65536, UINT32_MAX);
	c->connect_timeout_us = or_u64(c->connect_timeout_us, 30 * US_PER_S);
	c->retry_timeout_us = or_u64(c->retry_timeout_us, 100 * US_PER_S);
	c->linger_timeout_us = or_u64(c->linger_timeout_us, 60 * US_PER_S);
	c->time_wait_us = or_u64(c->time_wait_us, 2 * US_PER_S);
}

int ns_new(const struct ns_config *config, struct ns **out)
{
	struct ns *ns;

	if (!config->address_count ||
	    config->address_count > NS_ADDRESS_CAP ||
	    (config->mtu && config->mtu < NS_MTU_MIN) ||
	    config->mtu > NS_MTU_CAP)
		return ERR_MISUSE;
	ns = calloc(1, sizeof(*ns));
	if (!ns)
		return ERR_NOMEM;
	ns->config = *config;
	fill_defaults(&ns->config);
	memcpy(ns->addresses, config->addresses,
	       config->address_count * NS_ADDRESS_LEN);
	if (config->initial_seq)
		ns->initial_seq = *config->initial_seq;
	ns->ts_offset = rng_u32(config->rng);
	hash_init(&ns->conns, config->rng);
	hash_init(&ns->udps, config->rng);
	hash_init(&ns->listen_ports, config->rng);
	hash_init(&ns->ping_nonces, config->rng);
	list_init(&ns->all);
	list_init(&ns->ready);
	list_init(&ns->shut);
	list_init(&ns->shut_queue);
	list_init(&ns->notify);
	list_init(&ns->time_wait);
	list_init(&ns->dead);
	list_init(&ns->listeners);
	list_init(&ns->udp_all);
	list_init(&ns->queue);
	list_init(&ns->pings);
	list_init(&ns->pings_done);
	*out = ns;
	return 0;
}

static void free_lists(struct ns *ns)
{
	struct list *link;

	ns_gate_opened(ns);
	while ((link = list_pop(&ns->queue)) != NULL)
		free(container_of(link, struct packet, link));
	while ((link = list_pop(&ns->pings_done)) != NULL)
		free(container_of(link, struct ping, link));
	while (!list_empty(&ns->udp_all))
		ns_udp_close(container_of(ns->udp_all.next, struct ns_udp,
					  all));
	while (!list_empty(&ns->listeners))
		ns_listener_close(container_of(ns->listeners.next,
					       struct ns_listener, all));
}

void ns_free(struct ns *ns)
{
	struct list *link;

	if (!ns)
		return;
	ns->config.wake = NULL;
	ns_ping_cancel(ns);
	ns_fail(ns, ERR_CLOSED);
	free_lists(ns);
	ns_reap(ns);
	/* What is left belongs to its owner, who will close it. */
	while ((link = list_pop(&ns->all)) != NULL) {
		struct conn *conn = container_of(link, struct conn, all);

		list_remove(&conn->notify);
		conn->ns = NULL;
	}
	hash_clear(&ns->conns);
	hash_clear(&ns->udps);
	hash_clear(&ns->listen_ports);
	hash_clear(&ns->ping_nonces);
	heap_clear(&ns->timers);
	heap_clear(&ns->ping_timers);
	free(ns);
}

static void fail_all(struct ns *ns, int err, bool dialling)
{
	list_each(at, safe, &ns->all) {
		struct conn *conn = container_of(at, struct conn, all);

		if (conn->state == TCP_CLOSED ||
		    (conn->state == TCP_SYN_SENT && !dialling))
			continue;
		if (conn->state != TCP_SYN_SENT &&
		    conn->state != TCP_TIME_WAIT)
			ns_conn_reset(conn);
		ns_conn_end(conn, err);
	}
	ns_reap(ns);
}

void ns_fail(struct ns *ns, int err)
{
	ns_ping_cancel(ns);
	fail_all(ns, err, true);
}

void ns_fail_established(struct ns *ns, int err)
{
	fail_all(ns, err, false);
}

void ns_wake(struct ns *ns)
{
	if (ns->config.wake)
		ns->config.wake(ns->config.user);
}

void ns_ready(struct conn *conn)
{
	struct ns *ns = conn->ns;
	bool first = list_empty(&ns->ready);

	if (conn->state == TCP_CLOSED || list_linked(&conn->ready))
		return;
	conn->burst = 0;
	list_add_tail(&ns->ready, &conn->ready);
	if (first)
		ns_wake(ns);
}

void ns_notify(struct conn *conn)
{
	struct ns *ns = conn->ns;
	bool first = list_empty(&ns->notify);

	if (conn->orphan || list_linked(&conn->notify))
		return;
	/* Its listener has not handed it out: nobody to tell before. */
	if (!conn->accepted && !conn->established)
		return;
	list_add_tail(&ns->notify, &conn->notify);
	if (first)
		ns_wake(ns);
}

static void deliver(struct conn *conn)
{
	if (!conn->accepted)
		ns_listen_deliver(conn);
	else if (conn->stream.on_change)
		conn->stream.on_change(&conn->stream, conn->stream.user);
}

/* Only what was in the list at the beginning: callbacks add to the list. */
static void dispatch_streams(struct ns *ns)
{
	struct list batch;

	if (list_empty(&ns->notify))
		return;
	batch = ns->notify;
	batch.next->prev = &batch;
	batch.prev->next = &batch;
	list_init(&ns->notify);
	while (!list_empty(&batch)) {
		struct list *link = list_pop(&batch);

		deliver(container_of(link, struct conn, notify));
	}
}

void ns_dispatch(struct ns *ns)
{
	dispatch_streams(ns);
	ns_ping_dispatch(ns);
	ns_reap(ns);
}

static uint64_t conn_deadline(const struct conn *conn)
{
	uint64_t at = deadline_min(conn->rto_at, conn->ack_at);

	at = deadline_min(at, deadline_min(conn->keepalive_at, conn->life_at));
	at = deadline_min(at, deadline_min(conn->idle_at, conn->pace_at));
	return deadline_min(at, conn->reorder_at);
}

void ns_conn_arm(struct conn *conn)
{
	struct ns *ns = conn->ns;
	uint64_t at = conn_deadline(conn);
	bool first = at < heap_next_deadline(&ns->timers);

	if (!conn->timer.slot || at >= conn->timer.deadline_us)
		return;
	heap_set(&ns->timers, &conn->timer, at);
	if (first)
		ns_wake(ns);
}

uint64_t ns_next_deadline(const struct ns *ns)
{
	uint64_t at = heap_next_deadline(&ns->timers);

	if (at == CONN_NO_DEADLINE)
		at = DEADLINE_NONE;
	return deadline_min(at, heap_next_deadline(&ns->ping_timers));
}

void ns_tick(struct ns *ns, uint64_t now_us)
{
	ns->now_us = now_us;
	while (heap_next_deadline(&ns->timers) <= now_us) {
		struct conn *conn = container_of(heap_first(&ns->timers),
						 struct conn, timer);
		uint64_t at;

		ns_conn_tick(conn, now_us);
		if (!conn->timer.slot)
			continue;
		at = conn_deadline(conn);
		/* A deadline that stayed due may not hold up the others. */
		if (at <= now_us)
			at = now_us + 1;
		heap_set(&ns->timers, &conn->timer,
			 deadline_min(at, CONN_NO_DEADLINE));
	}
	ns_ping_tick(ns, now_us);
	ns_reap(ns);
}

void ns_set_gate(struct ns *ns, ns_gate *gate, void *user)
{
	ns->gate = gate;
	ns->gate_user = user;
	ns_gate_opened(ns);
}

/* In order, before what has come since. */
static void put_back(struct list *shut, struct list *to)
{
	struct list *link;

	while (!list_empty(shut)) {
		link = shut->prev;
		list_remove(link);
		list_add_tail(to->next, link);
	}
}

void ns_gate_opened(struct ns *ns)
{
	if (list_empty(&ns->shut) && list_empty(&ns->shut_queue))
		return;
	put_back(&ns->shut, &ns->ready);
	put_back(&ns->shut_queue, &ns->queue);
	ns_wake(ns);
}

static bool may_leave(const struct ns *ns, const uint8_t *dst)
{
	return !ns->gate || ns->gate(ns->gate_user, dst);
}

/* The first made packet that may leave, or NULL. */
static struct packet *pop_packet(struct ns *ns)
{
	struct list *link;

	while ((link = list_pop(&ns->queue)) != NULL) {
		struct packet *packet =
			container_of(link, struct packet, link);

		if (may_leave(ns, packet->bytes + IPV6_DST))
			return packet;
		list_add_tail(&ns->shut_queue, link);
	}
	return NULL;
}

static size_t queue_out(struct ns *ns, uint8_t *out)
{
	struct packet *packet = pop_packet(ns);
	size_t len;

	if (!packet)
		return 0;
	len = packet->len;
	memcpy(out, packet->bytes, len);
	ns->queue_len--;
	ns->queue_bytes -= len;
	free(packet);
	return len;
}

static size_t conns_out(struct ns *ns, uint8_t *out, uint64_t now_us)
{
	while (!list_empty(&ns->ready)) {
		struct conn *conn = container_of(ns->ready.next, struct conn,
						 ready);
		size_t len;

		if (!may_leave(ns, conn->remote)) {
			list_remove(&conn->ready);
			list_add_tail(&ns->shut, &conn->ready);
			continue;
		}
		len = ns_conn_out(conn, out, now_us);
		if (conn->timer.slot)
			ns_conn_arm(conn);
		if (!len) {
			list_remove(&conn->ready);
			continue;
		}
		if (++conn->burst >= BURST_CAP) {
			conn->burst = 0;
			list_remove(&conn->ready);
			list_add_tail(&ns->ready, &conn->ready);
		}
		return len;
	}
	return 0;
}

size_t ns_out(struct ns *ns, uint8_t *out, size_t cap, uint64_t now_us)
{
	size_t len = 0;

	ns->now_us = now_us;
	if (cap < ns->config.mtu)
		return 0;
	/* Turn and turn about, so that neither starves the other. */
	ns->queue_turn = !ns->queue_turn;
	if (ns->queue_turn)
		len = queue_out(ns, out);
	if (!len)
		len = conns_out(ns, out, now_us);
	if (!len)
		len = queue_out(ns, out);
	if (len)
		ns->stats.packets_out++;
	ns_reap(ns);
	return len;
}

void ns_get_stats(const struct ns *ns, struct ns_stats *out)
{
	*out = ns->stats;
	out->connections = ns->conns.len;
	out->time_wait = ns->time_wait_count;
}
