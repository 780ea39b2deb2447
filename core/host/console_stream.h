/* core/host/console_stream.h: the console as a stream to write to. */
#ifndef TUNNELHOST_HOST_CONSOLE_STREAM_H
#define TUNNELHOST_HOST_CONSOLE_STREAM_H

#include "core/base/stream.h"
#include "core/host/console.h"

struct console_stream {
	struct stream stream;
	struct console *console;
};

void console_stream_init(struct console_stream *stream,
			 struct console *console);

#endif
