/* The rule, case by case; what Go's httpproxy answers to the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/io/proxy.h"

static int ask(const char *url, const char *proxy, const char *no_proxy,
	       struct proxy *out, struct error *error)
{
	const struct proxy_environment environment = {
		.https_proxy = proxy, .no_proxy = no_proxy,
	};
	struct io_url parsed;

	assert_int_equal(url_parse(url, &parsed, error), 0);
	return proxy_for(&environment, &parsed, out, error);
}

static void test_no_proxy(void **state)
{
	static const struct {
		const char *no_proxy;
		const char *url;
		int proxied;
	} cases[] = {
		{ NULL, "https://coder.example.com", 1 },
		{ "", "https://coder.example.com", 1 },
		{ "*", "https://coder.example.com", 0 },
		{ " * ", "https://coder.example.com", 0 },
		{ "example.com", "https://coder.example.com", 0 },
		{ "example.com", "https://example.com", 0 },
		{ "EXAMPLE.com", "https://coder.example.COM", 0 },
		{ ".example.com", "https://coder.example.com", 0 },
		{ ".example.com", "https://example.com", 1 },
		{ "*.example.com", "https://coder.example.com", 0 },
		{ "*.example.com", "https://example.com", 1 },
		{ "example.com", "https://badexample.com", 1 },
		{ "a,b , example.com", "https://coder.example.com", 0 },
		{ "example.com:8443", "https://coder.example.com", 1 },
		{ "example.com:8443", "https://coder.example.com:8443", 0 },
		{ "example.com:443", "https://coder.example.com", 0 },
		{ "192.0.2.0/24", "https://192.0.2.77", 0 },
		{ "192.0.2.0/24", "https://192.0.3.77", 1 },
		{ "192.0.2.0/25", "https://192.0.2.200", 1 },
		{ "0.0.0.0/0", "https://192.0.2.200", 0 },
		{ "192.0.2.7", "https://192.0.2.7", 0 },
		{ "192.0.2.7:9", "https://192.0.2.7", 1 },
		{ "192.0.2.7:9", "https://192.0.2.7:9", 0 },
		{ "2001:db8::/32", "https://[2001:db8::7]", 0 },
		{ "2001:db8::7", "https://[2001:db8::7]", 0 },
		{ "[2001:db8::7]:443", "https://[2001:db8::7]", 0 },
		{ "[2001:db8::7]:444", "https://[2001:db8::7]", 1 },
		{ "192.0.2.0/33", "https://192.0.2.7", 1 },
		{ "192.0.2.0/", "https://192.0.2.7", 1 },
		{ ",,", "https://coder.example.com", 1 },
		{ NULL, "https://localhost", 0 },
		{ NULL, "https://127.0.0.1:8443", 0 },
		{ NULL, "https://[::1]", 0 },
	};
	struct proxy proxy;
	struct error error;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int got = ask(cases[i].url, "http://proxy:3128",
			      cases[i].no_proxy, &proxy, &error);

		if (got != cases[i].proxied)
			fail_msg("NO_PROXY=%s %s: %d", cases[i].no_proxy,
				 cases[i].url, got);
	}
}

static void test_what_a_proxy_may_look_like(void **state)
{
	static const struct {
		const char *text;
		const char *host;
		int port;
		const char *credentials;
	} cases[] = {
		{ "http://proxy:3128", "proxy", 3128, "" },
		{ "http://proxy:3128/", "proxy", 3128, "" },
		{ "proxy:3128", "proxy", 3128, "" },
		{ "proxy", "proxy", 80, "" },
		{ "HTTP://192.0.2.1", "192.0.2.1", 80, "" },
		{ "http://[2001:db8::1]:8080", "2001:db8::1", 8080, "" },
		{ "http://[2001:db8::1]", "2001:db8::1", 80, "" },
		{ "http://user:pass@proxy:1", "proxy", 1, "user:pass" },
		{ "http://u%40h:p%3a%25@proxy:1", "proxy", 1, "u@h:p:%" },
		{ "http://u:p@w@proxy:1", "proxy", 1, "u:p@w" },
	};
	struct proxy proxy;
	struct error error;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(ask("https://coder.example.com",
				     cases[i].text, NULL, &proxy, &error), 1);
		assert_string_equal(proxy.host, cases[i].host);
		assert_int_equal(proxy.port, cases[i].port);
		assert_string_equal(proxy.credentials, cases[i].credentials);
	}
}

static void test_what_is_refused(void **state)
{
	static const struct {
		const char *text;
		int code;
	} cases[] = {
		{ "https://proxy:3128", ERR_DENIED },
		{ "socks5://proxy:1080", ERR_DENIED },
		{ "http://", ERR_MISUSE },
		{ "http://proxy:port", ERR_MISUSE },
		{ "http://proxy:99999", ERR_MISUSE },
		{ "http://secret:"
		  "0123456789012345678901234567890123456789012345678901234567"
		  "0123456789012345678901234567890123456789012345678901234567"
		  "@proxy:1", ERR_MISUSE },
	};
	struct proxy proxy;
	struct error error;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(ask("https://coder.example.com",
				     cases[i].text, NULL, &proxy, &error),
				 cases[i].code);
		assert_null(strstr(error.message, "secret"));
		assert_non_null(strstr(error.message, "HTTPS_PROXY"));
	}
}

static void test_environment(void **state)
{
	struct proxy_environment got;

	(void)state;
	clearenv();
	setenv("https_proxy", "lower", 1);
	setenv("http_proxy", "plain", 1);
	proxy_environment(&got);
	assert_string_equal(got.https_proxy, "lower");
	assert_string_equal(got.http_proxy, "plain");
	assert_null(got.no_proxy);
	setenv("HTTPS_PROXY", "upper", 1);
	setenv("REQUEST_METHOD", "GET", 1);
	proxy_environment(&got);
	assert_string_equal(got.https_proxy, "upper");
	assert_null(got.http_proxy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_proxy),
		cmocka_unit_test(test_what_a_proxy_may_look_like),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
