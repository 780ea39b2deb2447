/* IPv6 (RFC 8200): headers in and out, checksums, the queue of packets. */
#include <stdlib.h>
#include <string.h>

#include "core/base/cursor.h"
#include "core/netstack/internal.h"

#define HEADER_HOP_BY_HOP 0
#define HEADER_FRAGMENT 44
#define HEADER_DESTINATION 60

static inline uint64_t load(const uint8_t *data)
{
	uint64_t word;

	memcpy(&word, data, sizeof(word));
	return word;
}

/* Carries that leave at the top come in at the bottom. */
static uint64_t fold(unsigned __int128 wide)
{
	uint64_t sum = (uint64_t)wide;
	uint64_t carries = (uint64_t)(wide >> 64);

	sum += carries;
	return sum < carries ? sum + 1 : sum;
}

/*
 * In host order; ones' complement sums fold the same either way round. Wide,
 * because an addition with carry is one instruction, and half of the cost of
 * a packet was here.
 */
uint32_t ns_sum(const uint8_t *data, size_t len)
{
	unsigned __int128 wide = 0;
	uint64_t sum;
	uint32_t half;

	for (; len >= 32; data += 32, len -= 32) {
		wide += load(data);
		wide += load(data + 8);
		wide += load(data + 16);
		wide += load(data + 24);
	}
	for (; len >= 8; data += 8, len -= 8)
		wide += load(data);
	sum = fold(wide);
	sum = (sum >> 32) + (sum & UINT32_MAX);
	for (; len >= 2; data += 2, len -= 2) {
		uint16_t pair;

		memcpy(&pair, data, 2);
		sum += pair;
	}
	if (len) {
		uint16_t pair = 0;

		memcpy(&pair, data, 1);
		sum += pair;
	}
	half = (uint32_t)((sum >> 32) + (sum & UINT32_MAX));
	if (half < (uint32_t)sum)
		half++;
	return (half >> 16) + (half & UINT16_MAX);
}

uint16_t ns_checksum(const uint8_t *ip, uint8_t next_header, size_t len)
{
	uint8_t pseudo[8] = { 0 };
	uint32_t sum;
	uint8_t bytes[2];
	uint16_t folded;

	be_store(pseudo, len, 4);
	pseudo[7] = next_header;
	sum = ns_sum(ip + 8, 2 * NS_ADDRESS_LEN) + ns_sum(pseudo, 8) +
	      ns_sum(ip + IPV6_HEADER_LEN, len);
	sum = (sum >> 16) + (sum & UINT16_MAX);
	sum = (sum >> 16) + (sum & UINT16_MAX);
	folded = (uint16_t)~sum;
	memcpy(bytes, &folded, 2);
	return (uint16_t)be_load(bytes, 2);
}

void ns_ip_header(uint8_t *out, const uint8_t *src, const uint8_t *dst,
		  uint8_t next_header, size_t payload_len)
{
	be_store(out, 0x60000000u, 4);
	be_store(out + 4, payload_len, 2);
	out[6] = next_header;
	out[7] = HOP_LIMIT;
	memcpy(out + 8, src, NS_ADDRESS_LEN);
	memcpy(out + 24, dst, NS_ADDRESS_LEN);
}

int ns_local_index(const struct ns *ns, const uint8_t *address)
{
	for (size_t i = 0; i < ns->config.address_count; i++)
		if (!memcmp(ns->addresses[i], address, NS_ADDRESS_LEN))
			return (int)i;
	return ERR_NOT_FOUND;
}

static unsigned shared_prefix(const uint8_t *a, const uint8_t *b)
{
	unsigned bits = 0;

	while (bits < 128 && !((a[bits / 8] ^ b[bits / 8]) &
			       (0x80 >> (bits % 8))))
		bits++;
	return bits;
}

uint8_t ns_source_for(const struct ns *ns, const uint8_t *dst)
{
	unsigned best = 0;
	uint8_t index = 0;

	for (size_t i = 0; i < ns->config.address_count; i++) {
		unsigned bits = shared_prefix(ns->addresses[i], dst);

		if (bits > best) {
			best = bits;
			index = (uint8_t)i;
		}
	}
	return index;
}

int ns_packet_new(struct ns *ns, const uint8_t *src, const uint8_t *dst,
		  uint8_t next_header, size_t len, struct packet **out,
		  uint8_t **payload)
{
	size_t total = IPV6_HEADER_LEN + len;
	struct packet *packet;

	if (total > ns->config.mtu)
		return ERR_TOO_LARGE;
	if (ns->queue_len >= NS_QUEUE_CAP ||
	    ns->queue_bytes + total > NS_QUEUE_BYTES_CAP) {
		ns->stats.drop_queue++;
		return ERR_LIMIT;
	}
	packet = calloc(1, sizeof(*packet) + total);
	if (!packet) {
		ns->stats.drop_memory++;
		return ERR_NOMEM;
	}
	packet->len = total;
	ns_ip_header(packet->bytes, src, dst, next_header, len);
	*out = packet;
	*payload = packet->bytes + IPV6_HEADER_LEN;
	return 0;
}

void ns_packet_push(struct ns *ns, struct packet *packet, int checksum_at)
{
	uint8_t *ip = packet->bytes;
	bool first = list_empty(&ns->queue);
	uint16_t sum;

	if (checksum_at >= 0) {
		sum = ns_checksum(ip, ip[6], packet->len - IPV6_HEADER_LEN);
		/* RFC 8200 8.1: a UDP sum of zero is sent as ones. */
		if (!sum && ip[6] == NS_HEADER_UDP)
			sum = UINT16_MAX;
		be_store(ip + IPV6_HEADER_LEN + checksum_at, sum, 2);
	}
	list_add_tail(&ns->queue, &packet->link);
	ns->queue_len++;
	ns->queue_bytes += packet->len;
	if (first)
		ns_wake(ns);
}

/* Neither unspecified nor multicast (RFC 4291 2.5.2, 2.7). */
static bool source_valid(const uint8_t *src)
{
	static const uint8_t none[NS_ADDRESS_LEN];

	return src[0] != 0xff && memcmp(src, none, NS_ADDRESS_LEN) != 0;
}

static bool skip_extensions(struct ns *ns, struct cursor *c, uint8_t *next)
{
	for (int i = 0; i <= EXTENSION_HEADER_CAP; i++) {
		uint8_t at = *next;

		if (at == HEADER_FRAGMENT) {
			ns->stats.drop_fragment++;
			return false;
		}
		if (at != HEADER_HOP_BY_HOP && at != HEADER_DESTINATION)
			return true;
		*next = cursor_u8(c);
		cursor_bytes(c, (size_t)cursor_u8(c) * 8 + 6);
		if (!cursor_ok(c))
			break;
	}
	ns->stats.drop_malformed++;
	return false;
}

/* The sum over a right packet, its field included, comes out as zero. */
static bool checksum_right(const struct ns *ns, const uint8_t *ip,
			   uint8_t next, const struct cursor *c)
{
	uint8_t pseudo[8] = { 0 };
	uint32_t sum;

	if (!ns->config.verify_checksums)
		return true;
	be_store(pseudo, c->left, 4);
	pseudo[7] = next;
	sum = ns_sum(ip + 8, 2 * NS_ADDRESS_LEN) + ns_sum(pseudo, 8) +
	      ns_sum(c->at, c->left);
	sum = (sum >> 16) + (sum & UINT16_MAX);
	sum = (sum >> 16) + (sum & UINT16_MAX);
	return sum == UINT16_MAX;
}

static void upper_in(struct ns *ns, uint8_t next, const uint8_t *ip,
		     const struct cursor *c, int local, uint64_t now_us)
{
	if (next != NS_HEADER_TCP && next != NS_HEADER_UDP &&
	    next != NS_HEADER_ICMPV6) {
		ns_raw_in(ns, next, ip, c->at, c->left);
		return;
	}
	if (!checksum_right(ns, ip, next, c)) {
		ns->stats.drop_checksum++;
		return;
	}
	if (next == NS_HEADER_TCP)
		ns_tcp_in(ns, ip, c->at, c->left, local, now_us);
	else if (next == NS_HEADER_UDP)
		ns_udp_in(ns, ip, c->at, c->left);
	else
		ns_icmp_in(ns, ip, c->at, c->left, now_us);
}

void ns_in(struct ns *ns, const uint8_t *packet, size_t len, uint64_t now_us)
{
	struct cursor c = cursor_of(packet, len);
	uint32_t first = cursor_u32(&c);
	uint16_t payload_len = cursor_u16(&c);
	uint8_t next = cursor_u8(&c);
	int local;

	ns->now_us = now_us;
	ns->stats.packets_in++;
	cursor_bytes(&c, 1 + 2 * NS_ADDRESS_LEN);
	/* More than the header says is padding of the link. */
	if (!cursor_ok(&c) || first >> 28 != 6 || payload_len > c.left) {
		ns->stats.drop_malformed++;
		return;
	}
	c.left = payload_len;
	local = ns_local_index(ns, packet + 24);
	if (local < 0 || !source_valid(packet + 8)) {
		ns->stats.drop_address++;
		return;
	}
	if (skip_extensions(ns, &c, &next))
		upper_in(ns, next, packet, &c, local, now_us);
	ns_reap(ns);
}
