/*
 * core/netstack/ring.h: bytes addressed by TCP sequence number.
 *
 * The place of a byte is its sequence number modulo a power of two, so that
 * wrap-around costs nothing and data out of order lies where it belongs.
 * The ring does not know which bytes are valid: its owner does. Storage
 * grows by doubling and is freed when the owner says that it is empty.
 */
#ifndef TUNNELHOST_NETSTACK_RING_H
#define TUNNELHOST_NETSTACK_RING_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

#define RING_CAP_MIN 2048u
#define RING_CAP_MAX (1u << 27)

struct ring {
	uint8_t *data;
	uint32_t cap;
};

void ns_ring_free(struct ring *ring);
/*
 * Makes room for [start, need); what is valid lies in [start, used) and is
 * kept. 0, ERR_LIMIT or ERR_NOMEM.
 */
int ns_ring_fit(struct ring *ring, uint32_t start, uint32_t used,
		uint32_t need);
void ns_ring_write(struct ring *ring, uint32_t seq, const void *data,
		uint32_t len);
void ns_ring_read(const struct ring *ring, uint32_t seq, void *out,
	       uint32_t len);
/* The first contiguous piece of [seq, seq + len); its length. */
uint32_t ns_ring_piece(const struct ring *ring, uint32_t seq, uint32_t len,
		    const uint8_t **out);

#endif
