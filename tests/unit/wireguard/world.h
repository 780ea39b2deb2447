/*
 * tests/unit/wireguard/world.h: two devices, a network between them and
 * their time, all of one seed.
 *
 * Ends are 0 and 1. Packets take delay_us, are lost by chance or by
 * `lossy`, and come in order unless `jitter_us` is set. Time moves only in
 * world_run().
 */
#ifndef TESTS_WIREGUARD_WORLD_H
#define TESTS_WIREGUARD_WORLD_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/time.h"
#include "core/tailnet/wireguard/messages.h"
#include "core/tailnet/wireguard/peer.h"
#include "core/tailnet/wireguard/wireguard.h"

#define WORLD_PACKETS 512
#define WORLD_BUFFER 2048
#define WORLD_START (1000 * US_PER_S)

struct world_packet {
	uint64_t at_us;
	uint64_t order;
	int to;
	size_t len;
	uint8_t bytes[WORLD_BUFFER];
};

struct world_end {
	struct rng rng;
	struct wg *wg;
	struct wg_peer *peer;	/* the other, as this one sees it */
	uint8_t address[16];
	uint64_t rx;		/* data packets, whole and right */
	uint64_t last_serial;
	uint64_t last_rx_us;
	unsigned keepalives_in;
	uint64_t last_keepalive_us;
	unsigned sent[5];	/* by message type */
	uint64_t last_sent_us[5];
	unsigned events[WG_EVENT_KIND_COUNT];
	uint64_t last_event_us[WG_EVENT_KIND_COUNT];
	unsigned sessions_up;
	struct wg_in_result last;
	uint64_t from;		/* the token under which it sends */
};

struct world {
	struct world_end ends[2];
	struct rng network;
	uint64_t now_us;
	int64_t wall_us;	/* at now_us 0 */
	uint64_t delay_us;
	uint32_t jitter_us;
	uint32_t loss_percent;
	/* True: lose it. May modify the packet. */
	bool (*lossy)(struct world *world, int to, uint8_t *bytes, size_t len);
	void *user;
	uint64_t serial;
	uint64_t order;
	uint64_t lost;
	size_t count;
	struct world_packet packets[WORLD_PACKETS];
};

struct world *world_new(uint64_t seed, uint64_t rekey_after_us);
void world_free(struct world *world);
/* An IPv6 packet with a payload of `len` bytes, sealed and sent. */
int world_send(struct world *world, int from, size_t len);
/* The same into `out`, not sent; the datagram's length or an error. */
ssize_t world_seal(struct world *world, int from, size_t len,
		   uint8_t out[WORLD_BUFFER]);
/* Pulls messages and events of both ends; nothing arrives. */
void world_pump(struct world *world);
void world_run(struct world *world, uint64_t for_us);
/* A handshake by end 0 up to confirmed sessions at both. */
void world_connect(struct world *world);
/* Hands a copy to an end now; the reason it was ignored. */
enum wg_ignored world_in(struct world *world, int to, const uint8_t *bytes,
			 size_t len);
/* Pulls one message of an end; its length, 0 if none. */
size_t world_out(struct world *world, int from, uint8_t out[WORLD_BUFFER]);

#endif
