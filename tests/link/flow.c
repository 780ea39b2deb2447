#include "tests/link/flow.h"

#include "core/base/cursor.h"

#define IPV4_CHECKSUM 10
#define IPV4_SOURCE 12
#define IPV4_DESTINATION 16
#define UDP_CHECKSUM 6
#define TCP_CHECKSUM 16

static void from_ipv4(struct cursor *c, struct endpoint *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	memcpy(out->address, mapped, sizeof(mapped));
	cursor_copy(c, out->address + 12, 4);
}

static bool read_ipv4(struct cursor *c, struct flow *out)
{
	uint64_t header = (be_load(cursor_bytes(c, 1), 1) & 15) * 4;
	const uint8_t *rest;

	if (header < 20 || c->left < header - 1)
		return false;
	rest = cursor_bytes(c, 11);
	/* more fragments, or an offset */
	out->fragment = be_load(rest + 5, 2) & 0x3fff;
	out->protocol = rest[8];
	from_ipv4(c, &out->source);
	from_ipv4(c, &out->destination);
	out->transport = header;
	return cursor_bytes(c, header - 20) || header == 20;
}

static bool read_ipv6(struct cursor *c, struct flow *out)
{
	const uint8_t *rest = cursor_bytes(c, 8);

	if (!rest)
		return false;
	out->protocol = rest[6];
	out->fragment = false;
	cursor_copy(c, out->source.address, 16);
	cursor_copy(c, out->destination.address, 16);
	out->transport = 40;
	return cursor_ok(c);
}

bool flow_read(const uint8_t *packet, size_t len, struct flow *out)
{
	struct cursor c = cursor_of(packet, len);

	if (len < 20)
		return false;
	memset(out, 0, sizeof(*out));
	if (!(packet[0] >> 4 == 6 ? read_ipv6(&c, out) :
	      packet[0] >> 4 == 4 && read_ipv4(&c, out)))
		return false;
	if (out->protocol != FLOW_UDP && out->protocol != FLOW_TCP)
		return true;
	if (c.left < (out->protocol == FLOW_UDP ? 8 : 20))
		return out->fragment;
	out->source.port = (uint16_t)be_load(c.at, 2);
	out->destination.port = (uint16_t)be_load(c.at + 2, 2);
	return true;
}

static void put_u16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* HC' = ~(~HC + ~m + m'), RFC 1624 section 3 */
static void adjust(uint8_t *checksum, const uint8_t *was, const uint8_t *is,
		   size_t len)
{
	uint32_t sum = 0xffff - (uint32_t)be_load(checksum, 2);

	for (size_t i = 0; i < len; i += 2) {
		sum += 0xffff - (uint32_t)be_load(was + i, 2);
		sum += (uint32_t)be_load(is + i, 2);
	}
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	put_u16(checksum, (uint16_t)~sum);
}

static void rewrite(uint8_t *packet, const struct flow *flow, size_t address,
		    size_t port, const struct endpoint *to)
{
	size_t transport = flow->transport;
	uint8_t *sum = packet + transport +
		(flow->protocol == FLOW_UDP ? UDP_CHECKSUM : TCP_CHECKSUM);
	bool summed = flow->protocol == FLOW_TCP || be_load(sum, 2);
	uint8_t new_port[2];

	put_u16(new_port, to->port);
	adjust(packet + IPV4_CHECKSUM, packet + address, to->address + 12, 4);
	if (summed) {
		adjust(sum, packet + address, to->address + 12, 4);
		adjust(sum, packet + transport + port, new_port, 2);
		if (flow->protocol == FLOW_UDP && !be_load(sum, 2))
			put_u16(sum, 0xffff);
	}
	memcpy(packet + address, to->address + 12, 4);
	memcpy(packet + transport + port, new_port, 2);
}

void flow_set_source(uint8_t *packet, const struct flow *flow,
		     const struct endpoint *source)
{
	rewrite(packet, flow, IPV4_SOURCE, 0, source);
}

void flow_set_destination(uint8_t *packet, const struct flow *flow,
			  const struct endpoint *destination)
{
	rewrite(packet, flow, IPV4_DESTINATION, 2, destination);
}
