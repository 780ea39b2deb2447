#include "core/netstack/ring.h"

#include <stdlib.h>
#include <string.h>

void ns_ring_free(struct ring *ring)
{
	free(ring->data);
	ring->data = NULL;
	ring->cap = 0;
}

int ns_ring_fit(struct ring *ring, uint32_t start, uint32_t used,
		uint32_t need)
{
	uint32_t cap = ring->cap ? ring->cap : RING_CAP_MIN;
	struct ring larger;
	const uint8_t *piece;
	uint32_t len;

	if (ring->cap && need - start <= ring->cap)
		return 0;
	while (cap < need - start && cap < RING_CAP_MAX)
		cap *= 2;
	if (cap < need - start)
		return ERR_LIMIT;
	larger = (struct ring){ .data = malloc(cap), .cap = cap };
	if (!larger.data)
		return ERR_NOMEM;
	for (; start != used; start += len) {
		len = ns_ring_piece(ring, start, used - start, &piece);
		ns_ring_write(&larger, start, piece, len);
	}
	free(ring->data);
	*ring = larger;
	return 0;
}

void ns_ring_write(struct ring *ring, uint32_t seq, const void *data,
		   uint32_t len)
{
	uint32_t place = seq & (ring->cap - 1);
	uint32_t first = ring->cap - place;

	if (first > len)
		first = len;
	memcpy(ring->data + place, data, first);
	memcpy(ring->data, (const uint8_t *)data + first, len - first);
}

void ns_ring_read(const struct ring *ring, uint32_t seq, void *out,
		  uint32_t len)
{
	uint32_t place = seq & (ring->cap - 1);
	uint32_t first = ring->cap - place;

	if (first > len)
		first = len;
	memcpy(out, ring->data + place, first);
	memcpy((uint8_t *)out + first, ring->data, len - first);
}

uint32_t ns_ring_piece(const struct ring *ring, uint32_t seq, uint32_t len,
		       const uint8_t **out)
{
	uint32_t place = seq & (ring->cap - 1);

	*out = ring->data + place;
	return len < ring->cap - place ? len : ring->cap - place;
}
