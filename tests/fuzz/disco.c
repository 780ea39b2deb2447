/*
 * Byte 0 odd: the rest is a packet; even: the plain message inside of one.
 * What can be read is written, sealed, opened and read once more.
 */
#include <stdlib.h>
#include <string.h>

#include "core/tailnet/disco/disco.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void round_trip(const struct key32 *shared, struct disco_message *in)
{
	uint8_t packet[DISCO_PACKET_CAP];
	struct disco_message out;
	struct rng rng;
	int len;

	rng_seeded(&rng, 1);
	len = disco_packet(shared, shared, &rng, in, packet, sizeof(packet));
	if (len < 0 ||
	    disco_open(shared, packet, (size_t)len, &out) != 0 ||
	    out.type != in->type || out.endpoint_count != in->endpoint_count)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct key32 shared = { .bytes = { 7 } }, sender;
	struct disco_message message;

	if (len < 1)
		return 0;
	if (data[0] & 1) {
		(void)disco_sender(data + 1, len - 1, &sender);
		(void)disco_open(&shared, data + 1, len - 1, &message);
	} else if (disco_decode(data + 1, len - 1, &message) == 0) {
		round_trip(&shared, &message);
	}
	return 0;
}
