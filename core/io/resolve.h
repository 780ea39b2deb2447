/*
 * core/io/resolve.h: names to addresses in libuv's thread pool.
 *
 * Literal addresses take the same way without a thread, so that the answer
 * always comes from the loop.
 */
#ifndef TUNNELHOST_IO_RESOLVE_H
#define TUNNELHOST_IO_RESOLVE_H

#include <sys/socket.h>

#include "core/io/internal.h"

#define RESOLVE_CAP 8		/* addresses used of an answer */

struct resolve;
/* `err` 0, or what is wrong in words; then count is 0. */
typedef void resolve_done(void *user, const struct sockaddr_storage *addresses,
			  size_t count, const struct error *error);

/* 0 or ERR_NOMEM. Not after `done`: cancel. */
int resolve_start(struct io *io, const char *host, uint16_t port,
		  resolve_done *done, void *user, struct resolve **out);
void resolve_cancel(struct resolve *resolve);

/* "[::1]:80", "127.0.0.1:80". */
void address_text(const struct sockaddr *address, char *out, size_t cap);
/* The address alone, with the scope of a link-local one. */
void address_host(const struct sockaddr *address, char *out, size_t cap);
socklen_t address_len(const struct sockaddr *address);
/* A literal. 0 or ERR_MISUSE. */
int address_parse(const char *host, uint16_t port,
		  struct sockaddr_storage *out);
bool address_is_loopback(const struct sockaddr *address);

#endif
