#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/io/head.h"
#include "core/io/outq.h"
#include "core/io/url.h"

static void test_urls(void **state)
{
	static const struct {
		const char *text;
		int err;
		const char *authority;
		const char *path;
		uint16_t port;
	} cases[] = {
		{ "https://example.org", 0, "example.org", "/", 443 },
		{ "https://example.org:443/a?b#c", 0, "example.org", "/a?b",
		  443 },
		{ "HTTPS://Example.org:8443?q", 0, "Example.org:8443", "/?q",
		  8443 },
		{ "http://localhost:3000/", 0, "localhost:3000", "/", 3000 },
		{ "http://app.localhost/", 0, "app.localhost", "/", 80 },
		{ "wss://[2001:db8::1]/x", 0, "[2001:db8::1]", "/x", 443 },
		{ "http://[::1]:80/", 0, "[::1]", "/", 80 },
		{ "http://127.9.9.9/", 0, "127.9.9.9", "/", 80 },
		{ "http://notlocalhost/", ERR_DENIED, NULL, NULL, 0 },
		{ "http://127.0.0.1.example/", ERR_DENIED, NULL, NULL, 0 },
		{ "http://10.0.0.1/", ERR_DENIED, NULL, NULL, 0 },
		{ "example.org", ERR_MISUSE, NULL, NULL, 0 },
		{ "https://", ERR_MISUSE, NULL, NULL, 0 },
		{ "https://a b/", ERR_MISUSE, NULL, NULL, 0 },
		{ "https://a/\r\nX: y", ERR_MISUSE, NULL, NULL, 0 },
		{ "https://[::1/", ERR_MISUSE, NULL, NULL, 0 },
		{ "https://[::g]/", ERR_MISUSE, NULL, NULL, 0 },
		{ "https://h:/", ERR_MISUSE, NULL, NULL, 0 },
		{ "https://h:1x/", ERR_MISUSE, NULL, NULL, 0 },
	};
	struct io_url url;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (url_parse(cases[i].text, &url, NULL) != cases[i].err)
			fail_msg("%s", cases[i].text);
		if (cases[i].err)
			continue;
		assert_string_equal(url.authority, cases[i].authority);
		assert_string_equal(url.path, cases[i].path);
		assert_int_equal(url.port, cases[i].port);
	}
}

static void test_head_byte_by_byte(void **state)
{
	static const char text[] =
		"GET /a%20b?x=%41 HTTP/1.1\r\nHost: h\r\n"
		"connection: keep-alive, UPGRADE\r\nUpgrade:  DERP \r\n"
		"Cookie: x=y; coder_session_token=abc; z\r\n\r\nmore";
	struct request_head head;

	(void)state;
	for (size_t len = 0; len < strlen(text) - 4; len++)
		assert_int_equal(head_decode((const uint8_t *)text, len,
					     &head), ERR_AGAIN);
	assert_int_equal(head_decode((const uint8_t *)text, strlen(text),
				     &head), strlen(text) - 4);
	assert_string_equal(head.method, "GET");
	assert_string_equal(head.strings.path, "/a b");
	assert_string_equal(head.strings.query, "x=%41");
	assert_string_equal(head.strings.protocol, "DERP");
	assert_string_equal(head.strings.token, "abc");
	assert_true(head.upgrade);
}

static void test_bad_heads(void **state)
{
	static const char *const bad[] = {
		"GET\r\n\r\n", "GET /\r\n\r\n", " / HTTP/1.1\r\n\r\n",
		"GET x HTTP/1.1\r\n\r\n", "GET / HTTP/2.0\r\n\r\n",
		"GET /%0 HTTP/1.1\r\n\r\n", "GET /%00 HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nno colon\r\n\r\n",
		"GET / HTTP/1.1\r\n: x\r\n\r\n",
		"GET / HTTP/1.1\r\na b: x\r\n\r\n",
		"GET / HTTP/1.1\ra: x\r\n\r\n",
	};
	static uint8_t large[HEAD_CAP];
	struct request_head head;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (head_decode((const uint8_t *)bad[i], strlen(bad[i]),
				&head) != ERR_PROTOCOL)
			fail_msg("%zu", i);
	memset(large, 'a', sizeof(large));
	assert_int_equal(head_decode(large, sizeof(large), &head),
			 ERR_TOO_LARGE);
}

static void test_queue_as_stream(void **state)
{
	struct outq q = { .limit = 100000, .stream = true };
	uint8_t data[60000];
	size_t at = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i % 251);
	assert_int_equal(outq_push(&q, data, 0), 0);
	assert_null(q.first);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(outq_push(&q, data + i * 400, 400), 0);
	assert_int_equal(outq_push(&q, data + 40000, 20000), 0);
	assert_int_equal(outq_push(&q, data, 40001), ERR_LIMIT);
	assert_int_equal(q.len, 60000);
	assert_int_equal(q.first->len, OUTQ_STREAM_CHUNK);
	while (q.first) {
		assert_memory_equal(outq_data(q.first), data + at,
				    q.first->len);
		at += q.first->len;
		outq_pop(&q);
	}
	assert_int_equal(at, 60000);
	assert_int_equal(q.len, 0);
}

static void test_queue_of_messages(void **state)
{
	struct outq q = { .limit = 10 };

	(void)state;
	assert_int_equal(outq_push(&q, "abc", 3), 0);
	assert_int_equal(outq_push(&q, "", 0), 0);
	assert_int_equal(outq_push(&q, "1234567", 7), 0);
	assert_int_equal(outq_push(&q, "x", 1), ERR_LIMIT);
	assert_int_equal(q.first->len, 3);
	outq_pop(&q);
	assert_int_equal(q.first->len, 0);
	outq_clear(&q);
	assert_int_equal(q.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_head_byte_by_byte),
		cmocka_unit_test(test_bad_heads),
		cmocka_unit_test(test_queue_as_stream),
		cmocka_unit_test(test_queue_of_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
