#include "core/conn/speedtest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/jread.h"
#include "core/base/time.h"

#define ANSWER_CAP 4096
#define SILENCE_US (10 * US_PER_S)
#define BLOCK_LEN (64 * 1024)

struct speedtest {
	struct speedtest_config config;
	struct stream *stream;
	struct timer timer;		/* the next sample, or silence */
	uint64_t began_us;		/* 0: the answer is not there yet */
	uint64_t heard_us;		/* when a byte moved last */
	uint64_t written;		/* accepted by the stream */
	uint64_t sampled;		/* bytes in samples */
	struct speedtest_result result;
	uint8_t *block;
};

static uint64_t now_of(const struct speedtest *test)
{
	return loop_now_us(test->config.loop);
}

static void free_test(struct speedtest *test, bool abort)
{
	timer_stop(test->config.loop, &test->timer);
	stream_close(test->stream, abort);
	free(test->block);
	free(test);
}

void speedtest_cancel(struct speedtest *test)
{
	free_test(test, true);
}

/* An upload ends in order, a download by a reset: its sender goes on. */
static void finish(struct speedtest *test, const struct error *error)
{
	speedtest_done *done = test->config.done;
	void *user = test->config.user;
	struct speedtest_result result = test->result;

	free_test(test, error || !test->config.upload);
	done(user, &result, error);
}

static void fail(struct speedtest *test, int code, const char *what)
{
	struct error error;

	error_set(&error, code, "speedtest: %s", what);
	finish(test, &error);
}

/* --- counting --------------------------------------------------------- */

static void count(struct speedtest *test)
{
	uint64_t bytes = test->config.upload ?
				 test->written - stream_unsent(test->stream) :
				 test->written;

	if (bytes == test->result.bytes)
		return;
	test->result.bytes = bytes;
	test->heard_us = now_of(test);
}

static void take_sample(struct speedtest *test, uint64_t end_us)
{
	struct speedtest_result *result = &test->result;
	uint64_t start_us = result->duration_us;

	result->duration_us = end_us;
	if (result->sample_count == SPEEDTEST_SAMPLE_CAP || start_us == end_us)
		return;
	result->samples[result->sample_count++] = (struct speedtest_sample){
		.start_us = start_us,
		.end_us = end_us,
		.bytes = result->bytes - test->sampled,
	};
	test->sampled = result->bytes;
}

static uint64_t sample_deadline(const struct speedtest *test)
{
	uint64_t end = test->result.duration_us + SPEEDTEST_SAMPLE_US;

	return test->began_us + deadline_min(end, test->config.duration_us);
}

static void set_timer(struct speedtest *test)
{
	uint64_t deadline = test->heard_us + SILENCE_US;

	if (test->began_us)
		deadline = deadline_min(deadline, sample_deadline(test));
	timer_set(test->config.loop, &test->timer, deadline);
}

static void on_timer(struct timer *timer)
{
	struct speedtest *test = timer->user;
	uint64_t now = now_of(test);

	count(test);
	if (test->began_us && sample_deadline(test) <= now)
		take_sample(test, now - test->began_us);
	if (test->began_us &&
	    test->result.duration_us >= test->config.duration_us)
		finish(test, NULL);
	else if (test->heard_us + SILENCE_US <= now)
		fail(test, ERR_TIMEOUT,
		     test->began_us ? "no data for 10 s" :
				      "the agent does not answer");
	else
		set_timer(test);
}

/* --- data --------------------------------------------------------------- */

static void ended(struct speedtest *test, ssize_t why)
{
	char what[96];

	if (why < 0) {
		fail(test, (int)why, err_name((int)why));
		return;
	}
	snprintf(what, sizeof(what), "ended by the agent after %.1f s",
		 (double)(now_of(test) - test->began_us) / 1e6);
	fail(test, ERR_CLOSED, what);
}

/* How it ended, or ERR_AGAIN. */
static ssize_t drain(struct speedtest *test)
{
	const uint8_t *data;
	ssize_t len;

	while ((len = stream_peek(test->stream, &data)) > 0) {
		test->written += (uint64_t)len;
		stream_consume(test->stream, (size_t)len);
	}
	return len;
}

static ssize_t fill(struct speedtest *test)
{
	ssize_t len;

	while ((len = stream_write(test->stream, test->block, BLOCK_LEN)) > 0)
		test->written += (uint64_t)len;
	return len;
}

static void move_data(struct speedtest *test)
{
	ssize_t why = test->config.upload ? fill(test) : drain(test);

	count(test);
	if (why != ERR_AGAIN)
		ended(test, why);
}

/* --- the agreement ------------------------------------------------------ */

static int send_request(struct speedtest *test)
{
	char line[128];
	int len = snprintf(line, sizeof(line),
			   "{\"version\":2,\"time\":%" PRIu64
			   ",\"direction\":%d}\n",
			   test->config.duration_us * 1000,
			   test->config.upload ? 1 : 0);

	return stream_write(test->stream, line, (size_t)len) == len ?
		       0 : ERR_CLOSED;
}

/* True: it said yes. Else the test is over. */
static bool take_answer(struct speedtest *test, const uint8_t *line,
			size_t len)
{
	struct jread read = { .code = 0 };
	struct jplace root;
	char reason[256] = "";
	struct error error;
	json_t *value;

	if (jread_parse(line, len, ANSWER_CAP, &value, NULL) < 0) {
		fail(test, ERR_PROTOCOL, "the agent's answer is no JSON");
		return false;
	}
	root = jread_root(&read, value);
	jread_line(&root, "error", JREAD_OPTIONAL, reason, sizeof(reason));
	json_decref(value);
	if (jread_code(&read) < 0) {
		fail(test, ERR_PROTOCOL, "the agent's answer is no object");
		return false;
	}
	if (!reason[0])
		return true;
	error_set(&error, ERR_REFUSED, "speedtest: refused by the agent: %s",
		  reason);
	finish(test, &error);
	return false;
}

static void begin(struct speedtest *test)
{
	test->began_us = test->heard_us = now_of(test);
	test->written = 0;
	set_timer(test);
	move_data(test);
}

static void read_answer(struct speedtest *test)
{
	const uint8_t *data, *end;
	ssize_t len = stream_peek(test->stream, &data);

	if (len == ERR_AGAIN)
		return;
	if (len <= 0) {
		fail(test, len < 0 ? (int)len : ERR_CLOSED,
		     "the agent hung up without an answer");
		return;
	}
	end = memchr(data, '\n', (size_t)len);
	if (!end && len >= ANSWER_CAP)
		fail(test, ERR_PROTOCOL, "the agent's answer is too long");
	if (!end || !take_answer(test, data, (size_t)(end - data)))
		return;
	stream_consume(test->stream, (size_t)(end - data) + 1);
	begin(test);
}

static void on_change(struct stream *stream, void *user)
{
	struct speedtest *test = user;

	(void)stream;
	if (test->began_us)
		move_data(test);
	else
		read_answer(test);
}

static struct speedtest *make(const struct speedtest_config *config,
			      struct stream *stream)
{
	struct speedtest *test = calloc(1, sizeof(*test));

	if (!test)
		return NULL;
	test->config = *config;
	test->stream = stream;
	test->block = config->upload ? calloc(1, BLOCK_LEN) : NULL;
	test->timer = (struct timer){ .fire = on_timer, .user = test };
	if (!config->upload || test->block)
		return test;
	free(test);
	return NULL;
}

int speedtest_start(const struct speedtest_config *config,
		    struct stream *stream, struct speedtest **out)
{
	struct speedtest *test = NULL;
	int err = ERR_MISUSE;

	if (config->duration_us > 0 &&
	    config->duration_us <= SPEEDTEST_SECONDS_MAX * US_PER_S) {
		test = make(config, stream);
		err = test ? send_request(test) : ERR_NOMEM;
	}
	if (err < 0) {
		if (test)
			free_test(test, true);
		else
			stream_close(stream, true);
		return err;
	}
	stream->on_change = on_change;
	stream->user = test;
	test->heard_us = now_of(test);
	set_timer(test);
	*out = test;
	return 0;
}
