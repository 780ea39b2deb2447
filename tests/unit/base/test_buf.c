#include "tests/unit/base/test.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/cursor.h"
#include "core/base/err.h"

static void appends_and_consumes_in_order(void **state)
{
	struct buf buf;
	uint32_t in = 0, out = 0;

	(void)state;
	buf_init(&buf, 64 * 1024);
	for (int round = 0; round < 2000; round++) {
		for (int i = 0; i < 7; i++, in++)
			assert_int_equal(buf_append(&buf, &in, 4), 0);
		for (int i = 0; i < (round < 1000 ? 6 : 8) && buf.len; i++) {
			uint32_t got;

			memcpy(&got, buf_data(&buf), 4);
			assert_int_equal(got, out++);
			buf_consume(&buf, 4);
		}
	}
	assert_int_equal(buf.len, 4 * (in - out));
	buf_clear(&buf);
}

static void refuses_beyond_its_limit_and_keeps_what_it_has(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 10);
	assert_int_equal(buf_append(&buf, "12345678", 8), 0);
	assert_int_equal(buf_append(&buf, "901", 3), ERR_LIMIT);
	assert_int_equal(buf.len, 8);
	assert_int_equal(buf_append(&buf, "90", 2), 0);
	assert_memory_equal(buf_data(&buf), "1234567890", 10);
	buf_consume(&buf, 10);
	assert_null(buf.storage);
}

static void prints(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 100);
	assert_int_equal(buf_printf(&buf, "%d %s", 7, "x"), 0);
	assert_int_equal(buf_printf(&buf, "!"), 0);
	assert_int_equal(buf.len, 4);
	assert_memory_equal(buf_data(&buf), "7 x!", 4);
	buf_clear(&buf);
}

static void a_cursor_stops_at_its_end(void **state)
{
	const uint8_t bytes[] = { 1, 2, 3, 4, 5, 6, 7 };
	struct cursor c = cursor_of(bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(cursor_u8(&c), 1);
	assert_int_equal(cursor_u16(&c), 0x0203);
	assert_int_equal(cursor_u32le(&c), 0x07060504);
	assert_true(cursor_ok(&c));
	assert_int_equal(cursor_u8(&c), 0);
	assert_false(cursor_ok(&c));
	assert_null(cursor_bytes(&c, 0));
}

static void a_writer_stops_at_its_end(void **state)
{
	uint8_t out[8];
	struct writer w = writer_of(out, sizeof(out));

	(void)state;
	write_u16(&w, 0x0102);
	write_le(&w, 0x03, 2);
	write_u32(&w, 0x04050607);
	assert_false(w.failed);
	assert_memory_equal(out, "\x01\x02\x03\x00\x04\x05\x06\x07", 8);
	write_u8(&w, 1);
	assert_true(w.failed);
	assert_int_equal(w.len, 8);
}

static void errors_carry_their_context(void **state)
{
	struct error error = { 0 };

	(void)state;
	assert_int_equal(error_set(&error, ERR_TOO_LARGE, "%d bytes", 9),
			 ERR_TOO_LARGE);
	assert_int_equal(error_prefix(&error, "frame %d", 3), ERR_TOO_LARGE);
	assert_string_equal(error.message, "frame 3: 9 bytes");
	assert_string_equal(err_name(ERR_TOO_LARGE), "too_large");
	assert_string_equal(err_name(-999), "internal");
	assert_int_equal(error_set(NULL, ERR_RESET, "x"), ERR_RESET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_and_consumes_in_order),
		cmocka_unit_test(
			refuses_beyond_its_limit_and_keeps_what_it_has),
		cmocka_unit_test(prints),
		cmocka_unit_test(a_cursor_stops_at_its_end),
		cmocka_unit_test(a_writer_stops_at_its_end),
		cmocka_unit_test(errors_carry_their_context),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
