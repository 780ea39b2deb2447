/*
 * A relay's bytes into a client, which must hear the same however they are
 * cut. Byte 0: bit 0, start ready (the handshake of the vectors first); the
 * rest, where the input is cut.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/cursor.h"
#include "core/tailnet/derp/derp_client.h"
#include "tests/fuzz/derp_vectors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void add(uint64_t *sum, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++)
		*sum = (*sum ^ bytes[i]) * 0x100000001b3ull;
	*sum += len;
}

static void on_packet(void *user, const struct key32 *from,
		      const uint8_t *packet, size_t len)
{
	add(user, from, sizeof(*from));
	add(user, packet, len);
}

static void on_health(void *user, const char *text, size_t len)
{
	add(user, text, len);
}

static void on_peer_gone(void *user, const struct key32 *peer, uint8_t reason)
{
	add(user, peer, sizeof(*peer));
	add(user, &reason, 1);
}

static void on_restarting(void *user, uint32_t reconnect_in_ms,
			  uint32_t try_for_ms)
{
	add(user, &reconnect_in_ms, sizeof(reconnect_in_ms));
	add(user, &try_for_ms, sizeof(try_for_ms));
}

static const struct derp_client_events events = {
	.on_packet = on_packet,
	.on_health = on_health,
	.on_peer_gone = on_peer_gone,
	.on_restarting = on_restarting,
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

static uint64_t listen_to(const uint8_t *data, size_t len, bool ready,
			  size_t chunk)
{
	struct derp_client client;
	uint64_t sum = 1;
	struct key32 key;
	struct rng rng;

	rng_seeded(&rng, 1);
	memcpy(key.bytes, vector_a_private, 32);
	derp_client_init(&client, &key, &rng, &events, &sum, 0);
	if (ready)
		feed(&client, vector_server_hello, sizeof(vector_server_hello),
		     64);
	feed(&client, data, len, chunk);
	add(&sum, &client.state, sizeof(client.state));
	add(&sum, buf_data(&client.out), client.out.len);
	(void)derp_client_ping(&client, 2);
	(void)derp_client_tick(&client, 3, NULL);
	derp_client_clear(&client);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t chunk;
	bool ready;

	if (len < 1)
		return 0;
	ready = data[0] & 1;
	chunk = data[0] >> 1;
	if (listen_to(data + 1, len - 1, ready, len) !=
	    listen_to(data + 1, len - 1, ready, chunk ? chunk : 1))
		abort();
	return 0;
}
