/*
 * core/conn/speedtest.h: the client's half of an agent's speed test.
 *
 * Owns a stream to the agent's port 3: says what is wanted in a line of JSON,
 * reads the answer, and then sends or receives for the time given. Bytes
 * received are counted as they are taken, bytes sent when they are
 * acknowledged, so that what lies in buffers never counts. Facts:
 * tailscale.com net/speedtest (version 2; a server that refuses answers
 * {"error": …}).
 */
#ifndef TUNNELHOST_CONN_SPEEDTEST_H
#define TUNNELHOST_CONN_SPEEDTEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/loop.h"
#include "core/base/stream.h"

#define SPEEDTEST_PORT 3
#define SPEEDTEST_SAMPLE_US 1000000ull	/* the length of a sample */
#define SPEEDTEST_SAMPLE_CAP 64
#define SPEEDTEST_SECONDS_MAX 60

struct speedtest;

struct speedtest_sample {
	uint64_t start_us;	/* since data could flow */
	uint64_t end_us;
	uint64_t bytes;
};

struct speedtest_result {
	uint64_t bytes;
	uint64_t duration_us;
	struct speedtest_sample samples[SPEEDTEST_SAMPLE_CAP];
	size_t sample_count;
};

/*
 * Once, from the loop. `error` NULL: the whole time was measured. Else
 * ERR_REFUSED (the agent's reason is in it), ERR_PROTOCOL, ERR_TIMEOUT (10 s
 * without an answer or a byte), ERR_CLOSED (it ended before its time) or the
 * stream's failure; `result` holds what was measured until then.
 */
typedef void speedtest_done(void *user, const struct speedtest_result *result,
			    const struct error *error);

struct speedtest_config {
	struct loop *loop;
	bool upload;
	uint64_t duration_us;	/* at most SPEEDTEST_SECONDS_MAX */
	speedtest_done *done;
	void *user;
};

/* Takes the stream, also on failure. 0, ERR_NOMEM or ERR_MISUSE. */
int speedtest_start(const struct speedtest_config *config,
		    struct stream *stream, struct speedtest **out);
/* No callback any more; not after `done`. */
void speedtest_cancel(struct speedtest *test);

#endif
