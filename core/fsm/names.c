#include "core/fsm/fsm.h"

#include <assert.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const char *const states[] = {
	[FSM_INIT] = "init",
	[FSM_EXIT] = "exit",
	[FSM_WAIT_TO_START] = "waitToStart",
	[FSM_WAIT_FOR_WORKSPACE_STARTED] = "waitForWorkspaceStarted",
	[FSM_WAIT_FOR_AGENT] = "waitForAgent",
	[FSM_ESTABLISH_TAILNET] = "establishTailnet",
	[FSM_TAILNET_UP] = "tailnetUp",
	[FSM_APPLICATION_UP] = "applicationUp",
	[FSM_SHUTDOWN_APPLICATION] = "shutdownApplication",
	[FSM_SHUTDOWN_TAILNET] = "shutdownTailnet",
};
static_assert(LENGTH(states) == FSM_STATE_COUNT, "a name for every state");

static const char *const events[] = {
	[FSM_SHUTDOWN_SIGNAL] = "shutdown_signal",
	[FSM_ABORT] = "abort",
	[FSM_BUILD_UPDATE] = "build_update",
	[FSM_AGENT_UPDATE] = "agent_update",
	[FSM_STARTER_UPDATE] = "starter_update",
	[FSM_TAILNET_UPDATE] = "tailnet_update",
	[FSM_APP_UPDATE] = "app_update",
};
static_assert(LENGTH(events) == FSM_EVENT_COUNT, "a name for every event");

static const char *const transitions[] = {
	[FSM_TRANSITION_START] = "start",
	[FSM_TRANSITION_STOP] = "stop",
	[FSM_TRANSITION_DELETE] = "delete",
	[FSM_TRANSITION_UNKNOWN] = "unknown",
};
static_assert(LENGTH(transitions) == FSM_TRANSITION_COUNT,
	      "a name for every transition");

static const char *const job_statuses[] = {
	[FSM_JOB_PENDING] = "pending",
	[FSM_JOB_RUNNING] = "running",
	[FSM_JOB_SUCCEEDED] = "succeeded",
	[FSM_JOB_CANCELING] = "canceling",
	[FSM_JOB_CANCELED] = "canceled",
	[FSM_JOB_FAILED] = "failed",
	[FSM_JOB_UNKNOWN] = "unknown",
};
static_assert(LENGTH(job_statuses) == FSM_JOB_COUNT,
	      "a name for every job status");

static const char *const lifecycles[] = {
	[FSM_LIFECYCLE_CREATED] = "created",
	[FSM_LIFECYCLE_STARTING] = "starting",
	[FSM_LIFECYCLE_START_TIMEOUT] = "start_timeout",
	[FSM_LIFECYCLE_START_ERROR] = "start_error",
	[FSM_LIFECYCLE_READY] = "ready",
	[FSM_LIFECYCLE_SHUTTING_DOWN] = "shutting_down",
	[FSM_LIFECYCLE_SHUTDOWN_TIMEOUT] = "shutdown_timeout",
	[FSM_LIFECYCLE_SHUTDOWN_ERROR] = "shutdown_error",
	[FSM_LIFECYCLE_OFF] = "off",
	[FSM_LIFECYCLE_UNKNOWN] = "unknown",
};
static_assert(LENGTH(lifecycles) == FSM_LIFECYCLE_COUNT,
	      "a name for every lifecycle");

static const char *const actions[] = {
	[FSM_NO_ACTION] = "none",
	[FSM_START_WORKSPACE] = "start_workspace",
	[FSM_CONNECT_TAILNET] = "connect_tailnet",
	[FSM_START_APP] = "start_app",
	[FSM_CLOSE_APP] = "close_app",
	[FSM_SHUTDOWN_TAILNET_CONN] = "shutdown_tailnet",
	[FSM_CANCEL] = "cancel",
};
static_assert(LENGTH(actions) == FSM_ACTION_COUNT, "a name for every action");

static const char *name_at(const char *const *names, size_t count, size_t at)
{
	return at < count ? names[at] : "unknown";
}

/* The index of `name` within [first, count), or `count`. */
static size_t find(const char *const *names, size_t first, size_t count,
		   const char *name)
{
	size_t at = first;

	while (at < count && strcmp(names[at], name) != 0)
		at++;
	return at;
}

/* `count`: how many of the values have a name that may come from outside. */
#define NAMED(thing, table, first, count)                                  \
	const char *fsm_##thing##_name(enum fsm_##thing value)             \
	{                                                                  \
		return name_at(table, LENGTH(table), (size_t)value);       \
	}                                                                  \
	bool fsm_##thing##_from_name(const char *name,                     \
				     enum fsm_##thing *out)                \
	{                                                                  \
		size_t at = find(table, first, count, name);               \
                                                                           \
		if (at == (count))                                         \
			return false;                                      \
		*out = (enum fsm_##thing)at;                               \
		return true;                                               \
	}

NAMED(state, states, 0, FSM_STATE_COUNT)
NAMED(transition, transitions, 0, FSM_TRANSITION_UNKNOWN)
NAMED(job_status, job_statuses, 0, FSM_JOB_COUNT)
NAMED(lifecycle, lifecycles, 0, FSM_LIFECYCLE_UNKNOWN)
NAMED(action, actions, FSM_NO_ACTION + 1, FSM_ACTION_COUNT)

const char *fsm_event_name(enum fsm_event_kind kind)
{
	return name_at(events, LENGTH(events), (size_t)kind);
}

bool fsm_event_from_name(const char *name, enum fsm_event_kind *out)
{
	size_t at = find(events, 0, LENGTH(events), name);

	if (at == LENGTH(events))
		return false;
	*out = (enum fsm_event_kind)at;
	return true;
}
