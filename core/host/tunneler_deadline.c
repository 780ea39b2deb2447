/* How long a state and winding down may last, and what follows. */
#include "core/host/tunneler_private.h"

#define BUILD_FOLLOWS_US (60 * US_PER_S)
#define START_APP_US (60 * US_PER_S)
#define ROOM "fsm"

static const char *const state_says[FSM_STATE_COUNT] = {
	[FSM_INIT] = "asking for the workspace's state",
	[FSM_WAIT_TO_START] = "waiting for the workspace to stop",
	[FSM_WAIT_FOR_WORKSPACE_STARTED] = "starting the workspace",
	[FSM_WAIT_FOR_AGENT] = "waiting for the agent",
	[FSM_ESTABLISH_TAILNET] = "connecting to the agent",
	[FSM_TAILNET_UP] = "connected, starting the application",
	[FSM_SHUTDOWN_APPLICATION] = "closing the application",
	[FSM_SHUTDOWN_TAILNET] = "closing the tunnel",
};

static uint64_t state_deadline(const struct tunneler *tunneler)
{
	switch (tunneler->fsm.state) {
	case FSM_INIT:
	case FSM_WAIT_TO_START:
	case FSM_WAIT_FOR_WORKSPACE_STARTED:
	case FSM_WAIT_FOR_AGENT:
		return tunneler->up_by_us;
	case FSM_ESTABLISH_TAILNET:
		return tunneler_now(tunneler) + TUNNELER_DIAL_US;
	case FSM_TAILNET_UP:
		return tunneler_now(tunneler) + START_APP_US;
	case FSM_APPLICATION_UP:
	case FSM_SHUTDOWN_APPLICATION:	/* the budget's */
	case FSM_SHUTDOWN_TAILNET:
	case FSM_EXIT:
	case FSM_STATE_COUNT:
		return DEADLINE_NONE;
	}
	return DEADLINE_NONE;
}

static void set_deadline(struct tunneler *tunneler, uint64_t deadline_us)
{
	timer_set(tunneler->config.loop, &tunneler->deadline, deadline_us);
}

void tunneler_expect_build(struct tunneler *tunneler)
{
	if (tunneler->fsm.state == FSM_WAIT_FOR_WORKSPACE_STARTED &&
	    !tunneler->build_seen)
		set_deadline(tunneler,
			     deadline_min(tunneler->up_by_us,
					  tunneler_now(tunneler) +
						  BUILD_FOLLOWS_US));
}

static void blame_deadline(struct tunneler *tunneler)
{
	struct error error;

	error_set(&error, ERR_TIMEOUT, "gave up while %s",
		  state_says[tunneler->fsm.state]);
	tunneler_blame(tunneler, REASON_DEADLINE, 124, "a deadline ran out",
		       &error);
}

static void deadline_fired(struct timer *timer)
{
	struct tunneler *tunneler = timer->user;

	if (tunneler->fsm.state == FSM_ESTABLISH_TAILNET) {
		tunneler_dial_timed_out(tunneler);
		return;
	}
	blame_deadline(tunneler);
	if (tunneler->fsm.state == FSM_TAILNET_UP && tunneler->app_start_owed) {
		tunneler->app_start_owed = false;
		tunneler_post_app(tunneler, false);
		return;
	}
	tunneler_post_kind(tunneler, FSM_SHUTDOWN_SIGNAL);
}

/* A failure that came first stays what the exit status tells. */
static void budget_fired(struct timer *timer)
{
	struct tunneler *tunneler = timer->user;
	struct reason *reason = &tunneler->reason;

	if (!reason->what) {
		reason->status = 124;
		reason->what = "a deadline ran out";
		error_set(&reason->error, ERR_TIMEOUT,
			  "the shutdown budget was spent while %s",
			  state_says[tunneler->fsm.state]);
	} else {
		log_warn(tunneler->config.log, ROOM,
			 "the shutdown budget was spent while %s",
			 state_says[tunneler->fsm.state]);
	}
	tunneler_abort(tunneler);
}

void tunneler_start_budget(struct tunneler *tunneler)
{
	uint64_t now_us = tunneler_now(tunneler);
	uint64_t most = DEADLINE_NONE - now_us;
	uint64_t budget_us = tunneler->config.shutdown_timeout_us;

	if (!timer_active(&tunneler->budget))
		timer_set(tunneler->config.loop, &tunneler->budget,
			  budget_us < most ? now_us + budget_us :
					     DEADLINE_NONE);
}

void tunneler_init_deadlines(struct tunneler *tunneler)
{
	tunneler->deadline =
		(struct timer){ .fire = deadline_fired, .user = tunneler };
	tunneler->budget =
		(struct timer){ .fire = budget_fired, .user = tunneler };
}

const char *tunneler_state_says(enum fsm_state state)
{
	return state_says[state];
}

void tunneler_set_deadline(struct tunneler *tunneler)
{
	set_deadline(tunneler, state_deadline(tunneler));
}
