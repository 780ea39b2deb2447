#include "core/watch/policy.h"

void watch_policy_init(struct watch_policy *policy, struct rng *rng,
		       uint64_t now_us)
{
	*policy = (struct watch_policy){
		.rng = rng,
		.backoff = { .first_us = WATCH_BACKOFF_FIRST_US },
		.trouble_since_us = now_us,
		.opened_us = DEADLINE_NONE,
	};
}

void watch_policy_opened(struct watch_policy *policy, uint64_t now_us)
{
	policy->opened_us = now_us;
}

void watch_policy_set_established(struct watch_policy *policy,
				  bool established, uint64_t now_us)
{
	if (policy->established && !established)
		policy->trouble_since_us = now_us;
	policy->established = established;
}

/* Only a connection that held counts: one that opens and falls at once, over
 * and over, is trouble all the while. */
static void forgive_if_healthy(struct watch_policy *policy, uint64_t now_us)
{
	if (policy->opened_us != DEADLINE_NONE &&
	    now_us - policy->opened_us >= WATCH_HEALTHY_AFTER_US) {
		backoff_reset(&policy->backoff);
		policy->trouble_since_us = now_us;
	}
	policy->opened_us = DEADLINE_NONE;
}

static uint64_t most_us(const struct watch_policy *policy)
{
	return policy->established ? WATCH_BACKOFF_MOST_ESTABLISHED_US :
				     WATCH_BACKOFF_MOST_US;
}

static uint64_t next_delay_us(struct watch_policy *policy)
{
	policy->backoff.most_us = most_us(policy);
	return backoff_next(&policy->backoff, policy->rng);
}

static bool mends_never(const struct watch_failure *failure)
{
	return failure->final || failure->http_status == 400 ||
	       failure->http_status == 401 || failure->http_status == 403 ||
	       failure->http_status == 404;
}

static struct watch_verdict
closed_established(struct watch_policy *policy,
		   const struct watch_failure *failure, uint64_t now_us)
{
	if (failure->http_status == 401 || failure->http_status == 403)
		return (struct watch_verdict){ .kind = WATCH_STOP };
	return (struct watch_verdict){ WATCH_RETRY,
				       now_us + next_delay_us(policy) };
}

struct watch_verdict watch_policy_closed(struct watch_policy *policy,
					 const struct watch_failure *failure,
					 uint64_t now_us)
{
	uint64_t end_us;

	forgive_if_healthy(policy, now_us);
	if (policy->established)
		return closed_established(policy, failure, now_us);
	if (mends_never(failure))
		return (struct watch_verdict){ .kind = WATCH_FATAL };
	end_us = policy->trouble_since_us + WATCH_BUDGET_US;
	if (now_us >= end_us)
		return (struct watch_verdict){ .kind = WATCH_FATAL_BUDGET };
	return (struct watch_verdict){
		WATCH_RETRY,
		deadline_min(now_us + next_delay_us(policy), end_us) };
}
