/*
 * No secret is left in freed memory. The linker puts our functions in front
 * of those that make secrets, which are noted, and of free(), which looks
 * for each of them in what it is about to give back.
 */
#include <gcrypt.h>
#include <malloc.h>
#include <sodium.h>
#include <string.h>

#include "world.h"

#define SECRETS_CAP 512

static uint8_t secrets[SECRETS_CAP][32];
static size_t secret_count;
static unsigned blocks_scanned;
static unsigned leaks;

void __real_free(void *block);
void __wrap_free(void *block);
int __real_crypto_scalarmult_curve25519(unsigned char *out,
					const unsigned char *scalar,
					const unsigned char *point);
int __wrap_crypto_scalarmult_curve25519(unsigned char *out,
					const unsigned char *scalar,
					const unsigned char *point);
gcry_error_t __real_gcry_cipher_setkey(gcry_cipher_hd_t handle,
				       const void *key, size_t len);
gcry_error_t __wrap_gcry_cipher_setkey(gcry_cipher_hd_t handle,
				       const void *key, size_t len);
void __real_wg_kdf(const uint8_t *chain, const void *input, size_t len,
		   uint8_t *const outputs[], unsigned count);
void __wrap_wg_kdf(const uint8_t *chain, const void *input, size_t len,
		   uint8_t *const outputs[], unsigned count);

static void note(const uint8_t *secret)
{
	if (secret_count < SECRETS_CAP)
		memcpy(secrets[secret_count++], secret, 32);
}

static unsigned secrets_in(const void *block, size_t len)
{
	unsigned found = 0;

	for (size_t i = 0; i < secret_count; i++)
		found += memmem(block, len, secrets[i], 32) != NULL;
	return found;
}

void __wrap_free(void *block)
{
	if (block && secret_count) {
		blocks_scanned++;
		leaks += secrets_in(block, malloc_usable_size(block)) > 0;
	}
	__real_free(block);
}

int __wrap_crypto_scalarmult_curve25519(unsigned char *out,
					const unsigned char *scalar,
					const unsigned char *point)
{
	int rc = __real_crypto_scalarmult_curve25519(out, scalar, point);

	note(scalar);
	note(out);
	return rc;
}

gcry_error_t __wrap_gcry_cipher_setkey(gcry_cipher_hd_t handle,
				       const void *key, size_t len)
{
	note(key);
	return __real_gcry_cipher_setkey(handle, key, len);
}

void __wrap_wg_kdf(const uint8_t *chain, const void *input, size_t len,
		   uint8_t *const outputs[], unsigned count)
{
	__real_wg_kdf(chain, input, len, outputs, count);
	for (unsigned i = 0; i < count; i++)
		/* The first chaining key is made of public values alone. */
		if (i > 0 || input == NULL)
			note(outputs[i]);
}

static int reset(void **state)
{
	(void)state;
	secret_count = 0;
	blocks_scanned = 0;
	leaks = 0;
	return 0;
}

static void the_scan_finds_what_is_left(void **state)
{
	static const uint8_t secret[32] = "a secret of thirty-two bytes...";
	uint8_t *block = malloc(100);

	(void)state;
	assert_non_null(block);
	note(secret);
	memset(block, 0, 100);
	memcpy(block + 33, secret, 32);
	/* Or else the compiler knows that nobody reads it. */
	__asm__ volatile("" : : "r"(block) : "memory");
	free(block);
	assert_int_equal(leaks, 1);
}

static void freed_memory_holds_no_key(void **state)
{
	struct world *world = world_new(110, 0);

	(void)state;
	world_connect(world);
	for (int i = 0; i < 4; i++) {
		world->now_us += 10 * US_PER_S;
		world_connect(world);
		assert_int_equal(world_send(world, i % 2, 64), 0);
		world_run(world, US_PER_S);
	}
	/* The world itself holds datagrams, no keys. */
	world_free(world);
	assert_in_range(secret_count, 60, SECRETS_CAP - 1);
	assert_true(blocks_scanned > 10);
	assert_int_equal(leaks, 0);
}

static void an_abandoned_handshake_leaves_no_key(void **state)
{
	struct world *world = world_new(111, 0);
	uint8_t bytes[WORLD_BUFFER];

	(void)state;
	for (int i = 0; i < 2; i++) {
		wg_peer_handshake(world->ends[i].peer, world->now_us);
		assert_int_equal(world_out(world, i, bytes),
				 WG_INITIATION_LEN);
	}
	world_in(world, 0, bytes, WG_INITIATION_LEN);
	wg_peer_remove(world->ends[0].peer);
	world_free(world);
	assert_true(blocks_scanned > 3);
	assert_int_equal(leaks, 0);
}

/* What the structs that live on still hold: nothing of the sessions. */
static void idle_peers_hold_no_session_key(void **state)
{
	struct world *world = world_new(112, 0);

	(void)state;
	secret_count = 0;
	world_connect(world);
	assert_true(secrets_in(world->ends[0].wg, sizeof(struct wg)) > 0);
	world_run(world, 541 * US_PER_S);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(world->ends[i].events[WG_EVENT_KEYS_WIPED],
				 1);
		/* Noted of the device is its private key, of the peer none. */
		assert_int_equal(secrets_in(world->ends[i].peer,
					    sizeof(struct wg_peer)), 0);
	}
	world_free(world);
	assert_int_equal(leaks, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_scan_finds_what_is_left, reset),
		cmocka_unit_test_setup(freed_memory_holds_no_key, reset),
		cmocka_unit_test_setup(an_abandoned_handshake_leaves_no_key,
				       reset),
		cmocka_unit_test_setup(idle_peers_hold_no_session_key, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
