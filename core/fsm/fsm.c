/*
 * How a step is decided
 *
 * An event is first sorted into one of the rows below; a row says for every
 * state where it leads and what is done on the way. A cell that is not
 * written keeps the state and does nothing (MOVE_STAY is zero). Flags choose
 * between rows, never within one, so that each row can be read against the
 * seed by itself.
 */
#include "core/fsm/fsm.h"

#include <assert.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

enum move_kind {
	MOVE_STAY,
	MOVE_TO,
};

struct move {
	enum move_kind kind;
	enum fsm_state to;
	enum fsm_action action;
};

#define TO(state, action) { MOVE_TO, state, action }
#define LEAVE TO(FSM_EXIT, FSM_CANCEL)

/* The three states that have something to take down (handleSignal). */
#define CLOSE_WHAT_IS_UP                                                    \
	[FSM_ESTABLISH_TAILNET] = TO(FSM_SHUTDOWN_TAILNET, FSM_NO_ACTION),  \
	[FSM_TAILNET_UP] = TO(FSM_SHUTDOWN_APPLICATION, FSM_NO_ACTION),     \
	[FSM_APPLICATION_UP] = TO(FSM_SHUTDOWN_APPLICATION, FSM_CLOSE_APP)

/* The four that come before a connection. */
#define BEFORE_CONNECTING(move)                         \
	[FSM_INIT] = move, [FSM_WAIT_TO_START] = move,  \
	[FSM_WAIT_FOR_WORKSPACE_STARTED] = move,        \
	[FSM_WAIT_FOR_AGENT] = move

enum row {
	ROW_NOTHING,
	ROW_WIND_DOWN,
	ROW_ABORT,
	ROW_STARTING,
	ROW_STARTED,
	ROW_STOPPING,
	ROW_STOPPED,
	ROW_STOPPED_STARTER_RUNS,
	ROW_ANOTHER_AGENT,
	ROW_CONNECT,
	ROW_STARTER_FAILED,
	ROW_TAILNET_UP,
	ROW_TAILNET_DOWN,
	ROW_APP_UP,
	ROW_APP_DOWN,
	ROW_COUNT,
};

static const struct move rows[][FSM_STATE_COUNT] = {
	[ROW_NOTHING] = { { MOVE_STAY, FSM_INIT, FSM_NO_ACTION } },
	[ROW_WIND_DOWN] = { BEFORE_CONNECTING(LEAVE), CLOSE_WHAT_IS_UP },
	[ROW_ABORT] = {		/* D6 */
		BEFORE_CONNECTING(LEAVE),
		[FSM_ESTABLISH_TAILNET] = LEAVE,
		[FSM_TAILNET_UP] = LEAVE,
		[FSM_APPLICATION_UP] = LEAVE,
		[FSM_SHUTDOWN_APPLICATION] = LEAVE,
		[FSM_SHUTDOWN_TAILNET] = LEAVE,
	},
	[ROW_STARTING] = {
		BEFORE_CONNECTING(TO(FSM_WAIT_FOR_WORKSPACE_STARTED,
				     FSM_NO_ACTION)),
		CLOSE_WHAT_IS_UP,
	},
	/* Once connecting, later agent updates tell whether it is current. */
	[ROW_STARTED] = {
		BEFORE_CONNECTING(TO(FSM_WAIT_FOR_AGENT, FSM_NO_ACTION)),
	},
	[ROW_STOPPING] = {
		BEFORE_CONNECTING(TO(FSM_WAIT_TO_START, FSM_NO_ACTION)),
		CLOSE_WHAT_IS_UP,
	},
	[ROW_STOPPED] = {	/* D7 in waitForWorkspaceStarted */
		BEFORE_CONNECTING(TO(FSM_WAIT_FOR_WORKSPACE_STARTED,
				     FSM_START_WORKSPACE)),
		CLOSE_WHAT_IS_UP,
	},
	[ROW_ANOTHER_AGENT] = { CLOSE_WHAT_IS_UP },	/* D5 */
	[ROW_CONNECT] = {
		[FSM_WAIT_FOR_AGENT] = TO(FSM_ESTABLISH_TAILNET,
					  FSM_CONNECT_TAILNET),
	},
	[ROW_STARTER_FAILED] = {	/* D1 */
		[FSM_WAIT_FOR_WORKSPACE_STARTED] = LEAVE,
	},
	/* D4: no cell where it is up already. */
	[ROW_TAILNET_UP] = {
		[FSM_ESTABLISH_TAILNET] = TO(FSM_TAILNET_UP, FSM_START_APP),
		[FSM_SHUTDOWN_TAILNET] = TO(FSM_SHUTDOWN_TAILNET,
					    FSM_SHUTDOWN_TAILNET_CONN),
	},
	[ROW_TAILNET_DOWN] = {
		[FSM_ESTABLISH_TAILNET] = LEAVE,
		[FSM_SHUTDOWN_TAILNET] = LEAVE,
		/* D3, as in ROW_WIND_DOWN */
		[FSM_TAILNET_UP] = TO(FSM_SHUTDOWN_APPLICATION, FSM_NO_ACTION),
		[FSM_APPLICATION_UP] = TO(FSM_SHUTDOWN_APPLICATION,
					  FSM_CLOSE_APP),
	},
	[ROW_APP_UP] = {
		[FSM_TAILNET_UP] = TO(FSM_APPLICATION_UP, FSM_NO_ACTION),
		/* It was starting when the wind-down began. */
		[FSM_SHUTDOWN_APPLICATION] = TO(FSM_SHUTDOWN_APPLICATION,
						FSM_CLOSE_APP),
	},
	[ROW_APP_DOWN] = {
		[FSM_TAILNET_UP] = TO(FSM_SHUTDOWN_TAILNET,
				      FSM_SHUTDOWN_TAILNET_CONN),
		[FSM_APPLICATION_UP] = TO(FSM_SHUTDOWN_TAILNET,
					  FSM_SHUTDOWN_TAILNET_CONN),
		[FSM_SHUTDOWN_APPLICATION] = TO(FSM_SHUTDOWN_TAILNET,
						FSM_SHUTDOWN_TAILNET_CONN),
	},
	[ROW_STOPPED_STARTER_RUNS] = {
		[FSM_INIT] = TO(FSM_WAIT_FOR_WORKSPACE_STARTED,
				FSM_START_WORKSPACE),
		[FSM_WAIT_TO_START] = TO(FSM_WAIT_FOR_WORKSPACE_STARTED,
					 FSM_START_WORKSPACE),
		[FSM_WAIT_FOR_AGENT] = TO(FSM_WAIT_FOR_WORKSPACE_STARTED,
					  FSM_START_WORKSPACE),
		CLOSE_WHAT_IS_UP,
	},
};
static_assert(LENGTH(rows) == ROW_COUNT, "a table for every row");

/* What an application or tailnet update that nobody waits for says. */
#define BEFORE_IT(message)                                                  \
	[FSM_INIT] = message, [FSM_WAIT_TO_START] = message,                \
	[FSM_WAIT_FOR_WORKSPACE_STARTED] = message,                         \
	[FSM_WAIT_FOR_AGENT] = message

#define APP_EARLY "unexpected: application update before we started it"
#define TAILNET_EARLY "unexpected: tailnet update before we started it"

static const char *const unexpected_app_up[FSM_STATE_COUNT] = {
	BEFORE_IT(APP_EARLY),
	[FSM_ESTABLISH_TAILNET] = APP_EARLY,
	[FSM_APPLICATION_UP] =
		"unexpected: application 'up' update when it is already up",
	[FSM_SHUTDOWN_TAILNET] = "unexpected: application 'up' update when "
				 "we were tearing down tailnet",
};

static const char *const unexpected_app_down[FSM_STATE_COUNT] = {
	BEFORE_IT(APP_EARLY),
	[FSM_ESTABLISH_TAILNET] = APP_EARLY,
	[FSM_SHUTDOWN_TAILNET] = "unexpected: application 'down' update when "
				 "we were tearing down tailnet",
};

static const char *const unexpected_tailnet_up[FSM_STATE_COUNT] = {
	BEFORE_IT(TAILNET_EARLY),
	[FSM_TAILNET_UP] =
		"unexpected: got tailnet 'up' update when it is already up",
	[FSM_SHUTDOWN_APPLICATION] = "unexpected: got tailnet 'up' update "
				     "when we expected application update",
};

static const char *const unexpected_tailnet_down[FSM_STATE_COUNT] = {
	BEFORE_IT(TAILNET_EARLY),
	[FSM_TAILNET_UP] = "unexpected: got tailnet 'down' update when we "
			   "were starting the application",
	[FSM_APPLICATION_UP] = "unexpected: got tailnet 'down' update when "
			       "the application was up",
	[FSM_SHUTDOWN_APPLICATION] = "unexpected: got tailnet 'down' update "
				     "when we were stopping the application",
};

static void say(struct fsm_step *out, enum log_level level,
		const char *message)
{
	assert(out->log_count < FSM_LOG_CAP);
	out->logs[out->log_count++] = (struct fsm_log){ level, message };
}

static void say_unexpected(struct fsm_step *out, const char *const *messages)
{
	if (messages[out->from])
		say(out, LOG_ERROR, messages[out->from]);
}

static bool shutting_down(enum fsm_state state)
{
	return state == FSM_SHUTDOWN_TAILNET ||
	       state == FSM_SHUTDOWN_APPLICATION || state == FSM_EXIT;
}

static bool connecting_or_up(enum fsm_state state)
{
	return state == FSM_ESTABLISH_TAILNET || state == FSM_TAILNET_UP ||
	       state == FSM_APPLICATION_UP;
}

static enum row on_signal(struct fsm_step *out)
{
	say(out, LOG_DEBUG, "got shutdown signal");
	return ROW_WIND_DOWN;
}

static bool job_unhealthy(enum fsm_job_status status)
{
	return status != FSM_JOB_PENDING && status != FSM_JOB_RUNNING &&
	       status != FSM_JOB_SUCCEEDED;
}

/* `succeeded` or else under way: the unhealthy ones are sorted out before. */
static enum row on_stop(const struct fsm *fsm, const struct fsm_config *config,
			bool succeeded)
{
	if (config->no_autostart)
		return ROW_WIND_DOWN;
	if (!succeeded)
		return ROW_STOPPING;
	return fsm->starter ? ROW_STOPPED_STARTER_RUNS : ROW_STOPPED;
}

static enum row on_start(struct fsm_step *out, bool succeeded)
{
	say(out, LOG_DEBUG,
	    succeeded ? "workspace is started" : "workspace is starting");
	return succeeded ? ROW_STARTED : ROW_STARTING;
}

static enum row on_build(const struct fsm *fsm,
			 const struct fsm_config *config,
			 const struct fsm_event *event, struct fsm_step *out)
{
	bool succeeded = event->build.job_status == FSM_JOB_SUCCEEDED;

	if (shutting_down(fsm->state))
		return ROW_NOTHING;
	if (event->build.transition == FSM_TRANSITION_DELETE) {
		say(out, LOG_INFO, "workspace is being deleted");
		return on_signal(out);
	}
	if (job_unhealthy(event->build.job_status)) {
		say(out, LOG_INFO, "build job is in unhealthy state");
		return on_signal(out);
	}
	if (event->build.transition == FSM_TRANSITION_START)
		return on_start(out, succeeded);
	if (event->build.transition == FSM_TRANSITION_STOP)
		return on_stop(fsm, config, succeeded);
	say(out, LOG_CRITICAL, "unhandled build update");
	return ROW_NOTHING;
}

static enum row on_lifecycle(const struct fsm_config *config,
			     enum fsm_lifecycle lifecycle,
			     struct fsm_step *out)
{
	switch (lifecycle) {
	case FSM_LIFECYCLE_READY:
		return ROW_CONNECT;
	case FSM_LIFECYCLE_START_ERROR:		/* D8 */
		say(out, LOG_WARN,
		    "startup scripts failed, connecting all the same");
		return ROW_CONNECT;
	case FSM_LIFECYCLE_STARTING:
	case FSM_LIFECYCLE_START_TIMEOUT:
		return config->no_wait_for_scripts ? ROW_CONNECT : ROW_NOTHING;
	case FSM_LIFECYCLE_CREATED:
	case FSM_LIFECYCLE_SHUTTING_DOWN:
	case FSM_LIFECYCLE_SHUTDOWN_TIMEOUT:
	case FSM_LIFECYCLE_SHUTDOWN_ERROR:
	case FSM_LIFECYCLE_OFF:
		return ROW_NOTHING;
	case FSM_LIFECYCLE_UNKNOWN:
	case FSM_LIFECYCLE_COUNT:
		break;
	}
	say(out, LOG_CRITICAL, "unhandled agent update");
	return ROW_NOTHING;
}

static enum row on_agent(const struct fsm *fsm,
			 const struct fsm_config *config,
			 const struct fsm_event *event, struct fsm_step *out)
{
	say(out, LOG_DEBUG, "handling agent update");
	if (fsm->state == FSM_WAIT_FOR_AGENT)
		return on_lifecycle(config, event->agent.lifecycle, out);
	if (!connecting_or_up(fsm->state) || !fsm->has_agent ||
	    uuid_equal(&fsm->agent_id, &event->agent.id))
		return ROW_NOTHING;
	say(out, LOG_INFO, "another agent has replaced the connected one");
	return ROW_ANOTHER_AGENT;
}

static enum row on_app(const struct fsm_event *event, struct fsm_step *out)
{
	bool up = event->app.up;

	say(out, LOG_DEBUG,
	    up ? "networked application up" : "networked application down");
	say_unexpected(out, up ? unexpected_app_up : unexpected_app_down);
	if (up && out->from == FSM_SHUTDOWN_APPLICATION)
		say(out, LOG_DEBUG, "gracefully shutting down application "
				    "after it started");
	return up ? ROW_APP_UP : ROW_APP_DOWN;
}

static enum row on_tailnet(const struct fsm_event *event,
			   struct fsm_step *out)
{
	bool up = event->tailnet.up;

	if (out->from == FSM_EXIT)
		return ROW_NOTHING;
	if (out->from >= FSM_ESTABLISH_TAILNET)
		say(out, LOG_DEBUG, up ? "got tailnet 'up' update" :
					 "got tailnet 'down' update");
	say_unexpected(out, up ? unexpected_tailnet_up :
				 unexpected_tailnet_down);
	if (up && out->from == FSM_SHUTDOWN_TAILNET)
		say(out, LOG_DEBUG,
		    "gracefully shutting down tailnet after it started");
	if (up && out->from == FSM_APPLICATION_UP)
		say(out, LOG_CRITICAL, "unhandled tailnet update");
	return up ? ROW_TAILNET_UP : ROW_TAILNET_DOWN;
}

static enum row choose_row(const struct fsm *fsm,
			   const struct fsm_config *config,
			   const struct fsm_event *event, struct fsm_step *out)
{
	switch (event->kind) {
	case FSM_SHUTDOWN_SIGNAL:
		return on_signal(out);
	case FSM_ABORT:
		return ROW_ABORT;
	case FSM_BUILD_UPDATE:
		return on_build(fsm, config, event, out);
	case FSM_AGENT_UPDATE:
		return on_agent(fsm, config, event, out);
	case FSM_STARTER_UPDATE:
		return event->starter.failed ? ROW_STARTER_FAILED :
					       ROW_NOTHING;
	case FSM_TAILNET_UPDATE:
		return on_tailnet(event, out);
	case FSM_APP_UPDATE:
		return on_app(event, out);
	case FSM_EVENT_COUNT:
		break;
	}
	assert(false && "an event of no kind");
	return ROW_NOTHING;
}

/* What the machine remembers besides its state. */
static void keep_books(struct fsm *fsm, const struct fsm_event *event,
		       enum fsm_action action)
{
	if (event->kind == FSM_STARTER_UPDATE)
		fsm->starter = false;
	if (action == FSM_START_WORKSPACE)
		fsm->starter = true;
	if (action == FSM_CONNECT_TAILNET) {
		fsm->has_agent = true;
		fsm->agent_id = event->agent.id;
	}
}

void fsm_step(struct fsm *fsm, const struct fsm_config *config,
	      const struct fsm_event *event, struct fsm_step *out)
{
	const struct move *move;

	assert(fsm->state < FSM_STATE_COUNT);
	*out = (struct fsm_step){ .from = fsm->state, .to = fsm->state };
	move = &rows[choose_row(fsm, config, event, out)][fsm->state];
	if (move->kind == MOVE_TO)
		out->to = move->to;
	if (move->action != FSM_NO_ACTION)
		out->actions[out->action_count++] = move->action;
	keep_books(fsm, event, move->action);
	fsm->state = out->to;
}
