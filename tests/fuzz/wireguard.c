/*
 * wg_in() of one device with one peer, a session between them and a
 * handshake of its own in flight, under a fixed seed.
 *
 * The input is a series of packets: a byte of mode, two bytes of length (big
 * endian), the bytes. Mode, low bits: 0 the bytes as they are; 1 with a good
 * MAC1 put on; 2 sealed by the peer as an inner packet; 3 over a genuine
 * message of the peer's (the bytes are pairs of offset and mask). Bit 4
 * switches load, bit 5 lets 5 s pass.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/cursor.h"
#include "core/base/time.h"
#include "core/tailnet/wireguard/messages.h"
#include "core/tailnet/wireguard/peer.h"
#include "core/tailnet/wireguard/wireguard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define PACKETS_CAP 64
#define BUFFER 2048

struct bench {
	struct rng rng;
	struct wg *wg[2];
	struct wg_peer *peer[2];
	uint64_t now_us;
};

static int64_t wall(void *user)
{
	return (int64_t)((const struct bench *)user)->now_us;
}

static void check(bool good)
{
	if (!good)
		abort();
}

/* An exact copy, so that ASan sees a read past the end. */
static void feed(struct bench *bench, int to, const uint8_t *bytes, size_t len)
{
	struct wg_in_result result;
	uint8_t *copy = malloc(len ? len : 1);

	check(copy != NULL);
	if (len)
		memcpy(copy, bytes, len);
	wg_in(bench->wg[to], copy, len, 1, bench->now_us, &result);
	if (result.kind == WG_IN_DATA) {
		check(result.data >= copy && result.len >= 40 &&
		      result.data + result.len <= copy + len);
		check(result.data[0] >> 4 == 6);
	}
	free(copy);
}

static size_t pull(struct bench *bench, int from, uint8_t out[BUFFER])
{
	struct wg_out_message message;
	struct wg_event event;

	while (wg_event(bench->wg[from], &event))
		check(event.peer == bench->peer[from]);
	if (wg_out(bench->wg[from], bench->now_us, out, BUFFER, &message) < 0)
		return 0;
	return message.len;
}

/* Messages to and fro until both are silent. */
static void settle(struct bench *bench)
{
	uint8_t bytes[BUFFER];
	bool busy = true;

	for (int round = 0; busy && round < 20; round++) {
		busy = false;
		for (int i = 0; i < 2; i++) {
			size_t len = pull(bench, i, bytes);

			busy |= len > 0;
			if (len)
				feed(bench, !i, bytes, len);
		}
	}
}

static void bench_init(struct bench *bench)
{
	static const uint8_t source[1][16] = { { 0xfd } };

	*bench = (struct bench){ .now_us = 1000 * US_PER_S };
	rng_seeded(&bench->rng, 7);
	for (int i = 0; i < 2; i++) {
		struct wg_config config = {
			.rng = &bench->rng, .wall_us = wall, .user = bench,
		};

		key_private(&bench->rng, &config.private_key);
		check(wg_new(&config, &bench->wg[i]) == 0);
	}
	for (int i = 0; i < 2; i++)
		check(wg_peer_add(bench->wg[i], wg_public_key(bench->wg[!i]),
				  source, 1, NULL, &bench->peer[i]) == 0);
	wg_peer_handshake(bench->peer[0], bench->now_us);
	settle(bench);
	check(wg_peer_ready(bench->peer[0], bench->now_us) &&
	      wg_peer_ready(bench->peer[1], bench->now_us));
}

static void good_mac1(struct bench *bench, const uint8_t *bytes, size_t len)
{
	struct wg_cookie_maker maker;
	uint8_t packet[BUFFER];

	if (len < 2 * WG_MAC_LEN || len > sizeof(packet))
		return;
	memcpy(packet, bytes, len);
	wg_cookie_maker_init(&maker, wg_public_key(bench->wg[0]));
	wg_cookie_add_macs(&maker, &bench->wg[1]->mac, packet, len,
			   bench->now_us);
	feed(bench, 0, packet, len);
}

static void sealed(struct bench *bench, const uint8_t *bytes, size_t len)
{
	uint8_t packet[BUFFER];
	ssize_t total;

	if (len > sizeof(packet) - WG_DATA_OVERHEAD)
		return;
	memcpy(packet + WG_DATA_HEADER, bytes, len);
	total = wg_seal(bench->peer[1], packet, len, sizeof(packet),
			bench->now_us);
	if (total > 0)
		feed(bench, 0, packet, (size_t)total);
}

static void mutated(struct bench *bench, const uint8_t *bytes, size_t len)
{
	uint8_t packet[BUFFER];
	size_t total;

	wg_peer_handshake(bench->peer[1], bench->now_us);
	total = pull(bench, 1, packet);
	for (size_t i = 0; total && i + 1 < len; i += 2)
		packet[bytes[i] % total] ^= bytes[i + 1];
	feed(bench, 0, packet, total);
}

static void one_packet(struct bench *bench, uint8_t mode, const uint8_t *bytes,
		       size_t len)
{
	if (mode & 16)
		check(wg_set_under_load(bench->wg[0],
					!bench->wg[0]->under_load) == 0);
	if (mode & 32)
		bench->now_us += 5 * US_PER_S;
	for (int i = 0; i < 2; i++)
		wg_tick(bench->wg[i], bench->now_us);
	switch (mode & 3) {
	case 0:
		feed(bench, 0, bytes, len);
		break;
	case 1:
		good_mac1(bench, bytes, len);
		break;
	case 2:
		sealed(bench, bytes, len);
		break;
	case 3:
		mutated(bench, bytes, len);
		break;
	}
	settle(bench);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct cursor input = cursor_of(data, len);
	struct bench bench;

	bench_init(&bench);
	for (int i = 0; i < PACKETS_CAP && input.left >= 3; i++) {
		uint8_t mode = cursor_u8(&input);
		size_t packet_len = cursor_u16(&input);

		if (packet_len > input.left)
			packet_len = input.left;
		one_packet(&bench, mode, cursor_bytes(&input, packet_len),
			   packet_len);
	}
	wg_free(bench.wg[0]);
	wg_free(bench.wg[1]);
	return 0;
}
