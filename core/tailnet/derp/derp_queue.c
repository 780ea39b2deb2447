#include "core/tailnet/derp/derp_queue.h"

#include <stdlib.h>

#include "core/base/cursor.h"
#include "core/tailnet/derp/derp.h"

static struct derp_slab *slab_of(struct list *link)
{
	return container_of(link, struct derp_slab, link);
}

void derp_pool_init(struct derp_slab_pool *pool)
{
	list_init(&pool->free);
	pool->len = 0;
}

void derp_pool_clear(struct derp_slab_pool *pool)
{
	struct list *link;

	while ((link = list_pop(&pool->free)) != NULL)
		free(slab_of(link));
	pool->len = 0;
}

static struct derp_slab *slab_get(struct derp_slab_pool *pool, size_t cap)
{
	struct list *link = cap == DERP_SLAB_LEN ? list_pop(&pool->free) : NULL;
	struct derp_slab *slab;

	if (link) {
		pool->len--;
		slab = slab_of(link);
	} else {
		slab = malloc(sizeof(*slab) + cap);
		if (!slab)
			return NULL;
	}
	*slab = (struct derp_slab){ .cap = cap };
	return slab;
}

static void slab_put(struct derp_slab_pool *pool, struct derp_slab *slab)
{
	if (slab->cap != DERP_SLAB_LEN || pool->len >= DERP_POOL_CAP) {
		free(slab);
		return;
	}
	list_add_tail(&pool->free, &slab->link);
	pool->len++;
}

void derp_queue_init(struct derp_queue *queue)
{
	list_init(&queue->slabs);
	queue->packets = 0;
	queue->bytes = 0;
}

struct derp_slab *derp_queue_first(const struct derp_queue *queue)
{
	return list_empty(&queue->slabs) ? NULL : slab_of(queue->slabs.next);
}

void derp_queue_pop(struct derp_queue *queue, struct derp_slab_pool *pool)
{
	struct derp_slab *slab = derp_queue_first(queue);

	queue->packets -= slab->packets;
	queue->bytes -= slab->end - slab->start;
	list_remove(&slab->link);
	slab_put(pool, slab);
}

size_t derp_queue_clear(struct derp_queue *queue, struct derp_slab_pool *pool)
{
	size_t packets = queue->packets;

	while (derp_queue_first(queue))
		derp_queue_pop(queue, pool);
	return packets;
}

static void drop_oldest(struct derp_queue *queue, struct derp_slab_pool *pool)
{
	struct derp_slab *slab = derp_queue_first(queue);
	const uint8_t *header = slab->bytes + slab->start;
	size_t len = DERP_HEADER_LEN + (size_t)be_load(header + 1, 4);

	if (slab->packets == 1) {
		derp_queue_pop(queue, pool);
		return;
	}
	slab->start += len;
	slab->packets--;
	queue->packets--;
	queue->bytes -= len;
}

static struct derp_slab *slab_with_room(struct derp_queue *queue,
					struct derp_slab_pool *pool, size_t len)
{
	struct derp_slab *slab;

	if (!list_empty(&queue->slabs)) {
		slab = slab_of(queue->slabs.prev);
		if (slab->cap - slab->end >= len)
			return slab;
	}
	slab = slab_get(pool, len > DERP_SLAB_LEN ? len : DERP_SLAB_LEN);
	if (slab)
		list_add_tail(&queue->slabs, &slab->link);
	return slab;
}

uint8_t *derp_queue_put(struct derp_queue *queue, struct derp_slab_pool *pool,
			size_t len, size_t *dropped)
{
	struct derp_slab *slab;
	uint8_t *out;

	while (queue->packets > 0 &&
	       (queue->packets >= DERP_QUEUE_PACKETS_CAP ||
		queue->bytes + len > DERP_QUEUE_BYTES_CAP)) {
		drop_oldest(queue, pool);
		(*dropped)++;
	}
	slab = slab_with_room(queue, pool, len);
	if (!slab)
		return NULL;
	out = slab->bytes + slab->end;
	slab->end += len;
	slab->packets++;
	queue->packets++;
	queue->bytes += len;
	return out;
}
