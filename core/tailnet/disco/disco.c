#include "core/tailnet/disco/disco.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "core/base/cursor.h"
#include "core/base/err.h"

#define MAGIC "TS\xf0\x9f\x92\xac"
#define MAGIC_LEN 6
#define KEY_LEN 32
#define NONCE_LEN crypto_box_NONCEBYTES
#define WRAPPER_LEN (MAGIC_LEN + KEY_LEN + NONCE_LEN)
#define ENDPOINT_LEN 18
#define PADDED_PLAIN_LEN (DISCO_PADDED_LEN - DISCO_OVERHEAD)

static_assert(DISCO_OVERHEAD == WRAPPER_LEN + crypto_box_MACBYTES,
	      "the box is NaCl's");
static_assert(2 + DISCO_ENDPOINTS_CAP * ENDPOINT_LEN <= PADDED_PLAIN_LEN,
	      "the longest message fits in a padded one's space");

bool disco_is(const uint8_t *packet, size_t len)
{
	return len >= WRAPPER_LEN && memcmp(packet, MAGIC, MAGIC_LEN) == 0;
}

bool disco_sender(const uint8_t *packet, size_t len, struct key32 *out)
{
	if (!disco_is(packet, len))
		return false;
	memcpy(out->bytes, packet + MAGIC_LEN, KEY_LEN);
	return true;
}

int disco_shared_key(const struct key32 *private_key,
		     const struct key32 *peer_public, struct key32 *out)
{
	if (crypto_box_beforenm(out->bytes, peer_public->bytes,
				private_key->bytes) != 0)
		return ERR_PROTOCOL;
	return 0;
}

static struct endpoint read_endpoint(struct cursor *c)
{
	struct endpoint endpoint;

	cursor_copy(c, endpoint.address, sizeof(endpoint.address));
	endpoint.port = cursor_u16(c);
	return endpoint;
}

static void write_endpoint(struct writer *w,
			   const struct endpoint *endpoint)
{
	write_bytes(w, endpoint->address, sizeof(endpoint->address));
	write_u16(w, endpoint->port);
}

static int decode_ping(struct cursor *c, struct disco_message *out)
{
	cursor_copy(c, out->txid, DISCO_TXID_LEN);
	if (!cursor_ok(c))
		return ERR_PROTOCOL;
	if (c->left >= KEY_LEN)
		cursor_copy(c, out->node_key.bytes, KEY_LEN);
	return 0;
}

static int decode_pong(struct cursor *c, struct disco_message *out)
{
	cursor_copy(c, out->txid, DISCO_TXID_LEN);
	out->source = read_endpoint(c);
	return cursor_ok(c) ? 0 : ERR_PROTOCOL;
}

static int decode_call_me_maybe(struct cursor *c, uint8_t version,
				struct disco_message *out)
{
	size_t count = c->left / ENDPOINT_LEN;

	if (version != 0 || c->left % ENDPOINT_LEN != 0)
		return 0;
	if (count > DISCO_ENDPOINTS_CAP)
		return ERR_TOO_LARGE;
	for (size_t i = 0; i < count; i++)
		out->endpoints[i] = read_endpoint(c);
	out->endpoint_count = count;
	return 0;
}

int disco_decode(const uint8_t *plain, size_t len, struct disco_message *out)
{
	struct cursor c = cursor_of(plain, len);
	uint8_t type = cursor_u8(&c);
	uint8_t version = cursor_u8(&c);

	if (!cursor_ok(&c))
		return ERR_PROTOCOL;
	out->type = (enum disco_type)type;
	out->padded = version != 0;
	memset(&out->node_key, 0, sizeof(out->node_key));
	out->endpoint_count = 0;
	switch ((enum disco_type)type) {
	case DISCO_PING:
		return decode_ping(&c, out);
	case DISCO_PONG:
		return decode_pong(&c, out);
	case DISCO_CALL_ME_MAYBE:
		return decode_call_me_maybe(&c, version, out);
	}
	return ERR_NOT_FOUND;
}

static void encode_body(struct writer *w, const struct disco_message *message)
{
	switch (message->type) {
	case DISCO_PING:
		write_bytes(w, message->txid, DISCO_TXID_LEN);
		if (!key_is_zero(&message->node_key))
			write_bytes(w, message->node_key.bytes, KEY_LEN);
		break;
	case DISCO_PONG:
		write_bytes(w, message->txid, DISCO_TXID_LEN);
		write_endpoint(w, &message->source);
		break;
	case DISCO_CALL_ME_MAYBE:
		for (size_t i = 0; i < message->endpoint_count; i++)
			write_endpoint(w, &message->endpoints[i]);
		break;
	}
}

int disco_encode(const struct disco_message *message, uint8_t *out, size_t cap)
{
	bool padded = message->padded && message->type != DISCO_CALL_ME_MAYBE;
	struct writer w = writer_of(out, cap);
	uint8_t *padding;

	if (message->type == DISCO_CALL_ME_MAYBE &&
	    message->endpoint_count > DISCO_ENDPOINTS_CAP)
		return ERR_MISUSE;
	write_u8(&w, (uint8_t)message->type);
	write_u8(&w, padded);
	encode_body(&w, message);
	if (padded) {
		size_t len = PADDED_PLAIN_LEN - w.len;

		padding = write_space(&w, len);
		if (padding)
			memset(padding, 0, len);
	}
	return w.failed ? ERR_LIMIT : (int)w.len;
}

int disco_open(const struct key32 *shared, const uint8_t *packet, size_t len,
	       struct disco_message *out)
{
	uint8_t plain[DISCO_PLAIN_CAP];
	const uint8_t *nonce = packet + MAGIC_LEN + KEY_LEN;

	if (!disco_is(packet, len) || len < DISCO_OVERHEAD)
		return ERR_PROTOCOL;
	if (len - DISCO_OVERHEAD > sizeof(plain))
		return ERR_TOO_LARGE;
	if (crypto_box_open_easy_afternm(plain, packet + WRAPPER_LEN,
					 len - WRAPPER_LEN, nonce,
					 shared->bytes) != 0)
		return ERR_DENIED;
	return disco_decode(plain, len - DISCO_OVERHEAD, out);
}

int disco_packet(const struct key32 *shared, const struct key32 *own_public,
		 struct rng *rng, const struct disco_message *message,
		 uint8_t *out, size_t cap)
{
	uint8_t plain[PADDED_PLAIN_LEN];
	int len = disco_encode(message, plain, sizeof(plain));
	uint8_t *nonce = out + MAGIC_LEN + KEY_LEN;
	size_t plain_len;

	if (len < 0)
		return len;
	plain_len = (size_t)len;
	if (cap < DISCO_OVERHEAD + plain_len)
		return ERR_LIMIT;
	memcpy(out, MAGIC, MAGIC_LEN);
	memcpy(out + MAGIC_LEN, own_public->bytes, KEY_LEN);
	rng_bytes(rng, nonce, NONCE_LEN);
	crypto_box_easy_afternm(out + WRAPPER_LEN, plain, plain_len, nonce,
				shared->bytes);
	return (int)DISCO_OVERHEAD + len;
}
