/*
 * A relay's bytes into a client. Byte 0: bit 0, start ready (the handshake of
 * the vectors first); the rest, where the input is cut.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/cursor.h"
#include "core/tailnet/derp/derp_client.h"
#include "tests/fuzz/derp_vectors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint64_t seen;

static void on_packet(void *user, const struct key32 *from,
		      const uint8_t *packet, size_t len)
{
	(void)user;
	seen += from->bytes[31];
	for (size_t i = 0; i < len; i++)
		seen += packet[i];
}

static void on_health(void *user, const char *text, size_t len)
{
	(void)user;
	for (size_t i = 0; i < len; i++)
		seen += (uint8_t)text[i];
}

static const struct derp_client_events events = {
	.on_packet = on_packet,
	.on_health = on_health,
};

static void feed(struct derp_client *client, const uint8_t *data, size_t len,
		 size_t chunk)
{
	while (len > 0) {
		size_t take = chunk < len ? chunk : len;
		/* A copy of the exact size, so that ASan sees its ends. */
		uint8_t *copy = malloc(take);

		memcpy(copy, data, take);
		if (derp_client_in(client, copy, take, 1, NULL) < 0)
			take = len;
		free(copy);
		data += take;
		len -= take;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct derp_client client;
	struct key32 key;
	struct rng rng;
	size_t chunk;

	if (len < 1)
		return 0;
	rng_seeded(&rng, 1);
	memcpy(key.bytes, vector_a_private, 32);
	derp_client_init(&client, &key, &rng, &events, NULL, 0);
	if (data[0] & 1)
		feed(&client, vector_server_hello, sizeof(vector_server_hello),
		     64);
	chunk = data[0] >> 1;
	feed(&client, data + 1, len - 1, chunk ? chunk : len);
	(void)derp_client_ping(&client, 2);
	(void)derp_client_tick(&client, 3, NULL);
	derp_client_clear(&client);
	return 0;
}
