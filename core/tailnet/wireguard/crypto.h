/*
 * core/tailnet/wireguard/crypto.h: the primitives of Noise_IKpsk2.
 *
 * BLAKE2s and the transport's ChaCha20-Poly1305 come from libgcrypt (the
 * fastest measured; a handle is kept for each direction of a session),
 * X25519, XChaCha20-Poly1305 and the handshake's ChaCha20-Poly1305 from
 * libsodium, which needs no handle and so cannot fail for want of memory.
 * RFC 7693, 7748, 8439. Internal to the room; wg_crypto_init() comes first.
 */
#ifndef TUNNELHOST_TAILNET_WIREGUARD_CRYPTO_H
#define TUNNELHOST_TAILNET_WIREGUARD_CRYPTO_H

#include <gcrypt.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/id.h"
#include "core/tailnet/wireguard/messages.h"

/* BLAKE2s-256 of a then b; `out` may be a or b; b may be NULL with 0. */
void wg_hash(uint8_t out[WG_HASH_LEN], const void *a, size_t a_len,
	     const void *b, size_t b_len);
/* HMAC over wg_hash(). The key has 32 bytes. */
void wg_hmac(uint8_t out[WG_HASH_LEN], const uint8_t key[WG_HASH_LEN],
	     const void *a, size_t a_len, const void *b, size_t b_len);
/*
 * The paper's KDF_n: `count` (1 to 3) outputs of 32 bytes from a chaining
 * key. An output may be the chaining key itself.
 */
void wg_kdf(const uint8_t chain[WG_HASH_LEN], const void *input, size_t len,
	    uint8_t *const outputs[], uint8_t count);

/* Keyed BLAKE2s-128; one handle, keyed anew for each use. */
struct wg_mac {
	gcry_md_hd_t handle;
};

int wg_mac_init(struct wg_mac *mac);	/* 0 or ERR_NOMEM */
void wg_mac_clear(struct wg_mac *mac);
/* key_len is at most 32. */
void wg_mac(struct wg_mac *mac, uint8_t out[WG_MAC_LEN], const void *key,
	    size_t key_len, const void *data, size_t len);

/* ERR_PROTOCOL when the result is zero: a point of low order. */
int wg_dh(struct key32 *out, const struct key32 *private_key,
	  const uint8_t public_key[WG_KEY_LEN]);

/* With counter 0, as every key of a handshake is used once. */
void wg_handshake_seal(uint8_t *out, const struct key32 *key,
		       const void *plain, size_t len,
		       const uint8_t hash[WG_HASH_LEN]);
/* `len` without the tag. 0 or ERR_PROTOCOL. */
int wg_handshake_open(uint8_t *out, const struct key32 *key,
		      const void *sealed, size_t len,
		      const uint8_t hash[WG_HASH_LEN]);

/* One direction of a session. A zeroed one may be cleared. */
struct wg_cipher {
	gcry_cipher_hd_t handle;
};

int wg_cipher_init(struct wg_cipher *cipher, const struct key32 *key);
void wg_cipher_clear(struct wg_cipher *cipher);	/* wipes the key */
/* In place; the tag goes to data + len. 0 or ERR_INTERNAL. */
int wg_cipher_seal(struct wg_cipher *cipher, uint64_t counter, uint8_t *data,
		   size_t len);
/* In place, tag at data + len; 0 or ERR_PROTOCOL, then `data` is garbage. */
int wg_cipher_open(struct wg_cipher *cipher, uint64_t counter, uint8_t *data,
		   size_t len);

#endif
