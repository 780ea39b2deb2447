#include "tests/unit/base/test.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/heap.h"
#include "core/base/list.h"

#define COUNT 1000

static void the_heap_gives_deadlines_in_order(void **state)
{
	struct heap_node nodes[COUNT];
	struct heap heap = { 0 };
	uint64_t last = 0;
	struct rng rng;
	size_t left = 0;

	(void)state;
	rng_seeded(&rng, 7);
	memset(nodes, 0, sizeof(nodes));
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < COUNT; i++)
			assert_int_equal(heap_set(&heap, &nodes[i],
						  rng_below(&rng, 5000)), 0);
	for (int i = 0; i < COUNT; i += 3)
		heap_remove(&heap, &nodes[i]);
	heap_remove(&heap, &nodes[0]);
	while (heap_first(&heap)) {
		struct heap_node *first = heap_first(&heap);

		assert_true(first->deadline_us >= last);
		last = first->deadline_us;
		heap_remove(&heap, first);
		left++;
	}
	assert_int_equal(left, COUNT - (COUNT + 2) / 3);
	assert_true(heap_next_deadline(&heap) == DEADLINE_NONE);
	heap_clear(&heap);
}

static void equal_deadlines_keep_their_order(void **state)
{
	struct heap_node nodes[50];
	struct heap heap = { 0 };

	(void)state;
	memset(nodes, 0, sizeof(nodes));
	for (int i = 0; i < 50; i++)
		heap_set(&heap, &nodes[i], 9);
	for (int i = 0; i < 50; i++) {
		assert_ptr_equal(heap_first(&heap), &nodes[i]);
		heap_remove(&heap, &nodes[i]);
	}
	heap_clear(&heap);
}

static void the_hash_agrees_with_an_array(void **state)
{
	static int values[COUNT];
	bool present[COUNT] = { false };
	struct hash hash;
	struct rng rng;
	size_t count = 0, position = 0, walked = 0;

	(void)state;
	rng_seeded(&rng, 3);
	hash_init(&hash, &rng);
	for (int step = 0; step < 20000; step++) {
		uint32_t key = rng_below(&rng, COUNT);

		if (rng_below(&rng, 2)) {
			hash_put(&hash, &key, sizeof(key), &values[key]);
			present[key] = true;
		} else {
			void *gone = hash_remove(&hash, &key, sizeof(key));

			assert_ptr_equal(gone,
					 present[key] ? &values[key] : NULL);
			present[key] = false;
		}
	}
	for (uint32_t key = 0; key < COUNT; key++) {
		count += present[key];
		assert_ptr_equal(hash_get(&hash, &key, sizeof(key)),
				 present[key] ? &values[key] : NULL);
	}
	while (hash_next(&hash, &position))
		walked++;
	assert_int_equal(walked, count);
	assert_int_equal(hash.len, count);
	hash_clear(&hash);
}

struct item {
	struct list link;
	int number;
};

static void a_list_keeps_order_and_forgives_double_removal(void **state)
{
	struct item items[5] = { 0 };
	struct list head;
	int sum = 0;

	(void)state;
	list_init(&head);
	for (int i = 0; i < 5; i++) {
		items[i].number = i;
		list_add_tail(&head, &items[i].link);
	}
	list_remove(&items[2].link);
	list_remove(&items[2].link);
	list_each(at, next, &head) {
		sum = 10 * sum + container_of(at, struct item, link)->number;
		list_remove(at);
	}
	assert_int_equal(sum, 134);
	assert_true(list_empty(&head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_heap_gives_deadlines_in_order),
		cmocka_unit_test(equal_deadlines_keep_their_order),
		cmocka_unit_test(the_hash_agrees_with_an_array),
		cmocka_unit_test(
			a_list_keeps_order_and_forgives_double_removal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
