/*
 * core/conn/ssh_lane.h: one SSH channel as streams.
 *
 * The part of a channel that client and embedded server share: flow 0 is
 * the data, flow 1 the extended data (stderr), each a `struct stream` with
 * bounded buffers. Everything that touches libssh happens in
 * ssh_lane_work(), called by the link's turn, and in ssh_lane_drop().
 *
 * Windows: libssh 0.10 re-opens a channel's window (1.28 MB) whenever it
 * hands a packet to a callback or is read from, however much it still
 * holds. So bytes are left inside libssh, unread, once a flow has
 * LANE_SOFT_CAP of them, and then taken all at once: at most two windows
 * are held. Only a flow that is read beside one that is not can open the
 * window for the other without end; at LANE_HELD_CAP the whole connection
 * waits (ssh_lane_overrun).
 */
#ifndef TUNNELHOST_CONN_SSH_LANE_H
#define TUNNELHOST_CONN_SSH_LANE_H

#include <libssh/callbacks.h>
#include <libssh/libssh.h>

#include "core/base/buf.h"
#include "core/base/list.h"
#include "core/base/loop.h"
#include "core/base/stream.h"
#include "core/conn/ssh_link.h"

#define LANE_SOFT_CAP (256u * 1024)
#define LANE_HELD_CAP (4u * 1024 * 1024)
/* Never reached by a peer that keeps to the windows above. */
#define LANE_HARD_CAP (8u * 1024 * 1024)
#define LANE_SIGNAL_CAP 16

enum lane_flow_kind {
	LANE_DATA,
	LANE_STDERR,
	LANE_FLOWS,
};

struct ssh_lane;

struct lane_flow {
	struct stream stream;
	struct ssh_lane *lane;
	enum lane_flow_kind kind;
	struct buf in;
	struct buf out;
	size_t held;		/* received, still inside libssh */
	bool in_closed;		/* this side never gets any */
	bool out_ended;		/* no more writes */
	struct task notify;
};

struct ssh_lane {
	struct list entry;	/* in link->lanes */
	struct ssh_link *link;
	ssh_channel channel;	/* NULL before and after */
	struct ssh_channel_callbacks_struct callbacks;
	struct lane_flow flows[LANE_FLOWS];
	int first;		/* flow to be sent first */
	bool open;		/* data may be sent */
	bool eof_sent;
	bool remote_eof;
	bool remote_closed;
	int failed;		/* enum err */
	int exit_status;	/* received, or to be sent; -1: none */
	char exit_signal[LANE_SIGNAL_CAP];
	bool finishing;		/* send the exit once all is out, then close */
	bool finished;
	/* Something of the above changed; posts tasks only. */
	void (*changed)(struct ssh_lane *lane);
};

void ssh_lane_init(struct ssh_lane *lane, struct ssh_link *link,
		   void (*changed)(struct ssh_lane *lane));
/* Frees the buffers and leaves the link; the channel was dropped before. */
void ssh_lane_clear(struct ssh_lane *lane);

/* Takes `channel`. The owner may have added request callbacks before. */
void ssh_lane_attach(struct ssh_lane *lane, ssh_channel channel);
/* Closes the channel in the protocol and forgets it. */
void ssh_lane_drop(struct ssh_lane *lane);
/* The session has died or the request was refused. */
void ssh_lane_fail(struct ssh_lane *lane, int code);

/* Whether both sides' bytes have arrived: closed and nothing held. */
bool ssh_lane_ended(const struct ssh_lane *lane);
bool ssh_lane_overrun(const struct ssh_lane *lane);
/* Moves what can be moved; whether anything was. Only in a turn. */
bool ssh_lane_work(struct ssh_lane *lane);

#endif
