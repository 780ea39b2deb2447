#include "tests/unit/base/test.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/rng.h"
#include "core/tailnet/coordinate/yamux.h"
#include "tests/unit/coordinate/vectors.h"

/* One end, with what came on its streams. */
struct end {
	struct yamux *yamux;
	struct yamux_stream *accepted;
	struct buf received;
	unsigned accepts, ends;
	int end_err;
	bool refuse;
	bool echo;
	bool close_at_end;
};

static bool on_accept(void *user, struct yamux_stream *stream)
{
	struct end *end = user;

	end->accepts++;
	end->accepted = stream;
	return !end->refuse;
}

static void on_data(void *user, struct yamux_stream *stream,
		    const uint8_t *data, size_t len)
{
	struct end *end = user;

	assert_int_equal(buf_append(&end->received, data, len), 0);
	if (end->echo)
		assert_int_equal(yamux_write(stream, data, len), 0);
}

static void on_end(void *user, struct yamux_stream *stream, int err)
{
	struct end *end = user;

	end->ends++;
	end->end_err = err;
	if (end->close_at_end)
		yamux_close(stream);
}

static const struct yamux_events events = { on_accept, on_data, on_end };

static void end_init(struct end *end, enum yamux_role role)
{
	*end = (struct end){ .yamux = NULL };
	buf_init(&end->received, 64u << 20);
	assert_int_equal(yamux_new(role, &events, end, 0, &end->yamux), 0);
}

static void end_clear(struct end *end)
{
	yamux_free(end->yamux);
	buf_clear(&end->received);
}

/* Moves up to `most` bytes in random pieces; how many moved. */
static size_t move(struct end *from, struct end *to, struct rng *rng,
		   size_t most, uint64_t now_us)
{
	size_t moved = 0;
	const uint8_t *data;
	size_t len;

	while (moved < most && (len = yamux_output(from->yamux, &data)) > 0) {
		size_t part = 1 + rng_below(rng, 3000);

		part = part < len ? part : len;
		assert_int_equal(yamux_in(to->yamux, data, part, now_us, NULL),
				 0);
		yamux_sent(from->yamux, part, now_us);
		moved += part;
	}
	return moved;
}

static void settle(struct end *a, struct end *b, struct rng *rng)
{
	while (move(a, b, rng, SIZE_MAX, 0) + move(b, a, rng, SIZE_MAX, 0) > 0)
		;
}

static void expect_output(struct end *end, const char *hex)
{
	struct bytes wanted = unhex(hex);
	const uint8_t *data;

	assert_int_equal(yamux_output(end->yamux, &data), wanted.len);
	assert_memory_equal(data, wanted.data, wanted.len);
	yamux_sent(end->yamux, wanted.len, 0);
}

static int give(struct end *end, const char *hex)
{
	struct bytes bytes = unhex(hex);
	int err = 0;

	for (size_t i = 0; i < bytes.len && err == 0; i++)
		err = yamux_in(end->yamux, bytes.data + i, 1, 0, NULL);
	return err;
}

static void test_bytes_on_the_wire(void **state)
{
	struct yamux_stream *stream;
	struct end client, server;

	(void)state;
	end_init(&client, YAMUX_CLIENT);
	end_init(&server, YAMUX_SERVER);
	assert_int_equal(yamux_open(client.yamux, NULL, &stream), 0);
	assert_int_equal(yamux_stream_id(stream), 1);
	expect_output(&client, "000100010000000100000000");
	assert_int_equal(yamux_write(stream, "hi", 2), 0);
	expect_output(&client, "0000000000000001000000026869");
	assert_int_equal(give(&server, "000100010000000100000000"), 0);
	assert_int_equal(server.accepts, 1);
	expect_output(&server, "000100020000000100000000");
	assert_int_equal(give(&client, "000100020000000100000000"), 0);
	/* A ping is answered with its value. */
	assert_int_equal(give(&client, "000200010000000000000007"), 0);
	expect_output(&client, "000200020000000000000007");
	yamux_close(stream);
	expect_output(&client, "000100040000000100000000");
	assert_int_equal(yamux_stream_count(client.yamux), 1);
	assert_int_equal(give(&client, "000100040000000100000000"), 0);
	assert_int_equal(yamux_stream_count(client.yamux), 0);
	yamux_go_away(server.yamux);
	expect_output(&server, "000300000000000000000000");
	assert_int_equal(give(&client, "000300000000000000000000"), 0);
	assert_int_equal(yamux_open(client.yamux, NULL, &stream), ERR_CLOSED);
	end_clear(&client);
	end_clear(&server);
}

/* More than a window both ways at once, cut anywhere. */
static void test_windows_carry_large_data(void **state)
{
	const size_t len = 3u << 20;
	struct yamux_stream *stream;
	struct end client, server;
	uint8_t *data = malloc(len);
	struct rng rng;

	(void)state;
	rng_seeded(&rng, 42);
	rng_bytes(&rng, data, len);
	end_init(&client, YAMUX_CLIENT);
	end_init(&server, YAMUX_SERVER);
	server.echo = true;
	assert_int_equal(yamux_open(client.yamux, NULL, &stream), 0);
	assert_int_equal(yamux_write(stream, data, len), 0);
	yamux_close(stream);
	settle(&client, &server, &rng);
	assert_int_equal(server.received.len, len);
	assert_memory_equal(buf_data(&server.received), data, len);
	assert_int_equal(server.ends, 1);
	/* The client had closed: the echo was dropped, not kept. */
	yamux_close(server.accepted);
	settle(&client, &server, &rng);
	assert_int_equal(yamux_stream_count(client.yamux), 0);
	assert_int_equal(yamux_stream_count(server.yamux), 0);
	free(data);
	end_clear(&client);
	end_clear(&server);
}

static void test_window_exhaustion_holds_data(void **state)
{
	uint8_t block[YAMUX_WINDOW + 100] = { 0 };
	struct yamux_stream *stream;
	const uint8_t *data;
	struct end client;
	size_t sent = 0, len;

	(void)state;
	end_init(&client, YAMUX_CLIENT);
	assert_int_equal(yamux_open(client.yamux, NULL, &stream), 0);
	yamux_sent(client.yamux, YAMUX_HEADER_LEN, 0);
	assert_int_equal(yamux_write(stream, block, sizeof(block)), 0);
	while ((len = yamux_output(client.yamux, &data)) > 0) {
		sent += len;
		yamux_sent(client.yamux, len, 0);
	}
	/* 256 KiB and their headers; the last 100 bytes wait. */
	assert_in_range(sent, YAMUX_WINDOW, YAMUX_WINDOW + 20 * 12);
	assert_int_equal(give(&client, "00010000000000010000000a"), 0);
	assert_int_equal(yamux_output(client.yamux, &data), 12 + 10);
	yamux_sent(client.yamux, 22, 0);
	assert_int_equal(give(&client, "000100000000000100001000"), 0);
	assert_int_equal(yamux_output(client.yamux, &data), 12 + 90);
	end_clear(&client);
}

static void test_hostile_frames(void **state)
{
	static const char *const hostile[] = {
		"000000010000000180000000",	/* 2 GiB */
		"000000000000000900040001",	/* more than any window */
		"010000000000000100000000",	/* version */
		"000400000000000100000000",	/* type */
		"000100010000000000000000",	/* stream 0 */
		"000100010000000200000000",	/* our parity */
		"000100010000000100000000"
		"000100010000000100000000",	/* the id again, alive */
		"000100010000000300000000"
		"000100010000000100000000",	/* falling ids */
		"000100010000000100000000"
		"0001000000000001ffffffff",	/* window beyond 4 GiB */
		"000100010000000100000000"
		"000100040000000100000000"
		"000100040000000100000000",	/* second FIN */
		"000100010000000100000000"
		"000100040000000100000000"
		"00000000000000010000000161",	/* data after FIN */
		"000300000000000000000001",	/* go away: protocol */
		"000300000000000000000009",	/* go away: unknown */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(hostile) / sizeof(*hostile); i++) {
		struct error error = { .code = 0 };
		struct end server;
		int err;

		end_init(&server, YAMUX_SERVER);
		err = give(&server, hostile[i]);
		assert_true(err == ERR_PROTOCOL || err == ERR_CLOSED);
		/* It stays ended, and says why. */
		assert_int_equal(yamux_in(server.yamux, "x", 1, 0, &error),
				 err);
		assert_int_equal(error.code, err);
		assert_memory_equal(error.message, "yamux: ", 7);
		assert_int_equal(yamux_next_deadline(server.yamux),
				 DEADLINE_NONE);
		end_clear(&server);
	}
}

/* A stream id may not come back after its stream has died either. */
static void test_stream_id_reuse(void **state)
{
	struct end server;

	(void)state;
	end_init(&server, YAMUX_SERVER);
	assert_int_equal(give(&server, "000100010000000100000000"), 0);
	yamux_reset(server.accepted);
	assert_int_equal(yamux_stream_count(server.yamux), 0);
	/* Late data is dropped. */
	assert_int_equal(give(&server, "00000000000000010000000161"), 0);
	assert_int_equal(server.received.len, 0);
	assert_int_equal(give(&server, "000100010000000100000000"),
			 ERR_PROTOCOL);
	end_clear(&server);
}

static void test_refusing_and_the_stream_cap(void **state)
{
	struct yamux_stream *streams[YAMUX_STREAM_CAP], *more;
	struct end client, server;
	struct rng rng;

	(void)state;
	rng_seeded(&rng, 3);
	end_init(&client, YAMUX_CLIENT);
	end_init(&server, YAMUX_SERVER);
	server.refuse = true;
	assert_int_equal(yamux_open(client.yamux, NULL, &more), 0);
	settle(&client, &server, &rng);
	assert_int_equal(client.ends, 1);
	assert_int_equal(client.end_err, ERR_RESET);
	assert_int_equal(yamux_write(more, "x", 1), ERR_RESET);
	yamux_close(more);
	assert_int_equal(yamux_stream_count(client.yamux), 0);
	assert_int_equal(yamux_stream_count(server.yamux), 0);
	server.refuse = false;
	for (size_t i = 0; i < YAMUX_STREAM_CAP; i++)
		assert_int_equal(yamux_open(client.yamux, NULL, &streams[i]),
				 0);
	assert_int_equal(yamux_open(client.yamux, NULL, &more), ERR_LIMIT);
	settle(&client, &server, &rng);
	assert_int_equal(yamux_stream_count(server.yamux), YAMUX_STREAM_CAP);
	end_clear(&client);
	end_clear(&server);
}

static void test_fin_with_data(void **state)
{
	struct end server;

	(void)state;
	end_init(&server, YAMUX_SERVER);
	/* SYN and FIN on a data frame of two bytes. */
	assert_int_equal(give(&server, "0000000500000001000000026869"), 0);
	assert_int_equal(server.received.len, 2);
	assert_int_equal(server.ends, 1);
	assert_int_equal(server.end_err, 0);
	end_clear(&server);
}

/* Found by the yamux fuzz target: what a cut may not change. */
static void test_cuts_change_nothing(void **state)
{
	/* SYN and FIN, data behind it, and a stream that lives. */
	struct bytes wire = unhex("000000050000000100000000"
				  "000000000000000100000002" "7a7a"
				  "000100010000000300000000"
				  "000000040000000300000003" "616263");

	(void)state;
	for (size_t cut = 0; cut <= wire.len; cut++) {
		struct end server;

		end_init(&server, YAMUX_SERVER);
		server.close_at_end = true;
		assert_int_equal(yamux_in(server.yamux, wire.data, cut, 0,
					  NULL), 0);
		assert_int_equal(yamux_in(server.yamux, wire.data + cut,
					  wire.len - cut, 0, NULL), 0);
		assert_int_equal(server.accepts, 2);
		assert_int_equal(server.ends, 2);
		assert_int_equal(server.received.len, 3);
		assert_int_equal(yamux_stream_count(server.yamux), 0);
		end_clear(&server);
	}
}

static void test_keepalive(void **state)
{
	struct end client;
	uint64_t deadline;

	(void)state;
	end_init(&client, YAMUX_CLIENT);
	deadline = yamux_next_deadline(client.yamux);
	assert_int_equal(deadline, YAMUX_KEEPALIVE_US);
	assert_int_equal(yamux_tick(client.yamux, deadline, NULL), 0);
	expect_output(&client, "000200010000000000000000");
	assert_int_equal(yamux_next_deadline(client.yamux),
			 deadline + YAMUX_WRITE_TIMEOUT_US);
	assert_int_equal(give(&client, "000200020000000000000000"), 0);
	deadline = yamux_next_deadline(client.yamux);
	assert_int_equal(deadline, YAMUX_KEEPALIVE_US); /* give() is at 0 */
	assert_int_equal(yamux_tick(client.yamux, deadline, NULL), 0);
	expect_output(&client, "000200010000000000000001");
	/* A stale answer does not count. */
	assert_int_equal(give(&client, "000200020000000000000000"), 0);
	deadline = yamux_next_deadline(client.yamux);
	assert_int_equal(yamux_tick(client.yamux, deadline, NULL),
			 ERR_TIMEOUT);
	end_clear(&client);
}

static void test_write_open_and_close_timeouts(void **state)
{
	struct yamux_stream *stream;
	const uint8_t *data;
	struct end client;

	(void)state;
	end_init(&client, YAMUX_CLIENT);
	yamux_set_now(client.yamux, 1000);
	assert_int_equal(yamux_open(client.yamux, NULL, &stream), 0);
	assert_int_equal(yamux_next_deadline(client.yamux),
			 1000 + YAMUX_WRITE_TIMEOUT_US);
	assert_int_equal(yamux_tick(client.yamux,
				    1000 + YAMUX_WRITE_TIMEOUT_US, NULL),
			 ERR_TIMEOUT);
	end_clear(&client);

	end_init(&client, YAMUX_CLIENT);
	assert_int_equal(yamux_open(client.yamux, NULL, &stream), 0);
	expect_output(&client, "000100010000000100000000");
	assert_int_equal(yamux_tick(client.yamux, YAMUX_KEEPALIVE_US, NULL),
			 0);
	assert_int_equal(give(&client, "000200020000000000000000"), 0);
	yamux_sent(client.yamux, yamux_output(client.yamux, &data), 0);
	assert_int_equal(yamux_tick(client.yamux, YAMUX_OPEN_TIMEOUT_US, NULL),
			 ERR_TIMEOUT);
	end_clear(&client);

	end_init(&client, YAMUX_CLIENT);
	assert_int_equal(yamux_open(client.yamux, NULL, &stream), 0);
	assert_int_equal(give(&client, "000100020000000100000000"), 0);
	yamux_close(stream);
	yamux_sent(client.yamux, yamux_output(client.yamux, &data), 0);
	assert_int_equal(yamux_tick(client.yamux, YAMUX_CLOSE_TIMEOUT_US,
				    NULL), 0);
	assert_int_equal(yamux_stream_count(client.yamux), 0);
	end_clear(&client);
}

/* Pings that we cannot answer fast enough end the session, not the memory. */
static void test_ping_flood(void **state)
{
	struct bytes ping = unhex("000200010000000000000001");
	struct end client;
	int err = 0;

	(void)state;
	end_init(&client, YAMUX_CLIENT);
	for (size_t i = 0; i <= YAMUX_OUTPUT_CAP / 12 && err == 0; i++)
		err = yamux_in(client.yamux, ping.data, ping.len, 0, NULL);
	assert_int_equal(err, ERR_LIMIT);
	end_clear(&client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_on_the_wire),
		cmocka_unit_test(test_windows_carry_large_data),
		cmocka_unit_test(test_window_exhaustion_holds_data),
		cmocka_unit_test(test_hostile_frames),
		cmocka_unit_test(test_stream_id_reuse),
		cmocka_unit_test(test_refusing_and_the_stream_cap),
		cmocka_unit_test(test_fin_with_data),
		cmocka_unit_test(test_cuts_change_nothing),
		cmocka_unit_test(test_keepalive),
		cmocka_unit_test(test_write_open_and_close_timeouts),
		cmocka_unit_test(test_ping_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
