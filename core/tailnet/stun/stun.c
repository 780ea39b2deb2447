#include "core/tailnet/stun/stun.h"

#include <string.h>

#include "core/base/cursor.h"
#include "core/base/err.h"

#define COOKIE 0x2112a442u
#define COOKIE_PORT 0x2112u
#define BINDING_REQUEST 0x0001
#define BINDING_SUCCESS 0x0101
#define BINDING_ERROR 0x0111

#define ATTR_MAPPED_ADDRESS 0x0001
#define ATTR_XOR_MAPPED_ADDRESS 0x0020
/* Some servers set the "may be ignored" bit of it by mistake. */
#define ATTR_XOR_MAPPED_ADDRESS_ALT 0x8020
#define ATTR_SOFTWARE 0x8022
#define ATTR_FINGERPRINT 0x8028
#define FINGERPRINT_LEN 8
#define FINGERPRINT_XOR 0x5354554eu
#define SOFTWARE "tailnode"
#define SOFTWARE_LEN 8

#define FAMILY_IPV4 1
#define FAMILY_IPV6 2

static const uint8_t v4_prefix[12] = { [10] = 0xff, [11] = 0xff };

struct header {
	uint16_t type;
	uint8_t txid[STUN_TXID_LEN];
	struct cursor attributes;
};

struct attribute {
	uint16_t type;
	const uint8_t *at;		/* of its own header */
	struct cursor value;
};

/* CRC-32 of ISO 3309, reflected, a nibble at a time: messages are short. */
static uint32_t crc32_of(const uint8_t *data, size_t len)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
		0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < len; i++) {
		crc = crc >> 4 ^ table[(crc ^ data[i]) & 15];
		crc = crc >> 4 ^ table[(crc ^ data[i] >> 4) & 15];
	}
	return ~crc;
}

static uint32_t fingerprint(const uint8_t *data, size_t len)
{
	return crc32_of(data, len) ^ FINGERPRINT_XOR;
}

bool stun_is(const uint8_t *data, size_t len)
{
	return len >= STUN_HEADER_LEN && (data[0] & 0xc0) == 0 &&
	       be_load(data + 4, 4) == COOKIE;
}

static void write_header(struct writer *w, uint16_t type, size_t len,
			 const uint8_t *txid)
{
	write_u16(w, type);
	write_be(w, len, 2);
	write_u32(w, COOKIE);
	write_bytes(w, txid, STUN_TXID_LEN);
}

void stun_request(const uint8_t txid[STUN_TXID_LEN],
		  uint8_t out[STUN_REQUEST_LEN])
{
	struct writer w = writer_of(out, STUN_REQUEST_LEN);

	write_header(&w, BINDING_REQUEST, STUN_REQUEST_LEN - STUN_HEADER_LEN,
		     txid);
	write_u16(&w, ATTR_SOFTWARE);
	write_u16(&w, SOFTWARE_LEN);
	write_bytes(&w, SOFTWARE, SOFTWARE_LEN);
	write_u16(&w, ATTR_FINGERPRINT);
	write_u16(&w, 4);
	write_u32(&w, fingerprint(out, STUN_REQUEST_LEN - FINGERPRINT_LEN));
}

static int read_header(const uint8_t *data, size_t len, struct header *out)
{
	struct cursor c = cursor_of(data, len);
	size_t attributes_len;

	if (len > STUN_MESSAGE_CAP)
		return ERR_TOO_LARGE;
	if (!stun_is(data, len))
		return ERR_PROTOCOL;
	out->type = cursor_u16(&c);
	attributes_len = cursor_u16(&c);
	(void)cursor_u32(&c);
	cursor_copy(&c, out->txid, STUN_TXID_LEN);
	if (attributes_len > c.left)
		return ERR_PROTOCOL;
	out->attributes = cursor_of(c.at, attributes_len);
	return 0;
}

/* Calls `each` with every attribute until it returns negative. */
static int walk(struct cursor c,
		int (*each)(void *user, struct attribute *attribute),
		void *user)
{
	for (size_t count = 0; c.left > 0; count++) {
		struct attribute attribute = { .at = c.at };
		size_t len;
		int err;

		if (count == STUN_ATTRIBUTES_CAP)
			return ERR_TOO_LARGE;
		attribute.type = cursor_u16(&c);
		len = cursor_u16(&c);
		attribute.value = cursor_of(cursor_bytes(&c, (len + 3) & ~3ul),
					    len);
		if (!cursor_ok(&c))
			return ERR_PROTOCOL;
		err = each(user, &attribute);
		if (err < 0)
			return err;
	}
	return 0;
}

struct fingerprint_check {
	const uint8_t *message;
	bool seen;
};

/* It covers what comes before it, and is the last. RFC 8489, 14.7. */
static int check_fingerprint(void *user, struct attribute *attribute)
{
	struct fingerprint_check *check = user;

	if (check->seen)
		return ERR_PROTOCOL;
	if (attribute->type != ATTR_FINGERPRINT)
		return 0;
	check->seen = true;
	if (attribute->value.left != 4 ||
	    cursor_u32(&attribute->value) !=
	    fingerprint(check->message,
			(size_t)(attribute->at - check->message)))
		return ERR_PROTOCOL;
	return 0;
}

int stun_parse_request(const uint8_t *data, size_t len,
		       uint8_t txid[STUN_TXID_LEN])
{
	struct fingerprint_check check = { .message = data };
	struct header header;
	int err = read_header(data, len, &header);

	if (err < 0)
		return err;
	if (header.type != BINDING_REQUEST)
		return ERR_PROTOCOL;
	err = walk(header.attributes, check_fingerprint, &check);
	if (err < 0)
		return err;
	memcpy(txid, header.txid, STUN_TXID_LEN);
	return 0;
}

/* The cookie and the transaction mask an address. RFC 8489, 14.2. */
static void mask_address(uint8_t *address, size_t len, const uint8_t *txid)
{
	uint8_t mask[16];

	be_store(mask, COOKIE, 4);
	memcpy(mask + 4, txid, STUN_TXID_LEN);
	for (size_t i = 0; i < len; i++)
		address[i] ^= mask[i];
}

static bool is_v4(const struct endpoint *address)
{
	return memcmp(address->address, v4_prefix, sizeof(v4_prefix)) == 0;
}

size_t stun_response(const uint8_t txid[STUN_TXID_LEN],
		     const struct endpoint *source,
		     uint8_t out[STUN_RESPONSE_CAP])
{
	struct writer w = writer_of(out, STUN_RESPONSE_CAP);
	size_t len = is_v4(source) ? 4 : 16;
	uint8_t masked[16];

	memcpy(masked, source->address + 16 - len, len);
	mask_address(masked, len, txid);
	write_header(&w, BINDING_SUCCESS, 8 + len, txid);
	write_u16(&w, ATTR_XOR_MAPPED_ADDRESS);
	write_be(&w, 4 + len, 2);
	write_u8(&w, 0);
	write_u8(&w, len == 4 ? FAMILY_IPV4 : FAMILY_IPV6);
	write_u16(&w, source->port ^ COOKIE_PORT);
	write_bytes(&w, masked, len);
	return w.len;
}

struct address_search {
	const uint8_t *txid;
	bool found;		/* XOR-MAPPED-ADDRESS: the truth */
	bool fallback_found;
	struct endpoint address;
	struct endpoint fallback;
};

static int read_address(struct cursor *value, bool masked, const uint8_t *txid,
			struct endpoint *out)
{
	uint8_t family;
	size_t len;

	(void)cursor_u8(value);
	family = cursor_u8(value);
	out->port = cursor_u16(value);
	if (family != FAMILY_IPV4 && family != FAMILY_IPV6)
		return ERR_PROTOCOL;
	len = family == FAMILY_IPV4 ? 4 : 16;
	memcpy(out->address, v4_prefix, sizeof(v4_prefix));
	cursor_copy(value, out->address + 16 - len, len);
	if (!cursor_ok(value))
		return ERR_PROTOCOL;
	if (!masked)
		return 0;
	out->port ^= COOKIE_PORT;
	mask_address(out->address + 16 - len, len, txid);
	return 0;
}

static int search_address(void *user, struct attribute *attribute)
{
	struct address_search *search = user;

	switch (attribute->type) {
	case ATTR_XOR_MAPPED_ADDRESS:
	case ATTR_XOR_MAPPED_ADDRESS_ALT:
		search->found = true;
		return read_address(&attribute->value, true, search->txid,
				    &search->address);
	case ATTR_MAPPED_ADDRESS:
		search->fallback_found = true;
		return read_address(&attribute->value, false, NULL,
				    &search->fallback);
	}
	return 0;
}

static int find_address(const struct header *header, struct endpoint *out)
{
	struct address_search search = { .txid = header->txid };
	int err = walk(header->attributes, search_address, &search);

	if (err < 0)
		return err;
	if (!search.found && !search.fallback_found)
		return ERR_PROTOCOL;
	*out = search.found ? search.address : search.fallback;
	return 0;
}

int stun_parse_response(const uint8_t *data, size_t len,
			const uint8_t txid[STUN_TXID_LEN],
			struct endpoint *out)
{
	struct fingerprint_check check = { .message = data };
	struct header header;
	int err = read_header(data, len, &header);

	if (err < 0)
		return err;
	if (memcmp(header.txid, txid, STUN_TXID_LEN) != 0)
		return ERR_NOT_FOUND;
	if (header.type == BINDING_ERROR)
		return ERR_REFUSED;
	if (header.type != BINDING_SUCCESS)
		return ERR_PROTOCOL;
	err = walk(header.attributes, check_fingerprint, &check);
	if (err < 0)
		return err;
	return find_address(&header, out);
}
