/*
 * What the TCP makes of a link: two stacks of ours, joined by a simulated
 * link in virtual time, from a seed. JSON lines to read, no verdict.
 *
 *	netstack_link [--cc auto|bbr|cubic|reno|mixed] [--mbit N] [--seconds N]
 *		      [--seeds N] [--streams N]
 *
 * `mixed` lets every second stream run CUBIC and the others BBR.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/netstack/internal.h"
#include "tests/unit/netstack/wire.h"

#define STREAMS_CAP 64
#define PACKET_BITS (1280 * 8)
#define MIB (1u << 20)

struct options {
	const char *cc;
	unsigned mbit;
	unsigned seconds;
	unsigned seeds;
	unsigned streams;
};

struct flow {
	struct wire *wire;
	struct end ends[2];
	uint64_t got;
	uint64_t begin_us;
	uint64_t first_mib_us;
};

struct row {
	unsigned rtt_ms;
	unsigned loss_ppm;
	unsigned queue_rtts;	/* in tenths of the product of rate and rtt */
};

static const struct row rows[] = {
	{ 20, 0, 10 }, { 20, 1000, 10 }, { 20, 10000, 10 },
	{ 20, 50000, 10 }, { 100, 0, 10 }, { 100, 10000, 10 },
	{ 20, 0, 2 }, { 20, 0, 40 },
};

static void write_more(struct stream *stream, void *user)
{
	static const uint8_t block[1 << 16];

	(void)user;
	while (stream_write(stream, block, sizeof(block)) > 0)
		;
}

static void read_all(struct stream *stream, void *user)
{
	struct flow *flow = user;
	const uint8_t *data;
	ssize_t n;

	while ((n = stream_peek(stream, &data)) > 0) {
		stream_consume(stream, (size_t)n);
		flow->got += (size_t)n;
	}
	if (!flow->first_mib_us && flow->got >= MIB)
		flow->first_mib_us = flow->wire->now_us - flow->begin_us;
}

static void start(struct flow *flow, struct wire *wire)
{
	flow->wire = wire;
	wire_connect(wire, flow->ends);
	flow->ends[0].stream->on_change = write_more;
	flow->ends[1].stream->on_change = read_all;
	flow->ends[1].stream->user = flow;
}

static enum ns_congestion congestion_of(const char *name)
{
	if (!strcmp(name, "bbr"))
		return NS_BBR;
	if (!strcmp(name, "cubic"))
		return NS_CUBIC;
	return strcmp(name, "reno") ? NS_AUTO : NS_RENO;
}

struct result {
	double mbit;
	double jain;
	double first_ms;
	double srtt_ms;
	double share;		/* of the first half of the streams */
};

static struct result measure(const struct options *o, const struct row *row,
			     uint64_t seed, struct ns_stats *stats)
{
	uint64_t per_packet = o->mbit ? PACKET_BITS / o->mbit : 0;
	struct link_config link = {
		.seed = seed,
		.delay_us = row->rtt_ms * 500ull,
		.loss_ppm = row->loss_ppm,
		.us_per_packet = per_packet,
		.queue_cap = per_packet ? row->rtt_ms * 100ull *
			row->queue_rtts / per_packet : 0,
	};
	struct ns_config config = { .congestion = congestion_of(o->cc) };
	struct flow *flows = calloc(o->streams, sizeof(*flows));
	struct result r = { 0 };
	double sum = 0;
	double squares = 0;
	double half = 0;
	struct wire wire;

	wire_init(&wire, &link, &config);
	for (unsigned i = 0; i < o->streams; i++) {
		start(&flows[i], &wire);
		if (!strcmp(o->cc, "mixed"))
			ns_stream_set_congestion(flows[i].ends[0].stream,
						 i % 2 ? NS_CUBIC : NS_BBR);
	}
	/* All at once, so that they share from the beginning. */
	for (unsigned i = 0; i < o->streams; i++) {
		flows[i].begin_us = wire.now_us;
		write_more(flows[i].ends[0].stream, NULL);
	}
	wire_run(&wire, o->seconds * US_PER_S, NULL, NULL);
	for (unsigned i = 0; i < o->streams; i++) {
		double got = (double)flows[i].got;

		sum += got;
		squares += got * got;
		half += i % 2 ? 0 : got;
		r.srtt_ms += (double)ns_stream_rtt_us(
			flows[i].ends[0].stream) / 1000.0 / o->streams;
	}
	r.mbit = sum * 8 / (double)(o->seconds * US_PER_S);
	r.jain = sum * sum / (squares * o->streams);
	r.share = half / sum;
	r.first_ms = (double)flows[0].first_mib_us / 1000.0;
	ns_get_stats(wire.ns[0], stats);
	for (unsigned i = 0; i < o->streams; i++) {
		end_clear(&flows[i].ends[0], true);
		end_clear(&flows[i].ends[1], true);
	}
	wire_clear(&wire);
	free(flows);
	return r;
}

static void print_row(const struct options *o, const struct row *row)
{
	struct result sum = { 0 };
	struct ns_stats stats = { 0 };

	for (unsigned i = 0; i < o->seeds; i++) {
		struct result r = measure(o, row, 100 + i, &stats);

		sum.mbit += r.mbit / o->seeds;
		sum.jain += r.jain / o->seeds;
		sum.share += r.share / o->seeds;
		sum.first_ms += r.first_ms / o->seeds;
		sum.srtt_ms += r.srtt_ms / o->seeds;
	}
	printf("{\"cc\": \"%s\", \"link_mbit\": %u, \"rtt_ms\": %u, "
	       "\"loss_percent\": %.1f, \"queue_bdp\": %.1f, "
	       "\"streams\": %u, \"mbit\": %.1f, \"jain\": %.3f, "
	       "\"even_share\": %.2f, \"first_mib_ms\": %.0f, "
	       "\"srtt_ms\": %.1f, \"retransmits\": %llu, "
	       "\"timeouts\": %llu}\n",
	       o->cc, o->mbit, row->rtt_ms, row->loss_ppm / 10000.0,
	       row->queue_rtts / 10.0, o->streams, sum.mbit, sum.jain,
	       sum.share, sum.first_ms, sum.srtt_ms,
	       (unsigned long long)stats.retransmits,
	       (unsigned long long)stats.timeouts);
	fflush(stdout);
}

static unsigned number(const char *text)
{
	return (unsigned)strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
	struct options o = {
		.cc = "auto", .mbit = 100, .seconds = 10, .seeds = 3,
		.streams = 1,
	};

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--cc"))
			o.cc = argv[i + 1];
		else if (!strcmp(argv[i], "--mbit"))
			o.mbit = number(argv[i + 1]);
		else if (!strcmp(argv[i], "--seconds"))
			o.seconds = number(argv[i + 1]);
		else if (!strcmp(argv[i], "--seeds"))
			o.seeds = number(argv[i + 1]);
		else if (!strcmp(argv[i], "--streams"))
			o.streams = min_u32(number(argv[i + 1]), STREAMS_CAP);
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		print_row(&o, &rows[i]);
	return 0;
}
