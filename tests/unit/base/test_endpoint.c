#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>

#include "core/base/endpoint.h"

static void test_text_there_and_back(void **state)
{
	static const char *const texts[] = {
		"192.0.2.1:41641", "0.0.0.0:0", "[2001:db8::1]:65535",
		"[::]:1", "255.255.255.255:80",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		char text[ENDPOINT_TEXT_CAP];
		struct endpoint endpoint;

		assert_true(endpoint_parse(texts[i], &endpoint));
		endpoint_format(&endpoint, text);
		assert_string_equal(text, texts[i]);
	}
}

static void test_nonsense_is_refused(void **state)
{
	static const char *const texts[] = {
		"", ":", ":1", "192.0.2.1", "192.0.2.1:", "192.0.2.1:65536",
		"192.0.2.1:1x", "2001:db8::1:1", "[2001:db8::1]", "[]:1",
		"[192.0.2.1]:1", "name:1", "[::1:1", "192.0.2.1:-1",
		"[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]:1",
	};
	struct endpoint endpoint;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (endpoint_parse(texts[i], &endpoint))
			fail_msg("'%s' was taken", texts[i]);
}

static void test_sockaddr_there_and_back(void **state)
{
	static const char *const texts[] = { "192.0.2.1:7", "[2001:db8::1]:7" };
	static const socklen_t lengths[] = { sizeof(struct sockaddr_in),
					     sizeof(struct sockaddr_in6) };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct sockaddr_storage address;
		struct endpoint before, after;

		assert_true(endpoint_parse(texts[i], &before));
		assert_int_equal(endpoint_to_sockaddr(&before, &address),
				 lengths[i]);
		assert_true(endpoint_from_sockaddr((void *)&address, &after));
		assert_true(endpoint_equal(&before, &after));
	}
	assert_false(endpoint_from_sockaddr(
		&(struct sockaddr){ .sa_family = AF_UNIX },
		&(struct endpoint){ .port = 0 }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_there_and_back),
		cmocka_unit_test(test_nonsense_is_refused),
		cmocka_unit_test(test_sockaddr_there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
