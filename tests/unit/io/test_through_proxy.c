/*
 * Requests and channels through a CONNECT proxy: one in a child process, which
 * alone knows where "deployment.test" is.
 */
#include "fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* --- a proxy -------------------------------------------------------- */

#define HEAD_CAP 2000

struct connect_proxy {
	int fd;
	pid_t pid;
	int heads[2];			/* a pipe: what it was asked */
	uint16_t port;
	const char *answer;		/* instead of doing it; "": silence */
};

static void pump(int a, int b)
{
	struct pollfd ends[2] = { { .fd = a, .events = POLLIN },
				  { .fd = b, .events = POLLIN } };
	static char data[65536];

	while (poll(ends, 2, -1) > 0)
		for (int i = 0; i < 2; i++) {
			ssize_t n;

			if (!ends[i].revents)
				continue;
			n = read(ends[i].fd, data, sizeof(data));
			if (n <= 0)
				return;
			for (ssize_t at = 0; at < n;) {
				ssize_t part = write(ends[1 - i].fd, data + at,
						     (size_t)(n - at));

				if (part < 0)
					return;
				at += part;
			}
		}
}

static int connect_loopback(unsigned port)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	to.sin_port = htons((uint16_t)port);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 ? fd : -1;
}

static void serve_one(const struct connect_proxy *p, int fd)
{
	static const char ok[] = "HTTP/1.1 200 Connection established\r\n\r\n";
	char head[HEAD_CAP + 1] = "";
	size_t len = 0;
	unsigned port = 0;
	ssize_t n;

	while (!strstr(head, "\r\n\r\n")) {
		n = read(fd, head + len, HEAD_CAP - len);
		if (n <= 0)
			return;
		len += (size_t)n;
		head[len] = '\0';
	}
	n = write(p->heads[1], head, len);
	if (p->answer && *p->answer)
		n = write(fd, p->answer, strlen(p->answer));
	else if (p->answer)
		n = read(fd, head, 1);
	else if (sscanf(head, "CONNECT deployment.test:%u ", &port) == 1) {
		int to = connect_loopback(port);

		n = write(fd, ok, strlen(ok));
		pump(fd, to);
	}
	(void)n;
}

static void serve_all(const struct connect_proxy *p)
{
	int fd;

	signal(SIGCHLD, SIG_IGN);
	alarm(60);
	while ((fd = accept(p->fd, NULL, NULL)) >= 0) {
		if (fork() == 0) {
			serve_one(p, fd);
			_exit(0);
		}
		close(fd);
	}
	_exit(1);
}

static void proxy_open(struct connect_proxy *p, const char *answer,
		       const char *credentials)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	char url[256];

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	p->answer = answer;
	p->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(p->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(p->fd, 16), 0);
	getsockname(p->fd, (struct sockaddr *)&at, &len);
	p->port = ntohs(at.sin_port);
	assert_int_equal(pipe(p->heads), 0);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (p->pid == 0)
		serve_all(p);
	close(p->fd);
	snprintf(url, sizeof(url), "http://%slocalhost:%u", credentials,
		 p->port);
	setenv("HTTPS_PROXY", url, 1);
}

static void proxy_close(struct connect_proxy *p)
{
	kill(p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
	close(p->heads[0]);
	close(p->heads[1]);
	unsetenv("HTTPS_PROXY");
	unsetenv("NO_PROXY");
}

static unsigned heads_seen(struct connect_proxy *p, char *out)
{
	struct pollfd ready = { .fd = p->heads[0], .events = POLLIN };
	unsigned count = 0;
	ssize_t n;

	*out = '\0';
	if (poll(&ready, 1, 0) <= 0)
		return 0;
	n = read(p->heads[0], out, HEAD_CAP);
	out[n > 0 ? n : 0] = '\0';
	for (const char *at = out; (at = strstr(at, "CONNECT ")); at++)
		count++;
	return count;
}

static void get(struct fixture *f, struct answer *a, const char *path)
{
	char url[256];
	struct http_request request = { .method = "GET", .url = url,
					.timeout_us = 2 * US_PER_S };
	struct http_call *call;
	struct error error = { 0 };

	*a = (struct answer){ .f = f };
	fixture_url(f, "deployment.test", path, url);
	if (network_http(io_network(f->io), &request, on_answer, a, &call,
			 &error) < 0)
		fail_msg("%s", error.message);
	fixture_run(f, 20);
	assert_int_equal(a->calls, 1);
}

static void round_trip(struct fixture *f, enum channel_kind kind)
{
	struct client c = {
		.message_len = 7001, .total = 1u << 20,
		.close_when_done = true,
	};
	char url[256];

	fixture_url(f, "deployment.test",
		    kind == CHANNEL_UPGRADE ? "/derp" : "/echo", url);
	client_open(&c, f, kind, url, kind == CHANNEL_UPGRADE ? "DERP" : NULL,
		    0);
	fixture_run(f, 30);
	if (c.closes)
		fail_msg("closed: %s", c.end_message);
	assert_int_equal(c.received, 1u << 20);
}

static void all_goes_through(void **state)
{
	struct fixture f;
	struct answer a;
	struct connect_proxy p;
	char heads[HEAD_CAP + 1];
	char expected[64];

	(void)state;
	proxy_open(&p, NULL, "me:my%20w%40rd@");
	fixture_open(&f, true, "127.0.0.1:0", "DNS:deployment.test", true);
	get(&f, &a, "/x");
	if (a.code)
		fail_msg("%s", a.message);
	assert_string_equal(a.body, "/x");
	assert_int_equal(heads_seen(&p, heads), 1);
	snprintf(expected, sizeof(expected), "CONNECT deployment.test:%u ",
		 f.port);
	assert_non_null(strstr(heads, expected));
	assert_non_null(strcasestr(heads, "proxy-authorization: basic "
					  "bWU6bXkgd0ByZA==\r\n"));
	round_trip(&f, CHANNEL_BINARY);
	assert_int_equal(heads_seen(&p, heads), 1);
	round_trip(&f, CHANNEL_UPGRADE);
	assert_int_equal(heads_seen(&p, heads), 1);
	/* A refusal's body is asked for through the proxy, too. */
	get(&f, &a, "/refuse");
	assert_int_equal(a.status, 403);
	assert_int_equal(heads_seen(&p, heads), 1);
	fixture_close(&f);
	proxy_close(&p);
}

/* The certificate is the target's to show, not the proxy's. */
static void checks_the_name_behind_it(void **state)
{
	struct fixture f;
	struct answer a;
	struct connect_proxy p;

	(void)state;
	proxy_open(&p, NULL, "");
	fixture_open(&f, true, "127.0.0.1:0", "DNS:other.test", true);
	get(&f, &a, "/x");
	assert_int_equal(a.code, ERR_UNREACHABLE);
	assert_non_null(strstr(a.message, "TLS verification failed"));
	assert_non_null(strstr(a.message, "by the proxy localhost:"));
	fixture_close(&f);
	proxy_close(&p);
}

static void refused(const char *answer, int code, const char *words)
{
	struct fixture f;
	struct answer a;
	struct client c = { 0 };
	struct connect_proxy p;
	char heads[HEAD_CAP + 1];
	char url[256];

	proxy_open(&p, answer, "");
	fixture_open(&f, true, "127.0.0.1:0", "DNS:deployment.test", true);
	get(&f, &a, "/x");
	print_message("%s\n", a.message);
	assert_int_equal(a.code, code);
	assert_non_null(strstr(a.message, words));
	assert_non_null(strstr(a.message, "deployment.test:"));
	assert_non_null(strstr(a.message, "the proxy localhost:"));
	fixture_url(&f, "deployment.test", "/echo", url);
	client_open(&c, &f, CHANNEL_TEXT, url, NULL, 2 * US_PER_S);
	fixture_run(&f, 20);
	assert_int_equal(c.end_code, code);
	assert_int_equal(c.end_status, 0);
	assert_non_null(strstr(c.end_message, words));
	assert_true(heads_seen(&p, heads) > 0);
	fixture_close(&f);
	proxy_close(&p);
}

static void tells_why_it_is_refused(void **state)
{
	(void)state;
	refused("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
		ERR_DENIED, "407 Proxy Authentication Required");
	refused("HTTP/1.1 403 Forbidden\r\n\r\nno", ERR_DENIED,
		"403 Forbidden");
	refused("HTTP/1.0 502 Bad Gateway\r\n\r\n", ERR_UNREACHABLE,
		"502 Bad Gateway");
	refused("SSH-2.0-x\r\n", ERR_PROTOCOL, "SSH-2.0-x");
	refused("\x16\x03", ERR_PROTOCOL, "as a proxy does");
	refused("", ERR_TIMEOUT, "waiting to be let through");
}

static void tells_that_nobody_is_there(void **state)
{
	struct fixture f;
	struct answer a;

	(void)state;
	setenv("HTTPS_PROXY", "http://127.0.0.1:1", 1);
	fixture_open(&f, true, "127.0.0.1:0", NULL, true);
	get(&f, &a, "/x");
	assert_int_equal(a.code, ERR_REFUSED);
	assert_non_null(strstr(a.message, "by the proxy 127.0.0.1:1"));
	fixture_close(&f);
	setenv("HTTPS_PROXY", "http://no-such-proxy.invalid:1", 1);
	fixture_open(&f, true, "127.0.0.1:0", NULL, true);
	get(&f, &a, "/x");
	assert_true(a.code < 0);
	assert_non_null(strstr(a.message, "no-such-proxy.invalid"));
	fixture_close(&f);
	unsetenv("HTTPS_PROXY");
}

static void what_cannot_be_is_refused(void **state)
{
	const struct http_request request = {
		.method = "GET", .url = "https://deployment.test/",
	};
	struct fixture f;
	struct http_call *call;
	struct error error;

	(void)state;
	setenv("HTTPS_PROXY", "https://secret:word@p.test:1", 1);
	fixture_open(&f, true, "127.0.0.1:0", NULL, true);
	assert_int_equal(network_http(io_network(f.io), &request, on_answer,
				      NULL, &call, &error), ERR_DENIED);
	assert_non_null(strstr(error.message, "proxies by https"));
	assert_null(strstr(error.message, "word"));
	fixture_close(&f);
	unsetenv("HTTPS_PROXY");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_goes_through),
		cmocka_unit_test(checks_the_name_behind_it),
		cmocka_unit_test(tells_why_it_is_refused),
		cmocka_unit_test(tells_that_nobody_is_there),
		cmocka_unit_test(what_cannot_be_is_refused),
	};

	alarm(120);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
