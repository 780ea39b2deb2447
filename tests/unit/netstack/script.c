#include "tests/unit/netstack/script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/cursor.h"

static const uint8_t ours[1][NS_ADDRESS_LEN] = { { 0xfd, [15] = 1 } };
static const uint8_t theirs[NS_ADDRESS_LEN] = { 0xfd, [15] = 2 };

static void write_options(struct writer *w, struct script *s,
			  const struct put *put)
{
	unsigned count = 0;

	if (put->flags & TCP_SYN) {
		write_be(w, 0x020404c4, 4);
		write_be(w, 0x01030308, 4);
		if (s->sack)
			write_be(w, 0x01010402, 4);
	}
	if (s->ts && put->ts != UINT32_MAX) {
		write_be(w, 0x0101080a, 4);
		write_u32(w, put->ts ? put->ts : s->ts_value);
		write_u32(w, put->ts_echo ? put->ts_echo : s->ts_seen);
	}
	while (count < 4 && put->sack[count].end)
		count++;
	if (!count)
		return;
	write_be(w, 0x01010500u + 2 + 8 * count, 4);
	for (unsigned i = 0; i < count; i++) {
		write_u32(w, s->iss + put->sack[i].start);
		write_u32(w, s->iss + put->sack[i].end);
	}
}

void script_put(struct script *s, const struct put *put)
{
	uint8_t packet[NS_MTU_CAP];
	uint8_t options[40];
	struct writer o = writer_of(options, sizeof(options));
	struct writer w = writer_of(packet + 40, sizeof(packet) - 40);
	uint16_t window = put->window ? put->window : 1000;

	write_options(&o, s, put);
	write_u16(&w, 80);
	write_u16(&w, s->port);
	write_u32(&w, s->irs + put->seq);
	write_u32(&w, put->bare ? 0 : s->iss + put->ack);
	write_u8(&w, (uint8_t)((20 + o.len) / 4 << 4));
	write_u8(&w, (uint8_t)(put->flags | (put->bare ? 0u : TCP_ACK)));
	write_u16(&w, put->closed ? 0 : window);
	write_u32(&w, 0);
	write_bytes(&w, options, o.len);
	write_bytes(&w, put->data, put->len);
	ns_ip_header(packet, theirs, ours[0], NS_HEADER_TCP, w.len);
	ns_in(s->ns, packet, 40 + w.len, s->now_us);
	ns_dispatch(s->ns);
}

bool script_get(struct script *s, struct segment *seg)
{
	size_t len = ns_out(s->ns, s->packet, sizeof(s->packet), s->now_us);

	if (!len)
		return false;
	assert_int_equal(be_load(s->packet + 4, 2), len - 40);
	assert_int_equal(ns_checksum(s->packet, NS_HEADER_TCP, len - 40), 0);
	assert_true(ns_segment_parse(s->packet + 40, len - 40, seg));
	if (seg->has_ts)
		s->ts_seen = seg->ts_value;
	seg->seq -= s->iss;
	seg->ack -= s->irs;
	for (int i = 0; i < seg->sack_count; i++) {
		seg->sack[i].start -= s->irs;
		seg->sack[i].end -= s->irs;
	}
	return true;
}

void script_none(struct script *s)
{
	struct segment seg;

	if (script_get(s, &seg))
		fail_msg("unexpected: seq %u ack %u len %u flags %x", seg.seq,
			 seg.ack, seg.len, seg.flags);
}

void script_expect(struct script *s, uint32_t seq, uint32_t len,
		   unsigned flags)
{
	struct segment seg;

	if (!script_get(s, &seg))
		fail_msg("nothing left: expected seq %u len %u flags %x", seq,
			 len, flags);
	if (seg.seq != seq || seg.len != len ||
	    (seg.flags & ~(unsigned)TCP_PSH) != flags)
		fail_msg("seq %u len %u flags %x instead of %u %u %x", seg.seq,
			 seg.len, seg.flags, seq, len, flags);
}

void script_wait(struct script *s, uint64_t us)
{
	uint64_t until = s->now_us + us;
	uint64_t next;

	while ((next = ns_next_deadline(s->ns)) <= until) {
		if (s->now_us < next)
			s->now_us = next;
		ns_tick(s->ns, s->now_us);
	}
	s->ts_value += (uint32_t)(us / US_PER_MS);
	s->now_us = until;
	ns_dispatch(s->ns);
}

void script_write(struct script *s, size_t len)
{
	uint8_t *data = calloc(1, len);

	assert_int_equal(stream_write(s->stream, data, len), len);
	free(data);
}

static void changed(struct stream *stream, void *user)
{
	struct script *s = user;

	(void)stream;
	s->changes++;
}

void script_init(struct script *s, bool ts, bool sack,
		 const struct ns_config *config)
{
	/* What is expected segment by segment is by loss, unless asked. */
	struct ns_config c = { .congestion = NS_CUBIC };
	struct segment seg;

	*s = (struct script){
		.now_us = 77 * US_PER_S,
		.ts = ts,
		.sack = sack,
		.ts_value = 1000,
	};
	if (config)
		c = *config;
	rng_seeded(&s->rng, 3);
	c.addresses = ours;
	c.address_count = 1;
	c.rng = &s->rng;
	assert_int_equal(ns_new(&c, &s->ns), 0);
	assert_int_equal(ns_connect(s->ns, theirs, 80, s->now_us, &s->stream),
			 0);
	s->stream->on_change = changed;
	s->stream->user = s;
	assert_true(script_get(s, &seg));
	assert_int_equal(seg.flags, TCP_SYN);
	assert_int_equal(seg.mss, 1220);
	assert_true(seg.has_ts && seg.sack_ok && seg.has_window_shift);
	s->iss = seg.seq;
	s->irs = PEER_ISS;
	s->port = seg.src_port;
	script_wait(s, 10 * US_PER_MS);
	assert_int_equal(ns_stream_state(s->stream), ERR_AGAIN);
	script_put(s, &(struct put){ .flags = TCP_SYN, .ack = 1,
				     .window = 60000 });
	assert_int_equal(ns_stream_state(s->stream), 0);
	assert_int_equal(s->changes, 1);
	script_expect(s, 1, 0, TCP_ACK);
	script_none(s);
	script_put(s, &(struct put){ .seq = 1, .ack = 1 });
	script_none(s);
}

void script_clear(struct script *s)
{
	if (s->stream)
		stream_close(s->stream, true);
	ns_free(s->ns);
}
