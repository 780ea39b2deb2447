#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sodium.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/tailnet/wireguard/crypto.h"

static void assert_hex(const uint8_t *bytes, size_t len, const char *hex)
{
	char text[2 * 256 + 1];

	assert_true(len <= 256);
	hex_encode(bytes, len, text);
	assert_string_equal(text, hex);
}

static void unhex(const char *hex, uint8_t *out, size_t len)
{
	assert_int_equal(hex_decode(hex, 2 * len, out, len), 0);
}

static void count_up(uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)i;
}

static void blake2s_of_rfc_7693(void **state)
{
	uint8_t out[WG_HASH_LEN];

	(void)state;
	wg_hash(out, "abc", 3, NULL, 0);
	assert_hex(out, sizeof(out), "508c5e8c327c14e2e1a72ba34eeb452f"
				     "37458b209ed63a294d999b4c86675982");
	wg_hash(out, "a", 1, "bc", 2);
	assert_hex(out, sizeof(out), "508c5e8c327c14e2e1a72ba34eeb452f"
				     "37458b209ed63a294d999b4c86675982");
}

/* From Python's hashlib and hmac: an implementation of its own. */
static void macs_and_keys_of_python(void **state)
{
	uint8_t key[32];
	uint8_t out[3][WG_HASH_LEN];
	uint8_t *outputs[] = { out[0], out[1], out[2] };
	struct wg_mac mac;

	(void)state;
	count_up(key, sizeof(key));
	wg_hmac(out[0], key, "in", 2, "put", 3);
	assert_hex(out[0], 32, "bbe722d569a4845b94c23b9ae71c3dc0"
			       "4877099c376a541d26f313ca7348fd3a");
	wg_kdf(key, "input", 5, outputs, 3);
	assert_hex(out[0], 32, "87b7f70b24183c6db5dc4f6d9f4c47cd"
			       "b203321aa2a0bef714896adb3107a040");
	assert_hex(out[1], 32, "538a02e1eb2e31b7e4d4b82476d1fe2a"
			       "cf50085d3fb584537279195f5d1f5824");
	assert_hex(out[2], 32, "9ad858025593be88de0f9442a589cfe8"
			       "4a88dc19e4753d93684d1c5efc4837f9");
	assert_int_equal(wg_mac_init(&mac), 0);
	for (int i = 0; i < 2; i++) {
		wg_mac(&mac, out[0], key, 32, "other", 5);
		wg_mac(&mac, out[0], key, 16, "message", 7);
		assert_hex(out[0], 16, "37d0934cac1b83cf742574ea32dd9481");
	}
	wg_mac_clear(&mac);
}

/* The two hashes that every handshake begins with (white paper, 5.4.2). */
static void constants_of_the_construction(void **state)
{
	uint8_t chain[WG_HASH_LEN];
	uint8_t hash[WG_HASH_LEN];

	(void)state;
	wg_hash(chain, WG_CONSTRUCTION, 37, NULL, 0);
	assert_hex(chain, 32, "60e26daef327efc02ec335e2a025d2d0"
			      "16eb4206f87277f52d38d1988b78cd36");
	wg_hash(hash, chain, 32, WG_IDENTIFIER, 34);
	assert_hex(hash, 32, "2211b361081ac566691243db458ad532"
			     "2d9c6c662293e8b70ee19c65ba079ef3");
}

static void x25519_of_rfc_7748(void **state)
{
	struct key32 scalar;
	struct key32 out;
	uint8_t point[32];
	static const uint8_t zero[32];

	(void)state;
	unhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449"
	      "ac4", scalar.bytes, 32);
	unhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1"
	      "c4c", point, 32);
	assert_int_equal(wg_dh(&out, &scalar, point), 0);
	assert_hex(out.bytes, 32, "c3da55379de9c6908e94ea4df28d084f"
				  "32eccf03491c71f754b4075577a28552");
	assert_int_equal(wg_dh(&out, &scalar, zero), ERR_PROTOCOL);
	assert_true(key_is_zero(&out));
}

/* Section 2.8.2 has additional data, so libsodium's path; ours has none. */
static void aead_of_rfc_8439(void **state)
{
	static const char text[] =
		"Ladies and Gentlemen of the class of '99: If I could offer "
		"you only one tip for the future, sunscreen would be it.";
	uint8_t key[32];
	uint8_t nonce[12];
	uint8_t ad[12];
	uint8_t out[130];

	(void)state;
	for (size_t i = 0; i < 32; i++)
		key[i] = (uint8_t)(0x80 + i);
	unhex("070000004041424344454647", nonce, 12);
	unhex("50515253c0c1c2c3c4c5c6c7", ad, 12);
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL,
						  (const uint8_t *)text, 114,
						  ad, 12, NULL, nonce, key);
	assert_hex(out + 114, 16, "1ae10b594f09e26a7e902ecbd0600691");
}

static void the_session_cipher_is_the_same_aead(void **state)
{
	static const uint64_t counters[] = { 0, 1, 255, 1ull << 32,
					     UINT64_MAX - 8193 };
	struct wg_cipher cipher = { NULL };
	struct key32 key;
	uint8_t plain[200];
	uint8_t ours[216];
	uint8_t theirs[216];
	uint8_t nonce[12] = { 0 };

	(void)state;
	count_up(key.bytes, 32);
	count_up(plain, sizeof(plain));
	assert_int_equal(wg_cipher_init(&cipher, &key), 0);
	for (size_t i = 0; i < 5; i++)
		for (size_t len = 0; len <= sizeof(plain); len += 25) {
			memcpy(nonce + 4, &counters[i], 8);
			crypto_aead_chacha20poly1305_ietf_encrypt(
				theirs, NULL, plain, len, NULL, 0, NULL,
				nonce, key.bytes);
			memcpy(ours, plain, len);
			assert_int_equal(wg_cipher_seal(&cipher, counters[i],
							ours, len), 0);
			assert_memory_equal(ours, theirs, len + 16);
			assert_int_equal(wg_cipher_open(&cipher, counters[i],
							ours, len), 0);
			assert_memory_equal(ours, plain, len);
			assert_int_equal(wg_cipher_open(&cipher,
							counters[i] + 1,
							theirs, len),
					 ERR_PROTOCOL);
		}
	wg_cipher_clear(&cipher);
	wg_cipher_clear(&cipher);
}

static void the_handshake_aead_rejects_any_change(void **state)
{
	struct key32 key;
	uint8_t hash[32] = { 1 };
	uint8_t sealed[12 + 16];
	uint8_t out[12];

	(void)state;
	count_up(key.bytes, 32);
	wg_handshake_seal(sealed, &key, "hello world!", 12, hash);
	assert_int_equal(wg_handshake_open(out, &key, sealed, 12, hash), 0);
	assert_memory_equal(out, "hello world!", 12);
	for (size_t i = 0; i < sizeof(sealed); i++) {
		sealed[i] ^= 1;
		assert_int_equal(wg_handshake_open(out, &key, sealed, 12,
						   hash), ERR_PROTOCOL);
		sealed[i] ^= 1;
	}
	hash[31] = 1;
	assert_int_equal(wg_handshake_open(out, &key, sealed, 12, hash),
			 ERR_PROTOCOL);
}

static int set_up(void **state)
{
	(void)state;
	return wg_crypto_init() || wg_crypto_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blake2s_of_rfc_7693),
		cmocka_unit_test(macs_and_keys_of_python),
		cmocka_unit_test(constants_of_the_construction),
		cmocka_unit_test(x25519_of_rfc_7748),
		cmocka_unit_test(aead_of_rfc_8439),
		cmocka_unit_test(the_session_cipher_is_the_same_aead),
		cmocka_unit_test(the_handshake_aead_rejects_any_change),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
