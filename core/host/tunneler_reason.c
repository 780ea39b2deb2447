/* Why a tunnel ends: the first cause, as a person and the script read it. */
#include "core/host/tunneler_private.h"

void tunneler_blame(struct tunneler *tunneler, enum reason_kind kind,
		    int status, const char *what, const struct error *error)
{
	struct reason *reason = &tunneler->reason;

	if (reason->kind != REASON_NONE)
		return;
	reason->kind = kind;
	reason->status = status;
	reason->what = what;
	if (error)
		reason->error = *error;
}

struct script_reason tunneler_script_reason(const struct tunneler *tunneler)
{
	const struct reason *reason = &tunneler->reason;

	return (struct script_reason){
		.kind = reason_name(reason->kind == REASON_NONE ?
					    REASON_SIGNAL : reason->kind),
		.message = reason->error.message,
		.code = reason->error.code,
	};
}

static void blame_build(struct tunneler *tunneler,
			const struct fsm_event *event)
{
	const char *status = fsm_job_status_name(event->build.job_status);
	bool healthy = event->build.job_status == FSM_JOB_PENDING ||
		       event->build.job_status == FSM_JOB_RUNNING ||
		       event->build.job_status == FSM_JOB_SUCCEEDED;
	struct error error;

	if (event->build.transition == FSM_TRANSITION_DELETE) {
		error_set(&error, ERR_NOT_FOUND,
			  "workspace %s is being deleted or is gone (delete: "
			  "%s)", tunneler->workspace.name, status);
		tunneler_blame(tunneler, REASON_DELETED, 69,
			       "the workspace cannot be reached", &error);
	} else if (!healthy) {
		error_set(&error, ERR_UNREACHABLE,
			  "the %s build of workspace %s is %s",
			  fsm_transition_name(event->build.transition),
			  tunneler->workspace.name, status);
		tunneler_blame(tunneler, REASON_BUILD_FAILED, 69,
			       "the workspace cannot be reached", &error);
	} else if (event->build.transition == FSM_TRANSITION_STOP) {
		error_set(&error, ERR_UNREACHABLE,
			  tunneler->config.fsm.no_autostart ?
				  "workspace %s is stopped and is not to be "
				  "started" : "workspace %s was stopped",
			  tunneler->workspace.name);
		tunneler_blame(tunneler, REASON_STOPPED, 69,
			       "the workspace cannot be reached", &error);
	} else {
		error_set(&error, ERR_RESET, "workspace %s is being started "
			  "anew", tunneler->workspace.name);
		tunneler_blame(tunneler, REASON_REPLACED, 69,
			       "the tunnel was lost", &error);
	}
}

void tunneler_blame_step(struct tunneler *tunneler,
			 const struct fsm_event *event)
{
	struct error error;

	switch (event->kind) {
	case FSM_BUILD_UPDATE:
		blame_build(tunneler, event);
		break;
	case FSM_AGENT_UPDATE:
		error_set(&error, ERR_RESET, "another agent took its place");
		tunneler_blame(tunneler, REASON_REPLACED, 69,
			       "the tunnel was lost", &error);
		break;
	case FSM_TAILNET_UPDATE:
		error_set(&error, ERR_RESET, "the connection has ended");
		tunneler_blame(tunneler, REASON_TAILNET_LOST, 69,
			       "the tunnel was lost", &error);
		break;
	case FSM_SHUTDOWN_SIGNAL:
	case FSM_ABORT:
		tunneler_blame(tunneler, REASON_SIGNAL, 130, NULL, NULL);
		break;
	case FSM_APP_UPDATE:
		tunneler_blame(tunneler, REASON_APP_DONE, 0, NULL, NULL);
		break;
	case FSM_STARTER_UPDATE:
		error_set(&error, ERR_INTERNAL, "the starter failed");
		tunneler_blame(tunneler, REASON_BUILD_FAILED, 69,
			       "failed to start workspace", &error);
		break;
	case FSM_EVENT_COUNT:
		break;
	}
}
