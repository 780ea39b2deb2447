#include "tests/unit/base/test.h"

#include <string.h>

#include "core/base/err.h"
#include "core/base/id.h"
#include "core/base/server.h"

static void uuids_read_as_they_are_written(void **state)
{
	struct uuid uuid, again;
	char text[UUID_TEXT_CAP];
	struct rng rng;

	(void)state;
	rng_seeded(&rng, 1);
	uuid_random(&rng, &uuid);
	uuid_to_text(&uuid, text);
	assert_int_equal(text[14], '4');
	assert_int_equal(uuid_from_text(text, &again), 0);
	assert_true(uuid_equal(&uuid, &again));
	assert_int_equal(uuid_from_text("nonsense", &again), ERR_PROTOCOL);
	text[3] = 'x';
	assert_int_equal(uuid_from_text(text, &again), ERR_PROTOCOL);
}

static void hex_reads_as_it_is_written(void **state)
{
	uint8_t out[3];
	char text[7];

	(void)state;
	hex_encode("\x01\xab\xff", 3, text);
	assert_string_equal(text, "01abff");
	assert_int_equal(hex_decode(text, 6, out, 3), 0);
	assert_memory_equal(out, "\x01\xab\xff", 3);
	assert_int_equal(hex_decode("01abf", 5, out, 3), ERR_PROTOCOL);
	assert_int_equal(hex_decode("01abfg", 6, out, 3), ERR_PROTOCOL);
}

/* The public key of RFC 7748, section 6.1 (Alice). */
static void public_keys_follow_rfc_7748(void **state)
{
	struct key32 private_key, public_key;
	char text[65];

	(void)state;
	hex_decode("77076d0a7318a57d3c16c17251b26645"
		   "df4c2f87ebc0992ab177fba51db92c2a", 64, &private_key, 32);
	key_public(&private_key, &public_key);
	hex_encode(&public_key, 32, text);
	assert_string_equal(text, "8520f0098930a754748b7ddcb43ef75a"
				  "0dbf3a0d26381af4eba4a98eaa9b4e6a");
	key_wipe(&private_key);
	assert_true(key_is_zero(&private_key));
}

static void seeds_repeat_themselves(void **state)
{
	struct rng a, b;
	uint8_t one[100], two[100];

	(void)state;
	rng_seeded(&a, 42);
	rng_seeded(&b, 42);
	rng_bytes(&a, one, sizeof(one));
	rng_bytes(&b, two, sizeof(two));
	assert_memory_equal(one, two, sizeof(one));
	rng_bytes(&a, one, sizeof(one));
	assert_memory_not_equal(one, two, sizeof(one));
	for (int i = 0; i < 1000; i++)
		assert_true(rng_below(&a, 10) < 10);
}

static void queries_are_searched_and_decoded(void **state)
{
	char out[16];

	(void)state;
	assert_int_equal(query_find("a=1&agent_name=x%20y+z&b", "agent_name",
				    out, sizeof(out)), 5);
	assert_string_equal(out, "x y z");
	assert_int_equal(query_find("a=1", "b", out, 16), ERR_NOT_FOUND);
	assert_int_equal(query_find("a=%4", "a", out, 16), ERR_PROTOCOL);
	assert_int_equal(query_find("a=%zz", "a", out, 16), ERR_PROTOCOL);
	assert_int_equal(query_find("a=1234567890123456", "a", out, 16),
			 ERR_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uuids_read_as_they_are_written),
		cmocka_unit_test(hex_reads_as_it_is_written),
		cmocka_unit_test(public_keys_follow_rfc_7748),
		cmocka_unit_test(seeds_repeat_themselves),
		cmocka_unit_test(queries_are_searched_and_decoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
