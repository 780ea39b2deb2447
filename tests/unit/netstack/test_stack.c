/* The node: ports, listeners, UDP, echo, raw packets, many connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/cursor.h"
#include "core/netstack/internal.h"
#include "tests/unit/netstack/wire.h"

#define MANY 1000

static bool decided(void *user)
{
	return ns_stream_state(user) != ERR_AGAIN;
}

static struct stream *dial(struct wire *wire, uint16_t port)
{
	struct stream *stream;

	assert_int_equal(ns_connect(wire->ns[0], wire_address[1], port,
				    wire->now_us, &stream), 0);
	return stream;
}

static void test_refused(void **state)
{
	struct link_config link = { .delay_us = 3000 };
	struct wire wire;
	struct stream *stream;
	const uint8_t *data;

	(void)state;
	wire_init(&wire, &link, NULL);
	stream = dial(&wire, 81);
	assert_true(wire_run(&wire, US_PER_S, decided, stream));
	assert_int_equal(ns_stream_state(stream), ERR_REFUSED);
	assert_int_equal(stream_peek(stream, &data), ERR_REFUSED);
	stream_close(stream, false);
	assert_int_equal(ns_connect(wire.ns[0], wire_address[1], 0,
				    wire.now_us, &stream), ERR_MISUSE);
	wire_clear(&wire);
}

static bool drop_all(struct wire *wire, int from, const uint8_t *packet,
		     size_t len)
{
	(void)from;
	(void)packet;
	(void)len;
	wire->lost++;
	return false;
}

static void test_no_answer(void **state)
{
	struct ns_config config = { .connect_timeout_us = 10 * US_PER_S };
	struct wire wire;
	struct stream *stream;
	uint64_t begin;

	(void)state;
	wire_init(&wire, NULL, &config);
	wire.tap = drop_all;
	stream = dial(&wire, 80);
	begin = wire.now_us;
	assert_true(wire_run(&wire, 60 * US_PER_S, decided, stream));
	assert_int_equal(ns_stream_state(stream), ERR_TIMEOUT);
	assert_int_equal(wire.now_us - begin, 10 * US_PER_S);
	/* At 0, 1, 3 and 7 s. */
	assert_int_equal(wire.sent[0], 4);
	stream_close(stream, false);
	wire_clear(&wire);
}

static void test_cancel_connect(void **state)
{
	struct wire wire;
	struct ns_stats stats;

	(void)state;
	wire_init(&wire, NULL, NULL);
	stream_close(dial(&wire, 80), false);
	wire_run(&wire, US_PER_S, NULL, NULL);
	ns_get_stats(wire.ns[0], &stats);
	assert_int_equal(stats.connections, 0);
	assert_int_equal(wire.sent[0], 0);
	wire_clear(&wire);
}

/* Written while connecting and closed at once: it all arrives. */
static void test_write_early(void **state)
{
	struct link_config link = { .delay_us = 3000 };
	struct wire wire;
	struct end end = { .wire = &wire, .reading = true, .sink_cap = 16 };
	struct ns_listener *listener;
	struct stream *stream;

	(void)state;
	wire_init(&wire, &link, NULL);
	end.sink = malloc(16);
	assert_int_equal(ns_listen(wire.ns[1], 0, 0, end_accept, &end,
				   &listener), 0);
	stream = dial(&wire, 4242);
	assert_int_equal(stream_write(stream, "hello", 5), 5);
	assert_int_equal(stream_unsent(stream), 5);
	stream_close(stream, false);
	wire_run(&wire, US_PER_S, NULL, NULL);
	assert_int_equal(end.sink_len, 5);
	assert_int_equal(end.eof, 1);
	end_clear(&end, false);
	wire_run(&wire, 100 * US_PER_S, NULL, NULL);
	ns_listener_close(listener);
	wire_clear(&wire);
}

static void count_accept(void *user, struct stream *stream, uint16_t port)
{
	uint16_t *ports = user;

	ports[0]++;
	ports[1] = port;
	stream_close(stream, true);
}

static void test_listeners(void **state)
{
	struct wire wire;
	uint16_t every[2] = { 0 };
	uint16_t one[2] = { 0 };
	struct ns_listener *listeners[2];
	struct ns_listener *other;
	struct stream *stream;

	(void)state;
	wire_init(&wire, NULL, NULL);
	assert_int_equal(ns_listen(wire.ns[1], 0, 0, count_accept, every,
				   &listeners[0]), 0);
	assert_int_equal(ns_listen(wire.ns[1], 22, 0, count_accept, one,
				   &listeners[1]), 0);
	assert_int_equal(ns_listen(wire.ns[1], 22, 0, count_accept, one,
				   &other), ERR_CONFLICT);
	stream = dial(&wire, 22);
	wire_run(&wire, US_PER_S, NULL, NULL);
	assert_int_equal(ns_stream_state(stream), ERR_RESET);
	stream_close(stream, true);
	stream_close(stream = dial(&wire, 23), false);
	stream = dial(&wire, 24);
	wire_run(&wire, US_PER_S, NULL, NULL);
	stream_close(stream, true);
	assert_int_equal(one[0], 1);
	assert_int_equal(one[1], 22);
	assert_int_equal(every[0], 1);
	assert_int_equal(every[1], 24);
	ns_listener_close(listeners[1]);
	stream = dial(&wire, 22);
	wire_run(&wire, US_PER_S, NULL, NULL);
	stream_close(stream, true);
	assert_int_equal(every[1], 22);
	ns_listener_close(listeners[0]);
	wire_clear(&wire);
}

static void make_syn(uint8_t out[60], uint32_t n)
{
	uint8_t src[NS_ADDRESS_LEN] = { 0xfd, 0x99 };

	be_store(src + 12, n, 4);
	memset(out, 0, 60);
	be_store(out + 40, 1000, 2);
	be_store(out + 42, 80, 2);
	be_store(out + 44, n, 4);
	out[52] = 5 << 4;
	out[53] = TCP_SYN;
	ns_ip_header(out, src, wire_address[1], NS_HEADER_TCP, 20);
}

static void test_syn_flood(void **state)
{
	struct wire wire;
	struct end ends[2] = { 0 };
	struct ns_listener *listener;
	struct ns_stats stats;
	uint16_t count[2] = { 0 };
	uint8_t syn[60];

	(void)state;
	wire_init(&wire, NULL, NULL);
	wire_connect(&wire, ends);
	assert_int_equal(ns_listen(wire.ns[1], 80, 16, count_accept, count,
				   &listener), 0);
	for (uint32_t n = 0; n < 10000; n++) {
		make_syn(syn, n);
		ns_in(wire.ns[1], syn, sizeof(syn), wire.now_us);
	}
	ns_get_stats(wire.ns[1], &stats);
	assert_int_equal(stats.connections, 17);
	assert_int_equal(stats.drop_backlog, 10000 - 16);
	/* What was there lives on, and the half-open ones die. */
	assert_int_equal(stream_write(ends[0].stream, "alive", 5), 5);
	wire_run(&wire, 60 * US_PER_S, NULL, NULL);
	assert_int_equal(stream_unsent(ends[0].stream), 0);
	ns_get_stats(wire.ns[1], &stats);
	assert_int_equal(stats.connections, 1);
	assert_int_equal(count[0], 0);
	ns_listener_close(listener);
	end_clear(&ends[0], true);
	end_clear(&ends[1], true);
	wire_clear(&wire);
}

struct many {
	struct wire wire;
	struct end ends[2][MANY];
	size_t accepted;
	uint8_t text[MANY][8];
};

static void accept_many(void *user, struct stream *stream, uint16_t port)
{
	struct many *many = user;
	struct end *end = &many->ends[1][many->accepted++];

	(void)port;
	end_attach(end, &many->wire, stream);
}

static void test_many(void **state)
{
	struct many *many = calloc(1, sizeof(*many));
	struct ns_listener *listener;
	struct ns_stats stats;
	size_t sum = 0;

	(void)state;
	many->wire.link.delay_us = 0;
	wire_init(&many->wire, &(struct link_config){ .delay_us = 5000,
						      .loss = 2 }, NULL);
	assert_int_equal(ns_listen(many->wire.ns[1], 7, NS_BACKLOG_CAP,
				   accept_many, many, &listener), 0);
	for (int i = 0; i < MANY; i++) {
		struct end *end = &many->ends[0][i];

		snprintf((char *)many->text[i], 8, "%07d", i);
		end->source = many->text[i];
		end->source_len = 8;
		end->shut_when_done = true;
		for (int j = 0; j < 2; j++) {
			many->ends[j][i].reading = true;
			many->ends[j][i].sink_cap = 8;
			many->ends[j][i].sink = malloc(8);
		}
		end_attach(end, &many->wire, dial(&many->wire, 7));
	}
	wire_run(&many->wire, 60 * US_PER_S, NULL, NULL);
	assert_int_equal(many->accepted, MANY);
	for (int i = 0; i < MANY; i++) {
		struct end *end = &many->ends[1][i];

		assert_int_equal(end->sink_len, 8);
		assert_int_equal(end->eof, 1);
		sum += (size_t)atoi((char *)end->sink);
		end_clear(&many->ends[0][i], false);
		end_clear(end, false);
	}
	assert_int_equal(sum, MANY * (MANY - 1) / 2);
	wire_run(&many->wire, 200 * US_PER_S, NULL, NULL);
	for (int i = 0; i < 2; i++) {
		ns_get_stats(many->wire.ns[i], &stats);
		assert_int_equal(stats.connections, 0);
		assert_int_equal(ns_next_deadline(many->wire.ns[i]),
				 DEADLINE_NONE);
	}
	ns_listener_close(listener);
	wire_clear(&many->wire);
	free(many);
}

struct got {
	struct ns_udp *udp;
	uint8_t data[1500];
	size_t len;
	unsigned count;
	uint16_t port;
	bool close;
};

static void got_datagram(void *user, const uint8_t *src, uint16_t port,
			 const uint8_t *data, size_t len)
{
	struct got *got = user;

	(void)src;
	memcpy(got->data, data, len);
	got->len = len;
	got->port = port;
	got->count++;
	if (got->close)
		ns_udp_close(got->udp);
}

static void test_udp(void **state)
{
	struct ns_config config = { .verify_checksums = true };
	struct wire wire;
	struct got a = { 0 };
	struct got b = { 0 };
	struct ns_udp *other;
	uint8_t big[1300] = { 1 };
	struct ns_stats stats;

	(void)state;
	wire_init(&wire, NULL, &config);
	assert_int_equal(ns_udp_open(wire.ns[0], 0, got_datagram, &a,
				     &a.udp), 0);
	assert_int_equal(ns_udp_open(wire.ns[1], 53, got_datagram, &b,
				     &b.udp), 0);
	assert_int_equal(ns_udp_open(wire.ns[1], 53, got_datagram, &b,
				     &other), ERR_CONFLICT);
	assert_int_equal(ns_udp_send(a.udp, wire_address[1], 53, big, 1232),
			 0);
	assert_int_equal(ns_udp_send(a.udp, wire_address[1], 53, big, 1233),
			 ERR_TOO_LARGE);
	wire_run(&wire, 1000, NULL, NULL);
	assert_int_equal(b.len, 1232);
	assert_int_equal(b.port, ns_udp_port(a.udp));
	assert_int_equal(ns_udp_send(b.udp, wire_address[0], b.port, "", 0),
			 0);
	assert_int_equal(ns_udp_send(b.udp, wire_address[0], 9, "x", 1), 0);
	wire_run(&wire, 1000, NULL, NULL);
	assert_int_equal(a.count, 1);
	assert_int_equal(a.len, 0);
	ns_get_stats(wire.ns[0], &stats);
	assert_int_equal(stats.drop_port, 1);
	for (int i = 0; i < NS_QUEUE_CAP; i++)
		ns_udp_send(a.udp, wire_address[1], 53, "x", 1);
	assert_int_equal(ns_udp_send(a.udp, wire_address[1], 53, "x", 1),
			 ERR_LIMIT);
	b.close = true;
	wire_run(&wire, 1000, NULL, NULL);
	assert_int_equal(b.count, 2);
	wire_clear(&wire);
}

struct pinged {
	int err;
	uint64_t latency_us;
	unsigned count;
};

static void on_ping(void *user, int err, uint64_t latency_us)
{
	struct pinged *pinged = user;

	*pinged = (struct pinged){ err, latency_us, pinged->count + 1 };
}

static void test_ping(void **state)
{
	struct ns_config config = { .verify_checksums = true };
	struct link_config link = { .delay_us = 21000 };
	struct wire wire;
	struct pinged pinged = { 0 };

	(void)state;
	wire_init(&wire, &link, &config);
	assert_int_equal(ns_ping(wire.ns[0], wire_address[1], 0, wire.now_us,
				 on_ping, &pinged), 0);
	wire_run(&wire, US_PER_S, NULL, NULL);
	assert_int_equal(pinged.err, 0);
	assert_int_equal(pinged.latency_us, 42000);
	wire.tap = drop_all;
	assert_int_equal(ns_ping(wire.ns[0], wire_address[1], 2 * US_PER_S,
				 wire.now_us, on_ping, &pinged), 0);
	wire_run(&wire, 2 * US_PER_S, NULL, NULL);
	assert_int_equal(pinged.err, ERR_TIMEOUT);
	for (int i = 0; i < NS_PING_CAP; i++)
		assert_int_equal(ns_ping(wire.ns[0], wire_address[1], 0,
					 wire.now_us, on_ping, &pinged), 0);
	assert_int_equal(ns_ping(wire.ns[0], wire_address[1], 0, wire.now_us,
				 on_ping, &pinged), ERR_LIMIT);
	ns_fail(wire.ns[0], ERR_CLOSED);
	ns_dispatch(wire.ns[0]);
	assert_int_equal(pinged.count, NS_PING_CAP + 2);
	assert_int_equal(pinged.err, ERR_CANCELED);
	wire_clear(&wire);
}

static void got_raw(void *user, const uint8_t *src, const uint8_t *dst,
		    const uint8_t *payload, size_t len)
{
	struct got *got = user;

	assert_memory_equal(src, wire_address[0], NS_ADDRESS_LEN);
	assert_memory_equal(dst, wire_address[1], NS_ADDRESS_LEN);
	memcpy(got->data, payload, len);
	got->len = len;
	got->count++;
}

static void test_raw(void **state)
{
	struct wire wire;
	struct got got = { 0 };
	struct ns_stats stats;

	(void)state;
	wire_init(&wire, NULL, NULL);
	assert_int_equal(ns_set_raw(wire.ns[1], NS_HEADER_TCP, got_raw, &got),
			 ERR_MISUSE);
	assert_int_equal(ns_raw_send(wire.ns[0], wire_address[1], 99, "p", 1),
			 0);
	wire_run(&wire, 1000, NULL, NULL);
	ns_get_stats(wire.ns[1], &stats);
	assert_int_equal(stats.drop_protocol, 1);
	assert_int_equal(ns_set_raw(wire.ns[1], 99, got_raw, &got), 0);
	assert_int_equal(ns_raw_send(wire.ns[0], wire_address[1], 99, "pong",
				     4), 0);
	wire_run(&wire, 1000, NULL, NULL);
	assert_int_equal(got.len, 4);
	assert_memory_equal(got.data, "pong", 4);
	wire_clear(&wire);
}

/* Streams that are open when the stack goes stay their owner's. */
static void test_free_under_streams(void **state)
{
	struct wire wire;
	struct end ends[2] = { 0 };
	const uint8_t *data;
	char text[STREAM_ADDRESS_CAP];

	(void)state;
	wire_init(&wire, NULL, NULL);
	wire_connect(&wire, ends);
	stream_address(ends[1].stream, false, text);
	assert_string_equal(text, "[fd60:627a:a42b::2]:80");
	assert_int_equal(stream_write(ends[0].stream, "last", 4), 4);
	wire_run(&wire, 1000, NULL, NULL);
	ns_fail(wire.ns[0], ERR_CANCELED);
	ns_dispatch(wire.ns[0]);
	assert_int_equal(stream_peek(ends[0].stream, &data), ERR_CANCELED);
	wire_clear(&wire);
	assert_int_equal(stream_peek(ends[1].stream, &data), 4);
	stream_consume(ends[1].stream, 4);
	assert_int_equal(stream_peek(ends[1].stream, &data), ERR_CLOSED);
	assert_int_equal(stream_write(ends[1].stream, "x", 1), ERR_CLOSED);
	assert_int_equal(stream_shutdown(ends[1].stream), ERR_CLOSED);
	assert_int_equal(stream_unsent(ends[1].stream), 0);
	stream_address(ends[1].stream, true, text);
	end_clear(&ends[0], false);
	end_clear(&ends[1], false);
}

static void open_windows(struct stream *stream)
{
	struct conn *conn = container_of(stream, struct conn, stream);

	conn->congestion.window = 1 << 20;
	conn->snd_wnd = 1 << 20;
}

/* Two bulk senders share; neither waits for the other to end. */
static void test_fairness(void **state)
{
	struct wire wire;
	struct end a[2] = { 0 };
	struct end b[2] = { 0 };
	static uint8_t data[2 << 20];
	uint8_t packet[1280];
	unsigned counts[2] = { 0 };
	uint16_t port_a;
	unsigned runs = 0;
	uint16_t last = 0;

	(void)state;
	wire_init(&wire, NULL, NULL);
	wire_connect(&wire, a);
	wire_connect(&wire, b);
	port_a = container_of(a[0].stream, struct conn, stream)->local_port;
	open_windows(a[0].stream);
	open_windows(b[0].stream);
	stream_write(a[0].stream, data, sizeof(data));
	stream_write(b[0].stream, data, sizeof(data));
	for (int i = 0; i < 128; i++) {
		size_t len = ns_out(wire.ns[0], packet, sizeof(packet),
				    wire.now_us);
		uint16_t port;

		assert_int_equal(len, sizeof(packet));
		port = (uint16_t)be_load(packet + 40, 2);
		counts[port == port_a]++;
		runs += port != last;
		last = port;
	}
	assert_int_equal(counts[0], 64);
	assert_int_equal(runs, 4);
	end_clear(&a[0], true);
	end_clear(&a[1], true);
	end_clear(&b[0], true);
	end_clear(&b[1], true);
	wire_clear(&wire);
}

static void no_pong(void *user, int err, uint64_t latency_us)
{
	(void)user;
	(void)err;
	(void)latency_us;
}

static size_t out_to(struct wire *wire, const uint8_t **dst)
{
	static uint8_t packet[1280];
	size_t len = ns_out(wire->ns[0], packet, sizeof(packet),
			    wire->now_us);

	*dst = packet + 24;
	return len;
}

static const uint8_t *shut;

static bool is_open(void *user, const uint8_t dst[NS_ADDRESS_LEN])
{
	(void)user;
	return !shut || memcmp(dst, shut, NS_ADDRESS_LEN) != 0;
}

/* One destination waits with all that goes there, another goes on. */
static void test_blocked(void **state)
{
	static const uint8_t other[NS_ADDRESS_LEN] = { 0xfd, [15] = 9 };
	const uint8_t *here = wire_address[1];
	struct wire wire;
	struct end ends[2] = { 0 };
	static uint8_t data[64 << 10];
	struct ns_stats stats;
	struct ns_udp *udp;
	const uint8_t *dst;
	unsigned packets = 0;

	(void)state;
	wire_init(&wire, NULL, NULL);
	wire_connect(&wire, ends);
	assert_int_equal(ns_udp_open(wire.ns[0], 0, NULL, NULL, &udp), 0);
	ns_set_gate(wire.ns[0], is_open, NULL);
	shut = here;
	stream_write(ends[0].stream, data, sizeof(data));
	ns_udp_send(udp, here, 7, "1", 1);
	ns_udp_send(udp, other, 7, "2", 1);
	ns_udp_send(udp, here, 7, "3", 1);
	assert_int_equal(out_to(&wire, &dst), 49);
	assert_memory_equal(dst, other, NS_ADDRESS_LEN);
	assert_int_equal(dst[16 + 8], '2');
	assert_int_equal(out_to(&wire, &dst), 0);
	/* Ready again while parked: no wake, nothing out. */
	wire.woken = false;
	stream_write(ends[0].stream, data, 1);
	assert_false(wire.woken);
	assert_int_equal(out_to(&wire, &dst), 0);
	shut = NULL;
	ns_gate_opened(wire.ns[0]);
	assert_true(wire.woken);
	while (out_to(&wire, &dst))
		packets++;
	assert_int_equal(packets, 12);
	/* Ended, reset and freed while parked; most of it dropped. */
	shut = here;
	for (int i = 0; i < 2000; i++)
		ns_udp_send(udp, here, 7, "5", 1);
	assert_int_equal(out_to(&wire, &dst), 0);
	ns_get_stats(wire.ns[0], &stats);
	assert_int_equal(stats.drop_queue, 2000 - NS_QUEUE_CAP);
	ns_udp_send(udp, here, 7, "4", 1);
	ns_ping(wire.ns[0], here, US_PER_S, wire.now_us, no_pong, NULL);
	stream_write(ends[0].stream, data, 1);
	assert_int_equal(out_to(&wire, &dst), 0);
	end_clear(&ends[0], true);
	assert_int_equal(out_to(&wire, &dst), 0);
	end_clear(&ends[1], true);
	wire_clear(&wire);
}

static void put_packet(struct ns *ns, const uint8_t *packet, size_t len)
{
	uint8_t *copy = malloc(len + 1);

	memcpy(copy, packet, len);
	ns_in(ns, copy, len, 1);
	free(copy);
}

static void test_headers(void **state)
{
	struct wire wire;
	struct ns_stats stats;
	struct got got = { 0 };
	uint8_t packet[100] = { 0 };

	(void)state;
	wire_init(&wire, NULL, NULL);
	assert_int_equal(ns_set_raw(wire.ns[1], 99, got_raw, &got), 0);
	ns_ip_header(packet, wire_address[0], wire_address[1], 0, 28);
	packet[40] = 60;	/* hop-by-hop, then destination options */
	packet[41] = 1;
	packet[56] = 99;
	put_packet(wire.ns[1], packet, 68);
	assert_int_equal(got.count, 1);
	assert_int_equal(got.len, 4);
	put_packet(wire.ns[1], packet, 80);	/* padding of the link */
	assert_int_equal(got.count, 2);
	assert_int_equal(got.len, 4);
	packet[56] = 44;
	put_packet(wire.ns[1], packet, 68);
	packet[57] = 9;
	packet[56] = 0;
	put_packet(wire.ns[1], packet, 68);
	for (size_t len = 0; len < 68; len++)
		put_packet(wire.ns[1], packet, len);
	ns_get_stats(wire.ns[1], &stats);
	assert_int_equal(stats.drop_fragment, 1);
	assert_int_equal(stats.drop_malformed, 69);
	packet[8] = 0xff;
	put_packet(wire.ns[1], packet, 68);
	ns_ip_header(packet, wire_address[1], wire_address[0], 99, 0);
	put_packet(wire.ns[1], packet, 40);
	ns_get_stats(wire.ns[1], &stats);
	assert_int_equal(stats.drop_address, 2);
	wire_clear(&wire);
}

static void test_config(void **state)
{
	struct rng rng;
	struct ns *ns;
	struct ns_config config = { .addresses = wire_address, .rng = &rng };

	(void)state;
	rng_seeded(&rng, 1);
	assert_int_equal(ns_new(&config, &ns), ERR_MISUSE);
	config.address_count = NS_ADDRESS_CAP + 1;
	assert_int_equal(ns_new(&config, &ns), ERR_MISUSE);
	config.address_count = 2;
	config.mtu = 1279;
	assert_int_equal(ns_new(&config, &ns), ERR_MISUSE);
	config.mtu = 9000;
	assert_int_equal(ns_new(&config, &ns), 0);
	assert_int_equal(ns_next_deadline(ns), DEADLINE_NONE);
	ns_free(ns);
	ns_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_cancel_connect),
		cmocka_unit_test(test_write_early),
		cmocka_unit_test(test_listeners),
		cmocka_unit_test(test_syn_flood),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_udp),
		cmocka_unit_test(test_ping),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_free_under_streams),
		cmocka_unit_test(test_fairness),
		cmocka_unit_test(test_blocked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
