#include "core/tailnet/wireguard/noise.h"

#include <sodium.h>
#include <string.h>

#include "core/base/cursor.h"
#include "core/base/err.h"
#include "core/tailnet/wireguard/crypto.h"

static const struct key32 no_psk;

void wg_noise_clear(struct wg_noise *noise)
{
	sodium_memzero(noise, sizeof(*noise));
}

void wg_handshake_clear(struct wg_handshake *handshake)
{
	sodium_memzero(handshake, sizeof(*handshake));
}

void wg_incoming_clear(struct wg_incoming *incoming)
{
	sodium_memzero(incoming, sizeof(*incoming));
}

static void mix_hash(struct wg_noise *noise, const void *data, size_t len)
{
	wg_hash(noise->hash, noise->hash, sizeof(noise->hash), data, len);
}

static void mix_key(struct wg_noise *noise, const void *data, size_t len)
{
	uint8_t *outputs[] = { noise->chain };

	wg_kdf(noise->chain, data, len, outputs, 1);
}

/* Mixes in a shared secret and gives the key that seals the next field. */
static void mix_secret(struct wg_noise *noise, const struct key32 *secret,
		       struct key32 *key)
{
	uint8_t *outputs[] = { noise->chain, key->bytes };

	wg_kdf(noise->chain, secret->bytes, WG_KEY_LEN, outputs, 2);
}

static void mix_psk(struct wg_noise *noise, struct key32 *key)
{
	uint8_t tau[WG_HASH_LEN];
	uint8_t *outputs[] = { noise->chain, tau, key->bytes };

	wg_kdf(noise->chain, no_psk.bytes, WG_KEY_LEN, outputs, 3);
	mix_hash(noise, tau, sizeof(tau));
	sodium_memzero(tau, sizeof(tau));
}

static int mix_dh(struct wg_noise *noise, const struct key32 *private_key,
		  const uint8_t public_key[WG_KEY_LEN])
{
	struct key32 secret;

	if (wg_dh(&secret, private_key, public_key) < 0)
		return ERR_PROTOCOL;
	mix_key(noise, secret.bytes, WG_KEY_LEN);
	key_wipe(&secret);
	return 0;
}

static int mix_dh_key(struct wg_noise *noise, const struct key32 *private_key,
		      const uint8_t public_key[WG_KEY_LEN], struct key32 *key)
{
	struct key32 secret;

	if (wg_dh(&secret, private_key, public_key) < 0)
		return ERR_PROTOCOL;
	mix_secret(noise, &secret, key);
	key_wipe(&secret);
	return 0;
}

/* The tag of `e`: it goes into the key too, because of the psk. */
static void mix_ephemeral(struct wg_noise *noise,
			  const uint8_t ephemeral[WG_KEY_LEN])
{
	mix_hash(noise, ephemeral, WG_KEY_LEN);
	mix_key(noise, ephemeral, WG_KEY_LEN);
}

static void seal(struct wg_noise *noise, struct key32 *key, const void *plain,
		 size_t len, uint8_t *out)
{
	wg_handshake_seal(out, key, plain, len, noise->hash);
	mix_hash(noise, out, len + WG_TAG_LEN);
	key_wipe(key);
}

static int open_sealed(struct wg_noise *noise, struct key32 *key,
		       const uint8_t *sealed, size_t len, uint8_t *out)
{
	int rc = wg_handshake_open(out, key, sealed, len, noise->hash);

	if (rc == 0)
		mix_hash(noise, sealed, len + WG_TAG_LEN);
	key_wipe(key);
	return rc;
}

/* Both begin with the responder's static key known: IK's pre-message. */
static void noise_begin(struct wg_noise *noise, const struct key32 *responder)
{
	wg_hash(noise->chain, WG_CONSTRUCTION, strlen(WG_CONSTRUCTION), NULL,
		0);
	wg_hash(noise->hash, noise->chain, sizeof(noise->chain), WG_IDENTIFIER,
		strlen(WG_IDENTIFIER));
	mix_hash(noise, responder->bytes, WG_KEY_LEN);
}

int wg_initiation_write(struct wg_handshake *handshake,
			const struct wg_identity *self,
			const struct key32 *remote,
			const struct key32 *static_static,
			const struct wg_stamp *stamp, struct rng *rng,
			uint32_t index, uint8_t out[WG_INITIATION_LEN])
{
	struct wg_noise *noise = &handshake->noise;
	uint8_t *ephemeral = out + WG_INITIATION_EPHEMERAL;
	struct key32 key;

	noise_begin(noise, remote);
	memset(out, 0, WG_INITIATION_LEN);
	le_store(out, WG_MESSAGE_INITIATION, 4);
	le_store(out + WG_INITIATION_SENDER, index, 4);

	/* e */
	key_private(rng, &handshake->ephemeral);
	key_public(&handshake->ephemeral, &key);
	memcpy(ephemeral, key.bytes, WG_KEY_LEN);
	mix_ephemeral(noise, ephemeral);

	/* es */
	if (mix_dh_key(noise, &handshake->ephemeral, remote->bytes, &key) < 0) {
		wg_handshake_clear(handshake);
		return ERR_PROTOCOL;
	}

	/* s */
	seal(noise, &key, self->public_key.bytes, WG_KEY_LEN,
	     out + WG_INITIATION_STATIC);

	/* ss */
	mix_secret(noise, static_static, &key);

	/* {t} */
	seal(noise, &key, stamp->bytes, WG_TIMESTAMP_LEN,
	     out + WG_INITIATION_TIMESTAMP);
	return 0;
}

int wg_initiation_read(struct wg_incoming *incoming,
		       const struct wg_identity *self,
		       const uint8_t message[WG_INITIATION_LEN])
{
	struct wg_noise *noise = &incoming->noise;
	struct key32 key;

	noise_begin(noise, &self->public_key);
	incoming->remote_index =
		(uint32_t)le_load(message + WG_INITIATION_SENDER, 4);

	/* e */
	memcpy(incoming->remote_ephemeral, message + WG_INITIATION_EPHEMERAL,
	       WG_KEY_LEN);
	mix_ephemeral(noise, incoming->remote_ephemeral);

	/* es */
	if (mix_dh_key(noise, &self->private_key, incoming->remote_ephemeral,
		       &key) < 0)
		return ERR_PROTOCOL;

	/* s */
	return open_sealed(noise, &key, message + WG_INITIATION_STATIC,
			   WG_KEY_LEN, incoming->remote_static.bytes);
}

int wg_initiation_finish(struct wg_incoming *incoming,
			 const struct key32 *static_static,
			 const uint8_t message[WG_INITIATION_LEN])
{
	struct key32 key;

	/* ss */
	mix_secret(&incoming->noise, static_static, &key);

	/* {t} */
	return open_sealed(&incoming->noise, &key,
			   message + WG_INITIATION_TIMESTAMP, WG_TIMESTAMP_LEN,
			   incoming->stamp.bytes);
}

/* ee, se: the responder's ephemeral with both keys of the initiator. */
static int mix_ee_se(struct wg_incoming *incoming,
		     const struct key32 *ephemeral)
{
	struct wg_noise *noise = &incoming->noise;

	if (mix_dh(noise, ephemeral, incoming->remote_ephemeral) < 0)
		return ERR_PROTOCOL;
	return mix_dh(noise, ephemeral, incoming->remote_static.bytes);
}

int wg_response_write(struct wg_incoming *incoming, struct rng *rng,
		      uint32_t index, uint8_t out[WG_RESPONSE_LEN])
{
	struct wg_noise *noise = &incoming->noise;
	struct key32 ephemeral;
	struct key32 key;
	int rc;

	memset(out, 0, WG_RESPONSE_LEN);
	le_store(out, WG_MESSAGE_RESPONSE, 4);
	le_store(out + WG_RESPONSE_SENDER, index, 4);
	le_store(out + WG_RESPONSE_RECEIVER, incoming->remote_index, 4);

	/* e */
	key_private(rng, &ephemeral);
	key_public(&ephemeral, &key);
	memcpy(out + WG_RESPONSE_EPHEMERAL, key.bytes, WG_KEY_LEN);
	mix_ephemeral(noise, key.bytes);

	/* ee, se */
	rc = mix_ee_se(incoming, &ephemeral);
	key_wipe(&ephemeral);
	if (rc < 0)
		return rc;

	/* psk */
	mix_psk(noise, &key);

	/* {} */
	seal(noise, &key, NULL, 0, out + WG_RESPONSE_EMPTY);
	return 0;
}

int wg_response_read(const struct wg_handshake *handshake,
		     const struct wg_identity *self,
		     const uint8_t message[WG_RESPONSE_LEN],
		     struct wg_noise *out)
{
	const uint8_t *ephemeral = message + WG_RESPONSE_EPHEMERAL;
	uint8_t nothing[1];
	struct key32 key;

	*out = handshake->noise;

	/* e */
	mix_ephemeral(out, ephemeral);

	/* ee, se */
	if (mix_dh(out, &handshake->ephemeral, ephemeral) < 0 ||
	    mix_dh(out, &self->private_key, ephemeral) < 0)
		return ERR_PROTOCOL;

	/* psk */
	mix_psk(out, &key);

	/* {} */
	return open_sealed(out, &key, message + WG_RESPONSE_EMPTY, 0, nothing);
}

void wg_noise_split(const struct wg_noise *noise, bool initiator,
		    struct key32 *send, struct key32 *receive)
{
	uint8_t *outputs[] = {
		initiator ? send->bytes : receive->bytes,
		initiator ? receive->bytes : send->bytes,
	};

	wg_kdf(noise->chain, NULL, 0, outputs, 2);
}
