#include "tests/unit/derp/derp_wire.h"

#include "core/tailnet/derp/derp_queue.h"

static void put(struct derp_queue *queue, struct derp_slab_pool *pool,
		size_t len, uint32_t number, size_t *dropped)
{
	uint8_t *out = derp_queue_put(queue, pool, len, dropped);

	assert_non_null(out);
	derp_put_header(out, DERP_RECV_PACKET, len - DERP_HEADER_LEN);
	be_store(out + DERP_HEADER_LEN, number, 4);
}

/* The number in the oldest frame. */
static uint32_t first_number(const struct derp_queue *queue)
{
	const struct derp_slab *slab = derp_queue_first(queue);

	return (uint32_t)be_load(slab->bytes + slab->start + DERP_HEADER_LEN,
				 4);
}

static void test_drops_the_oldest(void **state)
{
	struct derp_slab_pool pool;
	struct derp_queue queue;
	size_t dropped = 0;

	(void)state;
	derp_pool_init(&pool);
	derp_queue_init(&queue);
	for (uint32_t i = 0; i < 2000; i++)
		put(&queue, &pool, 1317, i, &dropped);
	assert_int_equal(queue.packets, DERP_QUEUE_PACKETS_CAP);
	assert_int_equal(queue.bytes, DERP_QUEUE_PACKETS_CAP * 1317);
	assert_int_equal(dropped, 2000 - DERP_QUEUE_PACKETS_CAP);
	assert_int_equal(first_number(&queue), dropped);
	assert_int_equal(derp_queue_clear(&queue, &pool),
			 DERP_QUEUE_PACKETS_CAP);
	assert_int_equal(pool.len, DERP_POOL_CAP);
	assert_int_equal(queue.bytes, 0);
	derp_pool_clear(&pool);
}

static void test_bytes_are_bounded_too(void **state)
{
	const size_t len = DERP_PACKET_OVERHEAD + DERP_PACKET_CAP;
	struct derp_slab_pool pool;
	struct derp_queue queue;
	size_t dropped = 0;

	(void)state;
	derp_pool_init(&pool);
	derp_queue_init(&queue);
	for (uint32_t i = 0; i < 100; i++)
		put(&queue, &pool, i % 2 ? len : 50, i, &dropped);
	assert_true(queue.bytes <= DERP_QUEUE_BYTES_CAP);
	assert_true(queue.bytes + len > DERP_QUEUE_BYTES_CAP);
	assert_int_equal(queue.packets + dropped, 100);
	assert_int_equal(first_number(&queue), dropped);
	derp_queue_clear(&queue, &pool);
	derp_pool_clear(&pool);
}

static void test_slabs_are_filled_and_reused(void **state)
{
	struct derp_slab_pool pool;
	struct derp_queue queue;
	struct derp_slab *slab;
	size_t dropped = 0;

	(void)state;
	derp_pool_init(&pool);
	derp_queue_init(&queue);
	for (uint32_t i = 0; i < 16; i++)
		put(&queue, &pool, 1024, i, &dropped);
	slab = derp_queue_first(&queue);
	assert_int_equal(slab->end, DERP_SLAB_LEN);
	assert_int_equal(slab->packets, 16);
	derp_queue_pop(&queue, &pool);
	assert_null(derp_queue_first(&queue));
	put(&queue, &pool, 1024, 0, &dropped);
	assert_ptr_equal(derp_queue_first(&queue), slab);
	derp_queue_clear(&queue, &pool);
	derp_pool_clear(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drops_the_oldest),
		cmocka_unit_test(test_bytes_are_bounded_too),
		cmocka_unit_test(test_slabs_are_filled_and_reused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
