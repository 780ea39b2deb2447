/*
 * core/io/fdstream.h: a connected socket as a stream (core/base/stream.h).
 */
#ifndef TUNNELHOST_IO_FDSTREAM_H
#define TUNNELHOST_IO_FDSTREAM_H

#include "core/io/internal.h"

/*
 * Takes the non-blocking descriptor, also when it fails. `name` is its
 * address for both ends when it has none of its own (Unix sockets).
 */
int fdstream_new(struct io *io, int fd, const char *name, struct stream **out);

#endif
