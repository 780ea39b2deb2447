#include "tests/unit/derp/derp_wire.h"

#include <stdio.h>

struct vector vector_of(const char *hex)
{
	struct vector out = { .len = strlen(hex) / 2 };

	assert_true(out.len <= sizeof(out.bytes));
	assert_int_equal(hex_decode(hex, strlen(hex), out.bytes, out.len), 0);
	return out;
}

struct key32 key_of(const char *hex)
{
	struct key32 out;

	assert_int_equal(hex_decode(hex, strlen(hex), out.bytes, 32), 0);
	return out;
}

static void scripted_bytes(struct rng *rng, uint8_t *out, size_t len)
{
	struct scripted_rng *scripted = (struct scripted_rng *)(void *)rng;

	if (len == 24)
		memcpy(out, scripted->nonce, len);
	else
		memset(out, 0, len);
}

void scripted_rng_init(struct scripted_rng *scripted, const uint8_t *nonce)
{
	*scripted = (struct scripted_rng){
		.rng.bytes = scripted_bytes,
		.nonce = nonce,
	};
}

static void on_ready(void *user)
{
	((struct node *)user)->ready = true;
}

static void on_packet(void *user, const struct key32 *from,
		      const uint8_t *data, size_t len)
{
	struct node *node = user;
	uint64_t number = len >= 8 ? be_load(data, 8) : 0;

	for (size_t i = 8; i < len; i++)
		assert_int_equal(data[i], (uint8_t)(number + i));
	if (number < node->next)
		node->out_of_order = true;
	node->next = number + 1;
	node->packets++;
	node->last_from = *from;
}

static void on_peer_gone(void *user, const struct key32 *peer, uint8_t reason)
{
	struct node *node = user;

	node->gone++;
	node->gone_peer = *peer;
	node->gone_reason = reason;
}

static void on_pong(void *user, uint64_t round_trip_us)
{
	struct node *node = user;

	node->pongs++;
	node->pong_us = round_trip_us;
}

static void on_health(void *user, const char *text, size_t len)
{
	struct node *node = user;

	snprintf(node->health, sizeof(node->health), "%.*s", (int)len, text);
}

static void on_restarting(void *user, uint32_t reconnect_in_ms,
			  uint32_t try_for_ms)
{
	((struct node *)user)->restart_ms = reconnect_in_ms + try_for_ms;
}

const struct derp_client_events node_events = {
	.on_ready = on_ready,
	.on_packet = on_packet,
	.on_peer_gone = on_peer_gone,
	.on_pong = on_pong,
	.on_health = on_health,
	.on_restarting = on_restarting,
};

static int carrier_send(void *user, const uint8_t *data, size_t len)
{
	struct node *node = user;

	if (node->broken)
		return ERR_CLOSED;
	return buf_append(&node->to_client, data, len);
}

static void carrier_close(void *user, const struct error *why)
{
	struct node *node = user;

	assert_true(why->code < 0);
	node->closed = true;
	derp_relay_conn_free(node->conn, node->wire->now_us);
	node->conn = NULL;
}

const struct derp_relay_carrier node_carrier = {
	.send = carrier_send,
	.close = carrier_close,
};

void node_connect(struct wire *wire, struct node *node,
		  const struct key32 *private_key)
{
	*node = (struct node){ .wire = wire };
	buf_init(&node->to_relay, WIRE_PIPE_CAP);
	buf_init(&node->to_client, WIRE_PIPE_CAP);
	derp_client_init(&node->client, private_key, &wire->rng, &node_events,
			 node, wire->now_us);
	assert_int_equal(derp_relay_conn_new(&wire->relay, &node_carrier, node,
					     wire->now_us, &node->conn), 0);
}

void node_disconnect(struct wire *wire, struct node *node)
{
	derp_relay_conn_free(node->conn, wire->now_us);
	node->conn = NULL;
	derp_client_clear(&node->client);
	buf_clear(&node->to_relay);
	buf_clear(&node->to_client);
}

static size_t next_chunk(struct wire *wire, size_t len)
{
	size_t chunk = wire->chunk;

	if (chunk == 0)
		chunk = 1 + rng_below(&wire->cuts, 5000);
	return chunk < len ? chunk : len;
}

static bool pump_to_relay(struct wire *wire, struct node *node)
{
	struct buf *out = &node->client.out;
	size_t len;

	if (out->len > 0 && buf_append(&node->to_relay, buf_data(out),
				       out->len) == 0)
		buf_consume(out, out->len);
	if (!node->conn || node->to_relay.len == 0)
		return false;
	len = next_chunk(wire, node->to_relay.len);
	if (derp_relay_conn_in(node->conn, buf_data(&node->to_relay), len,
			       wire->now_us, NULL) < 0) {
		derp_relay_conn_free(node->conn, wire->now_us);
		node->conn = NULL;
		node->closed = true;
	}
	buf_consume(&node->to_relay, len);
	return true;
}

static bool pump_to_client(struct wire *wire, struct node *node)
{
	size_t len;

	if (node->frozen || node->to_client.len == 0)
		return false;
	len = next_chunk(wire, node->to_client.len);
	assert_int_equal(derp_client_in(&node->client,
					buf_data(&node->to_client), len,
					wire->now_us, NULL), 0);
	buf_consume(&node->to_client, len);
	if (node->conn && node->to_client.len == 0)
		derp_relay_conn_writable(node->conn, wire->now_us);
	return true;
}

void wire_pump(struct wire *wire)
{
	bool moved = true;

	while (moved) {
		moved = false;
		for (size_t i = 0; i < 4; i++) {
			struct node *node = &wire->nodes[i];

			if (!node->wire)
				continue;
			moved |= pump_to_relay(wire, node);
			moved |= pump_to_client(wire, node);
		}
	}
}

void wire_init(struct wire *wire, uint64_t seed, size_t chunk, size_t count)
{
	struct key32 private_key;

	print_message("seed %llu, chunk %zu\n", (unsigned long long)seed,
		      chunk);
	*wire = (struct wire){ .chunk = chunk, .now_us = US_PER_S };
	rng_seeded(&wire->rng, seed);
	rng_seeded(&wire->cuts, seed + 1000);
	key_private(&wire->rng, &private_key);
	derp_relay_init(&wire->relay, &private_key, &wire->rng);
	for (size_t i = 0; i < count; i++) {
		key_private(&wire->rng, &private_key);
		node_connect(wire, &wire->nodes[i], &private_key);
	}
	wire_pump(wire);
	for (size_t i = 0; i < count; i++)
		assert_true(wire->nodes[i].ready);
}

void wire_clear(struct wire *wire)
{
	for (size_t i = 0; i < 4; i++)
		if (wire->nodes[i].wire)
			node_disconnect(wire, &wire->nodes[i]);
	derp_relay_clear(&wire->relay);
}

void wire_send(struct wire *wire, struct node *from, const struct key32 *to,
	       uint64_t number, size_t len)
{
	uint8_t packet[2048];
	uint8_t *out;
	int written;

	(void)wire;
	be_store(packet, number, 8);
	for (size_t i = 8; i < len; i++)
		packet[i] = (uint8_t)(number + i);
	assert_int_equal(buf_reserve(&from->to_relay,
				     DERP_PACKET_OVERHEAD + len, &out), 0);
	written = derp_client_send(&from->client, to, packet, len, out,
				   DERP_PACKET_OVERHEAD + len);
	assert_int_equal(written, DERP_PACKET_OVERHEAD + len);
	buf_commit(&from->to_relay, (size_t)written);
}
