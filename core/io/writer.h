/* core/io/writer.h: the writers of io.h, as stdio.c uses them. */
#ifndef TUNNELHOST_IO_WRITER_H
#define TUNNELHOST_IO_WRITER_H

#include "core/io/internal.h"

size_t io_writer_queued(const struct io_writer *writer);
/* Told, from the loop, after each write and failure; NULL: nobody. */
void io_writer_listen(struct io_writer *writer, void (*changed)(void *user),
		      void *user);

#endif
