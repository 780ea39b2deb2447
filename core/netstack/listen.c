/*
 * Listening. A SYN makes a whole connection, but at most `backlog` of them
 * wait on one listener for the handshake or for accept(): beyond it SYNs are
 * dropped and the peer tries again. A half-open one dies with its SYN-ACK
 * retransmissions.
 */
#include <stdlib.h>
#include <string.h>

#include "core/netstack/internal.h"

#define BACKLOG_DEFAULT 128u

int ns_listen(struct ns *ns, uint16_t port, uint32_t backlog,
	      ns_accept *accept, void *user, struct ns_listener **out)
{
	struct ns_listener *listener;

	if (!accept)
		return ERR_MISUSE;
	if (hash_get(&ns->listen_ports, &port, sizeof(port)))
		return ERR_CONFLICT;
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		return ERR_NOMEM;
	if (hash_put(&ns->listen_ports, &port, sizeof(port), listener) < 0) {
		free(listener);
		return ERR_NOMEM;
	}
	listener->ns = ns;
	listener->port = port;
	listener->backlog = min_u32(backlog ? backlog : BACKLOG_DEFAULT,
				    NS_BACKLOG_CAP);
	listener->accept = accept;
	listener->user = user;
	list_init(&listener->waiting);
	list_add_tail(&ns->listeners, &listener->all);
	*out = listener;
	return 0;
}

void ns_listener_close(struct ns_listener *listener)
{
	while (!list_empty(&listener->waiting)) {
		struct conn *conn = container_of(listener->waiting.next,
						 struct conn, waiting);

		ns_conn_reset(conn);
		ns_conn_end(conn, ERR_CLOSED);
	}
	hash_remove(&listener->ns->listen_ports, &listener->port,
		    sizeof(listener->port));
	list_remove(&listener->all);
	free(listener);
}

struct ns_listener *ns_listener_find(struct ns *ns, uint16_t port)
{
	const uint16_t every = 0;
	struct ns_listener *listener;

	listener = hash_get(&ns->listen_ports, &port, sizeof(port));
	if (!listener)
		listener = hash_get(&ns->listen_ports, &every, sizeof(every));
	return listener;
}

static void tell_held(const struct conn *conn,
		      const struct ns_listener *listener)
{
	struct ns_held held = {
		.remote_port = conn->remote_port,
		.local_port = conn->local_port,
		.local = conn->local,
		.seq = conn->irs,
	};

	memcpy(held.remote, conn->remote, sizeof(held.remote));
	listener->hold(listener->user, &held);
}

void ns_listen_in(struct ns *ns, struct ns_listener *listener,
		  const uint8_t *ip, const struct segment *seg, int local,
		  uint64_t now_us)
{
	struct conn *conn = NULL;

	if (listener->waiting_count < listener->backlog)
		conn = ns_conn_new(ns, (uint8_t)local, ip + 8, seg->dst_port,
				   seg->src_port);
	if (!conn) {
		ns->stats.drop_backlog++;
		return;
	}
	conn->listener = listener;
	list_add_tail(&listener->waiting, &conn->waiting);
	listener->waiting_count++;
	conn->state = TCP_SYN_RCVD;
	conn->started_us = now_us;
	ns_syn_options(conn, seg, now_us);
	conn->held = listener->hold != NULL;
	if (conn->held) {
		tell_held(conn, listener);
		return;
	}
	conn->syn_due = true;
	ns_ready(conn);
}

void ns_listener_set_hold(struct ns_listener *listener, ns_hold *hold)
{
	listener->hold = hold;
}

int ns_admit(struct ns *ns, const struct ns_held *held, bool admit,
	     void *user)
{
	struct conn *conn = ns_conn_at(ns, held);

	if (!conn || !conn->held || conn->irs != held->seq)
		return ERR_NOT_FOUND;
	conn->held = false;
	if (!admit) {
		ns_conn_reset(conn);
		ns_conn_end(conn, ERR_REFUSED);
		return 0;
	}
	conn->stream.user = user;
	conn->syn_due = true;
	ns_ready(conn);
	return 0;
}

void ns_listen_deliver(struct conn *conn)
{
	struct ns_listener *listener = conn->listener;

	list_remove(&conn->waiting);
	listener->waiting_count--;
	conn->listener = NULL;
	conn->accepted = true;
	/* Data may have come before there was anyone to tell. */
	ns_notify(conn);
	listener->accept(listener->user, &conn->stream, conn->local_port);
}
