#include "fixture.h"

#define MIB (1u << 20)

static void round_trip(bool tls, enum channel_kind kind, size_t message_len,
		       bool pausing)
{
	struct fixture f;
	struct client c = {
		.message_len = message_len,
		.total = 10 * MIB,
		.close_when_done = true,
		.pausing = pausing,
	};
	char url[256];

	fixture_open(&f, tls, "127.0.0.1:0", NULL, true);
	fixture_url(&f, tls ? "https://localhost" : "http://127.0.0.1",
		    kind == CHANNEL_UPGRADE ? "/derp" : "/echo?a=b%20c", url);
	client_open(&c, &f, kind, url, kind == CHANNEL_UPGRADE ? "DERP" : NULL,
		    0);
	fixture_run(&f, 30);
	if (c.closes)
		fail_msg("closed: %s", c.end_message);
	assert_int_equal(c.received, 10 * MIB);
	assert_string_equal(f.last_token, "secret");
	if (kind != CHANNEL_UPGRADE)
		assert_string_equal(f.last_query, "a=b%20c");
	fixture_close(&f);
}

static void test_binary_plain(void **state)
{
	(void)state;
	round_trip(false, CHANNEL_BINARY, 100000, false);
}

static void test_binary_tls(void **state)
{
	(void)state;
	round_trip(true, CHANNEL_BINARY, 10007, false);
}

static void test_text_paused(void **state)
{
	(void)state;
	round_trip(true, CHANNEL_BINARY, 70001, true);
}

static void test_upgrade_plain(void **state)
{
	(void)state;
	round_trip(false, CHANNEL_UPGRADE, 1500, false);
}

static void test_upgrade_tls(void **state)
{
	(void)state;
	round_trip(true, CHANNEL_UPGRADE, 1500, false);
}

static void test_upgrade_paused(void **state)
{
	(void)state;
	round_trip(true, CHANNEL_UPGRADE, 65000, true);
}

static void get(struct fixture *f, struct answer *a, const char *method,
		const char *url, const void *body, size_t len, size_t cap)
{
	const struct http_request request = {
		.method = method, .url = url, .body = body, .body_len = len,
		.body_cap = cap,
	};
	struct http_call *call;
	struct error error = { 0 };

	*a = (struct answer){ .f = f };
	if (network_http(io_network(f->io), &request, on_answer, a, &call,
			 &error) < 0)
		fail_msg("%s", error.message);
	fixture_run(f, 10);
	assert_int_equal(a->calls, 1);
}

static void test_http(void **state)
{
	struct fixture f;
	struct answer a;
	char url[256];
	uint8_t *large = calloc(1, 900000);

	(void)state;
	fixture_open(&f, true, "127.0.0.1:0", NULL, true);
	fixture_url(&f, "localhost", "/some%20thing?coder_session_token=t1",
		    url);
	get(&f, &a, "GET", url, NULL, 0, 0);
	assert_int_equal(a.code, 0);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "/some thing");
	assert_string_equal(a.content_type, "application/json");
	assert_string_equal(f.last_token, "t1");
	fixture_url(&f, "127.0.0.1", "/x", url);
	get(&f, &a, "POST", url, "hello", 5, 0);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "hello");
	assert_string_equal(a.content_type, "text/plain");
	get(&f, &a, "PUT", url, large, 900000, 0);
	assert_int_equal(a.body_len, 900000);
	get(&f, &a, "POST", url, large, 900000, 1000);
	assert_int_equal(a.code, ERR_TOO_LARGE);
	fixture_url(&f, "127.0.0.1", "/empty", url);
	get(&f, &a, "DELETE", url, NULL, 0, 0);
	assert_int_equal(a.code, 0);
	assert_int_equal(a.status, 204);
	fixture_url(&f, "127.0.0.1", "/refuse", url);
	get(&f, &a, "GET", url, NULL, 0, 0);
	assert_int_equal(a.code, 0);
	assert_int_equal(a.status, 403);
	free(large);
	fixture_close(&f);
}

static void test_refusal_has_its_body(void **state)
{
	static const enum channel_kind kinds[] = {
		CHANNEL_TEXT, CHANNEL_UPGRADE,
	};
	struct fixture f;
	char url[256];

	(void)state;
	fixture_open(&f, true, "127.0.0.1:0", NULL, true);
	for (int i = 0; i < 2; i++) {
		struct client c = { 0 };

		snprintf(url, sizeof(url), "https://127.0.0.1:%u/refuse",
			 i ? f.upgrade_port : f.port);
		client_open(&c, &f, kinds[i], url, i ? "DERP" : NULL, 0);
		fixture_run(&f, 10);
		assert_int_equal(c.closes, 1);
		assert_false(c.opened);
		assert_int_equal(c.end_code, ERR_DENIED);
		assert_int_equal(c.end_status, 403);
		assert_string_equal(c.end_body, "{\"message\":\"no\"}");
	}
	fixture_close(&f);
}

/* Where the attempt ends, and that the message says why. */
static void expect_failure(struct fixture *f, const char *url,
			   uint64_t timeout_us, int code, const char *words)
{
	struct client c = { 0 };
	struct answer a = { .f = f };
	struct http_request request = { .method = "GET", .url = url,
					.timeout_us = timeout_us };
	struct http_call *call;

	client_open(&c, f, CHANNEL_BINARY, url, NULL, timeout_us);
	fixture_run(f, 10);
	assert_int_equal(c.closes, 1);
	if (c.end_code != code || !strstr(c.end_message, words))
		fail_msg("%s: %s %s", url, err_name(c.end_code), c.end_message);
	assert_int_equal(network_http(io_network(f->io), &request, on_answer,
				      &a, &call, NULL), 0);
	fixture_run(f, 10);
	if (a.code != code || !strstr(a.message, words))
		fail_msg("%s: %s %s", url, err_name(a.code), a.message);
}

static void test_unknown_ca(void **state)
{
	struct fixture f;
	char url[256];

	(void)state;
	fixture_open(&f, true, "127.0.0.1:0", NULL, false);
	fixture_url(&f, "localhost", "/echo", url);
	expect_failure(&f, url, 0, ERR_DENIED, "CODER_CLIENT_TLS_CA_FILE");
	fixture_close(&f);
}

static void test_wrong_name(void **state)
{
	struct fixture f;
	char url[256];

	(void)state;
	fixture_open(&f, true, "127.0.0.1:0", "DNS:example.org,IP:127.0.0.2",
		     true);
	fixture_url(&f, "localhost", "/echo", url);
	expect_failure(&f, url, 0, ERR_DENIED, "ostname mismatch");
	fixture_url(&f, "127.0.0.1", "/echo", url);
	expect_failure(&f, url, 0, ERR_DENIED, "IP address mismatch");
	fixture_close(&f);
}

static void test_ipv6_literal(void **state)
{
	struct fixture f;
	struct client c = { 0 };
	char url[256];

	(void)state;
	fixture_open(&f, true, "[::1]:0", "DNS:localhost,IP:127.0.0.1", true);
	fixture_url(&f, "[::1]", "/echo", url);
	expect_failure(&f, url, 0, ERR_DENIED, "IP address mismatch");
	fixture_close(&f);
	fixture_open(&f, true, "[::1]:0", "IP:::1", true);
	fixture_url(&f, "[::1]", "/echo", url);
	client_open(&c, &f, CHANNEL_BINARY, url, NULL, 0);
	fixture_run(&f, 10);
	assert_true(c.opened);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_binary_plain),
		cmocka_unit_test(test_binary_tls),
		cmocka_unit_test(test_text_paused),
		cmocka_unit_test(test_upgrade_plain),
		cmocka_unit_test(test_upgrade_tls),
		cmocka_unit_test(test_upgrade_paused),
		cmocka_unit_test(test_http),
		cmocka_unit_test(test_refusal_has_its_body),
		cmocka_unit_test(test_unknown_ca),
		cmocka_unit_test(test_wrong_name),
		cmocka_unit_test(test_ipv6_literal),
	};

	alarm(200);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
