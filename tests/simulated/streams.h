/* tests/simulated/streams.h: what the tests put at the ends of streams. */
#ifndef TUNNELHOST_TESTS_STREAMS_H
#define TUNNELHOST_TESTS_STREAMS_H

#include "core/simulate/simulate.h"

/* Sends back what comes, and the end after it. Frees itself. */
simulation_port echo_port;

/* Sends `len` random bytes and reads as many back. */
struct transfer {
	struct stream *stream;
	uint8_t *out;
	uint8_t *in;
	size_t len;
	size_t sent;
	size_t got;
	bool done;		/* all is back, or it failed */
	int err;		/* of the failure */
};

/* Owns the stream until transfer_clear(), which closes it. */
void transfer_init(struct transfer *transfer, struct stream *stream,
		   struct rng *rng, size_t len);
bool transfer_is_right(const struct transfer *transfer);
void transfer_clear(struct transfer *transfer);

/* Writes `text`, then reads to the end of the stream. */
struct reading {
	struct stream *stream;
	char text[8192];
	size_t len;
	size_t total;		/* also of what did not fit */
	bool done;
	int err;
};
void reading_init(struct reading *reading, struct stream *stream,
		  const char *text);

#endif
