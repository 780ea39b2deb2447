/*
 * Records of sent segments: RFC 6675's scoreboard.
 *
 * Costs. Acknowledging pops from the head. A SACK block finds its left edge
 * by bisection, and skips what it or an earlier block marked before by runs
 * that are joined as they are walked. `judged` and `retransmit` only move
 * forward. So every record is touched a bounded number of times, however
 * many there are and however often the peer repeats its blocks; only an RTO
 * walks over all of them.
 *
 * A lost retransmission is not found by 6675; the RTO finds it.
 */
#include <stdlib.h>
#include <string.h>

#include "core/netstack/internal.h"

void ns_records_free(struct records *r)
{
	free(r->at);
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

struct record *ns_record_add(struct records *r, uint32_t seq, uint16_t len,
			     uint64_t now_us)
{
	struct record *record;

	if (!grow(r))
		return NULL;
	record = record_at(r, r->tail++);
	*record = (struct record){
		.seq = seq,
		.len = len,
		.transmissions = 1,
		.sent_us = now_us,
	};
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

static void pop(struct records *r)
{
	struct record *record = record_at(r, r->head);

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
	return true;
}

bool ns_records_judge(struct records *r)
{
	bool news = false;

	while (r->judged != r->tail) {
		bool sacked = record_at(r, r->judged)->flags & RECORD_SACKED;

		if (r->sacked_after - sacked < DUP_THRESHOLD)
			break;
		if (sacked)
			r->sacked_after--;
		else if (ns_record_mark_lost(r, r->judged))
			news = true;
		r->judged++;
	}
	return news;
}

void ns_records_all_lost(struct records *r)
{
	unsigned drop = RECORD_RETRANSMITTED;

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

void ns_record_retransmitted(struct records *r, struct record *record,
			     uint64_t now_us)
{
	if (!(record->flags & RECORD_RETRANSMITTED))
		r->retransmitted_bytes += record->len;
	record->flags |= RECORD_RETRANSMITTED | RECORD_EVER_RETRANSMITTED;
	record->sent_us = now_us;
	if (record->transmissions < UINT8_MAX)
		record->transmissions++;
}
