#include "core/base/id.h"

#include <sodium.h>
#include <string.h>
#include <uuid/uuid.h>

#include "core/base/err.h"

int uuid_from_text(const char *text, struct uuid *out)
{
	if (strlen(text) != UUID_TEXT_CAP - 1 ||
	    uuid_parse(text, out->bytes) < 0)
		return ERR_PROTOCOL;
	return 0;
}

void uuid_to_text(const struct uuid *uuid, char out[UUID_TEXT_CAP])
{
	uuid_unparse_lower(uuid->bytes, out);
}

void uuid_random(struct rng *rng, struct uuid *out)
{
	rng_bytes(rng, out->bytes, sizeof(out->bytes));
	out->bytes[6] = (uint8_t)((out->bytes[6] & 0x0f) | 0x40);
	out->bytes[8] = (uint8_t)((out->bytes[8] & 0x3f) | 0x80);
}

bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool uuid_is_nil(const struct uuid *uuid)
{
	return uuid_is_null(uuid->bytes);
}

bool key_equal(const struct key32 *a, const struct key32 *b)
{
	return sodium_memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool key_is_zero(const struct key32 *key)
{
	return sodium_is_zero(key->bytes, sizeof(key->bytes));
}

void key_wipe(struct key32 *key)
{
	sodium_memzero(key->bytes, sizeof(key->bytes));
}

void key_private(struct rng *rng, struct key32 *out)
{
	rng_bytes(rng, out->bytes, sizeof(out->bytes));
	out->bytes[0] &= 248;
	out->bytes[31] = (uint8_t)((out->bytes[31] & 127) | 64);
}

void key_public(const struct key32 *private_key, struct key32 *out)
{
	crypto_scalarmult_base(out->bytes, private_key->bytes);
}

void hex_encode(const void *data, size_t len, char *out)
{
	sodium_bin2hex(out, 2 * len + 1, data, len);
}

int hex_decode(const char *text, size_t text_len, void *out, size_t len)
{
	size_t got;

	if (text_len != 2 * len ||
	    sodium_hex2bin(out, len, text, text_len, NULL, &got, NULL) < 0 ||
	    got != len)
		return ERR_PROTOCOL;
	return 0;
}
