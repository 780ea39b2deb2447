/*
 * A client's bytes into a relay with two more clients. Byte 0: bit 7, start
 * after a handshake; bit 6, the carriers are full; bits 0 to 5, the length of
 * the chunks. Key 0 of the three is all that a sender can hit by luck, so
 * destinations that begin with a small byte are made one of theirs.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/cursor.h"
#include "core/tailnet/derp/derp_client.h"
#include "core/tailnet/derp/derp_relay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct peer {
	struct derp_client client;
	struct derp_relay_conn *conn;
	struct buf inbox;
	bool full;
	bool freed;
};

static int take(void *user, const uint8_t *data, size_t len)
{
	struct peer *peer = user;

	if (peer->full)
		return ERR_LIMIT;
	return buf_append(&peer->inbox, data, len);
}

static void given_up(void *user, const struct error *why)
{
	struct peer *peer = user;

	(void)why;
	derp_relay_conn_free(peer->conn, 0);
	peer->freed = true;
}

static const struct derp_relay_carrier carrier = {
	.send = take,
	.close = given_up,
};

static const struct derp_client_events events = { .on_ready = NULL };

static void to_client(struct peer *peer)
{
	if (peer->inbox.len == 0)
		return;
	if (derp_client_in(&peer->client, buf_data(&peer->inbox),
			   peer->inbox.len, 0, NULL) < 0)
		abort();
	buf_consume(&peer->inbox, peer->inbox.len);
}

static void begin(struct derp_relay *relay, struct peer *peer, struct rng *rng,
		  bool ready)
{
	struct buf *out = &peer->client.out;
	struct key32 key;

	*peer = (struct peer){ .full = false };
	buf_init(&peer->inbox, 256 * 1024);
	key_private(rng, &key);
	derp_client_init(&peer->client, &key, rng, &events, NULL, 0);
	if (derp_relay_conn_new(relay, &carrier, peer, 0, &peer->conn) < 0)
		abort();
	to_client(peer);
	if (!ready)
		return;
	if (derp_relay_conn_in(peer->conn, buf_data(out), out->len, 0,
			       NULL) < 0)
		abort();
	buf_consume(out, out->len);
	to_client(peer);
	if (peer->client.state != DERP_CLIENT_READY)
		abort();
}

static void end(struct peer *peer)
{
	if (!peer->full)
		to_client(peer);
	if (!peer->freed)
		derp_relay_conn_free(peer->conn, 2);
	derp_client_clear(&peer->client);
	buf_clear(&peer->inbox);
}

/* Puts real keys where a send frame at `at` has its destination. */
static void aim(uint8_t *at, size_t len, const struct peer *peers)
{
	for (size_t i = 0; i + DERP_PACKET_OVERHEAD <= len; i++)
		if (at[i] == DERP_SEND_PACKET && at[i + 1] == 0 &&
		    at[i + DERP_HEADER_LEN] < 3)
			memcpy(at + i + DERP_HEADER_LEN,
			       peers[at[i + DERP_HEADER_LEN]].client.public_key
			       .bytes, DERP_KEY_LEN);
}

static void feed(struct peer *peer, const uint8_t *data, size_t len,
		 size_t chunk)
{
	while (len > 0) {
		size_t part = chunk < len ? chunk : len;
		uint8_t *copy = malloc(part);

		memcpy(copy, data, part);
		if (derp_relay_conn_in(peer->conn, copy, part, 1, NULL) < 0)
			part = len;
		free(copy);
		data += part;
		len -= part;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct derp_relay relay;
	struct peer peers[3];
	struct key32 key;
	struct rng rng;
	uint8_t *copy;
	size_t chunk;

	if (len < 2)
		return 0;
	rng_seeded(&rng, 1);
	key_private(&rng, &key);
	derp_relay_init(&relay, &key, &rng);
	begin(&relay, &peers[0], &rng, data[0] & 0x80);
	begin(&relay, &peers[1], &rng, true);
	begin(&relay, &peers[2], &rng, true);
	peers[0].full = peers[1].full = data[0] & 0x40;
	copy = malloc(len - 1);
	memcpy(copy, data + 1, len - 1);
	aim(copy, len - 1, peers);
	chunk = data[0] & 0x3f;
	feed(&peers[0], copy, len - 1, chunk ? chunk : len);
	free(copy);
	derp_relay_tick(&relay, 70 * US_PER_S);
	for (size_t i = 0; i < 3; i++)
		end(&peers[i]);
	derp_relay_clear(&relay);
	return 0;
}
