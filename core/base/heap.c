#include "core/base/heap.h"

#include <stdbool.h>
#include <stdlib.h>

#include "core/base/err.h"

#define HEAP_FIRST 16

void heap_clear(struct heap *heap)
{
	for (size_t i = 0; i < heap->len; i++)
		heap->nodes[i]->slot = 0;
	free(heap->nodes);
	*heap = (struct heap){ .nodes = NULL };
}

static bool before(const struct heap_node *a, const struct heap_node *b)
{
	if (a->deadline_us != b->deadline_us)
		return a->deadline_us < b->deadline_us;
	return a->order < b->order;
}

static void place(struct heap *heap, size_t index, struct heap_node *node)
{
	heap->nodes[index] = node;
	node->slot = index + 1;
}

static void sift_up(struct heap *heap, struct heap_node *node)
{
	size_t index = node->slot - 1;

	while (index > 0) {
		size_t parent = (index - 1) / 2;

		if (!before(node, heap->nodes[parent]))
			break;
		place(heap, index, heap->nodes[parent]);
		index = parent;
	}
	place(heap, index, node);
}

static void sift_down(struct heap *heap, struct heap_node *node)
{
	size_t index = node->slot - 1;

	for (;;) {
		size_t child = 2 * index + 1;

		if (child >= heap->len)
			break;
		if (child + 1 < heap->len &&
		    before(heap->nodes[child + 1], heap->nodes[child]))
			child++;
		if (!before(heap->nodes[child], node))
			break;
		place(heap, index, heap->nodes[child]);
		index = child;
	}
	place(heap, index, node);
}

static int make_room(struct heap *heap)
{
	size_t cap = heap->cap ? 2 * heap->cap : HEAP_FIRST;
	struct heap_node **nodes;

	if (heap->len < heap->cap)
		return 0;
	nodes = realloc(heap->nodes, cap * sizeof(*nodes));
	if (!nodes)
		return ERR_NOMEM;
	heap->nodes = nodes;
	heap->cap = cap;
	return 0;
}

int heap_set(struct heap *heap, struct heap_node *node, uint64_t deadline_us)
{
	if (deadline_us == DEADLINE_NONE) {
		heap_remove(heap, node);
		return 0;
	}
	if (node->slot == 0) {
		if (make_room(heap) < 0)
			return ERR_NOMEM;
		place(heap, heap->len++, node);
	}
	node->deadline_us = deadline_us;
	node->order = heap->next_order++;
	sift_up(heap, node);
	sift_down(heap, node);
	return 0;
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
	struct heap_node *last;
	size_t index;

	if (node->slot == 0)
		return;
	index = node->slot - 1;
	last = heap->nodes[--heap->len];
	node->slot = 0;
	if (last == node)
		return;
	place(heap, index, last);
	sift_up(heap, last);
	sift_down(heap, last);
}
