/*
 * ns_in() with whatever comes: a stack with a listener, a UDP port, and an
 * established connection with data both ways. The input is a sequence of
 *
 *	op, len (2 bytes), len bytes
 *
 * where op 0 is a whole packet, 1 a TCP segment for the connection whose
 * sequence numbers are relative to what is expected (so that the inside is
 * reached), 2 time, 3 the owner reads, 4 the owner writes, 5 shuts down,
 * 6 closes.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/cursor.h"
#include "core/netstack/internal.h"

#define PACKET_CAP 2048
#define SEGMENT_HEAD 14

struct world {
	struct ns *ns;
	struct rng rng;
	uint64_t now_us;
	struct stream *stream;
	struct stream *accepted;
};

static const uint8_t ours[1][NS_ADDRESS_LEN] = { { 0xfd, [15] = 1 } };
static const uint8_t theirs[NS_ADDRESS_LEN] = { 0xfd, [15] = 2 };

static void accept_one(void *user, struct stream *stream, uint16_t port)
{
	struct world *w = user;

	(void)port;
	if (w->accepted)
		stream_close(w->accepted, true);
	w->accepted = stream;
}

static void datagram(void *user, const uint8_t *src, uint16_t port,
		     const uint8_t *data, size_t len)
{
	volatile uint8_t last;

	(void)user;
	(void)src;
	(void)port;
	if (len)
		last = data[len - 1];
	(void)last;
}

static void drain(struct world *w)
{
	uint8_t out[NS_MTU_MIN];

	ns_dispatch(w->ns);
	for (int i = 0; i < 64; i++)
		if (!ns_out(w->ns, out, sizeof(out), w->now_us))
			break;
}

/* Exactly the size, so that a read past the end is seen. */
static void put(struct world *w, const uint8_t *packet, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	memcpy(copy, packet, len);
	ns_in(w->ns, copy, len, w->now_us);
	free(copy);
	drain(w);
}

/* seq 4, ack 4 (both relative), flags, options words, window 2, ts 2. */
static void put_segment(struct world *w, const uint8_t *data, size_t len)
{
	uint8_t packet[PACKET_CAP];
	struct writer out = writer_of(packet + 40, sizeof(packet) - 40);
	struct conn *conn;
	uint8_t words;

	if (len < SEGMENT_HEAD || len > 1000 || !w->stream)
		return;
	conn = container_of(w->stream, struct conn, stream);
	words = data[9] % 11;
	write_u16(&out, conn->remote_port);
	write_u16(&out, conn->local_port);
	write_u32(&out, conn->rcv_nxt + (uint32_t)be_load(data, 4));
	write_u32(&out, conn->snd_una + (uint32_t)be_load(data + 4, 4));
	write_u8(&out, (uint8_t)((8 + words) << 4 & 0xf0));
	write_u8(&out, data[8]);
	write_bytes(&out, data + 10, 2);
	write_u32(&out, 0);
	write_be(&out, 0x0101080a, 4);
	write_u32(&out, conn->ts_recent + data[12]);
	write_u32(&out, ts_now(w->ns, w->now_us) - data[13]);
	write_bytes(&out, data + SEGMENT_HEAD, len - SEGMENT_HEAD);
	ns_ip_header(packet, theirs, ours[0], NS_HEADER_TCP, out.len);
	put(w, packet, 40 + out.len);
}

static void owner_reads(struct world *w)
{
	const uint8_t *data;
	ssize_t n = w->stream ? stream_peek(w->stream, &data) : 0;

	if (n > 0 && data[n - 1] != 255)
		stream_consume(w->stream, (size_t)n);
}

static void step(struct world *w, uint8_t op, const uint8_t *data, size_t len)
{
	if (op == 0)
		put(w, data, len);
	else if (op == 1)
		put_segment(w, data, len);
	else if (op == 2)
		w->now_us += len * len * 1000;
	else if (op == 3)
		owner_reads(w);
	else if (op == 4 && w->stream)
		stream_write(w->stream, data, len);
	else if (op == 5 && w->stream)
		stream_shutdown(w->stream);
	if (op == 6 && w->stream) {
		stream_close(w->stream, len & 1);
		w->stream = NULL;
	}
	ns_tick(w->ns, w->now_us);
	drain(w);
}

static void establish(struct world *w)
{
	struct conn *conn = container_of(w->stream, struct conn, stream);
	static const uint8_t options[] = {
		2, 4, 4, 196, 1, 3, 3, 8, 1, 1, 4, 2, 1, 1, 8, 10, 0, 0, 0, 9,
	};
	uint8_t packet[PACKET_CAP];
	struct writer out = writer_of(packet + 40, sizeof(packet) - 40);

	drain(w);
	write_u16(&out, 80);
	write_u16(&out, conn->local_port);
	write_u32(&out, 7);
	write_u32(&out, conn->snd_nxt);
	write_be(&out, 0xb012ffffu, 4);
	write_u32(&out, 0);
	write_bytes(&out, options, sizeof(options));
	write_u32(&out, ts_now(w->ns, w->now_us));
	ns_ip_header(packet, theirs, ours[0], NS_HEADER_TCP, out.len);
	put(w, packet, 40 + out.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct world w = { .now_us = 5 * US_PER_S };
	struct ns_config config = {
		.addresses = ours, .address_count = 1, .rng = &w.rng,
	};
	struct ns_listener *listener;
	struct ns_udp *udp;
	struct cursor c = cursor_of(data, len);
	static const uint8_t bulk[5000];

	rng_seeded(&w.rng, 1);
	if (ns_new(&config, &w.ns) < 0 ||
	    ns_listen(w.ns, 0, 4, accept_one, &w, &listener) < 0 ||
	    ns_udp_open(w.ns, 53, datagram, NULL, &udp) < 0 ||
	    ns_connect(w.ns, theirs, 80, w.now_us, &w.stream) < 0)
		abort();
	establish(&w);
	stream_write(w.stream, bulk, sizeof(bulk));
	drain(&w);
	while (c.left > 3) {
		uint8_t op = cursor_u8(&c) % 7;
		size_t n = cursor_u16(&c) % 1100;
		const uint8_t *at = cursor_bytes(&c, n < c.left ? n : c.left);

		step(&w, op, at, n < (size_t)(c.at - at) ? n :
		     (size_t)(c.at - at));
	}
	if (w.stream)
		stream_close(w.stream, false);
	if (w.accepted)
		stream_close(w.accepted, false);
	ns_free(w.ns);
	return 0;
}
