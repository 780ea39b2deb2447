/*
 * core/script/local_io.h: core/io's local sockets, as scripts use them.
 */
#ifndef TUNNELHOST_SCRIPT_LOCAL_IO_H
#define TUNNELHOST_SCRIPT_LOCAL_IO_H

#include "core/script/script.h"

struct io;

/* 0 or ERR_NOMEM; borrows io; freed after all scripts that use it. */
int script_local_io_new(struct io *io, struct script_local **out);
void script_local_io_free(struct script_local *local);

#endif
