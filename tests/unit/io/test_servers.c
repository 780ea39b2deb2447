/* Several servers in one io: each answers for itself, and ends its own. */
#include "fixture.h"

static void serve_second(struct service *service, struct exchange *exchange,
			 const struct server_request *request)
{
	(void)service;
	(void)request;
	exchange_respond(exchange, 200, NULL, "second", 6);
}

static void get(struct fixture *f, uint16_t port, struct answer *a)
{
	char url[64];
	const struct http_request request = { .method = "GET", .url = url };
	struct http_call *call;
	struct error error = { 0 };

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/first", port);
	*a = (struct answer){ .f = f };
	if (network_http(io_network(f->io), &request, on_answer, a, &call,
			 &error) < 0)
		fail_msg("%s", error.message);
	fixture_run(f, 10);
	assert_int_equal(a->calls, 1);
}

static struct io_server *open_second(struct fixture *f,
				     struct service *service, uint16_t *port)
{
	struct io_server *server;
	struct error error = { 0 };

	if (io_serve(f->io, "127.0.0.1:0", service, NULL, NULL, &server, port,
		     &error) < 0)
		fail_msg("%s", error.message);
	return server;
}

static void test_each_answers_for_itself(void **state)
{
	struct service service = { .serve = serve_second };
	struct io_server *second;
	struct fixture f;
	struct answer a;
	uint16_t port;

	(void)state;
	fixture_open(&f, false, "127.0.0.1:0", NULL, false);
	second = open_second(&f, &service, &port);
	get(&f, port, &a);
	assert_string_equal(a.body, "second");
	get(&f, f.port, &a);
	assert_string_equal(a.body, "/first");
	io_server_close(f.server);
	get(&f, port, &a);
	assert_string_equal(a.body, "second");
	io_server_close(second);
	second = open_second(&f, &service, &port);
	get(&f, port, &a);
	assert_string_equal(a.body, "second");
	io_server_close(second);
	fixture_close(&f);
}

static void test_closing_one_leaves_the_others(void **state)
{
	struct service service = { .serve = serve_second };
	struct io_server *second;
	struct fixture f;
	struct client c = { 0 };
	struct answer a;
	char url[256];
	uint16_t port;

	(void)state;
	fixture_open(&f, false, "127.0.0.1:0", NULL, false);
	second = open_second(&f, &service, &port);
	fixture_url(&f, "http://127.0.0.1", "/echo", url);
	client_open(&c, &f, CHANNEL_BINARY, url, NULL, 0);
	fixture_run(&f, 10);
	assert_true(c.opened);
	io_server_close(second);
	get(&f, f.port, &a);
	assert_int_equal(c.closes, 0);
	io_server_close(f.server);
	while (!c.closes)
		fixture_run(&f, 10);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_answers_for_itself),
		cmocka_unit_test(test_closing_one_leaves_the_others),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
