#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define TOTAL (10u << 20)

struct side {
	struct setup *setup;
	struct stream *stream;
	size_t sent;
	size_t total;
	size_t received;
	bool ended;		/* end of stream seen */
	bool shut;
	bool slow;		/* consumes a little at a time */
	int failed;
};

struct setup {
	struct io *io;
	bool done;
	struct timer limit;
	struct side sides[2];	/* [0] accepted, [1] connected */
	struct error error;
	int connects;
};

static void on_limit(struct timer *timer)
{
	(void)timer;
	fail_msg("timed out");
}

static void setup_open(struct setup *s)
{
	struct io_config config = { 0 };

	memset(s, 0, sizeof(*s));
	assert_int_equal(io_new(&config, &s->io, NULL), 0);
	s->limit = (struct timer){ .fire = on_limit };
	timer_set(io_loop(s->io), &s->limit,
		  loop_now_us(io_loop(s->io)) + 20 * US_PER_S);
	s->sides[0].setup = s;
	s->sides[1].setup = s;
}

static void setup_close(struct setup *s)
{
	for (int i = 0; i < 2; i++)
		if (s->sides[i].stream)
			stream_close(s->sides[i].stream, false);
	timer_stop(io_loop(s->io), &s->limit);
	io_free(s->io);
}

static void run(struct setup *s)
{
	s->done = false;
	io_run(s->io, &s->done);
}

static void write_more(struct side *side)
{
	uint8_t chunk[40000];

	while (side->sent < side->total) {
		size_t len = side->total - side->sent;
		ssize_t n;

		if (len > sizeof(chunk))
			len = sizeof(chunk);
		for (size_t i = 0; i < len; i++)
			chunk[i] = pattern(side->sent + i);
		n = stream_write(side->stream, chunk, len);
		if (n == ERR_AGAIN)
			return;
		if (n < 0) {
			side->failed = (int)n;
			return;
		}
		side->sent += (size_t)n;
	}
	if (!side->shut) {
		side->shut = true;
		assert_int_equal(stream_shutdown(side->stream), 0);
		assert_int_equal(stream_write(side->stream, "x", 1),
				 ERR_CLOSED);
	}
}

static void read_more(struct side *side)
{
	const uint8_t *data;
	ssize_t n;

	while ((n = stream_peek(side->stream, &data)) > 0) {
		assert_true((size_t)n <= IO_STREAM_BUFFER);
		if (side->slow && n > 1000)
			n = n / 2;
		for (ssize_t i = 0; i < n; i++)
			if (data[i] != pattern(side->received + (size_t)i))
				fail_msg("byte differs");
		side->received += (size_t)n;
		stream_consume(side->stream, (size_t)n);
	}
	if (n == 0)
		side->ended = true;
	else if (n != ERR_AGAIN)
		side->failed = (int)n;
}

static void on_change(struct stream *stream, void *user)
{
	struct side *side = user;
	struct setup *s = side->setup;

	(void)stream;
	read_more(side);
	if (!side->failed)
		write_more(side);
	if (side->failed || (s->sides[0].ended && s->sides[1].ended &&
			     s->sides[0].shut && s->sides[1].shut))
		s->done = true;
}

static void attach(struct side *side, struct stream *stream)
{
	side->stream = stream;
	stream->on_change = on_change;
	stream->user = side;
	on_change(stream, side);
}

static void on_accept(void *user, struct stream *stream)
{
	struct setup *s = user;

	assert_null(s->sides[0].stream);
	attach(&s->sides[0], stream);
}

static void on_connected(void *user, struct stream *stream,
			 const struct error *error)
{
	struct setup *s = user;

	s->connects++;
	if (stream) {
		attach(&s->sides[1], stream);
		return;
	}
	s->error = *error;
	s->done = true;
}

static void exchange_bytes(const char *address, size_t down, size_t up)
{
	struct setup s;
	struct io_listener *listener;
	struct io_connect_op *op;
	char bound[STREAM_ADDRESS_CAP];
	char peer[STREAM_ADDRESS_CAP];
	struct error error;

	setup_open(&s);
	s.sides[0].total = down;
	s.sides[1].total = up;
	s.sides[1].slow = true;
	if (io_listen(s.io, address, on_accept, &s, &listener, bound,
		      &error) < 0)
		fail_msg("%s", error.message);
	assert_int_equal(io_connect(s.io, bound, 0, on_connected, &s, &op,
				    NULL), 0);
	run(&s);
	assert_int_equal(s.sides[0].received, up);
	assert_int_equal(s.sides[1].received, down);
	stream_address(s.sides[1].stream, true, peer);
	assert_string_equal(peer, bound);
	io_listener_close(listener);
	setup_close(&s);
}

static void test_tcp_both_ways(void **state)
{
	(void)state;
	exchange_bytes("127.0.0.1:0", TOTAL, TOTAL);
	exchange_bytes("[::1]:0", 100, 0);
}

/* The end of one direction leaves the other open. */
static void test_half_close(void **state)
{
	(void)state;
	exchange_bytes("localhost:0", 0, TOTAL);
	exchange_bytes("localhost:0", TOTAL, 0);
}

static void test_unix(void **state)
{
	char directory[] = "/tmp/th_io_XXXXXX";
	char address[64];
	struct io_listener *listener;
	struct stat st;
	struct setup s;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(address, sizeof(address), "unix:%s/s", directory);
	exchange_bytes(address, TOTAL, 5);
	assert_int_equal(lstat(address + 5, &st), -1);
	setup_open(&s);
	assert_int_equal(io_listen(s.io, address, on_accept, &s, &listener,
				   NULL, NULL), 0);
	assert_int_equal(lstat(address + 5, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(io_listen(s.io, address, on_accept, &s, &listener,
				   NULL, NULL), ERR_CONFLICT);
	setup_close(&s);
	assert_int_equal(lstat(address + 5, &st), -1);
	rmdir(directory);
}

static void test_refused(void **state)
{
	struct setup s;
	struct io_listener *listener;
	struct io_connect_op *op;
	char bound[STREAM_ADDRESS_CAP];

	(void)state;
	setup_open(&s);
	assert_int_equal(io_listen(s.io, "127.0.0.1:0", on_accept, &s,
				   &listener, bound, NULL), 0);
	io_listener_close(listener);
	assert_int_equal(io_connect(s.io, bound, 0, on_connected, &s, &op,
				    NULL), 0);
	run(&s);
	assert_int_equal(s.error.code, ERR_REFUSED);
	assert_non_null(strstr(s.error.message, bound));
	assert_int_equal(io_connect(s.io, "no-such-host.invalid:1", 0,
				    on_connected, &s, &op, NULL), 0);
	run(&s);
	assert_int_not_equal(s.error.code, 0);
	assert_int_equal(io_connect(s.io, "nonsense", 0, on_connected, &s,
				    &op, NULL), ERR_MISUSE);
	setup_close(&s);
}

static void test_cancelled_connect_is_silent(void **state)
{
	struct setup s;
	struct io_connect_op *ops[3];

	(void)state;
	setup_open(&s);
	assert_int_equal(io_connect(s.io, "127.0.0.1:9", 0, on_connected, &s,
				    &ops[0], NULL), 0);
	assert_int_equal(io_connect(s.io, "localhost:9", 0, on_connected, &s,
				    &ops[1], NULL), 0);
	assert_int_equal(io_connect(s.io, "127.0.0.1:9", 0, on_connected, &s,
				    &ops[2], NULL), 0);
	io_connect_cancel(ops[0]);
	io_connect_cancel(ops[1]);
	run(&s);
	assert_int_equal(s.connects, 1);
	setup_close(&s);
}

static void test_abort_resets(void **state)
{
	struct setup s;
	struct io_listener *listener;
	struct io_connect_op *op;
	char bound[STREAM_ADDRESS_CAP];

	(void)state;
	setup_open(&s);
	s.sides[0].total = SIZE_MAX;
	s.sides[1].total = 1;
	assert_int_equal(io_listen(s.io, "127.0.0.1:0", on_accept, &s,
				   &listener, bound, NULL), 0);
	assert_int_equal(io_connect(s.io, bound, 0, on_connected, &s, &op,
				    NULL), 0);
	io_run(s.io, &s.sides[1].shut);
	stream_close(s.sides[1].stream, true);
	s.sides[1].stream = NULL;
	run(&s);
	assert_int_equal(s.sides[0].failed, ERR_RESET);
	setup_close(&s);
}

static void on_stdin(struct stream *stream, void *user)
{
	struct setup *s = user;
	const uint8_t *data;

	if (stream_peek(stream, &data) != ERR_AGAIN)
		s->done = true;
}

/* A full pipe holds the writer up, not the loop; its mode stays. */
static void test_writer_and_stdio(void **state)
{
	struct setup s;
	int in[2], out[2], saved[2];
	size_t got = 0;
	char *text = calloc(1, 300000);
	struct stream *stream;
	const uint8_t *data;

	(void)state;
	fflush(NULL);
	saved[0] = dup(0);
	saved[1] = dup(1);
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	dup2(in[0], 0);
	dup2(out[1], 1);
	setup_open(&s);
	assert_int_equal(io_stdio(s.io, &stream, NULL), 0);
	s.sides[0].stream = stream;
	assert_int_equal(io_writer_write(io_stdout(s.io), text, 300000), 0);
	assert_int_equal(io_writer_write(io_stdout(s.io), text, IO_WRITER_CAP),
			 ERR_LIMIT);
	assert_int_equal(io_writer_dropped(io_stdout(s.io)), IO_WRITER_CAP);
	assert_int_equal(write(in[1], "hello", 5), 5);
	stream->on_change = on_stdin;
	stream->user = &s;
	run(&s);
	assert_int_equal(stream_peek(stream, &data), 5);
	assert_memory_equal(data, "hello", 5);
	assert_false(fcntl(out[1], F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(in[0], F_GETFL) & O_NONBLOCK);
	assert_true(stream_unsent(stream) > 0);
	while (got < 300000) {
		ssize_t n = read(out[0], text, 65536);

		assert_true(n > 0);
		got += (size_t)n;
		io_writer_flush(io_stdout(s.io), 10);
	}
	assert_int_equal(stream_unsent(stream), 0);
	setup_close(&s);
	dup2(saved[0], 0);
	dup2(saved[1], 1);
	for (int i = 0; i < 2; i++) {
		close(in[i]);
		close(out[i]);
		close(saved[i]);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp_both_ways),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_cancelled_connect_is_silent),
		cmocka_unit_test(test_abort_resets),
		cmocka_unit_test(test_writer_and_stdio),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
