/*
 * core/netstack/records.h: what was sent and is not acknowledged.
 *
 * The scoreboard of RFC 6675 (SACK) and RFC 8985 (RACK): one record a sent
 * segment, in the order of sequence. It decides what is lost; when and how
 * much to send is its caller's to say. A zeroed struct is empty.
 */
#ifndef TUNNELHOST_NETSTACK_RECORDS_H
#define TUNNELHOST_NETSTACK_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/time.h"

#define RECORD_CAP 16384	/* segments in flight, a connection */
#define DUP_THRESHOLD 3

enum record_flags {
	RECORD_FIN = 1,
	RECORD_SACKED = 2,
	RECORD_LOST = 4,
	RECORD_RETRANSMITTED = 8,	/* and not known lost again */
	RECORD_EVER_RETRANSMITTED = 16,	/* no RTT sample: Karn */
	RECORD_APP_LIMITED = 32,	/* there was nothing more to send */
};

struct record {
	uint32_t seq;
	uint16_t len;		/* with the FIN */
	uint8_t flags;
	uint8_t transmissions;
	uint32_t run;		/* SACKED: that many from here on are */
	/* Of struct records, at the last transmission. */
	uint32_t delivered;
	uint32_t delivered_us;
	uint32_t first_sent_us;
	uint64_t sent_us;	/* last transmission */
};

/*
 * What an ACK says of the delivery rate (draft-ietf-ccwg-bbr 4.1): in
 * `interval_us` the path delivered `delivered` bytes. Times and counts of
 * 32 bits, as the counters they are differences of.
 */
struct rate_sample {
	uint32_t delivered;
	uint32_t interval_us;		/* 0: no sample */
	uint32_t prior_delivered;	/* when what was delivered was sent */
	uint32_t rtt_us;		/* 0: unknown */
	uint32_t acked;			/* bytes, newly, by this ACK */
	uint32_t lost;			/* bytes, newly */
	uint32_t lost_segments;
	bool app_limited;
};

/* A retransmission, in the order of time. */
struct again {
	uint32_t index;
	uint64_t sent_us;
};

/* Indices count up without end; the place is index & (cap - 1). */
struct records {
	struct again *again;	/* a ring, too; doubles */
	uint32_t again_cap;
	uint32_t again_head;
	uint32_t again_tail;
	uint32_t newest_seq;	/* RACK, RFC 8985: of what was delivered, */
	uint64_t newest_us;	/* the last that was sent; 0: none yet, */
	uint64_t rtt_us;	/* how long that took */
	uint64_t now_us;	/* of the ACK that is looked at */
	uint64_t min_rtt_us;	/* an answer sooner is not to a retransmit */

	uint32_t delivered;	/* bytes, ever */
	uint32_t delivered_us;	/* when the last of them was */
	uint32_t first_sent_us;	/* begin of the sending interval */
	uint32_t app_limited;	/* until so much is delivered; 0: no */
	uint32_t lost;		/* bytes found lost, ever */
	uint32_t lost_segments;
	struct rate_sample sample;	/* of this ACK, in the making */
	uint32_t sample_prior_us;
	uint32_t sample_sent_us;	/* what was delivered took to send */

	struct record *at;
	uint32_t cap;
	uint32_t head;		/* oldest unacknowledged */
	uint32_t tail;		/* one past the newest */
	uint32_t judged;	/* before it, unsacked means lost */
	uint32_t sacked_after;	/* SACKED records from `judged` on */
	uint32_t retransmit;	/* none to retransmit before it */
	uint32_t sacked_bytes;
	uint32_t lost_bytes;
	uint32_t retransmitted_bytes;
};

static inline struct record *record_at(const struct records *r,
				       uint32_t index)
{
	return &r->at[index & (r->cap - 1)];
}
void ns_records_free(struct records *r);
/* NULL: no memory, or RECORD_CAP reached. */
struct record *ns_record_add(struct records *r, uint32_t seq, uint16_t len,
			     uint64_t now_us);
/* An ACK comes: a new sample begins. */
void ns_records_begin(struct records *r, uint64_t now_us);
/* The sample is whole. */
const struct rate_sample *ns_records_sample(struct records *r);
/* There is nothing more to send, though `pipe` would let it. */
void ns_records_app_limited(struct records *r, uint32_t pipe);
/*
 * Everything before `ack` is acknowledged. *sample_us becomes the time when
 * the newest of them that was sent once left, *again_us the last time when
 * one of them was retransmitted; 0: none.
 */
void ns_records_ack(struct records *r, uint32_t ack, uint64_t *sample_us,
		    uint64_t *again_us);
/* Marks what lies wholly in [start, end). */
void ns_records_sack(struct records *r, uint32_t start, uint32_t end);
/*
 * Marks lost what RFC 6675 IsLost() says (if `by_count`), and what RFC 8985
 * says by time: sent before something that was delivered, and `window_us`
 * overdue. Whether anything was new; *deadline_us: when to look again, or
 * DEADLINE_NONE.
 */
bool ns_records_judge(struct records *r, uint64_t now_us, uint64_t window_us,
		      bool by_count, uint64_t *deadline_us);
/* It was a mistake: what was not retransmitted is judged anew. */
void ns_records_forgive(struct records *r);
bool ns_record_mark_lost(struct records *r, uint32_t index);
void ns_records_all_lost(struct records *r);
/* The next to retransmit, or NULL. */
struct record *ns_records_next_lost(struct records *r);
void ns_record_retransmitted(struct records *r, struct record *record,
			     uint64_t now_us);

#endif
