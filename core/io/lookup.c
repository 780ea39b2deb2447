/* core/base/network.h's name resolution, on resolve.h. */
#include <stdlib.h>

#include "core/io/internal.h"
#include "core/io/resolve.h"

struct network_lookup {
	struct io_object object;
	struct resolve *resolve;
	network_resolved *done;
	void *user;
};

static void on_resolved(void *user, const struct sockaddr_storage *addresses,
			size_t count, const struct error *error)
{
	struct network_lookup *lookup = user;
	struct endpoint endpoints[RESOLVE_CAP];
	network_resolved *done = lookup->done;
	void *done_user = lookup->user;
	int err = error->code;
	size_t used = 0;

	for (size_t i = 0; i < count; i++)
		if (endpoint_from_sockaddr((const void *)&addresses[i],
					   &endpoints[used]))
			used++;
	io_object_remove(&lookup->object);
	free(lookup);
	done(done_user, err == 0 && used == 0 ? ERR_NOT_FOUND : err,
	     endpoints, used);
}

static void destroy(struct io_object *object)
{
	struct network_lookup *lookup =
		container_of(object, struct network_lookup, object);

	resolve_cancel(lookup->resolve);
	free(lookup);
}

int io_resolve(struct network *network, const char *host,
	       network_resolved *done, void *user, struct network_lookup **out)
{
	struct io *io = container_of(network, struct io, network);
	struct network_lookup *lookup = calloc(1, sizeof(*lookup));
	int err;

	if (!lookup)
		return ERR_NOMEM;
	lookup->done = done;
	lookup->user = user;
	err = resolve_start(io, host, 0, on_resolved, lookup,
			    &lookup->resolve);
	if (err < 0) {
		free(lookup);
		return err;
	}
	io_object_add(io, &lookup->object, destroy);
	*out = lookup;
	return 0;
}

void io_resolve_cancel(struct network *network, struct network_lookup *lookup)
{
	(void)network;
	io_object_remove(&lookup->object);
	destroy(&lookup->object);
}
