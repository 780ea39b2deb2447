/*
 * tests/unit/derp/derp_wire.h: clients and a relay wired together in memory.
 *
 * Each node is a derp_client, its connection at the relay, and a bounded
 * pipe each way. Bytes cross in chunks drawn from a seed, or of a fixed
 * size. Also: the vectors of the real libraries (tests/interop/vectors.json).
 */
#ifndef TUNNELHOST_TESTS_DERP_WIRE_H
#define TUNNELHOST_TESTS_DERP_WIRE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/base/buf.h"
#include "core/tailnet/derp/derp_client.h"
#include "core/tailnet/derp/derp_relay.h"

#define VECTOR_A_PRIVATE \
	"101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e6f"
#define VECTOR_A_PUBLIC \
	"d89e3bad79437dbed9f843418304f460ff05c7fe81fe4a9577a804cb9367ff66"
#define VECTOR_B_PRIVATE \
	"505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f"
#define VECTOR_B_PUBLIC \
	"392d174a38b3b1beafaf1fe824870841c5fa531bc6eafdb6402c124664488c1c"
#define VECTOR_SERVER_KEY \
	"010000002844455250f09f9491392d174a38b3b1beafaf1fe824870841c5fa53" \
	"1bc6eafdb6402c124664488c1c"
#define VECTOR_CLIENT_INFO \
	"0200000068d89e3bad79437dbed9f843418304f460ff05c7fe81fe4a9577a804" \
	"cb9367ff66c1ab446d3a26e9bc0f3a335b1bba44d64da70b085690749b2861a2" \
	"4ff64ec84c0a99b534ea2e5fb303afdb7b4f9d2cf0707a6d867ad65cbcfb76ef" \
	"440ef9d51fa17272a01f27ab94"
#define VECTOR_SERVER_INFO \
	"0300000035c7aa41ce9c91b6f58ab9fe58754b1e0c208f9ef61b4b1df9fddbf0" \
	"97afc4889f3a625502335826823127147cf544c5df20834c6721"
#define VECTOR_NOTE_PREFERRED \
	"070000000101"
#define VECTOR_SEND_PACKET \
	"0400000027392d174a38b3b1beafaf1fe824870841c5fa531bc6eafdb6402c12" \
	"4664488c1c7061796c6f6164"
#define VECTOR_RECV_PACKET \
	"0500000027d89e3bad79437dbed9f843418304f460ff05c7fe81fe4a9577a804" \
	"cb9367ff667061796c6f6164"
#define VECTOR_PING \
	"12000000083132333435363738"
#define VECTOR_PONG \
	"13000000083132333435363738"

#define WIRE_PIPE_CAP (96 * 1024)

struct vector {
	uint8_t bytes[256];
	size_t len;
};

/* Gives `nonce` to whoever asks for 24 bytes, and zeroes to all others. */
struct scripted_rng {
	struct rng rng;
	const uint8_t *nonce;
};

struct node {
	struct derp_client client;
	struct derp_relay_conn *conn;
	struct wire *wire;
	struct buf to_relay;
	struct buf to_client;
	bool frozen;		/* takes nothing from `to_client` */
	bool broken;		/* its carrier fails */
	bool closed;		/* by the relay, or by an error */
	bool ready;
	uint64_t packets;
	uint64_t next;		/* number expected, see wire_send() */
	bool out_of_order;
	struct key32 last_from;
	uint64_t gone;
	uint8_t gone_reason;
	struct key32 gone_peer;
	uint64_t pongs;
	uint64_t pong_us;
	char health[64];
	uint32_t restart_ms;
};

struct wire {
	struct derp_relay relay;
	struct rng rng;
	struct rng cuts;
	size_t chunk;		/* 0: drawn from `cuts` */
	uint64_t now_us;
	struct node nodes[4];
};

struct vector vector_of(const char *hex);
struct key32 key_of(const char *hex);
void scripted_rng_init(struct scripted_rng *scripted, const uint8_t *nonce);

/* `count` nodes, connected and ready. Prints the seed. */
void wire_init(struct wire *wire, uint64_t seed, size_t chunk, size_t count);
void wire_clear(struct wire *wire);
void node_connect(struct wire *wire, struct node *node,
		  const struct key32 *private_key);
void node_disconnect(struct wire *wire, struct node *node);
/* Moves bytes until nothing moves. */
void wire_pump(struct wire *wire);
/* A packet of `len` >= 8 bytes that carries `number`, from a to b. */
void wire_send(struct wire *wire, struct node *from, const struct key32 *to,
	       uint64_t number, size_t len);

extern const struct derp_client_events node_events;
extern const struct derp_relay_carrier node_carrier;

#endif
