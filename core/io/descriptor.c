#include "core/io/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a pipe takes without blocking once poll() says writable. */
#define PIECE 4096

static void poll_freed(uv_handle_t *handle)
{
	free(handle);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct descriptor *d = poll->data;

	(void)status;
	(void)events;
	d->ready(d->user);
}

static void open_anew(struct descriptor *d, int number, bool to_write)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", number);
	fd = open(path, (to_write ? O_WRONLY : O_RDONLY) | O_NONBLOCK |
				O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return;
	d->fd = fd;
	d->own = true;
}

/* uv_poll_init() leaves O_NONBLOCK behind; it does not need it. */
static int make_poll(struct io *io, struct descriptor *d)
{
	int flags = fcntl(d->fd, F_GETFL);
	int status;

	d->poll = calloc(1, sizeof(*d->poll));
	if (!d->poll)
		return ERR_NOMEM;
	status = uv_poll_init(&io->uv, d->poll, d->fd);
	if (!d->own && flags >= 0)
		fcntl(d->fd, F_SETFL, flags);
	d->pollable = status == 0;
	if (d->pollable) {
		d->poll->data = d;
		return 0;
	}
	free(d->poll);
	d->poll = NULL;
	return 0;
}

int descriptor_open(struct io *io, int number, bool to_write,
		    void (*ready)(void *user), void *user,
		    struct descriptor *out)
{
	struct stat st;

	*out = (struct descriptor){ .fd = number, .ready = ready,
				    .user = user };
	if (fstat(number, &st) < 0)
		return err_from_errno(errno);
	out->socket = S_ISSOCK(st.st_mode);
	if (S_ISFIFO(st.st_mode) || isatty(number))
		open_anew(out, number, to_write);
	return make_poll(io, out);
}

void descriptor_close(struct descriptor *d)
{
	if (d->poll)
		uv_close((uv_handle_t *)d->poll, poll_freed);
	if (d->own)
		close(d->fd);
	*d = (struct descriptor){ .fd = -1 };
}

void descriptor_want(struct descriptor *d, bool wanted, bool to_write)
{
	if (!d->poll || wanted == d->polling)
		return;
	d->polling = wanted;
	if (wanted)
		uv_poll_start(d->poll, to_write ? UV_WRITABLE : UV_READABLE,
			      on_poll);
	else
		uv_poll_stop(d->poll);
}

static bool ready_now(const struct descriptor *d, short events)
{
	struct pollfd p = { .fd = d->fd, .events = events };

	if (d->own || !d->pollable)
		return true;
	return poll(&p, 1, 0) > 0;
}

ssize_t descriptor_read(struct descriptor *d, void *data, size_t len)
{
	if (d->socket)
		return recv(d->fd, data, len, MSG_DONTWAIT);
	if (ready_now(d, POLLIN))
		return read(d->fd, data, len);
	errno = EAGAIN;
	return -1;
}

ssize_t descriptor_write(struct descriptor *d, const void *data, size_t len)
{
	if (d->socket)
		return send(d->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (!ready_now(d, POLLOUT)) {
		errno = EAGAIN;
		return -1;
	}
	if (!d->own && d->pollable && len > PIECE)
		len = PIECE;
	return write(d->fd, data, len);
}
