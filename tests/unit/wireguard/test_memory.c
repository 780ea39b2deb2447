/*
 * Every allocation fails once, and all from each on: an error comes back,
 * nothing leaks (ASan looks), and where memory returns the retry succeeds.
 */
#include <gcrypt.h>
#include <stdlib.h>

#include "world.h"

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);
gcry_error_t __real_gcry_cipher_open(gcry_cipher_hd_t *handle, int algo,
				     int mode, unsigned flags);
gcry_error_t __wrap_gcry_cipher_open(gcry_cipher_hd_t *handle, int algo,
				     int mode, unsigned flags);
gcry_error_t __real_gcry_md_open(gcry_md_hd_t *handle, int algo,
				 unsigned flags);
gcry_error_t __wrap_gcry_md_open(gcry_md_hd_t *handle, int algo,
				 unsigned flags);

static unsigned allocations;
static unsigned first_to_fail;	/* from 1; 0: none */
static unsigned last_to_fail;
static unsigned failures;

static bool failing(void)
{
	allocations++;
	if (!first_to_fail || allocations < first_to_fail ||
	    allocations > last_to_fail)
		return false;
	failures++;
	return true;
}

void *__wrap_calloc(size_t count, size_t size)
{
	return failing() ? NULL : __real_calloc(count, size);
}

void *__wrap_malloc(size_t size)
{
	return failing() ? NULL : __real_malloc(size);
}

void *__wrap_realloc(void *block, size_t size)
{
	return failing() ? NULL : __real_realloc(block, size);
}

gcry_error_t __wrap_gcry_cipher_open(gcry_cipher_hd_t *handle, int algo,
				     int mode, unsigned flags)
{
	if (failing()) {
		*handle = NULL;
		return gcry_error(GPG_ERR_ENOMEM);
	}
	return __real_gcry_cipher_open(handle, algo, mode, flags);
}

gcry_error_t __wrap_gcry_md_open(gcry_md_hd_t *handle, int algo,
				 unsigned flags)
{
	if (failing()) {
		*handle = NULL;
		return gcry_error(GPG_ERR_ENOMEM);
	}
	return __real_gcry_md_open(handle, algo, flags);
}

struct ends {
	struct rng rng;
	struct wg *wg[2];
	struct wg_peer *peer[2];
	uint64_t now_us;
	bool forced;	/* end 1 is under load by command, not by a flood */
};

static int64_t wall(void *user)
{
	return (int64_t)((const struct ends *)user)->now_us;
}

static int set_up_one(struct ends *ends, int i)
{
	struct wg_config config = {
		.rng = &ends->rng, .wall_us = wall, .user = ends,
	};
	int rc;

	key_private(&ends->rng, &config.private_key);
	rc = wg_new(&config, &ends->wg[i]);
	if (rc == 0 && ends->forced)
		rc = wg_set_under_load(ends->wg[i], i == 1);
	return rc;
}

static int set_up(struct ends *ends)
{
	int rc = 0;

	rng_seeded(&ends->rng, 120);
	for (int i = 0; rc == 0 && i < 2; i++)
		rc = set_up_one(ends, i);
	for (int i = 0; rc == 0 && i < 2; i++)
		rc = wg_peer_add(ends->wg[i], wg_public_key(ends->wg[!i]),
				 NULL, 0, NULL, &ends->peer[i]);
	return rc;
}

/* A stranger's, until end 1 is under load; its limiter may get no memory. */
static void flood(struct ends *ends)
{
	uint8_t bytes[WG_INITIATION_LEN] = { WG_MESSAGE_INITIATION };
	struct wg_out_message message;
	struct wg_cookie_maker maker;
	struct wg_in_result result;
	uint8_t reply[WG_MESSAGE_CAP];

	wg_cookie_maker_init(&maker, wg_public_key(ends->wg[1]));
	wg_cookie_add_macs(&maker, &ends->wg[0]->mac, bytes, sizeof(bytes),
			   ends->now_us);
	for (int i = 0; i <= WG_LOAD_QUEUE; i++)
		wg_in(ends->wg[1], bytes, sizeof(bytes), 2, ends->now_us,
		      &result);
	assert_int_equal(result.reason, WG_IGNORED_COOKIE_SENT);
	assert_int_equal(wg_out(ends->wg[1], ends->now_us, reply,
				sizeof(reply), &message), 0);
}

/* A second of messages; true when both ends can seal. */
static bool one_second(struct ends *ends)
{
	struct wg_out_message message;
	struct wg_in_result result;
	uint8_t bytes[WG_MESSAGE_CAP];

	ends->now_us += US_PER_S;
	for (int round = 0; round < 8; round++) {
		int i = round % 2;

		wg_tick(ends->wg[i], ends->now_us);
		if (wg_out(ends->wg[i], ends->now_us, bytes, sizeof(bytes),
			   &message) == 0)
			wg_in(ends->wg[!i], bytes, message.len, 1,
			      ends->now_us, &result);
	}
	return wg_peer_ready(ends->peer[0], ends->now_us) &&
	       wg_peer_ready(ends->peer[1], ends->now_us);
}

/* How far it came: 0 set-up failed, 1 no session in 60 s, 2 all well. */
static int scenario_of(bool forced)
{
	struct ends ends = { .now_us = 1000 * US_PER_S, .forced = forced };
	int outcome = 0;
	int rc;

	allocations = 0;
	failures = 0;
	rc = set_up(&ends);
	if (rc == 0) {
		outcome = 1;
		if (!forced)
			flood(&ends);
		wg_peer_handshake(ends.peer[0], ends.now_us);
		for (int i = 0; outcome == 1 && i < 60; i++)
			outcome += one_second(&ends);
	} else {
		assert_int_equal(rc, ERR_NOMEM);
	}
	wg_free(ends.wg[0]);
	wg_free(ends.wg[1]);
	return outcome;
}

static void one_failure(bool forced)
{
	unsigned in_sessions = 0;
	unsigned total;

	first_to_fail = 0;
	assert_int_equal(scenario_of(forced), 2);
	total = allocations;
	assert_true(total > 12);
	for (unsigned n = 1; n <= total; n++) {
		int outcome;

		first_to_fail = last_to_fail = n;
		outcome = scenario_of(forced);
		first_to_fail = 0;
		assert_true(failures == 1);
		assert_true(outcome == 0 || outcome == 2);
		in_sessions += outcome == 2;
	}
	assert_true(in_sessions >= 6);
}

static void no_memory_from_any_point_on(bool forced)
{
	unsigned total;

	first_to_fail = 0;
	assert_int_equal(scenario_of(forced), 2);
	total = allocations;
	for (unsigned n = 1; n <= total; n++) {
		int outcome;

		first_to_fail = n;
		last_to_fail = UINT32_MAX;
		outcome = scenario_of(forced);
		first_to_fail = 0;
		assert_true(failures > 0);
		assert_true(outcome == 0 || outcome == 1);
	}
}

static void one_failure_is_survived(void **state)
{
	(void)state;
	one_failure(true);
	one_failure(false);
}

static void no_memory_from_any_point_on_is_survived(void **state)
{
	(void)state;
	no_memory_from_any_point_on(true);
	no_memory_from_any_point_on(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_failure_is_survived),
		cmocka_unit_test(no_memory_from_any_point_on_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
