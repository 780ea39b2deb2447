#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/tunnel/text.h"

static void clean_is_one_printable_line(void **state)
{
	char out[TEXT_CLEAN_CAP];
	char longer[1000];

	(void)state;
	text_clean("a\nb\x1b[31m\xff", 9, out);
	assert_string_equal(out, "a?b?[31m?");
	text_clean("", 0, out);
	assert_string_equal(out, "");
	memset(longer, 'x', sizeof(longer));
	text_clean(longer, sizeof(longer), out);
	assert_int_equal(strlen(out), TEXT_CLEAN_CAP - 1);
}

static void tokens_are_starred_out(void **state)
{
	char url[] = "cannot open https://h/c?version=2.0&resume_token=abc.d_e"
		     "&x=1: no (resume_token=q) resume_token=";
	char plain[] = "nothing here";

	(void)state;
	text_redact(url);
	assert_string_equal(url, "cannot open https://h/c?version=2.0&"
			    "resume_token=*******&x=1: no (resume_token=*) "
			    "resume_token=");
	text_redact(plain);
	assert_string_equal(plain, "nothing here");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean_is_one_printable_line),
		cmocka_unit_test(tokens_are_starred_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
