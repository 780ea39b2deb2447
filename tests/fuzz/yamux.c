/*
 * A yamux server: what it hears must not depend on how the bytes are cut;
 * then one that echoes whatever streams it is given, while time goes by.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/tailnet/coordinate/yamux.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* --- the listener ------------------------------------------------------- */

static void add(uint64_t *sum, uint64_t value)
{
	*sum = (*sum ^ value) * 0x100000001b3ull;
}

static bool hear_accept(void *user, struct yamux_stream *stream)
{
	add(user, yamux_stream_id(stream));
	return yamux_stream_id(stream) != 13;
}

static void hear_data(void *user, struct yamux_stream *stream,
		      const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		add(user, yamux_stream_id(stream) ^ (uint64_t)data[i] << 32);
}

static void hear_end(void *user, struct yamux_stream *stream, int err)
{
	add(user, yamux_stream_id(stream) ^ (uint64_t)(unsigned)err << 32);
	yamux_close(stream);
}

static uint64_t listen_to(const uint8_t *data, size_t len, size_t piece)
{
	static const struct yamux_events events = { hear_accept, hear_data,
						    hear_end };
	uint64_t sum = 1;
	struct yamux *yamux;
	const uint8_t *out;
	int err = 0;

	if (yamux_new(YAMUX_SERVER, &events, &sum, 0, &yamux) < 0)
		return 0;
	for (size_t at = 0; at < len && err == 0; at += piece)
		err = yamux_in(yamux, data + at,
			       len - at < piece ? len - at : piece, 0, NULL);
	add(&sum, (uint64_t)(unsigned)err);
	add(&sum, yamux_stream_count(yamux));
	add(&sum, yamux_output(yamux, &out));
	yamux_free(yamux);
	return sum;
}

/* --- the echo --------------------------------------------------------- */

static bool on_accept(void *user, struct yamux_stream *stream)
{
	(void)user;
	return yamux_stream_id(stream) != 13;
}

static void on_data(void *user, struct yamux_stream *stream,
		    const uint8_t *data, size_t len)
{
	(void)user;
	if (yamux_write(stream, data, len) == 0 && len && data[0] == 'r')
		yamux_reset(stream);
	else if (len && data[0] == 'c')
		yamux_close(stream);
}

static void on_end(void *user, struct yamux_stream *stream, int err)
{
	(void)user;
	(void)err;
	yamux_close(stream);
}

static void echo(const uint8_t *data, size_t len, size_t piece)
{
	static const struct yamux_events events = { on_accept, on_data,
						    on_end };
	struct yamux *yamux;
	const uint8_t *out;
	uint64_t now_us = 0;

	if (yamux_new(YAMUX_SERVER, &events, NULL, 0, &yamux) < 0)
		return;
	for (size_t at = 0; at < len; at += piece) {
		size_t part = len - at < piece ? len - at : piece;

		now_us += US_PER_S;
		if (yamux_in(yamux, data + at, part, now_us, NULL) < 0)
			break;
		if (yamux_next_deadline(yamux) <= now_us)
			(void)yamux_tick(yamux, now_us, NULL);
		yamux_sent(yamux, yamux_output(yamux, &out) / 2, now_us);
	}
	yamux_free(yamux);
}

/* The first byte says how long the pieces are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t piece;

	if (len < 2)
		return 0;
	piece = 1 + data[0];
	if (listen_to(data + 1, len - 1, len) !=
		    listen_to(data + 1, len - 1, 1) ||
	    listen_to(data + 1, len - 1, len) !=
		    listen_to(data + 1, len - 1, piece))
		abort();
	echo(data + 1, len - 1, piece);
	return 0;
}
