/*
 * core/watch/policy.h: when to dial the watch again, and when to give up.
 *
 * The rules of D2 (fsm.md) as a pure object: what happened and now in, a
 * verdict out. Before the tunnel is up a failure is retried from 250 ms to
 * 15 s for at most 300 s, and HTTP 400/401/403/404 and an error that says it is
 * not retryable are final. Once the tunnel is up nothing is fatal: it is
 * dialled again every 60 s at the latest, and stopped by 401 and 403 alone.
 */
#ifndef TUNNELHOST_WATCH_POLICY_H
#define TUNNELHOST_WATCH_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/backoff.h"
#include "core/base/rng.h"
#include "core/base/time.h"

#define WATCH_BACKOFF_FIRST_US (250 * US_PER_MS)
#define WATCH_BACKOFF_MOST_US (15 * US_PER_S)
#define WATCH_BACKOFF_MOST_ESTABLISHED_US (60 * US_PER_S)
#define WATCH_HEALTHY_AFTER_US (30 * US_PER_S)
#define WATCH_BUDGET_US (300 * US_PER_S)

struct watch_policy {
	struct rng *rng;	/* borrowed */
	bool established;
	struct backoff backoff;	/* between retries */
	uint64_t trouble_since_us;	/* since when the budget is spent */
	uint64_t opened_us;	/* DEADLINE_NONE: not open */
};

/* How a dial or a connection ended. */
struct watch_failure {
	int http_status;	/* of a refusal, else 0 */
	bool final;		/* `retryable: false` or a bad request */
};

enum watch_verdict_kind {
	WATCH_RETRY,
	WATCH_STOP,		/* silently: the tunnel stays as it is */
	WATCH_FATAL,
	WATCH_FATAL_BUDGET,	/* 300 s are spent */
};

struct watch_verdict {
	enum watch_verdict_kind kind;
	uint64_t retry_at_us;	/* of WATCH_RETRY */
};

void watch_policy_init(struct watch_policy *policy, struct rng *rng,
		       uint64_t now_us);
void watch_policy_opened(struct watch_policy *policy, uint64_t now_us);
struct watch_verdict watch_policy_closed(struct watch_policy *policy,
					 const struct watch_failure *failure,
					 uint64_t now_us);
/* True from tailnetUp on; false again gives a fresh budget. */
void watch_policy_set_established(struct watch_policy *policy,
				  bool established, uint64_t now_us);

#endif
