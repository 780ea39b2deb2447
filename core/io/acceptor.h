/*
 * core/io/acceptor.h: a listening socket.
 *
 * TCP on a numeric address or "localhost", or "unix:/path" (mode 0600; a
 * file left by a crash is replaced, the file goes at the end).
 */
#ifndef TUNNELHOST_IO_ACCEPTOR_H
#define TUNNELHOST_IO_ACCEPTOR_H

#include <sys/un.h>

#include "core/io/internal.h"

struct acceptor {
	struct io *io;
	struct watcher watcher;
	struct timer timer;
	void (*on_fd)(void *user, int fd);
	void *user;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char name[STREAM_ADDRESS_CAP];	/* what is bound */
	bool *closed;			/* told to a running accept loop */
};

/*
 * Every accepted descriptor (non-blocking) goes to on_fd, which owns it and
 * may close the acceptor. 0, ERR_MISUSE, ERR_CONFLICT, ERR_DENIED, ….
 */
int acceptor_open(struct acceptor *acceptor, struct io *io,
		  const char *address, void (*on_fd)(void *user, int fd),
		  void *user, struct error *error);
void acceptor_close(struct acceptor *acceptor);

#endif
