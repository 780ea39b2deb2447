/* A yamux server that echoes whatever streams it is given. */
#include <stddef.h>
#include <stdint.h>

#include "core/tailnet/coordinate/yamux.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

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

/* The first byte says how long the pieces are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct yamux_events events = { on_accept, on_data,
						    on_end };
	struct yamux *yamux;
	const uint8_t *out;
	uint64_t now_us = 0;
	size_t piece;

	if (len == 0 ||
	    yamux_new(YAMUX_SERVER, &events, NULL, 0, &yamux) < 0)
		return 0;
	piece = 1 + data[0];
	for (size_t at = 1; at < len; at += piece) {
		size_t part = len - at < piece ? len - at : piece;

		now_us += US_PER_S;
		if (yamux_in(yamux, data + at, part, now_us, NULL) < 0)
			break;
		if (yamux_next_deadline(yamux) <= now_us)
			(void)yamux_tick(yamux, now_us, NULL);
		yamux_sent(yamux, yamux_output(yamux, &out) / 2, now_us);
	}
	yamux_free(yamux);
	return 0;
}
