/* Frames cut in two ways must make the same packets. */
#include <stdlib.h>

#include "core/base/hash.h"
#include "core/tailnet/coordinate/drpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int on_packet(void *user, const struct drpc_packet *packet)
{
	uint64_t *sum = user;

	*sum = *sum * 31 + packet->kind + packet->message + packet->len;
	for (size_t i = 0; i < packet->len; i++)
		*sum = *sum * 31 + packet->data[i];
	return 0;
}

static int run(const uint8_t *data, size_t len, size_t piece, uint64_t *sum)
{
	struct drpc_reader reader;
	int err = 0;

	*sum = 0;
	drpc_reader_init(&reader, on_packet, sum);
	for (size_t at = 0; at < len && err == 0; at += piece)
		err = drpc_in(&reader, data + at,
			      len - at < piece ? len - at : piece, NULL);
	drpc_reader_clear(&reader);
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint64_t whole, pieces;

	if (run(data, len, len + 1, &whole) != run(data, len, 3, &pieces) ||
	    whole != pieces)
		abort();
	return 0;
}
