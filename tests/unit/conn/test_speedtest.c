/* The client's half against a scripted agent at the other end of a pipe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/pipe.h"
#include "core/base/virtual_loop.h"
#include "core/conn/speedtest.h"

#define PIPE_CAP 65536

struct scene {
	struct virtual_loop v;
	struct stream *agent;
	struct speedtest *test;
	struct timer feed;
	bool feeding;
	bool done;
	struct speedtest_result result;
	struct error error;
};

static void on_done(void *user, const struct speedtest_result *result,
		    const struct error *error)
{
	struct scene *s = user;

	assert_false(s->done);
	s->done = true;
	s->result = *result;
	if (error)
		s->error = *error;
}

static void run_for(struct scene *s, uint64_t us)
{
	virtual_loop_run(&s->v, s->v.now_us + us, NULL);
}

static void start(struct scene *s, bool upload, uint64_t seconds)
{
	struct speedtest_config config = {
		.upload = upload,
		.duration_us = seconds * US_PER_S,
		.done = on_done,
		.user = s,
	};
	struct stream *ends[2];

	memset(s, 0, sizeof(*s));
	virtual_loop_init(&s->v);
	config.loop = &s->v.loop;
	assert_int_equal(pipe_new(&s->v.loop, PIPE_CAP, ends), 0);
	s->agent = ends[1];
	assert_int_equal(speedtest_start(&config, ends[0], &s->test), 0);
	run_for(s, 1000);
}

static void finish(struct scene *s)
{
	timer_stop(&s->v.loop, &s->feed);
	if (s->agent)
		stream_close(s->agent, true);
	run_for(s, 1000);
	virtual_loop_clear(&s->v);
}

static void say(struct scene *s, const char *text)
{
	assert_int_equal(stream_write(s->agent, text, strlen(text)),
			 strlen(text));
	run_for(s, 1000);
}

static void assert_asked(struct scene *s, const char *line)
{
	const uint8_t *data;
	ssize_t len = stream_peek(s->agent, &data);

	assert_int_equal(len, strlen(line));
	assert_memory_equal(data, line, (size_t)len);
	stream_consume(s->agent, (size_t)len);
}

/* 1,000 bytes a millisecond, either way. */
static void on_feed(struct timer *timer)
{
	struct scene *s = timer->user;
	const uint8_t *data;
	uint8_t block[1000] = { 0 };
	ssize_t len = stream_peek(s->agent, &data);

	if (len > 0)
		stream_consume(s->agent, len < 1000 ? (size_t)len : 1000);
	if (s->feeding)
		(void)stream_write(s->agent, block, sizeof(block));
	timer_set(&s->v.loop, &s->feed, s->v.now_us + 1000);
}

static void feed(struct scene *s, bool feeding)
{
	s->feeding = feeding;
	s->feed = (struct timer){ .fire = on_feed, .user = s };
	timer_set(&s->v.loop, &s->feed, s->v.now_us + 1000);
}

static void test_download(void **state)
{
	struct scene s;

	(void)state;
	start(&s, false, 5);
	assert_asked(&s, "{\"version\":2,\"time\":5000000000,"
			 "\"direction\":0}\n");
	say(&s, "{}\n");
	feed(&s, true);
	run_for(&s, 6 * US_PER_S);
	assert_true(s.done);
	assert_int_equal(s.error.code, 0);
	assert_int_equal(s.result.duration_us, 5 * US_PER_S);
	assert_int_equal(s.result.sample_count, 5);
	assert_in_range(s.result.bytes, 4990000, 5000000);
	assert_in_range(s.result.samples[2].bytes, 999000, 1001000);
	finish(&s);
}

/* The answer and the first data in one piece. */
static void test_download_begins_with_the_answer(void **state)
{
	struct scene s;

	(void)state;
	start(&s, false, 1);
	say(&s, "{}\n12345");
	run_for(&s, 2 * US_PER_S);
	assert_true(s.done);
	assert_int_equal(s.error.code, 0);
	assert_int_equal(s.result.bytes, 5);
	finish(&s);
}

/* What lies in the pipe does not count. */
static void test_upload_counts_what_arrived(void **state)
{
	struct scene s;

	(void)state;
	start(&s, true, 2);
	assert_asked(&s, "{\"version\":2,\"time\":2000000000,"
			 "\"direction\":1}\n");
	say(&s, "{}\n");
	feed(&s, false);
	run_for(&s, 3 * US_PER_S);
	assert_true(s.done);
	assert_int_equal(s.error.code, 0);
	assert_in_range(s.result.bytes, 1990000, 2001000);
	finish(&s);
}

static void test_refused(void **state)
{
	struct scene s;

	(void)state;
	start(&s, false, 1);
	say(&s, "{\"error\":\"test duration must be within 5s and 30s\"}\n");
	assert_true(s.done);
	assert_int_equal(s.error.code, ERR_REFUSED);
	assert_string_equal(s.error.message,
			    "speedtest: refused by the agent: test duration "
			    "must be within 5s and 30s");
	finish(&s);
}

static void test_nonsense(void **state)
{
	static const char *const answers[] = { "no\n", "[]\n", "\n" };
	struct scene s;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		start(&s, false, 1);
		say(&s, answers[i]);
		assert_true(s.done);
		assert_int_equal(s.error.code, ERR_PROTOCOL);
		finish(&s);
	}
	start(&s, false, 1);
	for (int i = 0; i < 60 && !s.done; i++)
		say(&s, "0123456789012345678901234567890123456789"
			"0123456789012345678901234567890123456789");
	assert_int_equal(s.error.code, ERR_PROTOCOL);
	finish(&s);
}

static void test_silence(void **state)
{
	struct scene s;

	(void)state;
	start(&s, false, 30);
	run_for(&s, 9 * US_PER_S);
	assert_false(s.done);
	run_for(&s, 2 * US_PER_S);
	assert_true(s.done);
	assert_int_equal(s.error.code, ERR_TIMEOUT);
	finish(&s);
	start(&s, false, 30);
	say(&s, "{}\n");
	run_for(&s, 11 * US_PER_S);
	assert_true(s.done);
	assert_int_equal(s.error.code, ERR_TIMEOUT);
	finish(&s);
}

static void test_cut_off(void **state)
{
	struct scene s;

	(void)state;
	start(&s, false, 10);
	stream_close(s.agent, false);
	s.agent = NULL;
	run_for(&s, US_PER_S);
	assert_int_equal(s.error.code, ERR_CLOSED);
	finish(&s);
	start(&s, false, 10);
	say(&s, "{}\nabc");
	stream_close(s.agent, false);
	s.agent = NULL;
	run_for(&s, US_PER_S);
	assert_true(s.done);
	assert_int_equal(s.error.code, ERR_CLOSED);
	assert_int_equal(s.result.bytes, 3);
	finish(&s);
	start(&s, false, 10);
	say(&s, "{}\n");
	stream_close(s.agent, true);
	s.agent = NULL;
	run_for(&s, US_PER_S);
	assert_int_equal(s.error.code, ERR_RESET);
	finish(&s);
}

static void test_cancel(void **state)
{
	struct scene s;

	(void)state;
	start(&s, true, 10);
	say(&s, "{}\n");
	speedtest_cancel(s.test);
	run_for(&s, 20 * US_PER_S);
	assert_false(s.done);
	finish(&s);
}

static void test_misuse_closes_the_stream(void **state)
{
	struct speedtest_config config = { .duration_us = 61 * US_PER_S };
	struct speedtest *test;
	struct stream *ends[2];
	struct virtual_loop v;

	(void)state;
	virtual_loop_init(&v);
	config.loop = &v.loop;
	assert_int_equal(pipe_new(&v.loop, PIPE_CAP, ends), 0);
	assert_int_equal(speedtest_start(&config, ends[0], &test), ERR_MISUSE);
	stream_close(ends[1], true);
	virtual_loop_clear(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_download),
		cmocka_unit_test(test_download_begins_with_the_answer),
		cmocka_unit_test(test_upload_counts_what_arrived),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_misuse_closes_the_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
