#include "core/tailnet/wireguard/crypto.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cursor.h"
#include "core/base/err.h"

#define BLOCK_LEN 64		/* of BLAKE2s, for HMAC */
#define NONCE_LEN 12

int wg_crypto_init(void)
{
	/* Of the process, as the libraries' own state is. */
	static bool tested;

	if (tested)
		return 0;
	if (sodium_init() < 0)
		return ERR_INTERNAL;
	if (!gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P)) {
		if (!gcry_check_version("1.10.0"))
			return ERR_INTERNAL;
		gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
		gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	}
	if (gcry_md_test_algo(GCRY_MD_BLAKE2S_256) ||
	    gcry_md_test_algo(GCRY_MD_BLAKE2S_128) ||
	    gcry_cipher_test_algo(GCRY_CIPHER_CHACHA20))
		return ERR_INTERNAL;
	tested = true;
	return 0;
}

/*
 * These cannot fail once initialised: no handle, no allocation. A wrong hash
 * that nobody notices would be worse than the end.
 */
static void hash_buffers(uint8_t out[WG_HASH_LEN], gcry_buffer_t *buffers,
			 int count)
{
	uint8_t digest[WG_HASH_LEN];

	if (gcry_md_hash_buffers(GCRY_MD_BLAKE2S_256, 0, digest, buffers,
				 count))
		abort();
	memcpy(out, digest, WG_HASH_LEN);
	sodium_memzero(digest, sizeof(digest));
}

static gcry_buffer_t buffer_of(const void *data, size_t len)
{
	return (gcry_buffer_t){
		.size = len, .len = len, .data = (void *)(uintptr_t)data,
	};
}

void wg_hash(uint8_t out[WG_HASH_LEN], const void *a, size_t a_len,
	     const void *b, size_t b_len)
{
	gcry_buffer_t buffers[] = { buffer_of(a, a_len), buffer_of(b, b_len) };

	hash_buffers(out, buffers, b_len ? 2 : 1);
}

static void hmac_pad(uint8_t pad[BLOCK_LEN], const uint8_t key[WG_HASH_LEN],
		     uint8_t value)
{
	memset(pad, value, BLOCK_LEN);
	for (size_t i = 0; i < WG_HASH_LEN; i++)
		pad[i] ^= key[i];
}

void wg_hmac(uint8_t out[WG_HASH_LEN], const uint8_t key[WG_HASH_LEN],
	     const void *a, size_t a_len, const void *b, size_t b_len)
{
	uint8_t inner_pad[BLOCK_LEN];
	uint8_t outer_pad[BLOCK_LEN];
	uint8_t inner[WG_HASH_LEN];
	gcry_buffer_t buffers[3];
	int count = 0;

	hmac_pad(inner_pad, key, 0x36);
	hmac_pad(outer_pad, key, 0x5c);
	buffers[count++] = buffer_of(inner_pad, BLOCK_LEN);
	if (a_len)
		buffers[count++] = buffer_of(a, a_len);
	if (b_len)
		buffers[count++] = buffer_of(b, b_len);
	hash_buffers(inner, buffers, count);
	wg_hash(out, outer_pad, BLOCK_LEN, inner, sizeof(inner));
	sodium_memzero(inner_pad, sizeof(inner_pad));
	sodium_memzero(outer_pad, sizeof(outer_pad));
	sodium_memzero(inner, sizeof(inner));
}

void wg_kdf(const uint8_t chain[WG_HASH_LEN], const void *input, size_t len,
	    uint8_t *const outputs[], uint8_t count)
{
	uint8_t secret[WG_HASH_LEN];
	uint8_t output[WG_HASH_LEN];

	wg_hmac(secret, chain, input, len, NULL, 0);
	for (uint8_t i = 1; i <= count; i++) {
		wg_hmac(output, secret, output, i > 1 ? sizeof(output) : 0, &i,
			1);
		memcpy(outputs[i - 1], output, sizeof(output));
	}
	sodium_memzero(secret, sizeof(secret));
	sodium_memzero(output, sizeof(output));
}

int wg_mac_init(struct wg_mac *mac)
{
	return gcry_md_open(&mac->handle, GCRY_MD_BLAKE2S_128, 0) ? ERR_NOMEM :
								    0;
}

void wg_mac_clear(struct wg_mac *mac)
{
	gcry_md_close(mac->handle);
	mac->handle = NULL;
}

void wg_mac(struct wg_mac *mac, uint8_t out[WG_MAC_LEN], const void *key,
	    size_t key_len, const void *data, size_t len)
{
	if (gcry_md_setkey(mac->handle, key, key_len))
		abort();
	gcry_md_write(mac->handle, data, len);
	memcpy(out, gcry_md_read(mac->handle, 0), WG_MAC_LEN);
}

int wg_dh(struct key32 *out, const struct key32 *private_key,
	  const uint8_t public_key[WG_KEY_LEN])
{
	if (crypto_scalarmult_curve25519(out->bytes, private_key->bytes,
					 public_key) < 0) {
		key_wipe(out);
		return ERR_PROTOCOL;
	}
	return 0;
}

static const uint8_t zero_nonce[NONCE_LEN];

void wg_handshake_seal(uint8_t *out, const struct key32 *key,
		       const void *plain, size_t len,
		       const uint8_t hash[WG_HASH_LEN])
{
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain, len, hash,
						  WG_HASH_LEN, NULL,
						  zero_nonce, key->bytes);
}

int wg_handshake_open(uint8_t *out, const struct key32 *key,
		      const void *sealed, size_t len,
		      const uint8_t hash[WG_HASH_LEN])
{
	int rc = crypto_aead_chacha20poly1305_ietf_decrypt(
		out, NULL, NULL, sealed, len + WG_TAG_LEN, hash, WG_HASH_LEN,
		zero_nonce, key->bytes);

	return rc < 0 ? ERR_PROTOCOL : 0;
}

int wg_cipher_init(struct wg_cipher *cipher, const struct key32 *key)
{
	if (gcry_cipher_open(&cipher->handle, GCRY_CIPHER_CHACHA20,
			     GCRY_CIPHER_MODE_POLY1305, 0))
		return ERR_NOMEM;
	if (gcry_cipher_setkey(cipher->handle, key->bytes, WG_KEY_LEN)) {
		wg_cipher_clear(cipher);
		return ERR_INTERNAL;
	}
	return 0;
}

void wg_cipher_clear(struct wg_cipher *cipher)
{
	gcry_cipher_close(cipher->handle);
	cipher->handle = NULL;
}

static bool set_counter(struct wg_cipher *cipher, uint64_t counter)
{
	uint8_t nonce[NONCE_LEN] = { 0 };

	le_store(nonce + 4, counter, 8);
	return gcry_cipher_setiv(cipher->handle, nonce, sizeof(nonce)) == 0;
}

int wg_cipher_seal(struct wg_cipher *cipher, uint64_t counter, uint8_t *data,
		   size_t len)
{
	if (!set_counter(cipher, counter))
		return ERR_INTERNAL;
	if (len && gcry_cipher_encrypt(cipher->handle, data, len, NULL, 0))
		return ERR_INTERNAL;
	if (gcry_cipher_gettag(cipher->handle, data + len, WG_DATA_TAG))
		return ERR_INTERNAL;
	return 0;
}

int wg_cipher_open(struct wg_cipher *cipher, uint64_t counter, uint8_t *data,
		   size_t len)
{
	if (!set_counter(cipher, counter))
		return ERR_PROTOCOL;
	if (len && gcry_cipher_decrypt(cipher->handle, data, len, NULL, 0))
		return ERR_PROTOCOL;
	if (gcry_cipher_checktag(cipher->handle, data + len, WG_DATA_TAG))
		return ERR_PROTOCOL;
	return 0;
}
