/*
 * core/fsm/fsm.h: the tunnel's state machine, and the names of its parts.
 *
 * Owns: which state follows which event, and what the host must then do. It
 * does no I/O, reads no clock, allocates nothing and logs nothing: a step
 * returns the actions and the lines that the host carries out and logs. Every
 * action but FSM_CANCEL comes back as exactly one completion event of its own
 * kind (starter_update, tailnet_update, app_update).
 *
 * Follows docs/fsm.md (deviations D1 to D8), which follows Coder's
 * codersdk/workspacesdk/tunneler/tunneler.go; docs/seed.md maps name to name.
 */
#ifndef TUNNELHOST_FSM_FSM_H
#define TUNNELHOST_FSM_FSM_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/id.h"
#include "core/base/log.h"

enum fsm_state {
	FSM_INIT,
	FSM_EXIT,		/* final: everything is closed or closing */
	FSM_WAIT_TO_START,	/* a build must end before ours can begin */
	FSM_WAIT_FOR_WORKSPACE_STARTED,	/* it starts, or we start it */
	FSM_WAIT_FOR_AGENT,	/* started; its agent is not ready yet */
	FSM_ESTABLISH_TAILNET,	/* connect_tailnet is owed its completion */
	FSM_TAILNET_UP,		/* start_app is owed its completion */
	FSM_APPLICATION_UP,
	FSM_SHUTDOWN_APPLICATION, /* start_app or close_app is owed */
	FSM_SHUTDOWN_TAILNET,	/* connect_ or shutdown_tailnet is owed */
	FSM_STATE_COUNT,
};

enum fsm_event_kind {
	FSM_SHUTDOWN_SIGNAL,
	FSM_ABORT,
	FSM_BUILD_UPDATE,
	FSM_AGENT_UPDATE,
	FSM_STARTER_UPDATE,
	FSM_TAILNET_UPDATE,
	FSM_APP_UPDATE,
	FSM_EVENT_COUNT,
};

/* The last of each of these is also what a value that nobody knows becomes. */
enum fsm_transition {
	FSM_TRANSITION_START,
	FSM_TRANSITION_STOP,
	FSM_TRANSITION_DELETE,
	FSM_TRANSITION_UNKNOWN,
	FSM_TRANSITION_COUNT,
};

enum fsm_job_status {
	FSM_JOB_PENDING,
	FSM_JOB_RUNNING,
	FSM_JOB_SUCCEEDED,
	FSM_JOB_CANCELING,
	FSM_JOB_CANCELED,
	FSM_JOB_FAILED,
	FSM_JOB_UNKNOWN,	/* a value of Coder's own, too */
	FSM_JOB_COUNT,
};

enum fsm_lifecycle {
	FSM_LIFECYCLE_CREATED,
	FSM_LIFECYCLE_STARTING,
	FSM_LIFECYCLE_START_TIMEOUT,
	FSM_LIFECYCLE_START_ERROR,
	FSM_LIFECYCLE_READY,
	FSM_LIFECYCLE_SHUTTING_DOWN,
	FSM_LIFECYCLE_SHUTDOWN_TIMEOUT,
	FSM_LIFECYCLE_SHUTDOWN_ERROR,
	FSM_LIFECYCLE_OFF,
	FSM_LIFECYCLE_UNKNOWN,
	FSM_LIFECYCLE_COUNT,
};

enum fsm_action {
	FSM_NO_ACTION,		/* in no step; a sentinel for tables */
	FSM_START_WORKSPACE,
	FSM_CONNECT_TAILNET,	/* to fsm->agent_id */
	FSM_START_APP,
	FSM_CLOSE_APP,
	FSM_SHUTDOWN_TAILNET_CONN,	/* "shutdown_tailnet" */
	FSM_CANCEL,		/* stop the watch and whatever still runs */
	FSM_ACTION_COUNT,
};

struct fsm_config {
	bool no_autostart;
	bool no_wait_for_scripts;
};

/* A zeroed one is a new machine in `init`. */
struct fsm {
	enum fsm_state state;
	bool starter;		/* a start_workspace without starter_update */
	bool has_agent;
	struct uuid agent_id;	/* the agent of the last connect_tailnet */
};

struct fsm_event {
	enum fsm_event_kind kind;
	union {
		struct {
			enum fsm_transition transition;
			enum fsm_job_status job_status;
		} build;
		struct {
			enum fsm_lifecycle lifecycle;
			struct uuid id;
		} agent;
		struct {
			bool failed;	/* the starter returned an error */
		} starter;
		struct {
			bool up;
		} tailnet;
		struct {
			bool up;
		} app;
	};
};

#define FSM_ACTION_CAP 2
#define FSM_LOG_CAP 3

struct fsm_log {
	enum log_level level;
	const char *message;	/* static; the seed's where it has one */
};

struct fsm_step {
	enum fsm_state from;
	enum fsm_state to;
	enum fsm_action actions[FSM_ACTION_CAP];	/* in this order */
	size_t action_count;
	struct fsm_log logs[FSM_LOG_CAP];
	size_t log_count;
};

/* Moves `fsm` on and says in `out` what the host has to do and to log. */
void fsm_step(struct fsm *fsm, const struct fsm_config *config,
	      const struct fsm_event *event, struct fsm_step *out);

/* Names as a person and the wire spell them; "unknown" beyond the range. */
const char *fsm_state_name(enum fsm_state state);
const char *fsm_event_name(enum fsm_event_kind kind);
const char *fsm_transition_name(enum fsm_transition transition);
const char *fsm_job_status_name(enum fsm_job_status status);
const char *fsm_lifecycle_name(enum fsm_lifecycle lifecycle);
const char *fsm_action_name(enum fsm_action action);

/*
 * Whether `name` is known; *out only then. "unknown" is a job status, but no
 * transition and no lifecycle: for those it is as strange as any other word.
 */
bool fsm_state_from_name(const char *name, enum fsm_state *out);
bool fsm_event_from_name(const char *name, enum fsm_event_kind *out);
bool fsm_transition_from_name(const char *name, enum fsm_transition *out);
bool fsm_job_status_from_name(const char *name, enum fsm_job_status *out);
bool fsm_lifecycle_from_name(const char *name, enum fsm_lifecycle *out);
bool fsm_action_from_name(const char *name, enum fsm_action *out);

#endif
