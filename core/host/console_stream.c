#include "core/host/console_stream.h"

#include <stdio.h>

#include "core/base/list.h"

static ssize_t peek(struct stream *stream, const uint8_t **data)
{
	(void)stream;
	*data = NULL;
	return 0;
}

static void consume(struct stream *stream, size_t len)
{
	(void)stream;
	(void)len;
}

static ssize_t write_text(struct stream *stream, const void *data, size_t len)
{
	struct console_stream *self =
		container_of(stream, struct console_stream, stream);

	console_write(self->console, data, len);
	return (ssize_t)len;
}

static size_t unsent(const struct stream *stream)
{
	(void)stream;
	return 0;
}

static int shut(struct stream *stream)
{
	(void)stream;
	return 0;
}

static void give_up(struct stream *stream, bool abort)
{
	(void)stream;
	(void)abort;
}

static void address(const struct stream *stream, bool peer,
		    char out[STREAM_ADDRESS_CAP])
{
	(void)stream;
	(void)peer;
	snprintf(out, STREAM_ADDRESS_CAP, "stderr");
}

static const struct stream_ops ops = {
	.peek = peek,
	.consume = consume,
	.write = write_text,
	.unsent = unsent,
	.shutdown = shut,
	.close = give_up,
	.address = address,
};

void console_stream_init(struct console_stream *stream,
			 struct console *console)
{
	*stream = (struct console_stream){ .stream = { .ops = &ops },
					   .console = console };
}
