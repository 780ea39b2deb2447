/*
 * Records of sent segments: the scoreboard of RFC 6675 and RFC 8985.
 *
 * Costs. Acknowledging pops from the head. A SACK block finds its left edge
 * by bisection, and skips what it or an earlier block marked before by runs
 * that are joined as they are walked. `judged` and `retransmit` only move
 * forward. So every record is touched a bounded number of times, however
 * many there are and however often the peer repeats its blocks; only an RTO,
 * and the loss of a retransmission, walk over many of them.
 *
 * First transmissions are in the order of time as they are in that of
 * sequence, so RACK, too, needs to look at `judged` alone. Retransmissions
 * have a queue of their own.
 */
#include <stdlib.h>
#include <string.h>

#include "core/netstack/records.h"
#include "core/netstack/seq.h"

void ns_records_free(struct records *r)
{
	free(r->at);
	free(r->again);
	*r = (struct records){ 0 };
}

static bool grow(struct records *r)
{
	uint32_t cap = r->cap ? r->cap * 2 : 16;
	struct record *at;

	if (r->tail - r->head < r->cap)
		return true;
	if (r->cap >= RECORD_CAP)
		return false;
	at = malloc(cap * sizeof(*at));
	if (!at)
		return false;
	for (uint32_t i = r->head; i != r->tail; i++)
		at[i & (cap - 1)] = *record_at(r, i);
	free(r->at);
	r->at = at;
	r->cap = cap;
	return true;
}

/* Time alone between what is answered and what is sent next is no rate. */
static void stamp(struct records *r, struct record *record, uint64_t now_us)
{
	record->sent_us = now_us;
	record->delivered = r->delivered;
	record->delivered_us = r->delivered_us;
	record->first_sent_us = r->first_sent_us;
	if (r->app_limited)
		record->flags |= RECORD_APP_LIMITED;
	else
		record->flags &= (uint8_t)~RECORD_APP_LIMITED;
}

void ns_records_begin(struct records *r, uint64_t now_us)
{
	r->now_us = now_us;
	r->sample = (struct rate_sample){
		.acked = r->delivered,
		.lost = r->lost,
		.lost_segments = r->lost_segments,
	};
}

const struct rate_sample *ns_records_sample(struct records *r)
{
	struct rate_sample *s = &r->sample;
	uint32_t took = r->delivered_us - r->sample_prior_us;

	s->acked = r->delivered - s->acked;
	s->lost = r->lost - s->lost;
	s->lost_segments = r->lost_segments - s->lost_segments;
	if (r->app_limited && seq_lt(r->app_limited, r->delivered))
		r->app_limited = 0;
	if (!s->interval_us)
		return s;
	/* The slower of the two: bunched ACKs are no faster path. */
	s->interval_us = took > r->sample_sent_us ? took : r->sample_sent_us;
	s->delivered = r->delivered - s->prior_delivered;
	if (s->interval_us < r->min_rtt_us)
		s->interval_us = 0;
	return s;
}

void ns_records_app_limited(struct records *r, uint32_t pipe)
{
	r->app_limited = r->delivered + pipe;
	if (!r->app_limited)
		r->app_limited = 1;
}

struct record *ns_record_add(struct records *r, uint32_t seq, uint16_t len,
			     uint64_t now_us)
{
	struct record *record;

	if (!grow(r))
		return NULL;
	if (r->head == r->tail) {
		r->first_sent_us = (uint32_t)now_us;
		r->delivered_us = (uint32_t)now_us;
	}
	record = record_at(r, r->tail++);
	*record = (struct record){
		.seq = seq,
		.len = len,
		.transmissions = 1,
	};
	stamp(r, record, now_us);
	return record;
}

/* Takes `len` bytes of a record out of the sums. */
static void uncount(struct records *r, const struct record *record,
		    uint32_t len)
{
	if (record->flags & RECORD_SACKED)
		r->sacked_bytes -= len;
	if (record->flags & RECORD_LOST)
		r->lost_bytes -= len;
	if (record->flags & RECORD_RETRANSMITTED)
		r->retransmitted_bytes -= len;
}

/* The sample is that of what was sent last. */
static void sample(struct records *r, const struct record *record)
{
	struct rate_sample *s = &r->sample;
	uint32_t sent_us = (uint32_t)record->sent_us;

	r->delivered += record->len;
	r->delivered_us = (uint32_t)r->now_us;
	if (s->interval_us && (seq_lt(record->delivered, s->prior_delivered) ||
			       seq_lt(sent_us, r->first_sent_us)))
		return;
	s->interval_us = 1;
	s->prior_delivered = record->delivered;
	s->app_limited = record->flags & RECORD_APP_LIMITED;
	s->rtt_us = record->flags & RECORD_EVER_RETRANSMITTED ? 0 :
		(uint32_t)r->now_us - sent_us;
	r->sample_prior_us = record->delivered_us;
	r->sample_sent_us = sent_us - record->first_sent_us;
	r->first_sent_us = sent_us;
}

/* RFC 8985 6.2 step 2. */
static void delivered(struct records *r, const struct record *record)
{
	uint64_t took = r->now_us - record->sent_us;

	sample(r, record);
	if (record->flags & RECORD_EVER_RETRANSMITTED && took < r->min_rtt_us)
		return;
	if (record->sent_us < r->newest_us ||
	    (record->sent_us == r->newest_us &&
	     seq_lt(record->seq, r->newest_seq)))
		return;
	r->newest_us = record->sent_us;
	r->newest_seq = record->seq;
	r->rtt_us = took;
}

static void pop(struct records *r)
{
	struct record *record = record_at(r, r->head);

	if (!(record->flags & RECORD_SACKED))
		delivered(r, record);
	uncount(r, record, record->len);
	if (r->judged == r->head) {
		if (record->flags & RECORD_SACKED)
			r->sacked_after--;
		r->judged++;
	}
	if (r->retransmit == r->head)
		r->retransmit++;
	r->head++;
}

void ns_records_ack(struct records *r, uint32_t ack, uint64_t *sample_us,
		    uint64_t *again_us)
{
	struct record *record;
	uint32_t part;

	*sample_us = 0;
	*again_us = 0;
	while (r->head != r->tail) {
		record = record_at(r, r->head);
		if (seq_lt(ack, record->seq + record->len))
			break;
		/* One SACKed before did not cause this ACK. */
		if (record->flags & RECORD_EVER_RETRANSMITTED) {
			if (*again_us < record->sent_us)
				*again_us = record->sent_us;
		} else if (!(record->flags & RECORD_SACKED)) {
			*sample_us = record->sent_us;
		}
		pop(r);
	}
	if (r->head == r->tail)
		return;
	record = record_at(r, r->head);
	if (seq_le(ack, record->seq))
		return;
	part = ack - record->seq;
	uncount(r, record, part);
	if (!(record->flags & RECORD_SACKED))
		r->delivered += part;
	record->seq = ack;
	record->len = (uint16_t)(record->len - part);
}

/* The first record that begins at or after `seq`. */
static uint32_t find(const struct records *r, uint32_t seq)
{
	uint32_t low = 0;
	uint32_t high = r->tail - r->head;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (seq_lt(record_at(r, r->head + middle)->seq, seq))
			low = middle + 1;
		else
			high = middle;
	}
	return r->head + low;
}

static void mark_sacked(struct records *r, uint32_t index)
{
	struct record *record = record_at(r, index);

	delivered(r, record);
	uncount(r, record, record->len);
	record->flags &= (uint8_t)~(RECORD_LOST | RECORD_RETRANSMITTED);
	record->flags |= RECORD_SACKED;
	record->run = 1;
	r->sacked_bytes += record->len;
	if ((int32_t)(index - r->judged) >= 0)
		r->sacked_after++;
}

void ns_records_sack(struct records *r, uint32_t start, uint32_t end)
{
	uint32_t first = find(r, start);
	uint32_t i = first;

	while (i != r->tail) {
		struct record *record = record_at(r, i);

		if (seq_lt(end, record->seq + record->len))
			break;
		if (!(record->flags & RECORD_SACKED))
			mark_sacked(r, i);
		i += record->run;
	}
	if (i != first)
		record_at(r, first)->run = i - first;
}

bool ns_record_mark_lost(struct records *r, uint32_t index)
{
	struct record *record = record_at(r, index);

	if (record->flags & (RECORD_SACKED | RECORD_LOST))
		return false;
	record->flags |= RECORD_LOST;
	r->lost_bytes += record->len;
	r->lost += record->len;
	r->lost_segments++;
	return true;
}

/* Overdue by RFC 8985 6.2 step 5; else the time when it will be. */
static bool overdue(const struct records *r, const struct record *record,
		    uint64_t now_us, uint64_t window_us,
		    uint64_t *deadline_us)
{
	uint64_t due = record->sent_us + r->rtt_us + window_us;

	if (!r->newest_us || record->sent_us > r->newest_us ||
	    (record->sent_us == r->newest_us &&
	     !seq_lt(record->seq, r->newest_seq)))
		return false;
	if (due <= now_us)
		return true;
	*deadline_us = deadline_min(*deadline_us, due);
	return false;
}

/* Retransmissions that are lost in their turn; the oldest is first. */
static bool judge_again(struct records *r, uint64_t now_us,
			uint64_t window_us, uint64_t *deadline_us)
{
	bool news = false;

	for (; r->again_head != r->again_tail; r->again_head++) {
		struct again *again = &r->again[r->again_head &
						(r->again_cap - 1)];
		struct record *record = record_at(r, again->index);

		if ((int32_t)(again->index - r->head) < 0 ||
		    !(record->flags & RECORD_RETRANSMITTED) ||
		    record->sent_us != again->sent_us)
			continue;
		if (!overdue(r, record, now_us, window_us, deadline_us))
			break;
		record->flags &= (uint8_t)~RECORD_RETRANSMITTED;
		r->retransmitted_bytes -= record->len;
		ns_record_mark_lost(r, again->index);
		if ((int32_t)(again->index - r->retransmit) < 0)
			r->retransmit = again->index;
		news = true;
	}
	return news;
}

bool ns_records_judge(struct records *r, uint64_t now_us, uint64_t window_us,
		      bool by_count, uint64_t *deadline_us)
{
	bool news;

	*deadline_us = DEADLINE_NONE;
	news = judge_again(r, now_us, window_us, deadline_us);
	for (; r->judged != r->tail; r->judged++) {
		struct record *record = record_at(r, r->judged);

		if (record->flags & RECORD_SACKED) {
			r->sacked_after--;
			continue;
		}
		if (!(by_count && r->sacked_after >= DUP_THRESHOLD) &&
		    !overdue(r, record, now_us, window_us, deadline_us))
			break;
		if (ns_record_mark_lost(r, r->judged))
			news = true;
	}
	return news;
}

void ns_records_forgive(struct records *r)
{
	const uint8_t both = RECORD_LOST | RECORD_RETRANSMITTED;

	r->judged = r->head;
	r->sacked_after = 0;
	for (uint32_t i = r->head; i != r->tail; i++) {
		struct record *record = record_at(r, i);

		if (record->flags & RECORD_SACKED)
			r->sacked_after++;
		if ((record->flags & both) != RECORD_LOST)
			continue;
		record->flags &= (uint8_t)~RECORD_LOST;
		r->lost_bytes -= record->len;
	}
	r->retransmit = r->head;
}

void ns_records_all_lost(struct records *r)
{
	unsigned drop = RECORD_RETRANSMITTED;
	uint32_t lost = r->lost;
	uint32_t segments = r->lost_segments;

	/* A receiver that kept the first would have acknowledged it: it
	 * reneged (RFC 2018 section 8), so nothing that it said holds. */
	if (r->head != r->tail && record_at(r, r->head)->flags & RECORD_SACKED)
		drop |= RECORD_SACKED;
	if (drop & RECORD_SACKED)
		r->sacked_bytes = 0;
	r->retransmitted_bytes = 0;
	for (uint32_t i = r->head; i != r->tail; i++) {
		record_at(r, i)->flags &= (uint8_t)~drop;
		ns_record_mark_lost(r, i);
	}
	/* A guess, which is not to count as the path's. */
	r->lost = lost;
	r->lost_segments = segments;
	r->judged = r->tail;
	r->sacked_after = 0;
	r->retransmit = r->head;
}

struct record *ns_records_next_lost(struct records *r)
{
	const uint8_t all = RECORD_LOST | RECORD_RETRANSMITTED;

	if ((int32_t)(r->retransmit - r->head) < 0)
		r->retransmit = r->head;
	for (; r->retransmit != r->tail; r->retransmit++) {
		struct record *record = record_at(r, r->retransmit);

		if ((record->flags & all) == RECORD_LOST)
			return record;
		/* Beyond `judged` marks may still come: wait there. */
		if ((int32_t)(r->retransmit - r->judged) >= 0)
			return NULL;
	}
	return NULL;
}

/* Without memory for the queue the RTO finds what this would have. */
static void remember_again(struct records *r, const struct record *record,
			   uint32_t index)
{
	uint32_t cap = r->again_cap ? r->again_cap * 2 : 16;
	struct again *grown;

	if (r->again_tail - r->again_head == r->again_cap) {
		grown = cap <= RECORD_CAP ? malloc(cap * sizeof(*grown)) :
			NULL;
		if (!grown)
			return;
		for (uint32_t i = r->again_head; i != r->again_tail; i++)
			grown[i & (cap - 1)] = r->again[i & (cap / 2 - 1)];
		free(r->again);
		r->again = grown;
		r->again_cap = cap;
	}
	r->again[r->again_tail++ & (r->again_cap - 1)] =
		(struct again){ index, record->sent_us };
}

void ns_record_retransmitted(struct records *r, struct record *record,
			     uint64_t now_us)
{
	uint32_t place = (uint32_t)(record - r->at);

	if (!(record->flags & RECORD_RETRANSMITTED))
		r->retransmitted_bytes += record->len;
	record->flags |= RECORD_RETRANSMITTED | RECORD_EVER_RETRANSMITTED;
	stamp(r, record, now_us);
	if (record->transmissions < UINT8_MAX)
		record->transmissions++;
	remember_again(r, record,
		       r->head + ((place - r->head) & (r->cap - 1)));
}
