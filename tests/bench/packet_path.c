/*
 * Bulk data through all that a packet passes in user space: stream, TCP,
 * seal at one end; open, TCP, stream at the other; and the ACKs back. For
 * `instructions`, which counts under callgrind what each measured_*() below
 * executes. Prints the number of packets that were measured.
 *
 *	packet_path [PACKETS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/netstack/netstack.h"
#include "core/tailnet/wireguard/wireguard.h"

#define BATCH 45		/* what one datagram of GSO holds */
#define ROOM (WG_DATA_OVERHEAD + NS_MTU_MIN)

struct slot {
	uint8_t bytes[ROOM];
	size_t len;
};

struct side {
	struct ns *ns;
	struct wg *wg;
	struct wg_peer *peer;
	struct stream *stream;
	struct slot slots[BATCH];
	size_t count;
};

static struct side sides[2];
static uint64_t now_us = 1000 * US_PER_S;
static struct rng rng;
static uint8_t block[1 << 16];

void measured_write(void);
void measured_read(void);
void measured_out(struct side *side);
void measured_seal(struct side *side);
void measured_open(struct side *side);
void measured_in(struct side *side);

static const uint8_t addresses[2][NS_ADDRESS_LEN] = {
	{ 0xfd, [15] = 1 }, { 0xfd, [15] = 2 },
};

static void must(int err)
{
	if (err >= 0)
		return;
	fprintf(stderr, "packet_path: error %d\n", err);
	exit(1);
}

static int64_t wall(void *user)
{
	(void)user;
	return (int64_t)now_us;
}

static void on_accept(void *user, struct stream *stream, uint16_t port)
{
	(void)user;
	(void)port;
	sides[1].stream = stream;
}

static void side_init(int i)
{
	struct ns_config config = {
		.addresses = &addresses[i], .address_count = 1, .rng = &rng,
	};
	struct wg_config wg = { .rng = &rng, .wall_us = wall };

	rng_bytes(&rng, wg.private_key.bytes, sizeof(wg.private_key.bytes));
	must(wg_new(&wg, &sides[i].wg));
	must(ns_new(&config, &sides[i].ns));
}

static void handshake(void)
{
	struct wg_out_message message;
	struct wg_in_result result;
	uint8_t bytes[WG_MESSAGE_CAP];

	for (int i = 0; i < 2; i++)
		must(wg_peer_add(sides[i].wg, wg_public_key(sides[!i].wg),
				 &addresses[!i], 1, NULL, &sides[i].peer));
	wg_peer_handshake(sides[0].peer, now_us);
	for (int round = 0; round < 6; round++) {
		int i = round % 2;

		if (wg_out(sides[i].wg, now_us, bytes, sizeof(bytes),
			   &message) == 0)
			wg_in(sides[!i].wg, bytes, message.len, 1, now_us,
			      &result);
	}
}

__attribute__((noinline)) void measured_write(void)
{
	while (stream_write(sides[0].stream, block, sizeof(block)) > 0)
		;
}

__attribute__((noinline)) void measured_read(void)
{
	const uint8_t *data;
	ssize_t n;

	while ((n = stream_peek(sides[1].stream, &data)) > 0) {
		memcpy(block, data, (size_t)n < sizeof(block) ? (size_t)n :
		       sizeof(block));
		stream_consume(sides[1].stream, (size_t)n);
	}
}

__attribute__((noinline)) void measured_out(struct side *side)
{
	struct slot *slot = &side->slots[side->count];

	slot->len = ns_out(side->ns, slot->bytes + WG_DATA_HEADER,
			   NS_MTU_MIN, now_us);
}

__attribute__((noinline)) void measured_seal(struct side *side)
{
	struct slot *slot = &side->slots[side->count];

	slot->len = (size_t)wg_seal(side->peer, slot->bytes, slot->len,
				    sizeof(slot->bytes), now_us);
}

static struct wg_in_result opened;

__attribute__((noinline)) void measured_open(struct side *side)
{
	struct slot *slot = &sides[side == sides].slots[side->count];

	wg_in(side->wg, slot->bytes, slot->len, 1, now_us, &opened);
}

__attribute__((noinline)) void measured_in(struct side *side)
{
	ns_in(side->ns, opened.data, opened.len, now_us);
}

static size_t send_batch(struct side *side)
{
	for (side->count = 0; side->count < BATCH; side->count++) {
		measured_out(side);
		if (!side->slots[side->count].len)
			break;
		measured_seal(side);
	}
	return side->count;
}

static void take_batch(struct side *side)
{
	size_t count = sides[side == sides].count;

	for (side->count = 0; side->count < count; side->count++) {
		measured_open(side);
		if (opened.kind == WG_IN_DATA)
			measured_in(side);
	}
}

static size_t turn(void)
{
	size_t packets = 0;

	now_us += 50;
	for (int i = 0; i < 2; i++) {
		ns_tick(sides[i].ns, now_us);
		ns_dispatch(sides[i].ns);
		if (i == 0 && sides[0].stream)
			measured_write();
		if (i == 1 && sides[1].stream)
			measured_read();
		packets += send_batch(&sides[i]);
		take_batch(&sides[!i]);
	}
	return packets;
}

int main(int argc, char **argv)
{
	size_t most = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000;
	struct ns_listener *listener;
	size_t packets = 0;
	size_t turns = 0;

	must(wg_crypto_init());
	rng_seeded(&rng, 1);
	side_init(0);
	side_init(1);
	handshake();
	must(ns_listen(sides[1].ns, 80, 0, on_accept, NULL, &listener));
	must(ns_connect(sides[0].ns, addresses[1], 80, now_us,
			&sides[0].stream));
	while (packets < most && turns++ < most)
		packets += turn();
	printf("%zu\n", packets);
	stream_close(sides[0].stream, true);
	if (sides[1].stream)
		stream_close(sides[1].stream, true);
	for (int i = 0; i < 2; i++) {
		ns_free(sides[i].ns);
		wg_free(sides[i].wg);
	}
	return packets < most;
}
