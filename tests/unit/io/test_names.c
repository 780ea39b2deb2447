/*
 * Names with several addresses. This program has its own getaddrinfo(),
 * which libuv and libwebsockets then use.
 */
#include "fixture.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#define EXPORT __attribute__((visibility("default")))

struct found {
	struct addrinfo info;
	struct sockaddr_storage address;
};

static struct addrinfo *add(const char *text, struct addrinfo *next)
{
	struct found *found = calloc(1, sizeof(*found));
	struct sockaddr_in *v4 = (void *)&found->address;
	struct sockaddr_in6 *v6 = (void *)&found->address;

	found->info.ai_addr = (struct sockaddr *)&found->address;
	found->info.ai_next = next;
	found->info.ai_socktype = SOCK_STREAM;
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		found->info.ai_addrlen = sizeof(*v4);
	} else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		found->info.ai_addrlen = sizeof(*v6);
	} else {
		free(found);
		return NULL;
	}
	found->info.ai_family = found->address.ss_family;
	return &found->info;
}

EXPORT int getaddrinfo(const char *node, const char *service,
		       const struct addrinfo *hints, struct addrinfo **out)
{
	(void)service;
	(void)hints;
	if (strcmp(node, "two.localhost") == 0)
		*out = add("::1", add("127.0.0.1", NULL));
	else if (strcmp(node, "away.localhost") == 0)
		*out = add("192.0.2.1", NULL);
	else
		*out = add(node, NULL);
	return *out ? 0 : EAI_NONAME;
}

EXPORT void freeaddrinfo(struct addrinfo *info)
{
	while (info) {
		struct addrinfo *next = info->ai_next;

		free(info);
		info = next;
	}
}

static void get(struct fixture *f, const char *url, struct answer *a)
{
	const struct http_request request = { .method = "GET", .url = url };
	struct http_call *call;

	*a = (struct answer){ .f = f };
	assert_int_equal(network_http(io_network(f->io), &request, on_answer,
				      a, &call, NULL), 0);
	fixture_run(f, 10);
	assert_int_equal(a->calls, 1);
}

static void test_second_address_answers(void **state)
{
	struct fixture f;
	struct client c = { .message_len = 100, .total = 100 };
	struct answer a;
	char url[256];

	(void)state;
	fixture_open(&f, true, "127.0.0.1:0", "DNS:two.localhost", true);
	fixture_url(&f, "two.localhost", "/x", url);
	for (int i = 0; i < 10; i++) {
		get(&f, url, &a);
		assert_string_equal(a.message, "");
		assert_int_equal(a.status, 200);
	}
	fixture_url(&f, "two.localhost", "/echo", url);
	client_open(&c, &f, CHANNEL_BINARY, url, NULL, 0);
	fixture_run(&f, 10);
	assert_int_equal(c.received, 100);
	fixture_close(&f);
}

static void test_all_addresses_refuse(void **state)
{
	struct fixture f;
	struct answer a;
	char url[256];

	(void)state;
	fixture_open(&f, false, "127.0.0.1:0", NULL, true);
	snprintf(url, sizeof(url), "http://two.localhost:%u/", f.port);
	io_server_close(f.server);
	get(&f, url, &a);
	assert_int_equal(a.code, ERR_REFUSED);
	assert_non_null(strstr(a.message, "127.0.0.1"));
	get(&f, "https://unknown.example/", &a);
	assert_int_equal(a.code, ERR_NOT_FOUND);
	fixture_close(&f);
}

/* Plain http goes to loopback, whatever the name says. */
static void test_name_that_leads_away(void **state)
{
	struct fixture f;
	struct answer a;

	(void)state;
	fixture_open(&f, false, "127.0.0.1:0", NULL, true);
	get(&f, "http://away.localhost/", &a);
	assert_int_equal(a.code, ERR_DENIED);
	fixture_close(&f);
}

static void get_at(struct fixture *f, const char *url, const char *address,
		   const char *cert_name, struct answer *a)
{
	const struct http_request request = { .method = "GET", .url = url,
					      .address = address,
					      .cert_name = cert_name };
	struct http_call *call;

	*a = (struct answer){ .f = f };
	assert_int_equal(network_http(io_network(f->io), &request, on_answer,
				      a, &call, NULL), 0);
	fixture_run(f, 10);
}

/* As a DERP map may say it: a node's address, and its certificate's name. */
static void test_address_and_certificate_given(void **state)
{
	struct fixture f;
	struct answer a;
	char url[256];

	(void)state;
	fixture_open(&f, true, "127.0.0.1:0", "DNS:relay.example", true);
	fixture_url(&f, "relay.example", "/x", url);
	get(&f, url, &a);
	assert_int_equal(a.code, ERR_NOT_FOUND);
	get_at(&f, url, "127.0.0.1", NULL, &a);
	assert_string_equal(a.message, "");
	assert_int_equal(a.status, 200);
	/* The name is checked, not where it leads. */
	fixture_url(&f, "other.example", "/x", url);
	get_at(&f, url, "127.0.0.1", NULL, &a);
	assert_int_equal(a.code, ERR_UNREACHABLE);
	get_at(&f, url, "127.0.0.1", "relay.example", &a);
	assert_int_equal(a.status, 200);
	get_at(&f, url, "127.0.0.1", "another.example", &a);
	assert_int_equal(a.code, ERR_UNREACHABLE);
	fixture_url(&f, "127.0.0.1", "/x", url);
	get_at(&f, url, NULL, "relay.example", &a);
	assert_int_equal(a.status, 200);
	fixture_close(&f);
}

static void test_channel_at_an_address(void **state)
{
	struct fixture f;
	struct client c = { .message_len = 100, .total = 100 };
	struct channel_request request = {
		.kind = CHANNEL_BINARY, .address = "127.0.0.1",
		.cert_name = "relay.example", .message_cap = 1 << 16,
		.queue_cap = 1 << 16, .events = &client_events, .user = &c,
	};
	char url[256];

	(void)state;
	fixture_open(&f, true, "127.0.0.1:0", "DNS:relay.example", true);
	fixture_url(&f, "other.example", "/echo", url);
	request.url = url;
	c.f = &f;
	assert_int_equal(network_open_channel(io_network(f.io), &request,
					      &c.channel, NULL), 0);
	assert_false(channel_stranded(c.channel));
	fixture_run(&f, 10);
	assert_int_equal(c.received, 100);
	assert_false(channel_stranded(c.channel));
	fixture_close(&f);
}

static void on_accept(void *user, struct stream *stream)
{
	(void)user;
	stream_close(stream, false);
}

static void on_connected(void *user, struct stream *stream,
			 const struct error *error)
{
	struct fixture *f = user;

	if (!stream)
		fail_msg("%s", error->message);
	stream_close(stream, false);
	f->done = true;
}

static void test_local_stream_by_name(void **state)
{
	struct fixture f;
	struct io_listener *listener;
	struct io_connect_op *op;
	char bound[STREAM_ADDRESS_CAP];
	char address[STREAM_ADDRESS_CAP];

	(void)state;
	fixture_open(&f, false, "127.0.0.1:0", NULL, true);
	assert_int_equal(io_listen(f.io, "127.0.0.1:0", on_accept, NULL,
				   &listener, bound, NULL), 0);
	snprintf(address, sizeof(address), "two.localhost%s",
		 strchr(bound, ':'));
	assert_int_equal(io_connect(f.io, address, 0, on_connected, &f, &op,
				    NULL), 0);
	fixture_run(&f, 10);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_second_address_answers),
		cmocka_unit_test(test_all_addresses_refuse),
		cmocka_unit_test(test_name_that_leads_away),
		cmocka_unit_test(test_address_and_certificate_given),
		cmocka_unit_test(test_channel_at_an_address),
		cmocka_unit_test(test_local_stream_by_name),
	};

	alarm(100);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
