#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/tailnet/wireguard/counter.h"
#include "core/tailnet/wireguard/messages.h"

#define LIMIT (WG_COUNTER_WINDOW + 1ull)
#define REJECT WG_REJECT_AFTER_MESSAGES

static void the_table_of_the_kernel(void **state)
{
	static const struct {
		uint64_t counter;
		bool fresh;
	} rows[] = {
		{ 0, true },
		{ 1, true },
		{ 1, false },
		{ 9, true },
		{ 8, true },
		{ 7, true },
		{ 7, false },
		{ LIMIT, true },
		{ LIMIT - 1, true },
		{ LIMIT - 1, false },
		{ LIMIT - 2, true },
		{ 2, true },
		{ 2, false },
		{ LIMIT + 16, true },
		{ 3, false },
		{ LIMIT + 16, false },
		{ LIMIT * 4, true },
		{ LIMIT * 4 - (LIMIT - 1), true },
		{ 10, false },
		{ LIMIT * 4 - LIMIT, false },
		{ LIMIT * 4 - (LIMIT + 1), false },
		{ LIMIT * 4 - (LIMIT - 2), true },
		{ LIMIT * 4 + 1 - LIMIT, false },
		{ 0, false },
		{ REJECT, false },
		{ REJECT - 1, true },
		{ REJECT, false },
		{ REJECT - 1, false },
		{ REJECT - 2, true },
		{ REJECT + 1, false },
		{ REJECT + 2, false },
		{ REJECT - 2, false },
		{ REJECT - 3, true },
		{ 0, false },
	};
	struct wg_counter window = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (wg_counter_accept(&window, rows[i].counter) !=
		    rows[i].fresh)
			fail_msg("row %zu", i + 1);
}

static void fill(struct wg_counter *window, uint64_t from, uint64_t to)
{
	memset(window, 0, sizeof(*window));
	for (uint64_t i = from; i != to; i += from < to ? 1 : -1ull)
		assert_true(wg_counter_accept(window, i));
}

static void the_window_has_8128_counters(void **state)
{
	struct wg_counter window;

	(void)state;
	assert_int_equal(WG_COUNTER_WINDOW, 8128);
	fill(&window, 1, LIMIT);
	assert_true(wg_counter_accept(&window, 0));
	assert_false(wg_counter_accept(&window, 0));
	fill(&window, 2, LIMIT + 1);
	assert_true(wg_counter_accept(&window, 1));
	assert_false(wg_counter_accept(&window, 0));
	fill(&window, LIMIT, 0);
	fill(&window, LIMIT + 1, 1);
	assert_false(wg_counter_accept(&window, 0));
	fill(&window, LIMIT - 1, 0);
	assert_true(wg_counter_accept(&window, LIMIT));
	assert_false(wg_counter_accept(&window, 0));
	fill(&window, LIMIT - 1, 0);
	assert_true(wg_counter_accept(&window, 0));
	assert_true(wg_counter_accept(&window, LIMIT));
}

#define MODEL 100000

/* Against a set of all that was seen. */
static void a_naive_model_agrees(void **state)
{
	bool *seen = calloc(MODEL, sizeof(*seen));
	struct wg_counter window = { 0 };
	uint64_t greatest = 0;
	uint64_t base = 0;
	struct rng rng;

	(void)state;
	rng_seeded(&rng, 20);
	for (int i = 0; i < 400000 && base < MODEL - 20000; i++) {
		uint64_t counter = base + rng_below(&rng, 9000);
		bool fresh = counter + WG_COUNTER_WINDOW >= greatest &&
			     !seen[counter];

		assert_int_equal(wg_counter_accept(&window, counter), fresh);
		if (fresh)
			seen[counter] = true;
		if (fresh && counter > greatest)
			greatest = counter;
		base += rng_below(&rng, 100) == 0 ? rng_below(&rng, 300) : 0;
		base += rng_below(&rng, 5000) == 0 ? 9500 : 0;
	}
	assert_true(greatest > 50000);
	free(seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_of_the_kernel),
		cmocka_unit_test(the_window_has_8128_counters),
		cmocka_unit_test(a_naive_model_agrees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
