#include "tests/unit/simulate/ssh_pair.h"

/* --- a handler that only writes: what a script's on_exec will be --- */

#define FLOOD (64u * 1024 * 1024)

struct source {
	struct sshd_channel *channel;
	bool flood;		/* both streams, up to FLOOD bytes each */
	size_t written[2];
	int closed;
	int refuse;
};

static struct source source;

static void pour(struct stream *stream, size_t *count)
{
	static const uint8_t block[10000];
	ssize_t put;

	while (*count < FLOOD &&
	       (put = stream_write(stream, block, sizeof(block))) > 0)
		*count += (size_t)put;
}

static void pour_both(struct stream *stream, void *user)
{
	(void)stream;
	(void)user;
	if (!source.flood)
		return;
	pour(sshd_channel_stream(source.channel), &source.written[0]);
	pour(sshd_channel_stderr(source.channel), &source.written[1]);
}

static int source_start(void *context, struct sshd_channel *channel,
			const struct sshd_request *request, void **run)
{
	(void)context;
	(void)request;
	if (source.refuse)
		return source.refuse;
	source.channel = channel;
	sshd_channel_stream(channel)->on_change = pour_both;
	sshd_channel_stderr(channel)->on_change = pour_both;
	pour_both(NULL, NULL);
	*run = &source;
	return 0;
}

static void source_close(void *run)
{
	((struct source *)run)->closed++;
}

static const struct sshd_handler source_handler = {
	.start = source_start,
	.on_close = source_close,
};

static void open_source(struct pair *p, bool flood)
{
	source = (struct source){ .flood = flood };
	pair_open_with(p, &source_handler);
}

/* --- sessions that fail --- */

struct lonely {
	struct pair p;
	struct stream *peer;
};

static void open_lonely(struct lonely *l)
{
	struct stream *ends[2];

	memset(l, 0, sizeof(*l));
	virtual_loop_init(&l->p.v);
	assert_int_equal(pipe_new(&l->p.v.loop, PIPE_CAP, ends), 0);
	assert_int_equal(sshc_open(&l->p.v.loop, ends[0], NULL, &pair_events,
				   &l->p, &l->p.sshc), 0);
	l->peer = ends[1];
}

static void close_lonely(struct lonely *l)
{
	sshc_close(l->p.sshc);
	if (l->peer)
		stream_close(l->peer, false);
	virtual_loop_clear(&l->p.v);
}

static void expect_end(struct lonely *l, int code)
{
	struct client c;

	client_exec(&l->p, &c, "true");
	spin_for(&l->p, NULL, 0.05);
	assert_int_equal(l->p.end_count, 1);
	assert_int_equal(l->p.end.code, code);
	assert_true(strlen(l->p.end.message) > 5);
	assert_false(l->p.ready);
	assert_int_equal(c.failed, 1);
	assert_int_equal(c.error.code, code);
	assert_int_equal(stream_write(c.out, "x", 1), code);
	client_clear(&c);
	assert_int_equal(sshc_channel_open(l->p.sshc,
					   &(struct sshc_request){
						   .kind = SSHC_SHELL },
					   &client_events, &c, &c.channel),
			 ERR_CLOSED);
	close_lonely(l);
}

static void garbage_is_a_protocol_error(void **state)
{
	static const char garbage[] =
		"SSH-1.5-old\r\nGET / HTTP/1.1\r\n\r\n\0\1\2\3\4";
	struct lonely l;

	(void)state;
	open_lonely(&l);
	stream_write(l.peer, garbage, sizeof(garbage));
	expect_end(&l, ERR_PROTOCOL);
}

static void endless_banner_is_a_protocol_error(void **state)
{
	struct lonely l;

	(void)state;
	open_lonely(&l);
	for (int i = 0; i < 20000; i++)
		stream_write(l.peer, "0123456789", 10);
	expect_end(&l, ERR_PROTOCOL);
}

static void garbage_after_the_banner_is_a_protocol_error(void **state)
{
	struct lonely l;

	(void)state;
	open_lonely(&l);
	stream_write(l.peer, "SSH-2.0-x\r\n", 11);
	for (int i = 0; i < 100; i++)
		stream_write(l.peer, "\xff\xff\xff\xff", 4);
	expect_end(&l, ERR_PROTOCOL);
}

static void end_before_the_banner_is_closed(void **state)
{
	struct lonely l;

	(void)state;
	open_lonely(&l);
	stream_close(l.peer, false);
	l.peer = NULL;
	expect_end(&l, ERR_CLOSED);
}

static void reset_is_reported_as_such(void **state)
{
	struct lonely l;

	(void)state;
	open_lonely(&l);
	stream_close(l.peer, true);
	l.peer = NULL;
	expect_end(&l, ERR_RESET);
}

static void server_survives_garbage(void **state)
{
	struct stream *ends[2];
	struct pair p;
	struct client c;

	(void)state;
	pair_open(&p);
	assert_int_equal(pipe_new(&p.v.loop, PIPE_CAP, ends), 0);
	assert_int_equal(sshd_accept(p.sshd, ends[1]), 0);
	for (int i = 0; i < 20000; i++)
		stream_write(ends[0], "garbage\n", 8);
	client_exec(&p, &c, "echo still here");
	spin_until(&p, &c.over);
	client_expect(&c, "still here\n", 0);
	assert_int_equal(sshd_connection_count(p.sshd), 1);
	stream_close(ends[0], false);
	client_clear(&c);
	pair_close(&p);
}

/* --- arguments --- */

static void wrong_requests_are_refused(void **state)
{
	struct sshc_env env = { "A", "b" };
	struct sshc_channel *channel;
	struct lonely l;

	(void)state;
	open_lonely(&l);
	assert_int_equal(sshc_channel_open(
		l.p.sshc, &(struct sshc_request){ .kind = SSHC_EXEC },
		&client_events, NULL, &channel), ERR_MISUSE);
	assert_int_equal(sshc_channel_open(
		l.p.sshc, &(struct sshc_request){
			.kind = SSHC_SHELL, .env = &env,
			.env_count = SSHC_ENV_CAP + 1 },
		&client_events, NULL, &channel), ERR_LIMIT);
	for (int i = 0; i < SSHC_CHANNELS_CAP; i++)
		assert_int_equal(sshc_channel_open(
			l.p.sshc, &(struct sshc_request){ .kind = SSHC_SHELL },
			&client_events, NULL, &channel), 0);
	assert_int_equal(sshc_channel_open(
		l.p.sshc, &(struct sshc_request){ .kind = SSHC_SHELL },
		&client_events, NULL, &channel), ERR_LIMIT);
	close_lonely(&l);
}

static void start_that_fails_exits_126(void **state)
{
	struct pair p;
	struct client c;

	(void)state;
	open_source(&p, false);
	source.refuse = ERR_NOMEM;
	client_exec(&p, &c, "anything");
	spin_until(&p, &c.over);
	client_expect(&c, "", 126);
	assert_int_equal(source.closed, 0);
	client_clear(&c);
	pair_close(&p);
}

static void handler_is_closed_once(void **state)
{
	struct pair p;
	struct client c;

	(void)state;
	open_source(&p, false);
	client_exec(&p, &c, "anything");
	spin_for(&p, NULL, 0.05);
	assert_int_equal(source.closed, 0);
	stream_write(sshd_channel_stream(source.channel), "hi", 2);
	sshd_channel_exit_signal(source.channel, "INT");
	assert_int_equal(stream_write(sshd_channel_stream(source.channel), "x",
				      1), ERR_CLOSED);
	spin_until(&p, &c.over);
	client_expect(&c, "hi", -1);
	assert_string_equal(c.signal, "INT");
	spin_for(&p, NULL, 0.05);
	assert_int_equal(source.closed, 1);
	client_clear(&c);
	pair_close(&p);
	assert_int_equal(source.closed, 1);
}

/* --- flow control --- */

static size_t all_written(void)
{
	return source.written[0] + source.written[1];
}

static void nobody_reads_bounds_both(void **state)
{
	struct pair p;
	struct client c;

	(void)state;
	open_source(&p, true);
	client_exec(&p, &c, "flood");
	c.reading = false;
	c.err_ended = true;
	spin_for(&p, NULL, 0.3);
	assert_true(all_written() > 1000000);
	assert_true(all_written() < 6000000);
	client_clear(&c);
	pair_close(&p);
}

/* The one that is read re-opens the window for the other: the cap holds. */
static void reading_one_of_two_is_bounded(void **state)
{
	struct pair p;
	struct client c;
	size_t stuck;

	(void)state;
	open_source(&p, true);
	client_exec(&p, &c, "flood");
	c.reading = false;
	c.keep = false;
	spin_for(&p, NULL, 0.6);
	stuck = all_written();
	assert_true(source.written[0] < 12u * 1024 * 1024);
	spin_for(&p, NULL, 0.3);
	assert_true(source.written[0] < 12u * 1024 * 1024);
	print_message("stdout written %zu, stderr %zu\n", source.written[0],
		      source.written[1]);
	c.reading = true;
	client_read_out(&c);
	spin_for(&p, NULL, 0.3);
	assert_true(all_written() > stuck + 1000000);
	assert_true(source.written[0] >= FLOOD);
	assert_true(source.written[1] >= FLOOD);
	client_clear(&c);
	pair_close(&p);
}

/* A pipe of few bytes: every write of both ends is partial. */
static void narrow_pipe_works(void **state)
{
	struct stream *ends[2];
	struct pair p;
	struct client c;

	(void)state;
	pair_open(&p);
	sshc_close(p.sshc);
	assert_int_equal(pipe_new(&p.v.loop, 7, ends), 0);
	assert_int_equal(sshd_accept(p.sshd, ends[1]), 0);
	assert_int_equal(sshc_open(&p.v.loop, ends[0], NULL, &pair_events, &p,
				   &p.sshc), 0);
	client_exec(&p, &c, "echo foo; exit 2");
	spin_until(&p, &c.over);
	client_expect(&c, "foo\n", 2);
	client_clear(&c);
	pair_close(&p);
}

static void written_before_open_arrives(void **state)
{
	struct pair p;
	struct client c;

	(void)state;
	pair_open(&p);
	client_exec(&p, &c, "cat");
	assert_int_equal(stream_write(c.out, "early", 5), 5);
	assert_int_equal(stream_unsent(c.out), 5);
	assert_int_equal(stream_write(c.err, "x", 1), ERR_CLOSED);
	stream_shutdown(c.out);
	spin_until(&p, &c.over);
	client_expect(&c, "early", 0);
	assert_int_equal(stream_unsent(c.out), 0);
	client_clear(&c);
	pair_close(&p);
}

/* --- callbacks that close --- */

static struct pair *closing;

static void close_session_on_open(void *user)
{
	(void)user;
	sshc_close(closing->sshc);
	closing->sshc = NULL;
}

static void callback_may_close_the_session(void **state)
{
	const struct sshc_channel_events events = {
		.on_open = close_session_on_open };
	struct sshc_channel *channel;
	struct pair p;

	(void)state;
	pair_open(&p);
	closing = &p;
	for (int i = 0; i < 3; i++)
		assert_int_equal(sshc_channel_open(
			p.sshc, &(struct sshc_request){ .kind = SSHC_EXEC,
							.command = "true" },
			&events, NULL, &channel), 0);
	spin_for(&p, NULL, 0.1);
	assert_null(p.sshc);
	assert_int_equal(sshd_connection_count(p.sshd), 0);
	pair_close(&p);
}

/* Closed while the opening is under way: the agent must not keep it. */
static void abandoned_channels_are_closed_at_the_agent(void **state)
{
	struct pair p;
	struct client c;

	(void)state;
	open_source(&p, false);
	while (!p.ready)
		spin_for(&p, &p.ready, 1);
	for (int i = 0; i < SSHD_CHANNELS_CAP + 50; i++) {
		client_exec(&p, &c, "anything");
		loop_run_due(&p.v.loop);
		client_clear(&c);
		spin_for(&p, NULL, 0.001);
	}
	spin_for(&p, NULL, 0.05);
	client_exec(&p, &c, "anything");
	spin_for(&p, NULL, 0.05);
	assert_int_equal(c.opened, 1);
	client_clear(&c);
	pair_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(garbage_is_a_protocol_error),
		cmocka_unit_test(endless_banner_is_a_protocol_error),
		cmocka_unit_test(garbage_after_the_banner_is_a_protocol_error),
		cmocka_unit_test(end_before_the_banner_is_closed),
		cmocka_unit_test(reset_is_reported_as_such),
		cmocka_unit_test(server_survives_garbage),
		cmocka_unit_test(wrong_requests_are_refused),
		cmocka_unit_test(start_that_fails_exits_126),
		cmocka_unit_test(handler_is_closed_once),
		cmocka_unit_test(nobody_reads_bounds_both),
		cmocka_unit_test(reading_one_of_two_is_bounded),
		cmocka_unit_test(narrow_pipe_works),
		cmocka_unit_test(written_before_open_arrives),
		cmocka_unit_test(callback_may_close_the_session),
		cmocka_unit_test(abandoned_channels_are_closed_at_the_agent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
