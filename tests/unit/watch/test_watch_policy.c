#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/watch/policy.h"

static const struct watch_failure network_failure = { 0, false };

static void test_backoff_then_budget(void **state)
{
	struct watch_policy policy;
	struct watch_verdict verdict;
	uint64_t now_us = 5 * US_PER_S;
	uint64_t whole_us = WATCH_BACKOFF_FIRST_US;
	unsigned retries = 0;
	struct rng rng;

	(void)state;
	rng_seeded(&rng, 7);
	watch_policy_init(&policy, &rng, now_us);
	for (;;) {
		uint64_t delay_us;

		verdict = watch_policy_closed(&policy, &network_failure,
					      now_us);
		if (verdict.kind != WATCH_RETRY)
			break;
		delay_us = verdict.retry_at_us - now_us;
		assert_true(delay_us <= whole_us);
		assert_true(delay_us >= whole_us / 2 ||
			    verdict.retry_at_us == 305 * US_PER_S);
		whole_us = deadline_min(2 * whole_us, WATCH_BACKOFF_MOST_US);
		now_us = verdict.retry_at_us;
		retries++;
	}
	assert_int_equal(verdict.kind, WATCH_FATAL_BUDGET);
	assert_int_equal(now_us, 305 * US_PER_S);
	assert_true(retries > 20 && retries < 60);
}

static void test_health_resets(void **state)
{
	struct watch_policy policy;
	struct watch_verdict verdict;
	uint64_t now_us = 0;
	struct rng rng;

	(void)state;
	rng_seeded(&rng, 8);
	watch_policy_init(&policy, &rng, now_us);
	for (int i = 0; i < 200; i++) {
		watch_policy_opened(&policy, now_us);
		now_us += WATCH_HEALTHY_AFTER_US;
		verdict = watch_policy_closed(&policy, &network_failure,
					      now_us);
		assert_int_equal(verdict.kind, WATCH_RETRY);
		assert_true(verdict.retry_at_us - now_us <=
			    WATCH_BACKOFF_FIRST_US);
		now_us = verdict.retry_at_us;
	}
	/* Opening for a moment over and over is no health. */
	for (int i = 0; i < 200 && verdict.kind == WATCH_RETRY; i++) {
		watch_policy_opened(&policy, now_us);
		now_us += US_PER_S;
		verdict = watch_policy_closed(&policy, &network_failure,
					      now_us);
		if (verdict.kind == WATCH_RETRY)
			now_us = verdict.retry_at_us;
	}
	assert_int_equal(verdict.kind, WATCH_FATAL_BUDGET);
}

static void test_what_never_mends(void **state)
{
	static const struct {
		struct watch_failure failure;
		enum watch_verdict_kind before, after;
	} cases[] = {
		{ { 400, false }, WATCH_FATAL, WATCH_RETRY },
		{ { 401, false }, WATCH_FATAL, WATCH_STOP },
		{ { 403, false }, WATCH_FATAL, WATCH_STOP },
		{ { 404, false }, WATCH_FATAL, WATCH_RETRY },
		{ { 0, true }, WATCH_FATAL, WATCH_RETRY },
		{ { 0, false }, WATCH_RETRY, WATCH_RETRY },
		{ { 409, false }, WATCH_RETRY, WATCH_RETRY },
		{ { 429, false }, WATCH_RETRY, WATCH_RETRY },
		{ { 500, false }, WATCH_RETRY, WATCH_RETRY },
		{ { 503, false }, WATCH_RETRY, WATCH_RETRY },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct watch_policy policy;
		struct rng rng;

		rng_seeded(&rng, i);
		watch_policy_init(&policy, &rng, 0);
		assert_int_equal(watch_policy_closed(&policy,
						     &cases[i].failure, 1)
					 .kind,
				 cases[i].before);
		watch_policy_set_established(&policy, true, 2);
		assert_int_equal(watch_policy_closed(&policy,
						     &cases[i].failure, 3)
					 .kind,
				 cases[i].after);
	}
}

static void test_established_redials_for_ever(void **state)
{
	struct watch_policy policy;
	struct watch_verdict verdict;
	uint64_t now_us = 0;
	uint64_t longest_us = 0;
	struct rng rng;

	(void)state;
	rng_seeded(&rng, 9);
	watch_policy_init(&policy, &rng, 0);
	watch_policy_set_established(&policy, true, 0);
	while (now_us < 86400 * US_PER_S) {
		verdict = watch_policy_closed(&policy, &network_failure,
					      now_us);
		assert_int_equal(verdict.kind, WATCH_RETRY);
		longest_us = verdict.retry_at_us - now_us > longest_us ?
				     verdict.retry_at_us - now_us :
				     longest_us;
		now_us = verdict.retry_at_us;
	}
	assert_true(longest_us > 50 * US_PER_S &&
		    longest_us <= 60 * US_PER_S);
	/* A tunnel that goes down gets a budget of its own. */
	watch_policy_set_established(&policy, false, now_us);
	verdict = watch_policy_closed(&policy, &network_failure, now_us);
	assert_int_equal(verdict.kind, WATCH_RETRY);
	assert_true(verdict.retry_at_us - now_us <= WATCH_BACKOFF_MOST_US);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backoff_then_budget),
		cmocka_unit_test(test_health_resets),
		cmocka_unit_test(test_what_never_mends),
		cmocka_unit_test(test_established_redials_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
