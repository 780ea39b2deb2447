#include "core/tailnet/derp/derp_box.h"

#include <assert.h>
#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define NONCE_LEN 24

static_assert(DERP_BOX_OVERHEAD == crypto_box_NONCEBYTES + crypto_box_MACBYTES,
	      "the box is NaCl's");

int derp_box_key(const struct key32 *private_key,
		 const struct key32 *public_key, struct key32 *out)
{
	if (crypto_box_beforenm(out->bytes, public_key->bytes,
				private_key->bytes) != 0)
		return ERR_PROTOCOL;
	return 0;
}

void derp_box_seal(const struct key32 *shared, struct rng *rng,
		   const char *text, size_t text_len, uint8_t *out)
{
	rng_bytes(rng, out, NONCE_LEN);
	crypto_box_easy_afternm(out + NONCE_LEN, (const uint8_t *)text,
				text_len, out, shared->bytes);
}

static uint64_t positive_member(const json_t *object, const char *name)
{
	const json_t *member = json_object_get(object, name);

	if (!json_is_integer(member) || json_integer_value(member) < 0)
		return 0;
	return (uint64_t)json_integer_value(member);
}

static int read_info(const char *text, size_t len, struct derp_info *out,
		     struct error *error)
{
	json_error_t at;
	json_t *object = json_loadb(text, len, 0, &at);

	if (!json_is_object(object)) {
		json_decref(object);
		return error_set(error, ERR_PROTOCOL,
				 "the DERP info is no JSON object");
	}
	out->version = (int)(positive_member(object, "version") & 0xffff);
	out->rate_bytes_per_s =
		positive_member(object, "TokenBucketBytesPerSecond");
	out->rate_burst_bytes =
		positive_member(object, "TokenBucketBytesBurst");
	json_decref(object);
	return 0;
}

int derp_box_open_info(const struct key32 *shared, const uint8_t *box,
		       size_t len, struct derp_info *out, struct error *error)
{
	uint8_t *text;
	int err;

	if (len < DERP_BOX_OVERHEAD)
		return error_set(error, ERR_PROTOCOL,
				 "DERP info of %zu bytes is too short", len);
	text = malloc(len);
	if (!text)
		return error_set(error, ERR_NOMEM, "no memory for DERP info");
	if (crypto_box_open_easy_afternm(text, box + NONCE_LEN,
					 len - NONCE_LEN, box,
					 shared->bytes) != 0)
		err = error_set(error, ERR_PROTOCOL,
				"the DERP info is not sealed for us");
	else
		err = read_info((const char *)text, len - DERP_BOX_OVERHEAD,
				out, error);
	free(text);
	return err;
}
