/*
 * UDP over real sockets. This program has its own sendmsg(), which refuses
 * what a test wants refused.
 */
#include "fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static int refusal;		/* errno, or 0 */
static bool refuse_all;		/* not only with UDP_SEGMENT */
static unsigned refusals;
static unsigned segmented;	/* that came through with UDP_SEGMENT */

__attribute__((visibility("default")))
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	if (refusal && (refuse_all || message->msg_controllen)) {
		refusals++;
		errno = refusal;
		return -1;
	}
	segmented += message->msg_controllen != 0;
	return syscall(SYS_sendmsg, fd, message, flags);
}

struct setup {
	struct io *io;
	bool done;
	struct timer limit;
	struct datagram *from;
	struct datagram *to;
	uint8_t got[200000];
	size_t len;
	size_t expected;
	size_t datagrams;
	struct sockaddr_storage source;
};

static void on_limit(struct timer *timer)
{
	(void)timer;
	fail_msg("timed out");
}

static void on_receive(void *user, const struct sockaddr *from,
		       uint8_t *data, size_t len, size_t segment)
{
	struct setup *s = user;

	assert_true(len <= sizeof(s->got) - s->len);
	memcpy(s->got + s->len, data, len);
	s->len += len;
	s->datagrams += segment ? (len + segment - 1) / segment : 1;
	memcpy(&s->source, from, from->sa_family == AF_INET ?
		       sizeof(struct sockaddr_in) :
		       sizeof(struct sockaddr_in6));
	s->done = s->len >= s->expected;
}

static const struct datagram_events events = { .on_receive = on_receive };

static void setup_open(struct setup *s, const struct sockaddr *to)
{
	struct io_config config = { 0 };
	struct error error;

	memset(s, 0, sizeof(*s));
	assert_int_equal(io_new(&config, &s->io, NULL), 0);
	s->limit = (struct timer){ .fire = on_limit };
	timer_set(io_loop(s->io), &s->limit,
		  loop_now_us(io_loop(s->io)) + 10 * US_PER_S);
	if (network_open_datagram(io_network(s->io), NULL, &events, s,
				  &s->from, &error) < 0 ||
	    network_open_datagram(io_network(s->io), to, &events, s, &s->to,
				  &error) < 0)
		fail_msg("%s", error.message);
}

static uint16_t port_of(struct datagram *datagram)
{
	struct sockaddr_storage address;

	assert_int_equal(datagram->ops->local(datagram, &address), 0);
	return address.ss_family == AF_INET6 ?
		       ((struct sockaddr_in6 *)&address)->sin6_port :
		       ((struct sockaddr_in *)&address)->sin_port;
}

static void batch(const struct sockaddr *bind_to, struct sockaddr *to,
		  size_t len, size_t segment)
{
	struct setup s;
	uint8_t *data = malloc(len);

	setup_open(&s, bind_to);
	if (to->sa_family == AF_INET6)
		((struct sockaddr_in6 *)to)->sin6_port = port_of(s.to);
	else
		((struct sockaddr_in *)to)->sin_port = port_of(s.to);
	for (size_t i = 0; i < len; i++)
		data[i] = pattern(i);
	s.expected = len;
	assert_int_equal(s.from->ops->send(s.from, to, data, len, segment), 0);
	io_run(s.io, &s.done);
	assert_int_equal(s.len, len);
	assert_memory_equal(s.got, data, len);
	assert_int_equal(s.datagrams, (len + segment - 1) / segment);
	assert_int_equal(s.source.ss_family, to->sa_family);
	s.from->ops->close(s.from);
	io_free(s.io);
	free(data);
}

static void test_ipv4(void **state)
{
	struct sockaddr_in loopback = { .sin_family = AF_INET };
	struct sockaddr_in to;

	(void)state;
	loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	to = loopback;
	batch((struct sockaddr *)&loopback, (struct sockaddr *)&to, 100, 100);
	batch((struct sockaddr *)&loopback, (struct sockaddr *)&to,
	      40 * 1280 + 7, 1280);
	batch((struct sockaddr *)&loopback, (struct sockaddr *)&to,
	      100 * 1300, 1300);
	batch(NULL, (struct sockaddr *)&to, 20 * 1280, 1280);
}

static void test_ipv6(void **state)
{
	struct sockaddr_in6 loopback = {
		.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};
	struct sockaddr_in6 to = loopback;

	(void)state;
	batch((struct sockaddr *)&loopback, (struct sockaddr *)&to, 33 * 1400,
	      1400);
	batch(NULL, (struct sockaddr *)&to, 1, 1);
}

static void test_misuse(void **state)
{
	struct setup s;
	struct sockaddr_storage odd = { .ss_family = AF_UNIX };
	struct sockaddr_in to = { .sin_family = AF_INET };

	(void)state;
	setup_open(&s, NULL);
	assert_int_equal(s.from->ops->send(s.from, (struct sockaddr *)&odd,
					   "x", 1, 1), ERR_MISUSE);
	assert_int_equal(s.from->ops->send(s.from, (struct sockaddr *)&to,
					   s.got, 70000, 70000),
			 ERR_TOO_LARGE);
	io_free(s.io);
}

static void send_to_self(struct setup *s, size_t len, size_t segment, int err)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	static uint8_t data[20000];

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	to.sin_port = port_of(s->to);
	s->expected = s->len + len;
	s->done = false;
	assert_int_equal(s->from->ops->send(s->from, (struct sockaddr *)&to,
					    data, len, segment), err);
	if (err == 0)
		io_run(s->io, &s->done);
}

static void refuse(int number, bool all)
{
	refusal = number;
	refuse_all = all;
	refusals = 0;
	segmented = 0;
}

/* A device without checksums: found out once. */
static void test_no_segments(void **state)
{
	struct setup s;

	(void)state;
	setup_open(&s, NULL);
	refuse(EIO, false);
	send_to_self(&s, 10 * 1300 + 5, 1300, 0);
	send_to_self(&s, 10 * 1300, 1300, 0);
	assert_int_equal(refusals, 1);
	assert_int_equal(s.datagrams, 21);
	refuse(0, false);
	send_to_self(&s, 10 * 1300, 1300, 0);
	assert_int_equal(segmented, 0);
	io_free(s.io);
}

/* A narrow path is that one's alone. */
static void test_narrow_path(void **state)
{
	struct setup s;

	(void)state;
	setup_open(&s, NULL);
	refuse(EINVAL, false);
	send_to_self(&s, 10 * 1300, 1300, 0);
	assert_int_equal(refusals, 1);
	refuse(0, false);
	send_to_self(&s, 10 * 1300, 1300, 0);
	assert_int_equal(segmented, 1);
	assert_int_equal(s.datagrams, 20);
	io_free(s.io);
}

static void test_socket_outlives_refusals(void **state)
{
	static const struct {
		int number;
		int err;
	} cases[] = {
		{ EAGAIN, ERR_AGAIN }, { ENOBUFS, ERR_AGAIN },
		{ EMSGSIZE, ERR_TOO_LARGE }, { ENETUNREACH, ERR_UNREACHABLE },
		{ EHOSTUNREACH, ERR_UNREACHABLE }, { EPERM, ERR_DENIED },
	};
	struct setup s;

	(void)state;
	setup_open(&s, NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		refuse(cases[i].number, true);
		send_to_self(&s, 100, 100, cases[i].err);
		send_to_self(&s, 200, 100, cases[i].err);
		assert_int_equal(refusals, 2);
		refuse(0, false);
		send_to_self(&s, 300, 100, 0);
	}
	io_free(s.io);
}

/* The kernel answers by ICMP that nobody is there; it must not matter. */
static void test_nobody_there(void **state)
{
	struct sockaddr_in nobody = { .sin_family = AF_INET };
	struct setup s;
	struct datagram *gone;

	(void)state;
	setup_open(&s, NULL);
	assert_int_equal(network_open_datagram(io_network(s.io), NULL, &events,
					       &s, &gone, NULL), 0);
	nobody.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	nobody.sin_port = port_of(gone);
	gone->ops->close(gone);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(s.from->ops->send(
					 s.from, (struct sockaddr *)&nobody,
					 "x", 1, 0), 0);
		send_to_self(&s, 200, 100, 0);
	}
	io_free(s.io);
}

static void test_chosen_port(void **state)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	struct datagram *again;
	struct setup s;

	(void)state;
	setup_open(&s, NULL);
	any.sin6_port = port_of(s.from);
	assert_int_equal(network_open_datagram(io_network(s.io),
					       (struct sockaddr *)&any,
					       &events, &s, &again, NULL),
			 ERR_CONFLICT);
	s.from->ops->close(s.from);
	assert_int_equal(network_open_datagram(io_network(s.io),
					       (struct sockaddr *)&any,
					       &events, &s, &s.from, NULL),
			 0);
	assert_int_equal(port_of(s.from), any.sin6_port);
	send_to_self(&s, 200, 100, 0);
	io_free(s.io);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_misuse),
		cmocka_unit_test(test_no_segments),
		cmocka_unit_test(test_narrow_path),
		cmocka_unit_test(test_socket_outlives_refusals),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_chosen_port),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
