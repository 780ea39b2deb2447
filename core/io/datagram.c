#include "core/io/internal.h"
int io_open_datagram(struct network *network, const struct sockaddr *bind_to,
		     const struct datagram_events *events, void *user,
		     struct datagram **out, struct error *error)
{
	(void)network; (void)bind_to; (void)events; (void)user; (void)out;
	return error_set(error, ERR_INTERNAL, "x");
}
