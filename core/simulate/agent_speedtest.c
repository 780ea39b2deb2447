/*
 * The agent's speedtest (tailscale.com net/speedtest): one JSON line, an
 * answer, and then data one way for the time asked for.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/jread.h"
#include "core/simulate/simulate_private.h"

#define CONFIG_CAP 1024
#define TIME_CAP_US (60 * US_PER_S)
#define BLOCK_LEN (64 * 1024)
#define VERSION 2

struct speedtest {
	struct flow flow;
	struct stream *stream;
	bool configured;
	bool sends;
	struct timer end;
	uint8_t *block;
};

static void speedtest_free(struct speedtest *test, bool abort)
{
	timer_stop(test->flow.agent->sim->config.loop, &test->end);
	stream_close(test->stream, abort);
	flow_end(&test->flow);
	free(test->block);
	free(test);
}

static void speedtest_close(struct flow *flow)
{
	speedtest_free(container_of(flow, struct speedtest, flow), true);
}

static void say(struct speedtest *test, const char *text)
{
	(void)stream_write(test->stream, text, strlen(text));
}

static int read_config(struct speedtest *test, const uint8_t *data, size_t len)
{
	int64_t version = 0, direction = 0, time_ns = 0;
	struct jread read = { .code = 0 };
	struct jplace root;
	json_t *value;
	struct loop *loop = test->flow.agent->sim->config.loop;
	uint64_t time_us;

	if (jread_parse(data, len, CONFIG_CAP, &value, NULL) < 0)
		return ERR_PROTOCOL;
	root = jread_root(&read, value);
	jread_integer(&root, "version", JREAD_REQUIRED, 0, 1000, &version);
	jread_integer(&root, "direction", JREAD_OPTIONAL, 0, 1, &direction);
	jread_integer(&root, "time", JREAD_REQUIRED, 0, INT64_MAX, &time_ns);
	json_decref(value);
	if (jread_code(&read) < 0 || version != VERSION)
		return ERR_PROTOCOL;
	test->configured = true;
	test->sends = direction == 0;
	time_us = (uint64_t)time_ns / 1000;
	timer_set(loop, &test->end,
		  loop_now_us(loop) +
			  (time_us < TIME_CAP_US ? time_us : TIME_CAP_US) +
			  (test->sends ? 0 : 5 * US_PER_S));
	return 0;
}

static void send_blocks(struct speedtest *test)
{
	while (stream_write(test->stream, test->block, BLOCK_LEN) > 0)
		;
}

/* True: the line was read. Frees the test when it is no good. */
static bool configure(struct speedtest *test)
{
	const uint8_t *data, *end;
	ssize_t len = stream_peek(test->stream, &data);
	size_t line;

	if (len == ERR_AGAIN)
		return false;
	end = len > 0 ? memchr(data, '\n', (size_t)len) : NULL;
	if (len > 0 && !end && len < CONFIG_CAP)
		return false;
	line = end ? (size_t)(end - data) + 1 : 0;
	if (!end || read_config(test, data, line) < 0) {
		say(test, "{\"error\":\"version mismatch or bad config\"}\n");
		speedtest_free(test, false);
		return false;
	}
	stream_consume(test->stream, line);
	say(test, "{}\n");
	return true;
}

static void receive(struct speedtest *test)
{
	const uint8_t *data;
	ssize_t len;

	while ((len = stream_peek(test->stream, &data)) > 0)
		stream_consume(test->stream, (size_t)len);
	if (len != ERR_AGAIN)
		speedtest_free(test, false);
}

static void changed(struct stream *stream, void *user)
{
	struct speedtest *test = user;

	(void)stream;
	if (!test->configured && !configure(test))
		return;
	if (test->sends)
		send_blocks(test);
	else
		receive(test);
}

static void time_is_up(struct timer *timer)
{
	speedtest_free(timer->user, false);
}

void speedtest_serve(struct agent *agent, struct stream *stream)
{
	struct speedtest *test = calloc(1, sizeof(*test));
	uint8_t *block = malloc(BLOCK_LEN);

	if (!test || !block) {
		free(test);
		free(block);
		stream_close(stream, true);
		return;
	}
	rng_bytes(agent->sim->config.rng, block, BLOCK_LEN);
	test->stream = stream;
	test->block = block;
	test->end = (struct timer){ .fire = time_is_up, .user = test };
	stream->on_change = changed;
	stream->user = test;
	flow_begin(&test->flow, agent, speedtest_close);
}
