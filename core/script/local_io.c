#include "core/script/local_io.h"

#include <stdlib.h>

#include "core/io/io.h"

struct local_io {
	struct script_local local;
	struct io *io;
};

struct local_listener {
	struct io_listener *listener;
	script_connected *on_accept;
	void *user;
};

static struct io *io_of(struct script_local *local)
{
	return ((struct local_io *)local)->io;
}

static int local_connect(struct script_local *local, const char *address,
			 uint64_t timeout_us, script_connected *done,
			 void *user, void **op, struct error *error)
{
	struct io_connect_op *connect_op = NULL;
	int err = io_connect(io_of(local), address, timeout_us, done, user,
			     &connect_op, error);

	*op = err < 0 ? NULL : connect_op;
	return err;
}

static void connect_cancel(struct script_local *local, void *op)
{
	(void)local;
	io_connect_cancel(op);
}

static void accepted(void *user, struct stream *stream)
{
	struct local_listener *self = user;

	self->on_accept(self->user, stream, NULL);
}

static int local_listen(struct script_local *local, const char *address,
			script_connected *on_accept, void *user,
			void **listener, char bound[STREAM_ADDRESS_CAP],
			struct error *error)
{
	struct local_listener *self = calloc(1, sizeof(*self));
	int err;

	if (!self)
		return error_set(error, ERR_NOMEM, "no memory to listen");
	self->on_accept = on_accept;
	self->user = user;
	err = io_listen(io_of(local), address, accepted, self,
			&self->listener, bound, error);
	if (err < 0)
		free(self);
	else
		*listener = self;
	return err;
}

static void listen_close(struct script_local *local, void *listener)
{
	struct local_listener *self = listener;

	(void)local;
	io_listener_close(self->listener);
	free(self);
}

int script_local_io_new(struct io *io, struct script_local **out)
{
	struct local_io *self = calloc(1, sizeof(*self));

	if (!self)
		return ERR_NOMEM;
	self->local = (struct script_local){
		.connect = local_connect,
		.connect_cancel = connect_cancel,
		.listen = local_listen,
		.listen_close = listen_close,
	};
	self->io = io;
	*out = &self->local;
	return 0;
}

void script_local_io_free(struct script_local *local)
{
	free((struct local_io *)local);
}
