/* Names, addresses, and news of changes, in a network of the test's own. */
#include "fixture.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

static struct io *start_io(void)
{
	struct io_config config = { 0 };
	struct io *io;

	assert_int_equal(io_new(&config, &io, NULL), 0);
	return io;
}

struct found {
	int err;
	size_t count;
	struct endpoint first;
	bool done;
};

static void on_resolved(void *user, int err, const struct endpoint *endpoints,
			size_t count)
{
	struct found *answer = user;

	answer->err = err;
	answer->count = count;
	if (count)
		answer->first = endpoints[0];
	answer->done = true;
}

static void test_numeric_name(void **state)
{
	struct io *io = start_io();
	struct found answer = { 0 };
	struct network_lookup *lookup;
	char text[ENDPOINT_TEXT_CAP];

	(void)state;
	assert_int_equal(network_resolve(io_network(io), "192.0.2.7",
					 on_resolved, &answer, &lookup), 0);
	assert_int_equal(io_run(io, &answer.done), 0);
	assert_int_equal(answer.err, 0);
	assert_int_equal(answer.count, 1);
	endpoint_format(&answer.first, text);
	assert_string_equal(text, "192.0.2.7:0");
	io_free(io);
}

static void test_cancelled_and_forgotten_lookups(void **state)
{
	struct io *io = start_io();
	struct found answer = { 0 };
	struct network_lookup *lookup;

	(void)state;
	assert_int_equal(network_resolve(io_network(io), "localhost",
					 on_resolved, &answer, &lookup), 0);
	network_resolve_cancel(io_network(io), lookup);
	assert_int_equal(network_resolve(io_network(io), "localhost",
					 on_resolved, &answer, &lookup), 0);
	io_free(io);
	assert_false(answer.done);
}

struct listener {
	struct network_monitor monitor;
	struct io *io;
	bool done;
};

static void on_change(struct network_monitor *monitor)
{
	struct listener *listener = monitor->user;

	network_monitor_remove(io_network(listener->io), monitor);
	listener->done = true;
}

static void loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
	request.ifr_flags |= IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
}

static void test_a_change_is_told(void **state)
{
	struct listener listener = { .monitor = { .changed = on_change } };
	struct endpoint addresses[8];
	struct io *io;

	(void)state;
	if (unshare(CLONE_NEWNET) < 0 &&
	    unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		skip();
	io = start_io();
	listener.io = io;
	listener.monitor.user = &listener;
	assert_int_equal(network_local_addresses(io_network(io), addresses, 8),
			 0);
	assert_int_equal(network_monitor_add(io_network(io),
					     &listener.monitor), 0);
	loopback_up();
	assert_int_equal(io_run(io, &listener.done), 0);
	assert_true(network_local_addresses(io_network(io), addresses, 8) > 0);
	assert_int_equal(addresses[0].address[12], 127);
	io_free(io);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numeric_name),
		cmocka_unit_test(test_cancelled_and_forgotten_lookups),
		cmocka_unit_test(test_a_change_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
