/*
 * One uv_poll_t a socket. It asks for readable while there is room for what
 * comes, for writable while something waits to be sent. A stream given up
 * with bytes unsent lives on without an owner until they are gone or
 * FLUSH_US is over.
 */
#include "core/io/fdstream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/io/resolve.h"

#define READ_SIZE 65536u
#define FLUSH_US (30 * US_PER_S)

struct fdstream {
	struct stream stream;
	struct io_object object;
	struct io *io;
	int fd;
	uv_poll_t poll;
	int polled;			/* events asked for */
	struct buf in;
	struct buf out;
	bool in_ended;
	bool ending;			/* shutdown once `out` is empty */
	bool out_ended;
	bool orphan;			/* closed by its owner */
	int failed;
	struct task notify;
	struct timer timer;
	char name[STREAM_ADDRESS_CAP];
};

static struct fdstream *self(const struct stream *stream)
{
	return container_of(stream, struct fdstream, stream);
}

static void on_ready(uv_poll_t *poll, int status, int events);

static void poll_for(struct fdstream *s)
{
	int wanted = 0;

	if (!s->failed && !s->in_ended && !s->orphan && buf_room(&s->in))
		wanted |= UV_READABLE;
	if (!s->failed && s->out.len)
		wanted |= UV_WRITABLE;
	if (wanted == s->polled)
		return;
	s->polled = wanted;
	if (wanted)
		uv_poll_start(&s->poll, wanted, on_ready);
	else
		uv_poll_stop(&s->poll);
}

static void on_poll_closed(uv_handle_t *handle)
{
	struct fdstream *s = handle->data;

	close(s->fd);
	free(s);
}

static void end(struct fdstream *s)
{
	task_cancel(&s->notify);
	timer_stop(&s->io->loop, &s->timer);
	io_object_remove(&s->object);
	buf_clear(&s->in);
	buf_clear(&s->out);
	uv_close((uv_handle_t *)&s->poll, on_poll_closed);
}

static void destroy(struct io_object *object)
{
	end(container_of(object, struct fdstream, object));
}

static void set_failed(struct fdstream *s, int code)
{
	if (!s->failed)
		s->failed = code;
	buf_clear(&s->out);
}

static void notify(struct fdstream *s)
{
	if (!s->orphan)
		task_post(&s->io->loop, &s->notify);
}

static void on_notify(struct task *task)
{
	struct fdstream *s = task->user;

	if (s->stream.on_change)
		s->stream.on_change(&s->stream, s->stream.user);
}

static void read_some(struct fdstream *s)
{
	size_t room = buf_room(&s->in);
	uint8_t *at;
	ssize_t n;

	if (room > READ_SIZE)
		room = READ_SIZE;
	if (room == 0)
		return;
	if (buf_reserve(&s->in, room, &at) < 0) {
		set_failed(s, ERR_NOMEM);
		return;
	}
	n = recv(s->fd, at, room, 0);
	if (n > 0)
		buf_commit(&s->in, (size_t)n);
	else if (n == 0)
		s->in_ended = true;
	else if (errno != EAGAIN && errno != EINTR)
		set_failed(s, err_from_errno(errno));
}

static void end_output(struct fdstream *s)
{
	if (!s->ending || s->out_ended || s->out.len || s->failed)
		return;
	s->out_ended = true;
	shutdown(s->fd, SHUT_WR);
}

static void write_some(struct fdstream *s)
{
	ssize_t n;

	if (!s->out.len)
		return;
	n = send(s->fd, buf_data(&s->out), s->out.len, MSG_NOSIGNAL);
	if (n > 0)
		buf_consume(&s->out, (size_t)n);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		set_failed(s, errno == EPIPE ? ERR_RESET :
					       err_from_errno(errno));
	end_output(s);
}

/* libuv says EBADF for whatever EPOLLERR meant, and stops polling. */
static void on_socket_error(struct fdstream *s)
{
	int number = 0;
	socklen_t len = sizeof(number);

	s->polled = 0;
	read_some(s);
	getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &number, &len);
	set_failed(s, number && number != EPIPE ? err_from_errno(number) :
						  ERR_RESET);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct fdstream *s = poll->data;

	if (status < 0)
		on_socket_error(s);
	if (events & UV_READABLE)
		read_some(s);
	if (events & UV_WRITABLE)
		write_some(s);
	if (s->orphan && (s->failed || !s->out.len)) {
		end(s);
		return;
	}
	poll_for(s);
	notify(s);
}

static ssize_t fd_peek(struct stream *stream, const uint8_t **data)
{
	struct fdstream *s = self(stream);

	if (s->in.len) {
		*data = buf_data(&s->in);
		return (ssize_t)s->in.len;
	}
	if (s->failed)
		return s->failed;
	return s->in_ended ? 0 : ERR_AGAIN;
}

static void fd_consume(struct stream *stream, size_t len)
{
	struct fdstream *s = self(stream);

	buf_consume(&s->in, len);
	poll_for(s);
}

/* At once if nothing is ahead of it; only the rest is copied. */
static size_t write_now(struct fdstream *s, const void *data, size_t len)
{
	ssize_t n;

	if (s->out.len)
		return 0;
	n = send(s->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n >= 0)
		return (size_t)n;
	if (errno != EAGAIN && errno != EINTR) {
		set_failed(s, errno == EPIPE ? ERR_RESET :
					       err_from_errno(errno));
		notify(s);
	}
	return 0;
}

static ssize_t fd_write(struct stream *stream, const void *data, size_t len)
{
	struct fdstream *s = self(stream);
	size_t sent, rest;

	if (s->failed)
		return s->failed;
	if (s->ending)
		return ERR_CLOSED;
	if (len == 0)
		return 0;
	sent = write_now(s, data, len);
	if (s->failed)
		return s->failed;
	rest = len - sent;
	if (rest > buf_room(&s->out))
		rest = buf_room(&s->out);
	if (buf_append(&s->out, (const uint8_t *)data + sent, rest) < 0)
		rest = 0;
	poll_for(s);
	return sent + rest ? (ssize_t)(sent + rest) : ERR_AGAIN;
}

static size_t fd_unsent(const struct stream *stream)
{
	return self(stream)->out.len;
}

static int fd_shutdown(struct stream *stream)
{
	struct fdstream *s = self(stream);

	s->ending = true;
	end_output(s);
	return 0;
}

static void on_flush_timeout(struct timer *timer)
{
	end(timer->user);
}

static void reset(struct fdstream *s)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static void fd_close(struct stream *stream, bool abort)
{
	struct fdstream *s = self(stream);

	s->orphan = true;
	task_cancel(&s->notify);
	if (abort)
		reset(s);
	else
		fd_shutdown(stream);
	if (abort || s->failed || !s->out.len) {
		end(s);
		return;
	}
	poll_for(s);
	timer_set(&s->io->loop, &s->timer,
		  loop_now_us(&s->io->loop) + FLUSH_US);
}

static void fd_address(const struct stream *stream, bool peer,
		       char out[STREAM_ADDRESS_CAP])
{
	const struct fdstream *s = self(stream);
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	int err = peer ? getpeername(s->fd, (struct sockaddr *)&address, &len) :
			 getsockname(s->fd, (struct sockaddr *)&address, &len);

	if (err == 0 && address.ss_family != AF_UNIX)
		address_text((struct sockaddr *)&address, out,
			     STREAM_ADDRESS_CAP);
	else
		snprintf(out, STREAM_ADDRESS_CAP, "%s", s->name);
}

static const struct stream_ops ops = {
	.peek = fd_peek,
	.consume = fd_consume,
	.write = fd_write,
	.unsent = fd_unsent,
	.shutdown = fd_shutdown,
	.close = fd_close,
	.address = fd_address,
};

int fdstream_new(struct io *io, int fd, const char *name, struct stream **out)
{
	struct fdstream *s = calloc(1, sizeof(*s));
	int on = 1;

	if (!s || uv_poll_init_socket(&io->uv, &s->poll, fd) < 0) {
		close(fd);
		free(s);
		return ERR_NOMEM;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	s->stream.ops = &ops;
	s->io = io;
	s->fd = fd;
	s->poll.data = s;
	s->notify = (struct task){ .run = on_notify, .user = s };
	s->timer = (struct timer){ .fire = on_flush_timeout, .user = s };
	snprintf(s->name, sizeof(s->name), "%s", name);
	buf_init(&s->in, IO_STREAM_BUFFER);
	buf_init(&s->out, IO_STREAM_BUFFER);
	io_object_add(io, &s->object, destroy);
	poll_for(s);
	*out = &s->stream;
	return 0;
}
