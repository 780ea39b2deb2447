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

struct secret {
	uint8_t bytes[32];
	size_t len;
};

static struct secret secrets[SECRETS_CAP];
static size_t secret_count;
static unsigned cookies;
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
void __real_wg_mac(struct wg_mac *mac, uint8_t *out, const void *key,
		   size_t key_len, const void *data, size_t len);
void __wrap_wg_mac(struct wg_mac *mac, uint8_t *out, const void *key,
		   size_t key_len, const void *data, size_t len);
void __real_wg_kdf(const uint8_t *chain, const void *input, size_t len,
		   uint8_t *const outputs[], unsigned count);
void __wrap_wg_kdf(const uint8_t *chain, const void *input, size_t len,
		   uint8_t *const outputs[], unsigned count);

static void note_len(const uint8_t *secret, size_t len)
{
	if (secret_count == SECRETS_CAP)
		return;
	memcpy(secrets[secret_count].bytes, secret, len);
	secrets[secret_count++].len = len;
}

static void note(const uint8_t *secret)
{
	note_len(secret, 32);
}

static unsigned secrets_in(const void *block, size_t len)
{
	unsigned found = 0;

	for (size_t i = 0; i < secret_count; i++)
		found += memmem(block, len, secrets[i].bytes,
				secrets[i].len) != NULL;
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

/*
 * Of MACs the cookie is a secret, and what it is made with: the checker's
 * secret over the 8 bytes of a place. The MAC1 key is of a public key.
 */
void __wrap_wg_mac(struct wg_mac *mac, uint8_t *out, const void *key,
		   size_t key_len, const void *data, size_t len)
{
	__real_wg_mac(mac, out, key, key_len, data, len);
	if (len != 8)
		return;
	cookies++;
	note_len(key, key_len);
	note_len(out, WG_COOKIE_LEN);
}

static int reset(void **state)
{
	(void)state;
	cookies = 0;
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

/* The cookie lies in the peer that was given it, its secret in the device. */
static void cookies_leave_nothing(void **state)
{
	struct world *world = world_new(113, 0);
	const struct wg_peer *peer = world->ends[0].peer;

	(void)state;
	secret_count = 0;
	assert_int_equal(wg_set_under_load(world->ends[1].wg, true), 0);
	wg_peer_handshake(world->ends[0].peer, world->now_us);
	world_run(world, 6 * US_PER_S);
	assert_true(cookies >= 2);
	assert_true(wg_peer_ready(peer, world->now_us));
	assert_true(secrets_in(&peer->maker, sizeof(peer->maker)) > 0);
	assert_true(secrets_in(&world->ends[1].wg->checker,
			       sizeof(struct wg_cookie_checker)) > 0);
	world_free(world);
	assert_int_equal(leaks, 0);
}

/* Messages that do not authenticate leave nothing of what they led to. */
static void forgeries_leave_no_key(void **state)
{
	struct world *world = world_new(114, 0);
	uint8_t bytes[WORLD_BUFFER];
	uint8_t bad[WORLD_BUFFER];
	struct wg_cookie_maker maker;

	(void)state;
	wg_peer_handshake(world->ends[0].peer, world->now_us);
	for (int to = 1; to >= 0; to--) {
		size_t len = world_out(world, !to, bytes);
		/* The timestamp, and the sealed nothing. */
		size_t at = to ? WG_INITIATION_TIMESTAMP : WG_RESPONSE_EMPTY;

		memcpy(bad, bytes, len);
		bad[at] ^= 1;
		wg_cookie_maker_init(&maker,
				     wg_public_key(world->ends[to].wg));
		wg_cookie_add_macs(&maker, &world->ends[to].wg->mac, bad, len,
				   world->now_us);
		assert_int_equal(world_in(world, to, bad, len),
				 WG_IGNORED_FORGED);
		assert_int_equal(world_in(world, to, bytes, len),
				 WG_IGNORED_NONE);
	}
	world_free(world);
	assert_true(secret_count > 20);
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
		cmocka_unit_test_setup(cookies_leave_nothing, reset),
		cmocka_unit_test_setup(forgeries_leave_no_key, reset),
		cmocka_unit_test_setup(idle_peers_hold_no_session_key, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
