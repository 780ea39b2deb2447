#include "tests/unit/netstack/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/list.h"

#define MTU 1280
#define STEPS_CAP 20000000

const uint8_t wire_address[2][NS_ADDRESS_LEN] = {
	{ 0xfd, 0x60, 0x62, 0x7a, 0xa4, 0x2b, [15] = 1 },
	{ 0xfd, 0x60, 0x62, 0x7a, 0xa4, 0x2b, [15] = 2 },
};

struct flight {
	struct heap_node node;
	int to;
	size_t len;
	uint8_t bytes[];
};

static void woken(void *user)
{
	struct wire *wire = user;

	wire->woken = true;
}

void wire_init(struct wire *wire, const struct link_config *link,
	       const struct ns_config *config)
{
	struct ns_config c = { 0 };

	*wire = (struct wire){ .now_us = 1000 * US_PER_S };
	if (config)
		c = *config;
	if (link)
		wire->link = *link;
	rng_seeded(&wire->rng, wire->link.seed + 1);
	rng_seeded(&wire->dice, wire->link.seed + 2);
	c.rng = &wire->rng;
	c.address_count = 1;
	c.wake = woken;
	c.user = wire;
	for (int i = 0; i < 2; i++) {
		c.addresses = &wire_address[i];
		assert_int_equal(ns_new(&c, &wire->ns[i]), 0);
	}
}

void wire_clear(struct wire *wire)
{
	struct heap_node *node;

	while ((node = heap_first(&wire->flying)) != NULL) {
		heap_remove(&wire->flying, node);
		free(container_of(node, struct flight, node));
	}
	heap_clear(&wire->flying);
	ns_free(wire->ns[0]);
	ns_free(wire->ns[1]);
}

static bool chance(struct wire *wire, unsigned percent)
{
	return percent && rng_below(&wire->dice, 100) < percent;
}

static void fly(struct wire *wire, int from, const uint8_t *packet,
		size_t len)
{
	struct flight *f = malloc(sizeof(*f) + len);
	struct link_config *l = &wire->link;
	uint64_t at = wire->now_us;

	memset(f, 0, sizeof(*f));
	f->to = !from;
	f->len = len;
	memcpy(f->bytes, packet, len);
	if (l->us_per_packet) {
		if (wire->busy_until_us[from] < at)
			wire->busy_until_us[from] = at;
		wire->busy_until_us[from] += l->us_per_packet;
		at = wire->busy_until_us[from];
	}
	at += l->delay_us;
	if (l->jitter_us)
		at += rng_below(&wire->dice, (uint32_t)l->jitter_us);
	if (chance(wire, l->reorder)) {
		at += 1 + rng_below(&wire->dice,
				    (uint32_t)(l->delay_us + 1000));
		wire->reordered++;
	}
	if (chance(wire, l->corrupt)) {
		f->bytes[rng_below(&wire->dice, (uint32_t)len)] ^=
			(uint8_t)(1 + rng_below(&wire->dice, 255));
		wire->corrupted++;
	}
	heap_set(&wire->flying, &f->node, at);
}

static void transmit(struct wire *wire, int from, const uint8_t *packet,
		     size_t len)
{
	struct link_config *l = &wire->link;
	uint64_t backlog = 0;

	wire->sent[from]++;
	if (wire->tap && !wire->tap(wire, from, packet, len))
		return;
	if (l->us_per_packet && wire->busy_until_us[from] > wire->now_us)
		backlog = (wire->busy_until_us[from] - wire->now_us) /
			  l->us_per_packet;
	if (l->loss_ppm && rng_below(&wire->dice, 1000000) < l->loss_ppm)
		backlog = SIZE_MAX;
	if (backlog == SIZE_MAX || chance(wire, l->loss) || (l->queue_cap && backlog > l->queue_cap)) {
		wire->lost++;
		return;
	}
	fly(wire, from, packet, len);
	if (chance(wire, l->duplicate)) {
		fly(wire, from, packet, len);
		wire->duplicated++;
	}
}

static void deliver_due(struct wire *wire)
{
	while (heap_next_deadline(&wire->flying) <= wire->now_us) {
		struct heap_node *node = heap_first(&wire->flying);
		struct flight *f = container_of(node, struct flight, node);

		heap_remove(&wire->flying, node);
		/* Exactly the size, so that ASan sees a read past it. */
		uint8_t *copy = malloc(f->len);

		memcpy(copy, f->bytes, f->len);
		ns_in(wire->ns[f->to], copy, f->len, wire->now_us);
		free(copy);
		free(f);
	}
}

static void turn(struct wire *wire)
{
	uint8_t packet[MTU];
	size_t len;

	deliver_due(wire);
	for (int i = 0; i < 2; i++) {
		if (ns_next_deadline(wire->ns[i]) <= wire->now_us)
			ns_tick(wire->ns[i], wire->now_us);
		ns_dispatch(wire->ns[i]);
		while ((len = ns_out(wire->ns[i], packet, sizeof(packet),
				     wire->now_us)) != 0)
			transmit(wire, i, packet, len);
	}
}

bool wire_run(struct wire *wire, uint64_t us, bool (*done)(void *user),
	      void *user)
{
	uint64_t until = wire->now_us + us;

	for (int steps = 0; steps < STEPS_CAP; steps++) {
		uint64_t next;

		wire->woken = false;
		turn(wire);
		if (done && done(user))
			return true;
		if (wire->woken)
			continue;
		next = deadline_min(ns_next_deadline(wire->ns[0]),
				    ns_next_deadline(wire->ns[1]));
		next = deadline_min(next, heap_next_deadline(&wire->flying));
		if (next > until) {
			wire->now_us = until;
			return false;
		}
		if (next > wire->now_us)
			wire->now_us = next;
	}
	fail_msg("the stacks never come to rest");
	return false;
}

static void write_some(struct end *end)
{
	while (end->written < end->source_len) {
		ssize_t n = stream_write(end->stream,
					 end->source + end->written,
					 end->source_len - end->written);

		if (n == ERR_AGAIN)
			return;
		if (n < 0) {
			end->write_failure = (int)n;
			return;
		}
		end->written += (size_t)n;
	}
	if (end->shut_when_done && end->source_len) {
		end->shut_when_done = false;
		assert_int_equal(stream_shutdown(end->stream), 0);
	}
}

static void read_some(struct end *end)
{
	const uint8_t *data;
	ssize_t n;

	while ((n = stream_peek(end->stream, &data)) > 0) {
		assert_true(end->sink_len + (size_t)n <= end->sink_cap);
		memcpy(end->sink + end->sink_len, data, (size_t)n);
		end->sink_len += (size_t)n;
		stream_consume(end->stream, (size_t)n);
	}
	if (n == 0)
		end->eof = 1;
	else if (n != ERR_AGAIN)
		end->eof = (int)n;
}

void end_pump(struct end *end)
{
	if (!end->stream)
		return;
	if (end->reading)
		read_some(end);
	if (!end->write_failure)
		write_some(end);
}

static void changed(struct stream *stream, void *user)
{
	struct end *end = user;

	assert_ptr_equal(stream, end->stream);
	end->changes++;
	end_pump(end);
}

void end_attach(struct end *end, struct wire *wire, struct stream *stream)
{
	end->wire = wire;
	end->stream = stream;
	stream->on_change = changed;
	stream->user = end;
	end_pump(end);
}

void end_accept(void *user, struct stream *stream, uint16_t port)
{
	struct end *end = user;

	(void)port;
	if (end->stream)
		stream_close(stream, true);
	else
		end_attach(end, end->wire, stream);
}

void end_clear(struct end *end, bool abort)
{
	if (end->stream)
		stream_close(end->stream, abort);
	end->stream = NULL;
	free(end->sink);
	end->sink = NULL;
}

static bool both_up(void *user)
{
	struct end *ends = user;

	return ends[1].stream && ends[0].stream &&
	       ns_stream_state(ends[0].stream) == 0;
}

void wire_connect(struct wire *wire, struct end ends[2])
{
	struct ns_listener *listener;
	struct stream *stream;

	ends[1].wire = wire;
	assert_int_equal(ns_listen(wire->ns[1], 80, 0, end_accept, &ends[1],
				   &listener), 0);
	assert_int_equal(ns_connect(wire->ns[0], wire_address[1], 80,
				    wire->now_us, &stream), 0);
	end_attach(&ends[0], wire, stream);
	assert_true(wire_run(wire, 60 * US_PER_S, both_up, ends));
	ns_listener_close(listener);
}

void fill_pattern(uint8_t *out, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525u + 1013904223u;
		out[i] = (uint8_t)(seed >> 24);
	}
}
