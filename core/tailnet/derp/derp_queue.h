/*
 * core/tailnet/derp/derp_queue.h: frames waiting for one connection.
 *
 * A queue of whole frames packed into slabs of 16 KiB (a TLS record's
 * worth), so that one send carries many. Slabs come from a pool and return
 * to it: nothing is allocated per packet. A full queue drops its oldest
 * frame. Private to the relay.
 */
#ifndef TUNNELHOST_TAILNET_DERP_DERP_QUEUE_H
#define TUNNELHOST_TAILNET_DERP_DERP_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/list.h"

#define DERP_QUEUE_PACKETS_CAP 512
#define DERP_QUEUE_BYTES_CAP (2 * 1024 * 1024)
#define DERP_SLAB_LEN (16 * 1024)
#define DERP_POOL_CAP 32		/* free slabs kept */

struct derp_slab {
	struct list link;
	size_t start;		/* first byte of the first frame left */
	size_t end;
	size_t cap;		/* DERP_SLAB_LEN, or more for one big frame */
	size_t packets;
	uint8_t bytes[];
};

struct derp_slab_pool {
	struct list free;
	size_t len;
};

struct derp_queue {
	struct list slabs;
	size_t packets;
	size_t bytes;
};

void derp_pool_init(struct derp_slab_pool *pool);
void derp_pool_clear(struct derp_slab_pool *pool);

void derp_queue_init(struct derp_queue *queue);
/* Returns how many packets were thrown away. */
size_t derp_queue_clear(struct derp_queue *queue, struct derp_slab_pool *pool);
/*
 * Room for one frame of `len` bytes, which the caller fills at once; counted.
 * Drops from the front as many as must go: their number is added to
 * *dropped. NULL when there is no memory.
 */
uint8_t *derp_queue_put(struct derp_queue *queue, struct derp_slab_pool *pool,
			size_t len, size_t *dropped);
/* The oldest slab, or NULL; and its return once it has been sent. */
struct derp_slab *derp_queue_first(const struct derp_queue *queue);
void derp_queue_pop(struct derp_queue *queue, struct derp_slab_pool *pool);

#endif
