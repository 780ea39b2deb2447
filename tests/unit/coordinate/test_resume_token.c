#include "tests/unit/base/test.h"

#include <stdio.h>
#include <string.h>

#include "core/tailnet/coordinate/resume_token.h"
#include "tests/unit/coordinate/samples.h"

/* HMAC-SHA512 by Python's hmac under the key 00 01 … 3f. */
#define KNOWN_MAC \
	"LrKdTacwEVLe81br7ZTR2B0PMO-4slX8Da0xP4XWMk1YjGgIMS" \
	"qfnykJ0NYjpVHRIlZI-tPHLy1ADUTnbGRcOQ"
#define KNOWN \
	"eyJhbGciOiJIUzUxMiIsImtpZCI6ImtpZCJ9." \
	"eyJleHAiOjE3MDAwMDAwMDAsInN1YiI6IjAxMjM0NTY3LTg5YW" \
	"ItNGRlZi04MTIzLTQ1Njc4OWFiY2RlZiJ9." \
	KNOWN_MAC

static void test_known_token(void **state)
{
	struct resume_tokens tokens = { .lifetime_s = 10, .kid = "kid" };
	struct uuid id = sample_uuid(VECTOR_UUID);
	char token[RESUME_TOKEN_CAP];

	(void)state;
	for (size_t i = 0; i < sizeof(tokens.key); i++)
		tokens.key[i] = (uint8_t)i;
	resume_token_sign(&tokens, &id, 1700000000, token);
	assert_string_equal(token, KNOWN);
}

static void test_sign_and_verify(void **state)
{
	struct uuid id = sample_uuid(VECTOR_UUID), got;
	struct resume_tokens tokens, others;
	char token[RESUME_TOKEN_CAP];
	struct error error;
	struct rng rng;

	(void)state;
	rng_seeded(&rng, 1);
	resume_tokens_init(&tokens, &rng, 3600);
	resume_tokens_init(&others, &rng, 3600);
	resume_token_sign(&tokens, &id, 1000, token);
	assert_int_equal(resume_token_verify(&tokens, token, 1000, &got,
					     &error), 0);
	assert_true(uuid_equal(&id, &got));
	assert_int_equal(resume_token_verify(&tokens, token, 1001, &got,
					     &error), ERR_UNAUTHORIZED);
	assert_non_null(strstr(error.message, "expired"));
	assert_int_equal(resume_token_verify(&others, token, 1000, &got,
					     &error), ERR_UNAUTHORIZED);
	resume_tokens_wipe(&tokens);
	assert_int_equal(tokens.key[0] | tokens.key[63], 0);
}

/* Every single changed character must be noticed. */
static void test_tampering(void **state)
{
	struct uuid id = sample_uuid(VECTOR_UUID), got;
	char token[RESUME_TOKEN_CAP], copy[RESUME_TOKEN_CAP];
	struct resume_tokens tokens;
	struct rng rng;

	(void)state;
	rng_seeded(&rng, 2);
	resume_tokens_init(&tokens, &rng, 3600);
	resume_token_sign(&tokens, &id, 1000, token);
	for (size_t i = 0; token[i]; i++) {
		memcpy(copy, token, sizeof(copy));
		copy[i] = copy[i] == 'A' ? 'B' : 'A';
		assert_int_equal(resume_token_verify(&tokens, copy, 0, &got,
						     NULL),
				 ERR_UNAUTHORIZED);
		memcpy(copy, token, sizeof(copy));
		copy[i] = '\0';
		assert_int_equal(resume_token_verify(&tokens, copy, 0, &got,
						     NULL),
				 ERR_UNAUTHORIZED);
	}
}

static void test_rubbish(void **state)
{
	static const char *const texts[] = { "", ".", "..", "...", "a.b",
					     "a.b.c", "a.b.c.d", "é.é.é" };
	char longest[2 * RESUME_TOKEN_CAP];
	struct resume_tokens tokens;
	struct uuid got;
	struct rng rng;

	(void)state;
	rng_seeded(&rng, 3);
	resume_tokens_init(&tokens, &rng, 3600);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		assert_int_equal(resume_token_verify(&tokens, texts[i], 0,
						     &got, NULL),
				 ERR_UNAUTHORIZED);
	memset(longest, '.', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(resume_token_verify(&tokens, longest, 0, &got, NULL),
			 ERR_UNAUTHORIZED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_token),
		cmocka_unit_test(test_sign_and_verify),
		cmocka_unit_test(test_tampering),
		cmocka_unit_test(test_rubbish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
