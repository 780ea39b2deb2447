/*
 * What a packet costs in core/tailnet/wireguard: nanoseconds of wg_seal() and
 * wg_in(), the least of many rounds, in one process without I/O. A JSON line
 * for each size of the inner packet; asserts no time.
 *
 *   wireguard_cost [ROUNDS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/cursor.h"
#include "core/base/time.h"
#include "core/tailnet/wireguard/wireguard.h"

#define BATCH 64	/* packets a round: as many as one slab holds */
#define ROOM (WG_DATA_OVERHEAD + WG_MTU)

struct ends {
	struct rng rng;
	struct wg *wg[2];
	struct wg_peer *peer[2];
	uint64_t now_us;
	uint8_t packets[BATCH][ROOM];
	size_t lens[BATCH];
};

static const uint8_t source[1][16] = { { 0xfd } };

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "wireguard_cost: %s\n", what);
	exit(1);
}

static int64_t wall(void *user)
{
	return (int64_t)((const struct ends *)user)->now_us;
}

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void carry_messages(struct ends *ends)
{
	struct wg_out_message message;
	struct wg_in_result result;
	uint8_t bytes[WG_MESSAGE_CAP];

	for (int round = 0; round < 8; round++) {
		int i = round % 2;

		if (wg_out(ends->wg[i], ends->now_us, bytes, sizeof(bytes),
			   &message) == 0)
			wg_in(ends->wg[!i], bytes, message.len, 1,
			      ends->now_us, &result);
	}
}

static void ends_init(struct ends *ends)
{
	ends->now_us = 1000 * US_PER_S;
	rng_seeded(&ends->rng, 1);
	for (int i = 0; i < 2; i++) {
		struct wg_config config = {
			.rng = &ends->rng, .wall_us = wall, .user = ends,
		};

		key_private(&ends->rng, &config.private_key);
		check(wg_new(&config, &ends->wg[i]) == 0, "wg_new");
	}
	for (int i = 0; i < 2; i++)
		check(wg_peer_add(ends->wg[i], wg_public_key(ends->wg[!i]),
				  source, 1, NULL, &ends->peer[i]) == 0,
		      "wg_peer_add");
	wg_peer_handshake(ends->peer[0], ends->now_us);
	carry_messages(ends);
	check(wg_peer_ready(ends->peer[0], ends->now_us), "no session");
}

static void write_packets(struct ends *ends, size_t len)
{
	for (int i = 0; i < BATCH; i++) {
		uint8_t *inner = ends->packets[i] + WG_DATA_HEADER;

		memset(inner, i, len);
		inner[0] = 0x60;
		be_store(inner + 4, len - 40, 2);
		memcpy(inner + 8, source[0], 16);
	}
}

static uint64_t seal_all(struct ends *ends, size_t len)
{
	uint64_t start_ns = clock_ns();

	for (int i = 0; i < BATCH; i++) {
		ssize_t total = wg_seal(ends->peer[0], ends->packets[i], len,
					ROOM, ends->now_us);

		check(total > 0, "wg_seal");
		ends->lens[i] = (size_t)total;
	}
	return clock_ns() - start_ns;
}

static uint64_t open_all(struct ends *ends)
{
	uint64_t start_ns = clock_ns();
	struct wg_in_result result;

	for (int i = 0; i < BATCH; i++) {
		wg_in(ends->wg[1], ends->packets[i], ends->lens[i], 1,
		      ends->now_us, &result);
		check(result.kind == WG_IN_DATA, "wg_in");
	}
	return clock_ns() - start_ns;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void measure(struct ends *ends, size_t len, unsigned rounds)
{
	uint64_t seal_ns = UINT64_MAX;
	uint64_t open_ns = UINT64_MAX;

	for (unsigned i = 0; i < rounds; i++) {
		write_packets(ends, len);
		seal_ns = least(seal_ns, seal_all(ends, len));
		open_ns = least(open_ns, open_all(ends));
	}
	printf("{\"bench\":\"wireguard_cost\",\"bytes\":%zu,"
	       "\"seal_ns\":%llu,\"open_ns\":%llu}\n", len,
	       (unsigned long long)(seal_ns / BATCH),
	       (unsigned long long)(open_ns / BATCH));
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = { 60, 576, 1280 };
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 2000;
	static struct ends ends;

	ends_init(&ends);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		measure(&ends, sizes[i], rounds);
	wg_free(ends.wg[0]);
	wg_free(ends.wg[1]);
	return 0;
}
