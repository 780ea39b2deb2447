#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/line.h"

static void expect(const char *text, size_t cap, const char *want)
{
	char out[64];

	memset(out, 'X', sizeof(out));
	line_of(text, strlen(text), out, cap);
	assert_string_equal(out, want);
	assert_true(strlen(out) < cap);
	assert_int_equal(out[cap], 'X');
}

static void test_line(void **state)
{
	(void)state;
	expect("plain", 32, "plain");
	expect(" \r\n\t plain \n", 32, "plain");
	expect("a\x1b[31mb\x7f", 32, "a [31mb");
	expect("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x92\xac", 32,
	       "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x92\xac");
	/* C1, stray, overlong, surrogate, beyond Unicode, cut short */
	expect("a\xc2\x9b" "b", 32, "a b");
	expect("a\x80" "b", 32, "a b");
	expect("a\xc0\xaf" "b", 32, "a  b");
	expect("a\xed\xa0\x80" "b", 32, "a   b");
	expect("a\xf4\x90\x80\x80" "b", 32, "a    b");
	expect("a\xe2\x82", 32, "a");
	expect("", 1, "");
	expect("abc", 1, "");
	expect("abc", 3, "ab");
	expect("a\xc3\xa9", 3, "a");
	expect("a\xc3\xa9", 4, "a\xc3\xa9");
}

static void test_line_with_nul(void **state)
{
	char out[8];

	(void)state;
	line_of("a\0b", 3, out, sizeof(out));
	assert_string_equal(out, "a b");
}

static void test_url_encode(void **state)
{
	char out[16];

	(void)state;
	assert_int_equal(url_encode("a-b_c.d~9", out, sizeof(out)), 9);
	assert_string_equal(out, "a-b_c.d~9");
	assert_int_equal(url_encode("/?&=\xff", out, sizeof(out)), 15);
	assert_string_equal(out, "%2F%3F%26%3D%FF");
	assert_int_equal(url_encode("/?&=\xff", out, 15), ERR_TOO_LARGE);
	assert_int_equal(url_encode("", out, sizeof(out)), 0);
	assert_int_equal(url_encode("", out, 0), ERR_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_line_with_nul),
		cmocka_unit_test(test_url_encode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
