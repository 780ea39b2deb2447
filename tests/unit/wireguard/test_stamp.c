#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "core/base/cursor.h"
#include "core/tailnet/wireguard/stamp.h"

#define SECOND 1000000ll

static void assert_stamp(const struct wg_stamp *stamp, uint64_t seconds,
			 uint32_t ns)
{
	assert_int_equal(be_load(stamp->bytes, 8),
			 0x400000000000000aull + seconds);
	assert_int_equal(be_load(stamp->bytes + 8, 4), ns);
}

static void nanoseconds_are_whitened(void **state)
{
	struct wg_stamp stamp = { 0 };

	(void)state;
	wg_stamp_next(&stamp, 1234567890 * SECOND + 16777);
	assert_stamp(&stamp, 1234567890, 0);
	stamp = (struct wg_stamp){ 0 };
	wg_stamp_next(&stamp, 1234567890 * SECOND + 16778);
	assert_stamp(&stamp, 1234567890, 1u << 24);
	stamp = (struct wg_stamp){ 0 };
	wg_stamp_next(&stamp, 1234567890 * SECOND + 999999);
	assert_stamp(&stamp, 1234567890, 59u << 24);
}

static void stamps_rise_whatever_the_clock(void **state)
{
	static const int64_t clocks[] = {
		5 * SECOND, 5 * SECOND, 0, -7, INT64_MIN, 4 * SECOND,
		5 * SECOND + 990000, 5 * SECOND + 999999, INT64_MAX, 0,
	};
	struct wg_stamp stamp = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
		struct wg_stamp before = stamp;

		wg_stamp_next(&stamp, clocks[i]);
		assert_true(wg_stamp_after(&stamp, &before));
		assert_false(wg_stamp_after(&before, &stamp));
		assert_false(wg_stamp_after(&stamp, &stamp));
		assert_true(be_load(stamp.bytes + 8, 4) < 1000000000);
	}
}

static void a_full_second_carries(void **state)
{
	struct wg_stamp stamp = { 0 };

	(void)state;
	wg_stamp_next(&stamp, 7 * SECOND + 999999);
	assert_stamp(&stamp, 7, 59u << 24);
	wg_stamp_next(&stamp, 7 * SECOND);
	assert_stamp(&stamp, 8, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nanoseconds_are_whitened),
		cmocka_unit_test(stamps_rise_whatever_the_clock),
		cmocka_unit_test(a_full_second_carries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
