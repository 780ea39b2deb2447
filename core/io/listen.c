#include <stdio.h>
#include <stdlib.h>

#include "core/io/acceptor.h"
#include "core/io/fdstream.h"

struct io_listener {
	struct io_object object;
	struct acceptor acceptor;
	io_accept *on_accept;
	void *user;
};

void io_listener_close(struct io_listener *l)
{
	acceptor_close(&l->acceptor);
	io_object_remove(&l->object);
	free(l);
}

static void destroy(struct io_object *object)
{
	io_listener_close(container_of(object, struct io_listener, object));
}

static void on_fd(void *user, int fd)
{
	struct io_listener *l = user;
	struct stream *stream;

	if (fdstream_new(l->acceptor.io, fd, l->acceptor.name, &stream) == 0)
		l->on_accept(l->user, stream);
}

int io_listen(struct io *io, const char *address, io_accept *on_accept,
	      void *user, struct io_listener **out,
	      char bound[STREAM_ADDRESS_CAP], struct error *error)
{
	struct io_listener *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return error_set(error, ERR_NOMEM, "out of memory");
	l->on_accept = on_accept;
	l->user = user;
	err = acceptor_open(&l->acceptor, io, address, on_fd, l, error);
	if (err < 0) {
		free(l);
		return err;
	}
	io_object_add(io, &l->object, destroy);
	if (bound)
		snprintf(bound, STREAM_ADDRESS_CAP, "%s", l->acceptor.name);
	*out = l;
	return 0;
}
