/*
 * core/base/heap.h: an intrusive binary heap of deadlines.
 *
 * Elements embed a `struct heap_node`; a zeroed node is in no heap. The
 * array of pointers belongs to the heap; the elements to their owner, who
 * removes them before they die. Setting and removing cost O(log n).
 */
#ifndef TUNNELHOST_BASE_HEAP_H
#define TUNNELHOST_BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/time.h"

struct heap_node {
	uint64_t deadline_us;
	uint64_t order;		/* equal deadlines come out in order of setting */
	size_t slot;		/* 1-based; 0: in no heap */
};

struct heap {
	struct heap_node **nodes;
	size_t len;
	size_t cap;
	uint64_t next_order;
};

void heap_clear(struct heap *heap);
/*
 * Inserts or moves `node`; DEADLINE_NONE removes it. 0 or ERR_NOMEM (only
 * when inserting).
 */
int heap_set(struct heap *heap, struct heap_node *node, uint64_t deadline_us);
void heap_remove(struct heap *heap, struct heap_node *node);

static inline struct heap_node *heap_first(const struct heap *heap)
{
	return heap->len ? heap->nodes[0] : NULL;
}

static inline uint64_t heap_next_deadline(const struct heap *heap)
{
	return heap->len ? heap->nodes[0]->deadline_us : DEADLINE_NONE;
}

#endif
