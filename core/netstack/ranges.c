/* Ranges of received bytes beyond rcv_nxt: sorted, disjoint, not touching. */
#include <stdlib.h>
#include <string.h>

#include "core/netstack/ranges.h"
#include "core/netstack/seq.h"

void ns_ranges_free(struct ranges *r)
{
	free(r->at);
	*r = (struct ranges){ 0 };
}

/* The first range whose end is at or after `seq`. */
static uint16_t lower(const struct ranges *r, uint32_t seq)
{
	uint16_t low = 0;
	uint16_t high = r->len;

	while (low < high) {
		uint16_t middle = (uint16_t)((low + high) / 2);

		if (seq_lt(r->at[middle].end, seq))
			low = (uint16_t)(middle + 1);
		else
			high = middle;
	}
	return low;
}

static int grow(struct ranges *r)
{
	uint16_t cap = r->cap ? (uint16_t)(r->cap * 2) : 8;
	struct range *at;

	if (r->len < r->cap)
		return 0;
	if (r->len >= RANGE_CAP)
		return ERR_LIMIT;
	at = realloc(r->at, cap * sizeof(*at));
	if (!at)
		return ERR_NOMEM;
	r->at = at;
	r->cap = cap;
	return 0;
}

static void remove_span(struct ranges *r, uint16_t first, uint16_t count)
{
	if (!count)
		return;
	memmove(r->at + first, r->at + first + count,
		(size_t)(r->len - first - count) * sizeof(*r->at));
	r->len = (uint16_t)(r->len - count);
}

/* Joins ranges that `at` has grown into. */
static void absorb(struct ranges *r, uint16_t index)
{
	struct range *at = &r->at[index];
	uint16_t next = (uint16_t)(index + 1);

	while (next < r->len && seq_le(r->at[next].start, at->end)) {
		if (seq_lt(at->end, r->at[next].end))
			at->end = r->at[next].end;
		next++;
	}
	remove_span(r, (uint16_t)(index + 1), (uint16_t)(next - index - 1));
}

int ns_ranges_add(struct ranges *r, uint32_t start, uint32_t end)
{
	uint16_t i = lower(r, start);
	int err;

	if (i < r->len && seq_le(r->at[i].start, end)) {
		if (seq_lt(start, r->at[i].start))
			r->at[i].start = start;
		if (seq_lt(r->at[i].end, end))
			r->at[i].end = end;
		absorb(r, i);
		return 0;
	}
	err = grow(r);
	if (err < 0)
		return err;
	memmove(r->at + i + 1, r->at + i,
		(size_t)(r->len - i) * sizeof(*r->at));
	r->at[i] = (struct range){ start, end };
	r->len++;
	return 0;
}

const struct range *ns_ranges_find(const struct ranges *r, uint32_t seq)
{
	uint16_t i = lower(r, seq + 1);

	if (i < r->len && seq_le(r->at[i].start, seq))
		return &r->at[i];
	return NULL;
}

uint32_t ns_ranges_advance(struct ranges *r, uint32_t seq)
{
	uint16_t count = 0;

	while (count < r->len && seq_le(r->at[count].start, seq)) {
		if (seq_lt(seq, r->at[count].end))
			seq = r->at[count].end;
		count++;
	}
	remove_span(r, 0, count);
	if (!r->len)
		ns_ranges_free(r);
	return seq;
}
