/*
 * core/base/list.h: an intrusive doubly linked list.
 *
 * The head is a `struct list` that points at itself when empty. An element
 * embeds a `struct list`; a zeroed element is in no list. Removing twice is
 * harmless.
 */
#ifndef TUNNELHOST_BASE_LIST_H
#define TUNNELHOST_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *prev;
};

#define container_of(pointer, type, member) \
	((type *)(void *)((char *)(pointer) - offsetof(type, member)))

static inline void list_init(struct list *head)
{
	head->next = head;
	head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

/* Whether this element is in some list. */
static inline bool list_linked(const struct list *element)
{
	return element->next != NULL;
}

static inline void list_add_tail(struct list *head, struct list *element)
{
	element->prev = head->prev;
	element->next = head;
	head->prev->next = element;
	head->prev = element;
}

static inline void list_remove(struct list *element)
{
	if (!element->next)
		return;
	element->prev->next = element->next;
	element->next->prev = element->prev;
	element->next = NULL;
	element->prev = NULL;
}

/* The first element, unlinked, or NULL. */
static inline struct list *list_pop(struct list *head)
{
	struct list *first = head->next;

	if (first == head)
		return NULL;
	list_remove(first);
	return first;
}

/* The body may remove `at`, and only `at`. */
#define list_each(at, safe, head)                                  \
	for (struct list *at = (head)->next, *safe = at->next;     \
	     at != (head); at = safe, safe = at->next)

#endif
