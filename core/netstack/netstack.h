/*
 * core/netstack/netstack.h: IPv6, ICMPv6 echo, UDP and TCP in user space.
 *
 * A `struct ns` is one node: whole IPv6 packets in by ns_in(), whole IPv6
 * packets pulled out by ns_out(), time handed in, streams above. It never
 * does I/O, never routes, never fragments, and knows nothing of tunnels.
 * From the RFCs: 8200 (IPv6), 4443 (ICMPv6 echo), 768 (UDP), 9293 (TCP),
 * 7323 (window scale, timestamps, PAWS), 2018 and 6675 (SACK), 5681 and
 * 6582 (congestion, fast recovery), 9438 (CUBIC), 6298 (RTO), 6928 (initial
 * window), 3042 (limited transmit), 6937 (PRR), 8985 (RACK-TLP),
 * 2883 (D-SACK), 3522 (Eifel), 5961 (blind attacks); and BBR after
 * draft-ietf-ccwg-bbr, with its pacing (bbr.c says where it departs).
 *
 * How the owner drives it, all on one thread:
 *
 *	wake()        → post a task, once, and set the loop's timer anew
 *	packet came   → ns_in(), then the same task
 *	deadline came → ns_tick(), then the same task
 *	the task      → ns_dispatch(); while the path has room, ns_out();
 *	                timer_set(ns_next_deadline())
 *
 * What calls back, and from where: a stream's on_change, the accept
 * callback and the ping callback come from ns_dispatch() alone, never from
 * inside ns_in(), ns_out(), ns_tick() or a stream_* call. UDP and raw
 * receivers are called from ns_in(), with borrowed bytes. wake() may be
 * called from inside anything and must not call back into the stack. A
 * callback may call anything here except ns_in(), ns_out(), ns_tick(),
 * ns_dispatch() and ns_free().
 *
 * Costs. No packet in or out, deadline or callback walks over connections,
 * destinations or waiting packets: found by hash, kept in lists that are
 * taken from their heads, and in a heap of deadlines (O(log n)). Records of
 * sent segments and ranges received out of order are found by bisection,
 * and marked at most a bounded number of times each (records.c). A range in
 * the middle moves those after it (8 KB at most). Only an RTO, or the undoing
 * of a recovery, once each, walks over what is in flight.
 *
 * Times set from inside stream_* calls, which carry no `now`, begin when the
 * owner next comes by with one.
 */
#ifndef TUNNELHOST_NETSTACK_NETSTACK_H
#define TUNNELHOST_NETSTACK_NETSTACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/base/stream.h"
#include "core/base/time.h"

#define NS_ADDRESS_LEN 16
#define NS_ADDRESS_CAP 4	/* local addresses of a node */
#define NS_MTU_MIN 1280
#define NS_MTU_CAP 9000
#define NS_BACKLOG_CAP 1024	/* connections not yet accepted, a listener */
#define NS_QUEUE_CAP 1024	/* made packets (UDP, raw, echo, RST) waiting */
#define NS_QUEUE_BYTES_CAP (1u << 20)
#define NS_PING_CAP 64		/* pings under way */
#define NS_TIME_WAIT_CAP 256	/* beyond it the oldest is given up */
#define NS_RECEIVE_CAP_MAX (1u << 23)
#define NS_SEND_CAP_MAX (1u << 26)
#define NS_HEADER_ICMPV6 58
#define NS_HEADER_TCP 6
#define NS_HEADER_UDP 17

struct ns;
struct ns_listener;
struct ns_udp;

/*
 * NS_AUTO is BBR where the round trip is 2 ms or more and CUBIC below it:
 * docs/design.md says why. Below, nothing is paced.
 */
enum ns_congestion {
	NS_AUTO,
	NS_BBR,
	NS_CUBIC,
	NS_RENO,
};

/* 0 in a number means the default that stands beside it. */
struct ns_config {
	const uint8_t (*addresses)[NS_ADDRESS_LEN];	/* copied */
	size_t address_count;		/* 1 … NS_ADDRESS_CAP */
	size_t mtu;			/* 1,280 */
	struct rng *rng;		/* borrowed; outlives the stack */
	/* There is output or a callback due, or the deadline came nearer. */
	void (*wake)(void *user);
	void *user;
	bool verify_checksums;		/* off: the tunnel authenticates */
	enum ns_congestion congestion;
	/* 4 MiB: accepted, not yet acked; less while the path takes less. */
	uint32_t send_cap;
	uint32_t receive_start;		/* 256 KiB: the first window */
	uint32_t receive_cap;		/* 8 MiB: the window grows up to it */
	uint32_t connection_cap;	/* 65,536 with those in TIME_WAIT */
	uint64_t connect_timeout_us;	/* 30 s */
	uint64_t retry_timeout_us;	/* 100 s of retransmission, no ACK */
	uint64_t linger_timeout_us;	/* 60 s without progress once closed */
	uint64_t time_wait_us;		/* 2 s */
	uint64_t keepalive_us;		/* 0: off; idle time before probes */
	const uint32_t *initial_seq;	/* NULL: random. For tests */
};

/* Each counts from ns_new(). Bytes are payload. */
struct ns_stats {
	uint64_t packets_in;
	uint64_t packets_out;
	uint64_t bytes_in;		/* TCP, in order */
	uint64_t bytes_out;		/* TCP, first transmissions */
	uint64_t retransmits;
	uint64_t fast_recoveries;
	uint64_t timeouts;		/* RTO fired */
	uint64_t loss_probes;
	uint64_t undone;		/* a reduction, by Eifel */
	uint64_t probes;		/* zero window and keepalive */
	uint64_t challenge_acks;
	uint64_t resets_in;
	uint64_t resets_out;
	uint64_t out_of_order;
	uint64_t duplicates;
	uint64_t drop_malformed;
	uint64_t drop_checksum;
	uint64_t drop_address;		/* not to us, or from nobody */
	uint64_t drop_fragment;
	uint64_t drop_protocol;		/* a next header nobody takes */
	uint64_t drop_port;		/* UDP to a closed port */
	uint64_t drop_paws;
	uint64_t drop_window;		/* outside the receive window */
	uint64_t drop_ack;		/* an ACK of what was never sent */
	uint64_t drop_backlog;
	uint64_t drop_queue;		/* our own queue was full */
	uint64_t drop_memory;		/* no memory, or too many ranges */
	size_t connections;		/* now, with those in TIME_WAIT */
	size_t time_wait;		/* now */
};

/* 0, ERR_MISUSE or ERR_NOMEM; *out is owned by the caller. */
int ns_new(const struct ns_config *config, struct ns **out);
/*
 * Frees the stack. Nothing more is sent. Streams still open stay valid but
 * have failed (ERR_CLOSED) until their owners close them; no more callbacks.
 * Listeners and UDP sockets are freed with the stack.
 */
void ns_free(struct ns *ns);
/*
 * Every open stream fails with `err` (a reset leaves where one is due), and
 * its owner is told by ns_dispatch(). What was closed before is dropped.
 */
void ns_fail(struct ns *ns, int err);
/* The same for those that are established: what still dials goes on. */
void ns_fail_established(struct ns *ns, int err);

/* One whole IPv6 packet. Never fails: what is wrong is counted. */
void ns_in(struct ns *ns, const uint8_t *packet, size_t len, uint64_t now_us);
/*
 * Writes the next packet, at most one MTU, straight into `out`; its length,
 * or 0: nothing now, or `cap` is less than the MTU.
 */
size_t ns_out(struct ns *ns, uint8_t *out, size_t cap, uint64_t now_us);
/*
 * For an owner with several ways out: asked before a packet to `dst` is made
 * or handed out, from inside ns_out(). What is for a shut destination waits,
 * and stops nothing else, until ns_gate_opened() has all of it asked again.
 */
typedef bool ns_gate(void *user, const uint8_t dst[NS_ADDRESS_LEN]);
void ns_set_gate(struct ns *ns, ns_gate *gate, void *user);
void ns_gate_opened(struct ns *ns);
uint64_t ns_next_deadline(const struct ns *ns);
void ns_tick(struct ns *ns, uint64_t now_us);
/* Delivers deferred callbacks; those caused meanwhile wait for the next. */
void ns_dispatch(struct ns *ns);
void ns_get_stats(const struct ns *ns, struct ns_stats *out);

/*
 * Begins to connect; *out is an owned stream at once (the caller sets
 * on_change), to which may already be written. 0, ERR_MISUSE (port 0),
 * ERR_LIMIT (connections, ports) or ERR_NOMEM.
 */
int ns_connect(struct ns *ns, const uint8_t dst[NS_ADDRESS_LEN],
	       uint16_t port, uint64_t now_us, struct stream **out);

/* `stream` is owned by the callee, who sets on_change or closes it. */
typedef void ns_accept(void *user, struct stream *stream,
		       uint16_t local_port);
/*
 * Accepts connections to `port`, or (0) to every port without a listener of
 * its own. At most `backlog` (0: 128) wait for the handshake or for accept().
 * 0, ERR_CONFLICT (port taken), ERR_MISUSE or ERR_NOMEM; owned by the caller.
 */
int ns_listen(struct ns *ns, uint16_t port, uint32_t backlog,
	      ns_accept *accept, void *user, struct ns_listener **out);

/*
 * A listener that must ask elsewhere before it answers: each SYN waits, and
 * `hold` is told of it (from inside ns_in()). ns_admit() then lets the
 * handshake go on, or refuses it as a closed port does. `user` is what the
 * stream's `user` is when accept is called. ERR_NOT_FOUND: it has gone.
 */
struct ns_held {
	uint8_t remote[NS_ADDRESS_LEN];
	uint16_t remote_port;
	uint16_t local_port;
	uint8_t local;
	uint32_t seq;
};
typedef void ns_hold(void *user, const struct ns_held *held);
void ns_listener_set_hold(struct ns_listener *listener, ns_hold *hold);
int ns_admit(struct ns *ns, const struct ns_held *held, bool admit,
	     void *user);

/* Resets what was not accepted yet; accepted streams live on. */
void ns_listener_close(struct ns_listener *listener);

/*
 * For streams of this stack: ERR_AGAIN connecting, 0 connected (also after
 * the end of both directions), else why not: ERR_REFUSED, ERR_TIMEOUT,
 * ERR_RESET, ERR_CLOSED.
 */
int ns_stream_state(const struct stream *stream);
/*
 * Most accepted and not acknowledged bytes (below it the stack takes what is
 * of use to the path, 1 MiB at least); what is over stays.
 */
void ns_stream_set_send_cap(struct stream *stream, uint32_t cap);
/* From now on; NS_AUTO, too, begins anew. */
void ns_stream_set_congestion(struct stream *stream,
			      enum ns_congestion congestion);
/* Idle time before probes; 0 off. Nine unanswered probes: ERR_TIMEOUT. */
void ns_stream_set_keepalive(struct stream *stream, uint64_t idle_us);
/* Smoothed round trip, 0 while unknown. */
uint64_t ns_stream_rtt_us(const struct stream *stream);

typedef void ns_datagram(void *user, const uint8_t src[NS_ADDRESS_LEN],
			 uint16_t port, const uint8_t *data, size_t len);
/* Port 0: any free one. 0, ERR_CONFLICT, ERR_LIMIT or ERR_NOMEM. */
int ns_udp_open(struct ns *ns, uint16_t port, ns_datagram *on_receive,
		void *user, struct ns_udp **out);
uint16_t ns_udp_port(const struct ns_udp *udp);
/* Copied. 0, ERR_TOO_LARGE (over the MTU), ERR_LIMIT (queue) or ERR_NOMEM. */
int ns_udp_send(struct ns_udp *udp, const uint8_t dst[NS_ADDRESS_LEN],
		uint16_t port, const void *data, size_t len);
void ns_udp_close(struct ns_udp *udp);

/*
 * Datagrams to ports that nobody has opened, from inside ns_in(); NULL: they
 * are dropped. For answers: ns_udp_send_from() any port.
 */
typedef void ns_unbound(void *user, const uint8_t src[NS_ADDRESS_LEN],
			uint16_t src_port, uint16_t dst_port,
			const uint8_t *data, size_t len);
void ns_set_unbound(struct ns *ns, ns_unbound *receive, void *user);
int ns_udp_send_from(struct ns *ns, uint16_t from,
		     const uint8_t dst[NS_ADDRESS_LEN], uint16_t port,
		     const void *data, size_t len);

/*
 * One ICMPv6 echo. `done` is called once by ns_dispatch(): 0 and the latency,
 * ERR_TIMEOUT, or ERR_CANCELED by ns_fail(). 0, ERR_LIMIT or ERR_NOMEM.
 */
typedef void ns_ping_done(void *user, int err, uint64_t latency_us);
int ns_ping(struct ns *ns, const uint8_t dst[NS_ADDRESS_LEN],
	    uint64_t timeout_us, uint64_t now_us, ns_ping_done *done,
	    void *user);

/*
 * Other next headers (TSMP is 99): `payload` is what follows the IPv6 header
 * and its extension headers, borrowed. NULL takes the receiver away. At most
 * NS_RAW_CAP of them; ERR_LIMIT, or ERR_MISUSE for TCP, UDP and ICMPv6.
 */
#define NS_RAW_CAP 4
typedef void ns_raw(void *user, const uint8_t src[NS_ADDRESS_LEN],
		    const uint8_t dst[NS_ADDRESS_LEN], const uint8_t *payload,
		    size_t len);
int ns_set_raw(struct ns *ns, uint8_t next_header, ns_raw *receive,
	       void *user);
/* Copied. 0, ERR_TOO_LARGE, ERR_LIMIT or ERR_NOMEM. */
int ns_raw_send(struct ns *ns, const uint8_t dst[NS_ADDRESS_LEN],
		uint8_t next_header, const void *payload, size_t len);

#endif
