/* Outgoing local streams: one attempt after the other, one time-out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/io/fdstream.h"
#include "core/io/resolve.h"
#include "core/io/url.h"

#define CONNECT_TIMEOUT_US (10 * US_PER_S)

struct io_connect_op {
	struct io_object object;
	struct io *io;
	io_connected *done;
	void *user;
	struct resolve *resolve;
	struct sockaddr_storage addresses[RESOLVE_CAP];
	socklen_t unix_len;		/* of addresses[0], when it is one */
	size_t count;
	size_t next;
	struct watcher watcher;
	struct task task;
	struct timer timer;
	struct error error;
	char name[STREAM_ADDRESS_CAP];
};

static void drop_socket(struct io_connect_op *op)
{
	watcher_stop(&op->io->loop, &op->watcher);
	if (op->watcher.fd >= 0)
		close(op->watcher.fd);
	op->watcher.fd = -1;
}

static void op_free(struct io_connect_op *op)
{
	if (op->resolve)
		resolve_cancel(op->resolve);
	drop_socket(op);
	task_cancel(&op->task);
	timer_stop(&op->io->loop, &op->timer);
	io_object_remove(&op->object);
	free(op);
}

static void destroy(struct io_object *object)
{
	op_free(container_of(object, struct io_connect_op, object));
}

void io_connect_cancel(struct io_connect_op *op)
{
	op_free(op);
}

static void finish(struct io_connect_op *op, struct stream *stream)
{
	io_connected *done = op->done;
	void *user = op->user;
	struct error error = op->error;

	op_free(op);
	done(user, stream, stream ? NULL : &error);
}

static void on_timeout(struct timer *timer)
{
	struct io_connect_op *op = timer->user;

	error_set(&op->error, ERR_TIMEOUT, "%s: timed out %s", op->name,
		  op->resolve ? "resolving the name" : "connecting");
	finish(op, NULL);
}

static void attempt_failed(struct io_connect_op *op, int number)
{
	drop_socket(op);
	error_set(&op->error, err_from_errno(number), "%s: %s", op->name,
		  strerror(number));
	op->next++;
	task_post(&op->io->loop, &op->task);
}

static void connected(struct io_connect_op *op)
{
	struct stream *stream = NULL;
	int fd = op->watcher.fd;

	/* The stream polls the descriptor anew, so ours must be gone. */
	watcher_stop(&op->io->loop, &op->watcher);
	op->watcher.fd = -1;
	if (fdstream_new(op->io, fd, op->name, &stream) < 0)
		error_set(&op->error, ERR_NOMEM, "out of memory");
	finish(op, stream);
}

static void on_ready(struct watcher *watcher, unsigned events)
{
	struct io_connect_op *op = watcher->user;
	int number = 0;
	socklen_t len = sizeof(number);

	(void)events;
	getsockopt(watcher->fd, SOL_SOCKET, SO_ERROR, &number, &len);
	if (number)
		attempt_failed(op, number);
	else
		connected(op);
}

static void attempt(struct io_connect_op *op)
{
	const struct sockaddr *address =
		(const struct sockaddr *)&op->addresses[op->next];
	socklen_t len = op->unix_len ? op->unix_len : address_len(address);

	op->watcher.fd = socket(address->sa_family,
				SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (op->watcher.fd < 0) {
		attempt_failed(op, errno);
		return;
	}
	if (connect(op->watcher.fd, address, len) == 0) {
		connected(op);
		return;
	}
	if (errno != EINPROGRESS)
		attempt_failed(op, errno);
	else if (watcher_set(&op->io->loop, &op->watcher, WATCH_WRITE) < 0)
		attempt_failed(op, ENOMEM);
}

static void on_task(struct task *task)
{
	struct io_connect_op *op = task->user;

	if (op->next < op->count)
		attempt(op);
	else
		finish(op, NULL);
}

static void on_resolved(void *user, const struct sockaddr_storage *addresses,
			size_t count, const struct error *error)
{
	struct io_connect_op *op = user;

	op->resolve = NULL;
	op->error = *error;
	op->count = count;
	memcpy(op->addresses, addresses, count * sizeof(*addresses));
	on_task(&op->task);
}

static int prepare_unix(struct io_connect_op *op, const char *path)
{
	struct sockaddr_un *address = (struct sockaddr_un *)&op->addresses[0];

	if (!*path || strlen(path) >= sizeof(address->sun_path))
		return ERR_MISUSE;
	address->sun_family = AF_UNIX;
	strcpy(address->sun_path, path);
	op->unix_len = sizeof(*address);
	op->count = 1;
	task_post(&op->io->loop, &op->task);
	return 0;
}

static int prepare(struct io_connect_op *op, const char *address)
{
	char host[URL_HOST_CAP];
	uint16_t port;

	if (strncmp(address, "unix:", 5) == 0)
		return prepare_unix(op, address + 5);
	if (host_port_parse(address, host, &port) < 0 || port == 0)
		return ERR_MISUSE;
	return resolve_start(op->io, host, port, on_resolved, op,
			     &op->resolve);
}

int io_connect(struct io *io, const char *address, uint64_t timeout_us,
	       io_connected *done, void *user, struct io_connect_op **out,
	       struct error *error)
{
	struct io_connect_op *op = calloc(1, sizeof(*op));
	int err;

	if (!op)
		return error_set(error, ERR_NOMEM, "out of memory");
	op->io = io;
	op->done = done;
	op->user = user;
	op->watcher = (struct watcher){ .fd = -1, .ready = on_ready,
					.user = op };
	op->task = (struct task){ .run = on_task, .user = op };
	op->timer = (struct timer){ .fire = on_timeout, .user = op };
	snprintf(op->name, sizeof(op->name), "%s", address);
	io_object_add(io, &op->object, destroy);
	err = prepare(op, address);
	if (err < 0) {
		op->resolve = NULL;
		op_free(op);
		return error_set(error, err,
				 "cannot connect to %.100s: not an address",
				 address);
	}
	timer_set(&io->loop, &op->timer,
		  loop_now_us(&io->loop) +
			  (timeout_us ? timeout_us : CONNECT_TIMEOUT_US));
	*out = op;
	return 0;
}
