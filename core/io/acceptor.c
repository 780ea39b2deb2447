#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/io/acceptor.h"
#include "core/io/resolve.h"
#include "core/io/url.h"

#define ACCEPTS_A_TURN 16
#define BACKLOG 128
#define PAUSE_US (100 * US_PER_MS)	/* when descriptors have run out */

void acceptor_close(struct acceptor *a)
{
	if (a->closed)
		*a->closed = true;
	a->closed = NULL;
	watcher_stop(&a->io->loop, &a->watcher);
	timer_stop(&a->io->loop, &a->timer);
	if (a->watcher.fd >= 0)
		close(a->watcher.fd);
	a->watcher.fd = -1;
	if (*a->path)
		unlink(a->path);
	*a->path = '\0';
}

static void on_resume(struct timer *timer)
{
	struct acceptor *a = timer->user;

	watcher_set(&a->io->loop, &a->watcher, WATCH_READ);
}

static bool exhausted(int number)
{
	return number == EMFILE || number == ENFILE || number == ENOBUFS ||
	       number == ENOMEM;
}

static void pause_accepting(struct acceptor *a)
{
	watcher_stop(&a->io->loop, &a->watcher);
	timer_set(&a->io->loop, &a->timer,
		  loop_now_us(&a->io->loop) + PAUSE_US);
}

static void on_ready(struct watcher *watcher, unsigned events)
{
	struct acceptor *a = watcher->user;
	bool closed = false;

	(void)events;
	a->closed = &closed;
	for (int i = 0; !closed && i < ACCEPTS_A_TURN; i++) {
		int fd = accept4(watcher->fd, NULL, NULL,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (exhausted(errno))
				pause_accepting(a);
			break;
		}
		a->on_fd(a->user, fd);
	}
	if (!closed)
		a->closed = NULL;
}

/* A socket's file that nobody listens on is left from a crash. */
static void remove_stale(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	if (fd < 0)
		return;
	if (lstat(address->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    connect(fd, (const struct sockaddr *)address,
		    sizeof(*address)) < 0 &&
	    errno == ECONNREFUSED)
		unlink(address->sun_path);
	close(fd);
}

static int bind_unix(struct acceptor *a, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mode_t mask;
	int err;

	if (!*path || strlen(path) >= sizeof(address.sun_path))
		return ERR_MISUSE;
	strcpy(address.sun_path, path);
	remove_stale(&address);
	a->watcher.fd = socket(AF_UNIX,
			       SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mask = umask(0177);
	err = bind(a->watcher.fd, (struct sockaddr *)&address,
		   sizeof(address));
	umask(mask);
	if (err < 0)
		return err_from_errno(errno);
	strcpy(a->path, path);
	snprintf(a->name, sizeof(a->name), "unix:%s", path);
	return 0;
}

static int bind_tcp(struct acceptor *a, const char *text)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	char host[URL_HOST_CAP];
	uint16_t port;
	int on = 1;

	if (host_port_parse(text, host, &port) < 0)
		return ERR_MISUSE;
	if (strcasecmp(host, "localhost") == 0)
		strcpy(host, "127.0.0.1");
	if (address_parse(host, port, &address) < 0)
		return ERR_MISUSE;
	a->watcher.fd = socket(address.ss_family,
			       SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(a->watcher.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(a->watcher.fd, (struct sockaddr *)&address,
		 address_len((struct sockaddr *)&address)) < 0)
		return err_from_errno(errno);
	getsockname(a->watcher.fd, (struct sockaddr *)&address, &len);
	address_text((struct sockaddr *)&address, a->name, sizeof(a->name));
	return 0;
}

static int start(struct acceptor *a, const char *address)
{
	int err;

	if (strncmp(address, "unix:", 5) == 0)
		err = bind_unix(a, address + 5);
	else
		err = bind_tcp(a, address);
	if (err < 0)
		return err;
	if (listen(a->watcher.fd, BACKLOG) < 0)
		return err_from_errno(errno);
	return watcher_set(&a->io->loop, &a->watcher, WATCH_READ);
}

int acceptor_open(struct acceptor *a, struct io *io, const char *address,
		  void (*on_fd)(void *user, int fd), void *user,
		  struct error *error)
{
	int err;

	*a = (struct acceptor){ .io = io, .on_fd = on_fd, .user = user };
	a->watcher = (struct watcher){ .fd = -1, .ready = on_ready,
				       .user = a };
	a->timer = (struct timer){ .fire = on_resume, .user = a };
	err = start(a, address);
	if (err == 0)
		return 0;
	acceptor_close(a);
	return error_set(error, err, err == ERR_MISUSE ?
			 "not an address to listen on: %.100s" :
			 "cannot listen on %.100s", address);
}
