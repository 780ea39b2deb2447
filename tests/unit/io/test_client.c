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

static void test_binary_paused(void **state)
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
	expect_failure(&f, url, 0, ERR_UNREACHABLE,
		       "CODER_CLIENT_TLS_CA_FILE");
	fixture_close(&f);
}

static void test_ca_of_the_system(void **state)
{
	struct fixture f;
	struct answer a;
	char url[256];

	(void)state;
	fixture_trust_by_directory = true;
	fixture_open(&f, true, "127.0.0.1:0", NULL, false);
	fixture_trust_by_directory = false;
	fixture_url(&f, "localhost", "/x", url);
	get(&f, &a, "GET", url, NULL, 0, 0);
	assert_string_equal(a.message, "");
	assert_int_equal(a.status, 200);
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
	expect_failure(&f, url, 0, ERR_UNREACHABLE,
		       "ostname mismatch");
	fixture_url(&f, "127.0.0.1", "/echo", url);
	expect_failure(&f, url, 0, ERR_UNREACHABLE,
		       "IP address mismatch");
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
	expect_failure(&f, url, 0, ERR_UNREACHABLE,
		       "IP address mismatch");
	fixture_close(&f);
	fixture_open(&f, true, "[::1]:0", "IP:::1", true);
	fixture_url(&f, "[::1]", "/echo", url);
	client_open(&c, &f, CHANNEL_BINARY, url, NULL, 0);
	fixture_run(&f, 10);
	assert_true(c.opened);
	fixture_close(&f);
}

static void stop_running(struct timer *timer)
{
	((struct fixture *)timer->user)->done = true;
}

static void one_turn(struct fixture *f)
{
	struct timer timer = { .fire = stop_running, .user = f };

	timer_set(io_loop(f->io), &timer, loop_now_us(io_loop(f->io)) + 1000);
	fixture_run(f, 10);
}

/* A port that accepts and never says a word. */
static void on_silent(void *user, struct stream *stream)
{
	(void)user;
	(void)stream;	/* io_free() closes it */
}

static void silent_url(struct fixture *f, const char *scheme, char url[256])
{
	struct io_listener *listener;
	char bound[STREAM_ADDRESS_CAP];

	assert_int_equal(io_listen(f->io, "127.0.0.1:0", on_silent, NULL,
				   &listener, bound, NULL), 0);
	snprintf(url, 256, "%s://%s/", scheme, bound);
}

static void test_silence_times_out(void **state)
{
	struct fixture f;
	char url[256];

	(void)state;
	fixture_open(&f, false, "127.0.0.1:0", NULL, true);
	silent_url(&f, "http", url);
	expect_failure(&f, url, 50000, ERR_TIMEOUT, "waiting for the answer");
	silent_url(&f, "https", url);
	expect_failure(&f, url, 50000, ERR_TIMEOUT, "timed out");
	fixture_close(&f);
}

static void test_refused_and_unreachable(void **state)
{
	struct fixture f;
	struct io_listener *listener;
	char bound[STREAM_ADDRESS_CAP];
	char url[256];

	(void)state;
	fixture_open(&f, false, "127.0.0.1:0", NULL, true);
	assert_int_equal(io_listen(f.io, "127.0.0.1:0", on_silent, NULL,
				   &listener, bound, NULL), 0);
	io_listener_close(listener);
	for (int i = 0; i < 20; i++) {
		snprintf(url, sizeof(url), "http://%s/", bound);
		expect_failure(&f, url, 0, ERR_REFUSED, "Connection refused");
		url[4] = 's';
		snprintf(url, sizeof(url), "https://%s/", bound);
		expect_failure(&f, url, 0, ERR_REFUSED, bound);
	}
	expect_failure(&f, "https://224.0.0.1:1/", 300000, ERR_UNREACHABLE,
		       "224.0.0.1");
	expect_failure(&f, "https://no-such-host.invalid/", 5000000,
		       ERR_NOT_FOUND, "resolve");
	fixture_close(&f);
}

/* A server of canned answers, one a connection. */
struct canned {
	struct fixture *f;
	const char *answers[6];
	int served;
	char request[4096];
};

static void canned_change(struct stream *stream, void *user)
{
	struct canned *c = user;
	const uint8_t *data;
	ssize_t n = stream_peek(stream, &data);
	const char *answer;

	if (n <= 0 || !memmem(data, (size_t)n, "\r\n\r\n", 4))
		return;
	snprintf(c->request, sizeof(c->request), "%.*s", (int)n, data);
	answer = c->answers[c->served++];
	assert_int_equal(stream_write(stream, answer, strlen(answer)),
			 strlen(answer));
	stream_consume(stream, (size_t)n);
	stream_close(stream, false);
}

static void on_canned(void *user, struct stream *stream)
{
	stream->on_change = canned_change;
	stream->user = user;
}

static void canned_get(struct canned *c, struct answer *a, const char *method)
{
	struct io_listener *listener;
	char bound[STREAM_ADDRESS_CAP];
	char url[256];

	assert_int_equal(io_listen(c->f->io, "127.0.0.1:0", on_canned, c,
				   &listener, bound, NULL), 0);
	snprintf(url, sizeof(url), "http://%s/start", bound);
	get(c->f, a, method, url, NULL, 0, 0);
	io_listener_close(listener);
}

#define MOVED "HTTP/1.1 302 Found\r\nLocation: /next?x=1\r\n" \
	"Content-Length: 2\r\n\r\nno"
#define FINE "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"

static void test_redirects(void **state)
{
	struct fixture f;
	struct answer a;
	struct canned c = { .f = &f, .answers = { MOVED, MOVED, MOVED, FINE } };

	(void)state;
	fixture_open(&f, false, "127.0.0.1:0", NULL, true);
	canned_get(&c, &a, "POST");
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "fine");
	assert_int_equal(c.served, 4);
	assert_memory_equal(c.request, "GET /next?x=1 HTTP/1.1\r\n", 24);
	c = (struct canned){ .f = &f,
			     .answers = { MOVED, MOVED, MOVED, MOVED } };
	canned_get(&c, &a, "GET");
	assert_int_equal(a.status, 302);
	assert_int_equal(c.served, 4);
	c = (struct canned){ .f = &f, .answers = {
		"HTTP/1.1 301 Moved\r\nLocation: https://example.org/\r\n"
		"Content-Length: 0\r\n\r\n" } };
	canned_get(&c, &a, "GET");
	assert_int_equal(a.status, 301);
	assert_int_equal(c.served, 1);
	fixture_close(&f);
}

static void test_shapes_of_answers(void **state)
{
	static const struct {
		const char *answer;
		int code;
		const char *body;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 0, "abcde" },
		{ "HTTP/1.1 200 OK\r\n\r\nuntil the end", 0,
		  "until the end" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, "" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
		  ERR_RESET, NULL },
		{ "nonsense\r\n\r\n", ERR_RESET, NULL },
	};
	struct fixture f;
	struct answer a;

	(void)state;
	fixture_open(&f, false, "127.0.0.1:0", NULL, true);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct canned c = { .f = &f, .answers = { cases[i].answer } };

		canned_get(&c, &a, "GET");
		if (a.code != cases[i].code)
			fail_msg("case %zu: %d %s", i, a.code, a.message);
		if (cases[i].body)
			assert_string_equal(a.body, cases[i].body);
	}
	fixture_close(&f);
}

/* The port of upgrades answers plain requests too. */
static void test_plain_on_the_upgrade_port(void **state)
{
	struct fixture f;
	struct answer a;
	char url[256];

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		fixture_open(&f, tls, "127.0.0.1:0", NULL, true);
		fixture_url(&f, tls ? "https://127.0.0.1" : "http://127.0.0.1",
			    "/derp/latency-check", url);
		get(&f, &a, "GET", url, NULL, 0, 0);
		assert_int_equal(a.status, 200);
		assert_string_equal(a.body, "/derp/latency-check");
		fixture_close(&f);
	}
}

static void on_hang_up(void *user, struct stream *stream)
{
	stream_close(stream, user != NULL);
}

static void test_reset_by_the_server(void **state)
{
	struct fixture f;
	struct io_listener *listener;
	char bound[STREAM_ADDRESS_CAP];
	char url[256];

	(void)state;
	fixture_open(&f, false, "127.0.0.1:0", NULL, true);
	for (int abort = 0; abort < 2; abort++) {
		assert_int_equal(io_listen(f.io, "127.0.0.1:0", on_hang_up,
					   abort ? &f : NULL, &listener,
					   bound, NULL), 0);
		snprintf(url, sizeof(url), "http://%s/", bound);
		expect_failure(&f, url, 0, ERR_RESET, bound);
	}
	fixture_close(&f);
}

static void open_fails(struct fixture *f, const char *url,
		       const char *protocol, int code)
{
	const struct channel_request request = {
		.kind = CHANNEL_UPGRADE, .url = url, .protocol = protocol,
		.events = &client_events,
	};
	struct channel *channel;
	struct error error = { 0 };

	assert_int_equal(network_open_channel(io_network(f->io), &request,
					      &channel, &error), code);
	assert_int_equal(error.code, code);
	assert_true(strlen(error.message) > 10);
}

static void test_bad_requests(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, false, "127.0.0.1:0", NULL, true);
	open_fails(&f, "http://example.org/", "DERP", ERR_DENIED);
	open_fails(&f, "http://192.0.2.1/", "DERP", ERR_DENIED);
	open_fails(&f, "http://[::2]/", "DERP", ERR_DENIED);
	open_fails(&f, "ftp://localhost/", "DERP", ERR_MISUSE);
	open_fails(&f, "https:///x", "DERP", ERR_MISUSE);
	open_fails(&f, "https://a@b/", "DERP", ERR_MISUSE);
	open_fails(&f, "https://h:99999/", "DERP", ERR_MISUSE);
	open_fails(&f, "https://localhost/ x", "DERP", ERR_MISUSE);
	open_fails(&f, "https://localhost/", "A\r\nB: c", ERR_MISUSE);
	open_fails(&f, "https://localhost/", NULL, ERR_MISUSE);
	fixture_close(&f);
}

/* Given up after so many turns of the loop: in each phase of opening. */
struct quitter {
	struct fixture *f;
	struct client client;
	struct answer answer;
	struct http_call *call;
	struct task task;
	int turns;
};

static void quit_later(struct task *task)
{
	struct quitter *q = task->user;

	if (q->turns-- > 0) {
		task_post(io_loop(q->f->io), task);
		return;
	}
	if (q->client.channel)
		channel_close(q->client.channel, 1000, "bye");
	if (!q->answer.calls)
		network_http_cancel(io_network(q->f->io), q->call);
	q->client.channel = NULL;
	q->f->done = true;
}

static void test_cancel_in_every_phase(void **state)
{
	static const char *const hosts[] = { "localhost", "127.0.0.1" };
	struct fixture f;
	char url[256];

	(void)state;
	fixture_open(&f, true, "127.0.0.1:0", NULL, true);
	for (int turns = 0; turns < 1500; turns += 1 + turns / 4) {
		struct quitter q = { .f = &f, .turns = turns };
		struct http_request request = { .method = "GET", .url = url };

		fixture_url(&f, hosts[turns % 2],
			    turns % 3 ? "/echo" : "/derp", url);
		client_open(&q.client, &f,
			    turns % 3 ? CHANNEL_BINARY : CHANNEL_UPGRADE, url,
			    "derp", 0);
		q.answer.f = &f;
		assert_int_equal(network_http(io_network(f.io), &request,
					      on_answer, &q.answer, &q.call,
					      NULL), 0);
		q.task = (struct task){ .run = quit_later, .user = &q };
		task_post(io_loop(f.io), &q.task);
		while (q.turns >= 0)
			fixture_run(&f, 10);
		assert_int_equal(q.client.closes, 0);
	}
	fixture_close(&f);
}

/* A bound queue, a full one, room again; nothing read is nothing sent. */
static void test_back_pressure(void **state)
{
	struct fixture f;
	struct client c = { .message_len = 60000, .total = 64 * MIB };
	struct timer timer;
	char url[256];

	(void)state;
	fixture_open(&f, true, "127.0.0.1:0", NULL, true);
	for (int i = 0; i < 2; i++) {
		c = (struct client){ .message_len = 60000,
				     .total = 64 * MIB };
		f.stall = true;
		fixture_url(&f, "localhost", i ? "/derp" : "/echo", url);
		client_open(&c, &f, i ? CHANNEL_UPGRADE : CHANNEL_BINARY, url,
			    "derp", 0);
		timer = (struct timer){ .fire = stop_running, .user = &f };
		timer_set(io_loop(f.io), &timer,
			  loop_now_us(io_loop(f.io)) + 300000);
		fixture_run(&f, 10);
		assert_true(c.opened);
		assert_int_equal(c.closes, 0);
		assert_int_equal(c.received, 0);
		if (c.sent > 16 * MIB)
			fail_msg("%zu sent", c.sent);
		assert_true(channel_room(c.channel) < 600000);
		assert_int_equal(channel_send(c.channel, url, 0), 0);
		channel_close(c.channel, 1000, NULL);
	}
	fixture_close(&f);
}

static void test_close_codes(void **state)
{
	struct fixture f;
	struct client c = { .message_len = 10, .total = 10,
			    .close_when_done = true };
	char url[256];

	(void)state;
	fixture_open(&f, true, "127.0.0.1:0", NULL, true);
	fixture_url(&f, "localhost", "/echo", url);
	client_open(&c, &f, CHANNEL_TEXT, url, "derp", 0);
	fixture_run(&f, 10);
	assert_int_equal(c.received, 10);
	while (!f.echo_closes)
		one_turn(&f);
	assert_int_equal(f.last_close_code, 1000);
	fixture_close(&f);
}

/* The server's goodbye reaches the client with its code. */
static void test_server_closes(void **state)
{
	struct fixture f;
	struct client c = { 0 };
	char url[256];

	(void)state;
	fixture_open(&f, true, "127.0.0.1:0", NULL, true);
	fixture_url(&f, "localhost", "/goodbye", url);
	client_open(&c, &f, CHANNEL_TEXT, url, NULL, 0);
	while (!c.closes)
		fixture_run(&f, 10);
	assert_int_equal(c.closes, 1);
	assert_int_equal(c.end_code, ERR_CLOSED);
	assert_int_equal(c.end_close_code, 1001);
	assert_non_null(strstr(c.end_message, "going"));
	fixture_close(&f);
}

static void test_large_message_is_refused(void **state)
{
	struct fixture f;
	struct client c = { .message_len = (1u << 20) - 100, .total = 1 };
	char *large = calloc(1, 1000000);
	char url[256];

	(void)state;
	c.total = 0;
	fixture_open(&f, true, "127.0.0.1:0", NULL, true);
	fixture_url(&f, "localhost", "/small", url);
	client_open(&c, &f, CHANNEL_BINARY, url, NULL, 0);
	fixture_run(&f, 10);
	assert_true(c.opened);
	assert_int_equal(channel_send(c.channel, large, 1000000), 0);
	assert_int_equal(channel_send(c.channel, large, 1000000), ERR_LIMIT);
	while (!c.closes)
		fixture_run(&f, 10);
	assert_int_equal(c.end_close_code, 1009);
	free(large);
	fixture_close(&f);
}

static void test_server_close_ends_its_connections(void **state)
{
	struct fixture f;
	struct client c = { 0 };
	char url[256];

	(void)state;
	fixture_open(&f, true, "127.0.0.1:0", NULL, true);
	fixture_url(&f, "localhost", "/echo", url);
	client_open(&c, &f, CHANNEL_BINARY, url, NULL, 0);
	fixture_run(&f, 10);
	assert_true(c.opened);
	io_server_close(f.server);
	while (!c.closes)
		fixture_run(&f, 10);
	expect_failure(&f, url, 0, ERR_REFUSED, "refused");
	fixture_close(&f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_binary_plain),
		cmocka_unit_test(test_binary_tls),
		cmocka_unit_test(test_binary_paused),
		cmocka_unit_test(test_upgrade_plain),
		cmocka_unit_test(test_upgrade_tls),
		cmocka_unit_test(test_upgrade_paused),
		cmocka_unit_test(test_http),
		cmocka_unit_test(test_refusal_has_its_body),
		cmocka_unit_test(test_unknown_ca),
		cmocka_unit_test(test_ca_of_the_system),
		cmocka_unit_test(test_wrong_name),
		cmocka_unit_test(test_ipv6_literal),
		cmocka_unit_test(test_silence_times_out),
		cmocka_unit_test(test_refused_and_unreachable),
		cmocka_unit_test(test_reset_by_the_server),
		cmocka_unit_test(test_redirects),
		cmocka_unit_test(test_shapes_of_answers),
		cmocka_unit_test(test_plain_on_the_upgrade_port),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_cancel_in_every_phase),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_close_codes),
		cmocka_unit_test(test_server_closes),
		cmocka_unit_test(test_large_message_is_refused),
		cmocka_unit_test(test_server_close_ends_its_connections),
	};

	alarm(200);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
