#include "core/tailnet/coordinate/resume_token.h"

#include <assert.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

/*
 * base64url(header) "." base64url(payload) "." base64url(HMAC-SHA512 of what
 * is before the last dot), without padding.
 */

#define VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING
#define MAC_LEN crypto_auth_hmacsha512_BYTES
#define PART_CAP 256

static_assert(RESUME_TOKEN_KEY_LEN >= crypto_auth_hmacsha512_KEYBYTES,
	      "a key of the hash's strength");

void resume_tokens_init(struct resume_tokens *tokens, struct rng *rng,
			int64_t lifetime_s)
{
	struct uuid kid;

	rng_bytes(rng, tokens->key, sizeof(tokens->key));
	uuid_random(rng, &kid);
	uuid_to_text(&kid, tokens->kid);
	tokens->lifetime_s = lifetime_s;
}

void resume_tokens_wipe(struct resume_tokens *tokens)
{
	sodium_memzero(tokens, sizeof(*tokens));
}

static void mac(const struct resume_tokens *tokens, const char *text,
		size_t len, uint8_t out[MAC_LEN])
{
	crypto_auth_hmacsha512_state state;

	crypto_auth_hmacsha512_init(&state, tokens->key, sizeof(tokens->key));
	crypto_auth_hmacsha512_update(&state, (const uint8_t *)text, len);
	crypto_auth_hmacsha512_final(&state, out);
	sodium_memzero(&state, sizeof(state));
}

static size_t append(char *out, size_t at, const void *data, size_t len)
{
	sodium_bin2base64(out + at, RESUME_TOKEN_CAP - at, data, len, VARIANT);
	return at + strlen(out + at);
}

void resume_token_sign(const struct resume_tokens *tokens,
		       const struct uuid *peer, int64_t expires_s,
		       char out[RESUME_TOKEN_CAP])
{
	char json[PART_CAP], subject[UUID_TEXT_CAP];
	uint8_t code[MAC_LEN];
	size_t len;

	uuid_to_text(peer, subject);
	snprintf(json, sizeof(json), "{\"alg\":\"HS512\",\"kid\":\"%s\"}",
		 tokens->kid);
	len = append(out, 0, json, strlen(json));
	out[len++] = '.';
	snprintf(json, sizeof(json), "{\"exp\":%lld,\"sub\":\"%s\"}",
		 (long long)expires_s, subject);
	len = append(out, len, json, strlen(json));
	mac(tokens, out, len, code);
	out[len++] = '.';
	append(out, len, code, sizeof(code));
}

/* 0 or ERR_PROTOCOL; `*out_len` bytes. */
static int decode_part(const char *text, size_t len, uint8_t *out, size_t cap,
		       size_t *out_len)
{
	const char *end;

	if (sodium_base642bin(out, cap, text, len, NULL, out_len, &end,
			      VARIANT) != 0 ||
	    end != text + len)
		return ERR_PROTOCOL;
	return 0;
}

static int refuse(struct error *error, const char *reason)
{
	return error_set(error, ERR_UNAUTHORIZED, "verify payload: %s",
			 reason);
}

static int take_payload(const uint8_t *data, size_t len, int64_t now_s,
			struct uuid *peer, struct error *error)
{
	json_t *root = json_loadb((const char *)data, len,
				  JSON_REJECT_DUPLICATES, NULL);
	const char *subject = json_string_value(json_object_get(root, "sub"));
	json_t *expiry = json_object_get(root, "exp");
	int err = 0;

	if (!subject || !json_is_integer(expiry) ||
	    uuid_from_text(subject, peer) < 0)
		err = refuse(error, "no subject or expiry");
	else if (now_s > json_integer_value(expiry))
		err = refuse(error, "token is expired (exp)");
	json_decref(root);
	return err;
}

int resume_token_verify(const struct resume_tokens *tokens, const char *text,
			int64_t now_s, struct uuid *peer, struct error *error)
{
	size_t len = strnlen(text, RESUME_TOKEN_CAP);
	const char *first = memchr(text, '.', len);
	const char *last = memrchr(text, '.', len);
	uint8_t given[MAC_LEN], code[MAC_LEN], payload[PART_CAP];
	size_t given_len, payload_len;

	if (len == RESUME_TOKEN_CAP || !first || first == last ||
	    memchr(first + 1, '.', (size_t)(last - first - 1)))
		return refuse(error, "not a compact JWS");
	mac(tokens, text, (size_t)(last - text), code);
	if (decode_part(last + 1, len - (size_t)(last + 1 - text), given,
			sizeof(given), &given_len) < 0 ||
	    given_len != sizeof(code) ||
	    sodium_memcmp(given, code, sizeof(code)) != 0)
		return refuse(error, "bad signature");
	if (decode_part(first + 1, (size_t)(last - first - 1), payload,
			sizeof(payload), &payload_len) < 0)
		return refuse(error, "payload is no base64");
	return take_payload(payload, payload_len, now_s, peer, error);
}
