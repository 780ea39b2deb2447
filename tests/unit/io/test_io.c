#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "core/io/io.h"

static int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static struct io *new_io(void)
{
	struct io_config config = { 0 };
	struct error error = { 0 };
	struct io *io = NULL;

	if (io_new(&config, &io, &error) < 0)
		fail_msg("%s", error.message);
	return io;
}

static void test_new_and_free_leave_nothing(void **state)
{
	int before;

	(void)state;
	io_free(new_io());
	before = count_descriptors();
	for (int i = 0; i < 100; i++)
		io_free(new_io());
	assert_int_equal(count_descriptors(), before);
}

static void test_bad_ca_file_is_refused(void **state)
{
	struct io_config config = { .ca_file = "/nonexistent/ca.pem" };
	struct error error = { 0 };
	struct io *io = NULL;

	(void)state;
	assert_int_equal(io_new(&config, &io, &error), ERR_NOT_FOUND);
	assert_non_null(strstr(error.message, "/nonexistent/ca.pem"));
	assert_null(io);
}

struct order {
	struct loop *loop;
	struct timer timers[4];
	struct task task;
	char log[16];
	size_t len;
	bool done;
};

static void note(struct order *order, char what)
{
	order->log[order->len++] = what;
}

static void fire_first(struct timer *timer)
{
	struct order *order = timer->user;

	note(order, 'a');
	timer_stop(order->loop, &order->timers[1]);
	timer_set(order->loop, timer, DEADLINE_NONE);
	task_post(order->loop, &order->task);
}

static void fire_never(struct timer *timer)
{
	note(timer->user, 'x');
}

static void fire_third(struct timer *timer)
{
	note(timer->user, 'c');
}

static void fire_last(struct timer *timer)
{
	struct order *order = timer->user;

	note(order, 'd');
	order->done = true;
}

static void run_task(struct task *task)
{
	note(task->user, 't');
}

static void test_timers_fire_in_order(void **state)
{
	struct io *io = new_io();
	struct loop *loop = io_loop(io);
	struct order order = { .loop = loop };
	uint64_t now = loop_now_us(loop);
	void (*const fire[])(struct timer *) = {
		fire_first, fire_never, fire_third, fire_last,
	};

	(void)state;
	order.task = (struct task){ .run = run_task, .user = &order };
	for (int i = 3; i >= 0; i--) {
		order.timers[i].fire = fire[i];
		order.timers[i].user = &order;
		timer_set(loop, &order.timers[i], now + 1000u * (unsigned)i);
	}
	io_run(io, &order.done);
	assert_string_equal(order.log, "atcd");
	assert_true(loop_now_us(loop) >= now + 3000);
	io_free(io);
}

struct pair {
	struct io *io;
	struct watcher watcher;
	int fds[2];
	bool done;
};

static void ready(struct watcher *watcher, unsigned events)
{
	struct pair *pair = watcher->user;
	char byte;

	assert_int_equal(events, WATCH_READ);
	assert_int_equal(read(watcher->fd, &byte, 1), 1);
	watcher_stop(io_loop(pair->io), watcher);
	pair->done = true;
}

static void test_watcher_sees_bytes(void **state)
{
	struct pair pair = { .io = new_io() };

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair.fds), 0);
	pair.watcher = (struct watcher){
		.fd = pair.fds[0], .ready = ready, .user = &pair,
	};
	assert_int_equal(watcher_set(io_loop(pair.io), &pair.watcher,
				     WATCH_READ), 0);
	assert_int_equal(write(pair.fds[1], "x", 1), 1);
	io_run(pair.io, &pair.done);
	io_free(pair.io);
	close(pair.fds[0]);
	close(pair.fds[1]);
}

static void on_signal(void *user, int signo)
{
	assert_int_equal(signo, SIGUSR2);
	io_stop(user);
}

static void test_signal_stops_the_loop(void **state)
{
	struct io *io = new_io();

	(void)state;
	assert_int_equal(io_on_signal(io, on_signal, io), 0);
	raise(SIGUSR2);
	io_run(io, NULL);
	io_free(io);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_and_free_leave_nothing),
		cmocka_unit_test(test_bad_ca_file_is_refused),
		cmocka_unit_test(test_timers_fire_in_order),
		cmocka_unit_test(test_watcher_sees_bytes),
		cmocka_unit_test(test_signal_stops_the_loop),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
