#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/jread.h"

static json_t *parse(const char *text)
{
	struct error error;
	json_t *value;

	if (jread_parse(text, strlen(text), 4096, &value, &error) < 0)
		fail_msg("%s: %s", text, error.message);
	return value;
}

static void test_first_failure_sticks(void **state)
{
	json_t *value = parse("{\"a\":{\"b\":[{\"c\":1},{\"c\":\"x\"}]}}");
	struct error error;
	struct jread read = { .error = &error };
	struct jplace root = jread_root(&read, value);
	struct jplace a = jread_object(&root, "a", JREAD_REQUIRED);
	struct jplace list = jread_list(&a, "b", JREAD_REQUIRED, 2);
	struct jplace item = jread_item(&list, 1);
	int64_t number = 5;
	bool flag = true;

	(void)state;
	assert_int_equal(jread_count(&list), 2);
	assert_false(jread_integer(&item, "c", JREAD_REQUIRED, 0, 9,
				   &number));
	assert_int_equal(number, 0);
	assert_false(jread_bool(&root, "none", JREAD_REQUIRED, &flag));
	assert_false(flag);
	assert_int_equal(jread_code(&read), ERR_PROTOCOL);
	assert_string_equal(error.message, "a.b[1].c: expected an integer, "
					   "not a string");
	json_decref(value);
}

static void test_null_is_absent(void **state)
{
	json_t *value = parse("{\"a\":null}");
	struct jread read = { .error = NULL };
	struct jplace root = jread_root(&read, value);
	struct jplace none = jread_object(&root, "a", JREAD_OPTIONAL);
	char text[4] = "xyz";

	(void)state;
	assert_false(jread_text(&root, "a", JREAD_OPTIONAL, text,
				sizeof(text)));
	assert_string_equal(text, "");
	/* A member of what is not there is not there either. */
	assert_false(jread_text(&none, "b", JREAD_REQUIRED, text,
				sizeof(text)));
	assert_int_equal(jread_code(&read), 0);
	assert_false(jread_text(&root, "a", JREAD_REQUIRED, text,
				sizeof(text)));
	assert_int_equal(jread_code(&read), ERR_PROTOCOL);
	json_decref(value);
}

static void test_caps(void **state)
{
	json_t *value = parse("{\"a\":\"abcd\",\"b\":[1,2]}");
	struct error error;
	struct jread read = { .error = &error };
	struct jplace root = jread_root(&read, value);
	char text[4];

	(void)state;
	assert_true(jread_line(&root, "a", JREAD_REQUIRED, text,
			       sizeof(text)));
	assert_string_equal(text, "abc");
	assert_false(jread_text(&root, "a", JREAD_REQUIRED, text,
				sizeof(text)));
	assert_int_equal(jread_code(&read), ERR_TOO_LARGE);
	assert_string_equal(error.message, "a: 4 bytes, more than 3");
	read.code = 0;
	jread_list(&root, "b", JREAD_REQUIRED, 1);
	assert_string_equal(error.message, "b: 2 elements, more than 1");
	json_decref(value);
}

static void depth(size_t levels, int want)
{
	char text[256];
	struct error error;
	json_t *value = NULL;

	memset(text, '[', levels);
	memset(text + levels, ']', levels);
	assert_int_equal(jread_parse(text, 2 * levels, sizeof(text), &value,
				     &error), want);
	json_decref(value);
}

static void test_depth(void **state)
{
	static const char quoted[] = "[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
				     "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"["
				     "\"]";

	(void)state;
	depth(JREAD_DEPTH_CAP, 0);
	depth(JREAD_DEPTH_CAP + 1, ERR_PROTOCOL);
	json_decref(parse(quoted));
}

/* Every cut of a message is refused, whole it is taken. */
static void test_bytewise(void **state)
{
	static const char text[] = "{\"a\":[1,2.5,true,null,\"\\u00e9\"]}";
	struct error error;
	json_t *value;

	(void)state;
	for (size_t len = 0; len < strlen(text); len++)
		assert_int_equal(jread_parse(text, len, 4096, &value, &error),
				 ERR_PROTOCOL);
	json_decref(parse(text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_failure_sticks),
		cmocka_unit_test(test_null_is_absent),
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_bytewise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
