/*
 * TCP segments: reading headers and options, and the reset that answers a
 * segment which belongs to nothing.
 *
 *	| source port      | destination port   |
 *	| sequence number                       |
 *	| acknowledgment number                 |
 *	| off | 0 |  flags | window             |
 *	| checksum         | urgent pointer     |
 *	| options, data                         |
 */
#include <string.h>

#include "core/base/cursor.h"
#include "core/netstack/internal.h"

enum option {
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_MSS = 2,
	OPTION_WINDOW = 3,
	OPTION_SACK_OK = 4,
	OPTION_SACK = 5,
	OPTION_TS = 8,
};

static void parse_sack(struct segment *seg, struct cursor *c)
{
	while (c->left >= 8 && seg->sack_count < SACK_BLOCK_CAP) {
		struct range *block = &seg->sack[seg->sack_count++];

		block->start = cursor_u32(c);
		block->end = cursor_u32(c);
	}
}

/* An option of the wrong length is as good as absent. */
static void parse_option(struct segment *seg, uint8_t kind, struct cursor *c)
{
	if (kind == OPTION_MSS && c->left == 2) {
		seg->mss = cursor_u16(c);
	} else if (kind == OPTION_WINDOW && c->left == 1) {
		seg->has_window_shift = true;
		seg->window_shift = cursor_u8(c);
	} else if (kind == OPTION_SACK_OK && c->left == 0) {
		seg->sack_ok = true;
	} else if (kind == OPTION_TS && c->left == 8) {
		seg->has_ts = true;
		seg->ts_value = cursor_u32(c);
		seg->ts_echo = cursor_u32(c);
	} else if (kind == OPTION_SACK && c->left % 8 == 0) {
		parse_sack(seg, c);
	}
}

static bool parse_options(struct segment *seg, struct cursor c)
{
	while (c.left && cursor_ok(&c)) {
		uint8_t kind = cursor_u8(&c);
		struct cursor value;
		uint8_t len;

		if (kind == OPTION_END)
			return true;
		if (kind == OPTION_NOP)
			continue;
		len = cursor_u8(&c);
		if (len < 2)
			return false;
		value = cursor_of(c.at, len - 2u);
		if (cursor_bytes(&c, len - 2u))
			parse_option(seg, kind, &value);
	}
	return cursor_ok(&c);
}

bool ns_segment_parse(const uint8_t *data, size_t len, struct segment *out)
{
	struct cursor c = cursor_of(data, len);
	size_t options_len;
	uint8_t offset;
	const uint8_t *options;

	*out = (struct segment){ 0 };
	out->src_port = cursor_u16(&c);
	out->dst_port = cursor_u16(&c);
	out->seq = cursor_u32(&c);
	out->ack = cursor_u32(&c);
	offset = cursor_u8(&c) >> 4;
	out->flags = cursor_u8(&c);
	out->window = cursor_u16(&c);
	cursor_u32(&c);
	if (!cursor_ok(&c) || offset < 5 || !out->src_port || !out->dst_port)
		return false;
	options_len = offset * 4u - TCP_HEADER_LEN;
	options = cursor_bytes(&c, options_len);
	if (!options)
		return false;
	out->data = c.at;
	out->len = (uint32_t)c.left;
	return parse_options(out, cursor_of(options, options_len));
}

static void push_reset(struct ns *ns, const uint8_t *src, const uint8_t *dst,
		       uint16_t src_port, uint16_t dst_port, uint32_t seq,
		       uint32_t ack, unsigned flags)
{
	struct packet *packet;
	uint8_t *out;

	if (ns_packet_new(ns, src, dst, NS_HEADER_TCP, TCP_HEADER_LEN,
			  &packet, &out) < 0)
		return;
	be_store(out, src_port, 2);
	be_store(out + 2, dst_port, 2);
	be_store(out + 4, seq, 4);
	be_store(out + 8, ack, 4);
	out[12] = TCP_HEADER_LEN / 4 << 4;
	out[13] = (uint8_t)(TCP_RST | flags);
	ns->stats.resets_out++;
	ns_packet_push(ns, packet, 16);
}

void ns_reset_answer(struct ns *ns, const uint8_t *ip,
		     const struct segment *seg)
{
	uint32_t end = seg->seq + seg->len;

	if (seg->flags & TCP_RST)
		return;
	end += (seg->flags & TCP_SYN ? 1u : 0u) +
	       (seg->flags & TCP_FIN ? 1u : 0u);
	if (seg->flags & TCP_ACK)
		push_reset(ns, ip + 24, ip + 8, seg->dst_port, seg->src_port,
			   seg->ack, 0, 0);
	else
		push_reset(ns, ip + 24, ip + 8, seg->dst_port, seg->src_port,
			   0, end, TCP_ACK);
}

void ns_conn_reset(struct conn *conn)
{
	struct ns *ns = conn->ns;

	push_reset(ns, ns->addresses[conn->local], conn->remote,
		   conn->local_port, conn->remote_port, conn->snd_nxt,
		   conn->rcv_nxt, TCP_ACK);
}
