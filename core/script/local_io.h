/*
 * core/script/local_io.h: core/io's local sockets, as scripts use them.
 *
 * And a write-only stream over one of core/io's bounded writers, for
 * io.stderr (script_config.diagnostics).
 */
#ifndef TUNNELHOST_SCRIPT_LOCAL_IO_H
#define TUNNELHOST_SCRIPT_LOCAL_IO_H

#include "core/script/script.h"

struct io;
struct io_writer;

/* 0 or ERR_NOMEM; borrows io; freed after all scripts that use it. */
int script_local_io_new(struct io *io, struct script_local **out);
void script_local_io_free(struct script_local *local);

/* An owned stream that writes to `writer` (borrowed) and reads nothing. */
int script_writer_stream(struct loop *loop, struct io_writer *writer,
			 const char *name, struct stream **out);

#endif
