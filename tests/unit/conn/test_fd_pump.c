#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/pipe.h"
#include "core/base/virtual_loop.h"
#include "core/conn/fd_pump.h"

/* near ── pipe ── pump ── socketpair ── fd */
struct fixture {
	struct virtual_loop v;
	struct stream *near;
	struct stream *far;
	struct fd_pump *pump;
	int fd;
	int ended;
};

static void on_end(void *user)
{
	((struct fixture *)user)->ended++;
}

static void run(struct fixture *f)
{
	virtual_loop_run(&f->v, f->v.now_us, NULL);
}

static void set_up(struct fixture *f, size_t cap)
{
	struct stream *ends[2];
	int fds[2];

	memset(f, 0, sizeof(*f));
	virtual_loop_init(&f->v);
	assert_int_equal(pipe_new(&f->v.loop, cap, ends), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
	f->near = ends[0];
	f->far = ends[1];
	f->fd = fds[1];
	assert_int_equal(fd_pump_new(&f->v.loop, f->far, fds[0], fds[0],
				     on_end, f, &f->pump), 0);
}

static void tear_down(struct fixture *f)
{
	fd_pump_free(f->pump);
	stream_close(f->far, false);
	if (f->near)
		stream_close(f->near, false);
	if (f->fd >= 0)
		close(f->fd);
	virtual_loop_clear(&f->v);
}

static void small_messages_pass_both_ways(void **state)
{
	struct fixture f;
	const uint8_t *data;
	char text[8];

	(void)state;
	set_up(&f, 1000);
	stream_write(f.near, "ping", 4);
	run(&f);
	assert_int_equal(read(f.fd, text, sizeof(text)), 4);
	assert_int_equal(write(f.fd, "pong", 4), 4);
	run(&f);
	assert_int_equal(stream_peek(f.near, &data), 4);
	assert_memory_equal(data, "pong", 4);
	tear_down(&f);
}

static void ends_are_passed_on_one_by_one(void **state)
{
	struct fixture f;
	char text[8];

	(void)state;
	set_up(&f, 1000);
	stream_write(f.near, "last", 4);
	stream_shutdown(f.near);
	run(&f);
	assert_int_equal(read(f.fd, text, sizeof(text)), 4);
	assert_int_equal(read(f.fd, text, sizeof(text)), 0);
	assert_int_equal(f.ended, 0);
	shutdown(f.fd, SHUT_WR);
	run(&f);
	assert_int_equal(f.ended, 1);
	tear_down(&f);
}

/* Nobody reads: what is taken is what pipe, pump and socket can hold. */
static void full_descriptor_holds_the_stream(void **state)
{
	static uint8_t block[5000], got[70000];
	struct fixture f;
	size_t taken = 0, read_back = 0;
	ssize_t n;

	(void)state;
	set_up(&f, 10000);
	for (int i = 0; i < 1000; i++) {
		n = stream_write(f.near, block, sizeof(block));
		taken += n > 0 ? (size_t)n : 0;
		run(&f);
	}
	assert_true(taken < 1000000);
	while ((n = read(f.fd, got, sizeof(got))) > 0) {
		read_back += (size_t)n;
		run(&f);
	}
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(read_back, taken);
	tear_down(&f);
}

static void full_stream_holds_the_descriptor(void **state)
{
	static uint8_t block[5000];
	struct fixture f;
	const uint8_t *data;
	size_t taken = 0, read_back = 0;
	ssize_t n;

	(void)state;
	set_up(&f, 10000);
	for (int i = 0; i < 1000; i++) {
		n = write(f.fd, block, sizeof(block));
		taken += n > 0 ? (size_t)n : 0;
		run(&f);
	}
	assert_true(taken < 1000000);
	shutdown(f.fd, SHUT_WR);
	run(&f);
	assert_int_equal(f.ended, 0);
	while ((n = stream_peek(f.near, &data)) > 0) {
		read_back += (size_t)n;
		stream_consume(f.near, (size_t)n);
		run(&f);
	}
	assert_int_equal(read_back, taken);
	assert_int_equal(f.ended, 1);
	tear_down(&f);
}

static void bytes_for_a_reader_that_has_gone_are_dropped(void **state)
{
	static uint8_t block[5000];
	struct fixture f;

	(void)state;
	set_up(&f, 10000);
	close(f.fd);
	f.fd = -1;
	for (int i = 0; i < 100; i++) {
		run(&f);
		assert_int_equal(stream_write(f.near, block, sizeof(block)),
				 sizeof(block));
	}
	assert_int_equal(f.ended, 1);
	tear_down(&f);
}

static void bytes_for_a_stream_that_has_gone_are_dropped(void **state)
{
	static uint8_t block[5000];
	struct fixture f;

	(void)state;
	set_up(&f, 10000);
	stream_close(f.near, false);
	f.near = NULL;
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(write(f.fd, block, sizeof(block)),
				 sizeof(block));
		run(&f);
	}
	assert_int_equal(f.ended, 0);
	assert_int_equal(fd_pump_failure(f.pump), 0);
	tear_down(&f);
}

static void failure_of_the_stream_is_kept(void **state)
{
	struct fixture f;
	char text[8];

	(void)state;
	set_up(&f, 1000);
	stream_close(f.near, true);
	f.near = NULL;
	run(&f);
	assert_int_equal(fd_pump_failure(f.pump), ERR_RESET);
	assert_int_equal(read(f.fd, text, sizeof(text)), 0);
	tear_down(&f);
}

static void pause_stops_one_way_only(void **state)
{
	struct fixture f;
	const uint8_t *data;
	char text[8];

	(void)state;
	set_up(&f, 1000);
	fd_pump_pause(f.pump, true);
	stream_write(f.near, "ping", 4);
	assert_int_equal(write(f.fd, "pong", 4), 4);
	run(&f);
	assert_int_equal(read(f.fd, text, sizeof(text)), -1);
	assert_int_equal(stream_peek(f.near, &data), 4);
	fd_pump_pause(f.pump, false);
	run(&f);
	assert_int_equal(read(f.fd, text, sizeof(text)), 4);
	tear_down(&f);
}

static void drain_needs_no_loop(void **state)
{
	struct fixture f;
	const uint8_t *data;

	(void)state;
	set_up(&f, 1000);
	assert_int_equal(write(f.fd, "rest", 4), 4);
	fd_pump_drain(f.pump);
	assert_int_equal(stream_peek(f.near, &data), 4);
	tear_down(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_messages_pass_both_ways),
		cmocka_unit_test(ends_are_passed_on_one_by_one),
		cmocka_unit_test(full_descriptor_holds_the_stream),
		cmocka_unit_test(full_stream_holds_the_descriptor),
		cmocka_unit_test(bytes_for_a_reader_that_has_gone_are_dropped),
		cmocka_unit_test(bytes_for_a_stream_that_has_gone_are_dropped),
		cmocka_unit_test(failure_of_the_stream_is_kept),
		cmocka_unit_test(pause_stops_one_way_only),
		cmocka_unit_test(drain_needs_no_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
