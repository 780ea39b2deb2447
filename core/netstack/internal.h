/*
 * core/netstack/internal.h: what the files of the stack share.
 *
 * Theory of operation. A connection is found by hash, is in the ready list
 * when ns_out() may find something to send for it, in the notify list when
 * its owner must be told something, and in the heap at its earliest
 * deadline (or before it: deadlines that move away are set anew when the
 * heap comes to them). Nothing else walks over connections.
 *
 * Bytes to send lie in a ring addressed by sequence number from snd_una to
 * snd_end; received ones likewise from rcv_read, those out of order at their
 * place, with a sorted array of ranges that says which they are. Every
 * transmitted segment has a record (records.c), in the order of sequence;
 * SACK, loss and retransmission are marks on records, counted in bytes so
 * that the pipe of RFC 6675 is a sum of four numbers.
 */
#ifndef TUNNELHOST_NETSTACK_INTERNAL_H
#define TUNNELHOST_NETSTACK_INTERNAL_H

#include "core/base/hash.h"
#include "core/base/heap.h"
#include "core/base/list.h"
#include "core/netstack/netstack.h"
#include "core/netstack/ranges.h"
#include "core/netstack/records.h"
#include "core/netstack/ring.h"
#include "core/netstack/seq.h"

#define IPV6_HEADER_LEN 40
#define TCP_HEADER_LEN 20
#define UDP_HEADER_LEN 8
#define EXTENSION_HEADER_CAP 4
#define HOP_LIMIT 64

#define SACK_BLOCK_CAP 4
#define WINDOW_SHIFT 8		/* 16 MiB: over NS_RECEIVE_CAP_MAX */
#define BURST_CAP 32		/* packets of one connection in a row */
#define REORDER_KEEP 16	/* RFC 8985: recoveries that it lasts */
#define INITIAL_SEGMENTS 10
#define DEFAULT_MSS 1220	/* RFC 9293 3.7.1, IPv6 */
#define MIN_MSS 64
#define RTO_MIN_US (200 * US_PER_MS)
#define RTO_MAX_US (60 * US_PER_S)
#define RTO_INITIAL_US (1 * US_PER_S)
#define TLP_MIN_US (10 * US_PER_MS)
#define TLP_ACK_DELAY_US (50 * US_PER_MS)
#define DELAYED_ACK_US (40 * US_PER_MS)
#define CHALLENGE_GAP_US (100 * US_PER_MS)
#define BUFFER_IDLE_US (500 * US_PER_MS)
#define KEEPALIVE_GAP_US (10 * US_PER_S)
#define KEEPALIVE_PROBES 9
#define PACE_QUANTUM_US (1 * US_PER_MS)	/* a burst is worth as much */
#define PACE_SLACK_US (4 * US_PER_MS)	/* what a late timer makes up for */
#define MODEL_RTT_US (2 * US_PER_MS)	/* NS_AUTO: BBR from here on */
#define PAWS_IDLE_US (24ull * 86400 * US_PER_S)
/* In the heap, but never due. */
#define CONN_NO_DEADLINE (DEADLINE_NONE - 1)

enum tcp_flags {
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_PSH = 8,
	TCP_ACK = 16,
};

/* RFC 9293 3.3.2; LISTEN is struct ns_listener. */
enum tcp_state {
	TCP_SYN_SENT,
	TCP_SYN_RCVD,
	TCP_ESTABLISHED,
	TCP_FIN_WAIT_1,
	TCP_FIN_WAIT_2,
	TCP_CLOSE_WAIT,
	TCP_CLOSING,
	TCP_LAST_ACK,
	TCP_TIME_WAIT,
	TCP_CLOSED,	/* not in the hash: waits for its owner to close */
};

enum recovery {
	RECOVERY_NONE,
	RECOVERY_FAST,	/* RFC 6675, 6582 */
	RECOVERY_RTO,	/* all is lost until it is acknowledged */
};

struct segment {
	uint16_t src_port;
	uint16_t dst_port;
	uint32_t seq;
	uint32_t ack;
	uint32_t window;	/* as on the wire */
	uint32_t ts_value;
	uint32_t ts_echo;
	uint16_t mss;		/* 0: absent */
	uint8_t flags;
	uint8_t window_shift;
	bool has_window_shift;
	bool has_ts;
	bool sack_ok;
	uint8_t sack_count;
	struct range sack[SACK_BLOCK_CAP];
	const uint8_t *data;
	uint32_t len;
};

/* bbr.c says what may be done in each. */
enum bbr_phase {
	BBR_STARTUP,
	BBR_DRAIN,
	BBR_DOWN,
	BBR_CRUISE,
	BBR_REFILL,
	BBR_UP,
	BBR_PROBE_RTT,
};

struct bbr {
	uint64_t bandwidth[2];	/* bytes/s, most of this and the last cycle */
	uint64_t latest;	/* most of this round */
	uint64_t low;		/* bound after congestion; 0: none */
	uint64_t full;		/* what growth is measured against */
	uint64_t phase_us;	/* when it began */
	uint64_t min_rtt_us_at;
	uint64_t wait_us;	/* from phase DOWN to REFILL */
	uint32_t min_rtt_us;
	uint32_t round_end;	/* in records.delivered */
	uint32_t round_delivered;
	uint32_t round_lost;
	uint32_t round_lost_segments;
	uint32_t round_rtt_us;	/* least */
	uint32_t rounds;	/* in this phase; DOWN to REFILL is one */
	uint32_t flight_high;	/* long-term bound; 0: none */
	uint32_t flight_low;	/* short-term bound; 0: none */
	uint8_t phase;		/* enum bbr_phase */
	uint8_t flat_rounds;
	bool filled : 1;	/* STARTUP has found the bandwidth */
	bool advance : 1;	/* the filter, when UP has been answered */
};

struct hystart {
	uint32_t round_end;	/* 0: none begun */
	uint32_t last_us;	/* least round trip of the last round */
	uint32_t least_us;	/* of this one */
	uint32_t baseline_us;	/* where the conservative part began */
	uint8_t samples;
	uint8_t slow_rounds;	/* of the conservative part; 0: not in it */
};

struct congestion {
	uint32_t window;	/* bytes */
	uint32_t threshold;
	uint32_t acked;		/* towards the next segment, avoidance */
	uint32_t flight;	/* PRR, RFC 6937: at the loss */
	uint32_t delivered;	/* PRR: since the loss */
	uint32_t sent;		/* PRR: since the loss */
	uint32_t w_max;		/* CUBIC, bytes */
	uint32_t w_est;		/* CUBIC, what Reno would have */
	float k;		/* CUBIC, seconds */
	uint64_t epoch_us;	/* CUBIC, 0: none begun */
	uint32_t prior;		/* window before the last reduction */
	uint32_t prior_threshold;
	union {
		struct bbr bbr;
		struct hystart hystart;
	};
};

struct conn;

/*
 * Two kinds. By loss: reduce() and grow() set the window, between them PRR.
 * By model: sample() sets window and pacing rate on every ACK; what is lost
 * says no more than the model takes from it.
 */
struct congestion_ops {
	/* The window is what it was; a model knows nothing yet. */
	void (*begin)(struct conn *conn, uint64_t now_us);
	/* The threshold after a loss, and the note that it happened. */
	uint32_t (*reduce)(struct conn *conn, uint32_t flight);
	void (*grow)(struct conn *conn, uint32_t acked, uint64_t now_us);
	/* NULL: by loss. */
	void (*sample)(struct conn *conn, const struct rate_sample *sample,
		       uint64_t now_us);
};

extern const struct congestion_ops ns_congestion_bbr;
extern const struct congestion_ops ns_congestion_cubic;
extern const struct congestion_ops ns_congestion_reno;

struct conn {
	struct stream stream;
	struct ns *ns;			/* NULL once the stack is gone */
	struct list all;
	struct list ready;
	struct list notify;
	struct list waiting;		/* for accept, in TIME_WAIT, dead */
	struct heap_node timer;
	struct ns_listener *listener;	/* until accepted */

	uint8_t remote[NS_ADDRESS_LEN];
	uint16_t remote_port;
	uint16_t local_port;
	uint8_t local;			/* index of the address */
	uint8_t state;			/* enum tcp_state */
	uint8_t recovery;		/* enum recovery */
	int8_t failure;			/* enum err, 0: none */

	bool orphan : 1;		/* closed by its owner */
	bool accepted : 1;
	bool established : 1;		/* was, once */
	bool fin_queued : 1;		/* no more writes */
	bool fin_seen : 1;		/* fin_seq is valid */
	bool fin_received : 1;		/* and everything before it */
	bool ts_ok : 1;
	bool scaled : 1;		/* both sent the window option */
	bool sack_ok : 1;
	bool held : 1;			/* a SYN that waits for ns_admit() */
	bool syn_due : 1;
	bool ack_due : 1;
	bool probe_due : 1;
	bool force_small : 1;		/* override of silly window avoidance */
	bool force_retransmit : 1;	/* one segment whatever the window */
	bool writer_refused : 1;
	bool persisting : 1;
	bool tlp_armed : 1;		/* rto_at is a loss probe, RFC 8985 7 */
	bool tlp_done : 1;		/* one was sent, nothing acked since */
	bool tlp_due : 1;		/* retransmit the last segment */
	bool tlp_again : 1;		/* a probe was a retransmission */
	bool force_new : 1;		/* a probe of new data, over cwnd */
	bool undo_armed : 1;		/* reduced, nothing retransmitted yet */
	bool undo_open : 1;		/* undo_ts is that of the first */

	uint8_t congestion_choice;	/* enum ns_congestion */
	uint8_t send_shift;
	uint8_t sack_recent_count;
	uint8_t probes;			/* unanswered */
	uint8_t backoff;		/* of the RTO */
	uint8_t burst;
	uint8_t reorder_steps;		/* RACK: quarter round trips, 1 … 4 */
	uint8_t reorder_keep;		/* recoveries until it is 1 again */
	uint16_t mss;			/* payload with no options */
	uint16_t rcv_mss;		/* the largest that came */
	uint16_t dup_acks;		/* got, without SACK */
	uint16_t dup_acks_owed;

	uint32_t iss;
	uint32_t snd_una;
	uint32_t snd_nxt;
	uint32_t snd_end;		/* after the last accepted byte */
	uint32_t snd_wnd;
	uint32_t snd_wnd_max;
	uint32_t snd_wl1;
	uint32_t snd_wl2;
	uint32_t send_cap;
	uint32_t recovery_point;
	uint32_t tlp_end;
	uint32_t undo_ts;
	uint32_t reorder_point;		/* one step a round trip */

	uint32_t irs;
	uint32_t rcv_read;		/* first byte not consumed */
	uint32_t rcv_nxt;
	uint32_t rcv_edge;		/* right edge that was promised */
	uint32_t rcv_cap;
	uint32_t rcv_unacked;		/* in-order bytes since our last ACK */
	uint32_t fin_seq;
	uint32_t ts_recent;
	uint32_t last_ack_sent;
	uint32_t sack_recent[SACK_BLOCK_CAP];	/* newest first */
	struct range dsack;			/* RFC 2883; empty: none */
	uint32_t epoch_read;		/* window tuning */
	uint32_t rcv_rtt_us;
	uint32_t rcv_round;		/* what was read in the last one */

	uint32_t srtt_us;
	uint32_t rttvar_us;
	uint32_t min_rtt_us;
	uint32_t rto_us;

	struct ring send;
	struct ring receive;
	struct records records;
	struct ranges ranges;
	struct congestion congestion;
	const struct congestion_ops *ops;

	uint64_t pacing_rate;		/* bytes/s; 0: not paced */
	uint64_t pace_ns;		/* when the next segment may leave */
	uint64_t floor_us;		/* rate.c: since when floor_rtt_us */
	uint32_t floor_rtt_us;
	uint64_t ts_recent_us;
	uint64_t epoch_us;
	uint64_t started_us;		/* SYN, or the stall of retransmits */
	uint64_t sent_us;		/* last data */
	uint64_t heard_us;
	uint64_t lossy_us;		/* last out of order; 0: never */
	uint64_t challenge_us;
	uint64_t keepalive_us;
	/* Deadlines. */
	uint64_t rto_at;		/* SYN, loss probe, RTO and persist */
	uint64_t reorder_at;		/* RACK: late becomes lost */
	uint64_t ack_at;
	uint64_t keepalive_at;
	uint64_t life_at;		/* orphans, TIME_WAIT */
	uint64_t idle_at;		/* free empty buffers */
	uint64_t pace_at;		/* enough has accrued for a burst */
};

struct ns_listener {
	struct ns *ns;
	struct list all;
	struct list waiting;
	uint32_t waiting_count;
	uint32_t backlog;
	uint16_t port;
	ns_accept *accept;
	ns_hold *hold;			/* or NULL */
	void *user;
};

struct ns_udp {
	struct ns *ns;
	struct list all;
	uint16_t port;
	ns_datagram *on_receive;
	void *user;
};

struct ping {
	struct list link;		/* pings or pings_done */
	struct heap_node timer;
	uint8_t dst[NS_ADDRESS_LEN];
	uint64_t nonce;
	uint64_t sent_us;
	uint64_t latency_us;
	int err;
	ns_ping_done *done;
	void *user;
};

struct raw {
	uint8_t next_header;
	ns_raw *receive;
	void *user;
};

/* A made packet that waits for ns_out(). */
struct packet {
	struct list link;
	size_t len;
	uint8_t bytes[];
};

struct ns {
	struct ns_config config;
	uint8_t addresses[NS_ADDRESS_CAP][NS_ADDRESS_LEN];
	uint32_t initial_seq;
	uint32_t ts_offset;
	struct hash conns;
	struct hash udps;
	struct list all;
	struct list ready;
	ns_gate *gate;			/* or NULL */
	void *gate_user;
	struct list shut;		/* conns that would be in `ready` */
	struct list shut_queue;		/* likewise, of `queue` */
	struct list notify;
	struct list time_wait;
	struct list dead;		/* ended orphans, until ns_reap() */
	uint64_t now_us;		/* the last that was handed in */
	uint32_t time_wait_count;
	struct list listeners;
	ns_unbound *unbound;		/* or NULL */
	void *unbound_user;
	struct hash listen_ports;
	struct list udp_all;
	struct list queue;
	uint32_t queue_len;
	size_t queue_bytes;
	bool queue_turn;
	struct list pings;
	struct list pings_done;
	uint32_t ping_count;
	struct heap timers;		/* conns */
	struct heap ping_timers;
	struct hash ping_nonces;
	struct raw raws[NS_RAW_CAP];
	struct ns_stats stats;
};

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static inline uint32_t max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static inline uint32_t ts_now(const struct ns *ns, uint64_t now_us)
{
	return (uint32_t)(now_us / US_PER_MS) + ns->ts_offset;
}

/* Unacknowledged sequence space. */
static inline uint32_t conn_flight(const struct conn *conn)
{
	return conn->snd_nxt - conn->snd_una;
}

/* RFC 6675: what is thought to be in the network. */
static inline uint32_t conn_pipe(const struct conn *conn)
{
	const struct records *r = &conn->records;
	uint32_t flight = conn_flight(conn);
	uint32_t gone = r->sacked_bytes + r->lost_bytes;

	/* Without SACK each duplicate ACK says that one segment left. */
	if (!conn->sack_ok)
		gone += (uint32_t)conn->dup_acks * conn->mss;

	return (flight > gone ? flight - gone : 0) + r->retransmitted_bytes;
}

/* stack.c */
void ns_wake(struct ns *ns);
void ns_ready(struct conn *conn);
void ns_notify(struct conn *conn);
/* Brings the connection's place in the heap up to date. */
void ns_conn_arm(struct conn *conn);

/* ip.c */
uint32_t ns_sum(const uint8_t *data, size_t len);
/* The field's value: complement of the folded sum, with pseudo-header. */
uint16_t ns_checksum(const uint8_t *ip, uint8_t next_header, size_t len);
/* Writes 40 bytes. */
void ns_ip_header(uint8_t *out, const uint8_t *src, const uint8_t *dst,
		  uint8_t next_header, size_t payload_len);
int ns_local_index(const struct ns *ns, const uint8_t *address);
/* The local address that shares the longest prefix: RFC 6724 rule 8. */
uint8_t ns_source_for(const struct ns *ns, const uint8_t *dst);
/*
 * A packet of `len` payload bytes in the queue's accounting, header written,
 * payload at *payload to be filled; ns_packet_push() seals and queues it.
 */
int ns_packet_new(struct ns *ns, const uint8_t *src, const uint8_t *dst,
		  uint8_t next_header, size_t len, struct packet **out,
		  uint8_t **payload);
/* `checksum_at` in the payload, or -1: none. */
void ns_packet_push(struct ns *ns, struct packet *packet, int checksum_at);

/* icmp.c, udp.c, raw.c: `ip` is the whole header, payload what follows. */
void ns_icmp_in(struct ns *ns, const uint8_t *ip, const uint8_t *payload,
		size_t len, uint64_t now_us);
void ns_ping_tick(struct ns *ns, uint64_t now_us);
void ns_ping_dispatch(struct ns *ns);
void ns_ping_cancel(struct ns *ns);
void ns_udp_in(struct ns *ns, const uint8_t *ip, const uint8_t *payload,
	       size_t len);
void ns_raw_in(struct ns *ns, uint8_t next_header, const uint8_t *ip,
	       const uint8_t *payload, size_t len);

/* segment.c */
/* False: malformed. */
bool ns_segment_parse(const uint8_t *data, size_t len, struct segment *out);
/* The RST of RFC 9293 3.10.7.1 that answers a segment without connection. */
void ns_reset_answer(struct ns *ns, const uint8_t *ip,
		     const struct segment *seg);
/* A RST from the connection's own side. */
void ns_conn_reset(struct conn *conn);

/* conn.c */
struct conn *ns_conn_new(struct ns *ns, uint8_t local, const uint8_t *remote,
			 uint16_t local_port, uint16_t remote_port);
struct conn *ns_conn_find(struct ns *ns, const uint8_t *ip,
			  const struct segment *seg, int local);
/*
 * The connection is over: out of hash and heap. What was received stays for
 * its owner to read; an orphan is freed by the next ns_reap().
 */
void ns_conn_end(struct conn *conn, int failure);
void ns_conn_free(struct conn *conn);
/* Frees orphans that ended: last in every entry point. */
void ns_reap(struct ns *ns);
void ns_conn_time_wait(struct conn *conn, uint64_t now_us);
void ns_conn_established(struct conn *conn, uint64_t now_us);
/* Receive window: what may be promised now. */
uint32_t ns_conn_window(const struct conn *conn);
size_t ns_conn_unread(const struct conn *conn);
extern const struct stream_ops ns_stream_ops;

/* listen.c */
struct conn *ns_conn_at(struct ns *ns, const struct ns_held *held);
struct ns_listener *ns_listener_find(struct ns *ns, uint16_t port);
void ns_listen_in(struct ns *ns, struct ns_listener *listener,
		  const uint8_t *ip, const struct segment *seg, int local,
		  uint64_t now_us);
void ns_listen_deliver(struct conn *conn);

/* tcp_in.c */
void ns_tcp_in(struct ns *ns, const uint8_t *ip, const uint8_t *payload,
	       size_t len, int local, uint64_t now_us);
void ns_syn_options(struct conn *conn, const struct segment *seg,
		    uint64_t now_us);

/* tcp_ack.c: ESTABLISHED and later, ACK acceptable. May end the conn. */
void ns_ack_in(struct conn *conn, const struct segment *seg,
	       uint64_t now_us);
void ns_rtt_sample(struct conn *conn, uint64_t rtt_us);
void ns_rto_fired(struct conn *conn, uint64_t now_us);
/* Marks what is lost now and enters recovery if anything is. */
void ns_find_loss(struct conn *conn, uint64_t now_us);

/* rate.c: which control, and when the next segment may leave. */
void ns_rate_begin(struct conn *conn, uint64_t now_us);
/* An ACK has been taken in, which delivered and lost so much. */
void ns_rate_acked(struct conn *conn, uint64_t now_us);
/* True: not now; conn->pace_at says when. */
bool ns_pace_waits(struct conn *conn, uint64_t now_us);
void ns_pace_sent(struct conn *conn, uint32_t len, uint64_t now_us);

/* tcp_receive.c */
void ns_receive_in(struct conn *conn, const struct segment *seg,
		   uint64_t now_us);
void ns_receive_consumed(struct conn *conn);
/* SACK blocks to send, newest first; how many. */
size_t ns_receive_sack(const struct conn *conn, struct range *out,
		       size_t cap);
/* A segment of what was received before: the next ACK reports it. */
void ns_receive_duplicate(struct conn *conn, const struct segment *seg);

/* tcp_out.c */
size_t ns_conn_out(struct conn *conn, uint8_t *out, uint64_t now_us);
uint32_t ns_options_len(const struct conn *conn, size_t sacks);

/* tcp_timer.c */
void ns_conn_tick(struct conn *conn, uint64_t now_us);
void ns_conn_rto_restart(struct conn *conn, uint64_t now_us);
/* The peer's window is open again, or data went into what there was. */
void ns_persist_end(struct conn *conn);

#endif
