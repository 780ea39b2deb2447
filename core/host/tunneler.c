#include "core/host/tunneler.h"

#include <stdlib.h>
#include <string.h>

#include "core/host/tunneler_private.h"

#define EVENTS_CAP (1024 * sizeof(struct fsm_event))
/* What the watch must leave free: we owe ourselves fewer than this. */
#define EVENTS_RESERVE (64 * sizeof(struct fsm_event))
#define ROOM "fsm"

void tunneler_post(struct tunneler *tunneler, const struct fsm_event *event)
{
	if (tunneler->exited)
		return;
	if (buf_append(&tunneler->events, event, sizeof(*event)) < 0) {
		log_critical(tunneler->config.log, ROOM,
			     "too many events at once");
		return;
	}
	task_post(tunneler->config.loop, &tunneler->step);
}

void tunneler_post_kind(struct tunneler *tunneler, enum fsm_event_kind kind)
{
	const struct fsm_event event = { .kind = kind };

	tunneler_post(tunneler, &event);
}

void tunneler_post_tailnet(struct tunneler *tunneler, bool up)
{
	const struct fsm_event event = { .kind = FSM_TAILNET_UPDATE,
					 .tailnet = { .up = up } };

	tunneler_post(tunneler, &event);
}

void tunneler_post_app(struct tunneler *tunneler, bool up)
{
	const struct fsm_event event = { .kind = FSM_APP_UPDATE,
					 .app = { .up = up } };

	tunneler_post(tunneler, &event);
}

/* --- steps ---------------------------------------------------------------- */

static bool winds_down(enum fsm_state state)
{
	return state == FSM_EXIT || state == FSM_SHUTDOWN_APPLICATION ||
	       state == FSM_SHUTDOWN_TAILNET;
}

static void enter_state(struct tunneler *tunneler, enum fsm_state from)
{
	enum fsm_state to = tunneler->fsm.state;

	tunneler_set_deadline(tunneler);
	watch_set_established(tunneler->watch, to == FSM_TAILNET_UP ||
						       to == FSM_APPLICATION_UP);
	if (to == FSM_SHUTDOWN_APPLICATION || to == FSM_SHUTDOWN_TAILNET)
		tunneler_start_budget(tunneler);
	tunneler->config.on_progress(tunneler->config.user, tunneler_state_says(to));
	timeline_note(&tunneler->timeline, fsm_state_name(to),
		      tunneler_now(tunneler));
	tunneler->config.app->ops->post_state(tunneler->config.app,
					      fsm_state_name(from),
					      fsm_state_name(to));
}

static void cancel_everything(struct tunneler *tunneler)
{
	tunneler_stop(tunneler);
	task_post(tunneler->config.loop, &tunneler->finish);
}

static void act(struct tunneler *tunneler, enum fsm_action action)
{
	switch (action) {
	case FSM_START_WORKSPACE:
		tunneler_start_workspace(tunneler);
		break;
	case FSM_CONNECT_TAILNET:
		tunneler_dial(tunneler);
		break;
	case FSM_START_APP:
		tunneler_start_app(tunneler);
		break;
	case FSM_CLOSE_APP:
		tunneler_close_app(tunneler);
		break;
	case FSM_SHUTDOWN_TAILNET_CONN:
		tunneler_take_down(tunneler);
		break;
	case FSM_CANCEL:
		cancel_everything(tunneler);
		break;
	case FSM_NO_ACTION:
	case FSM_ACTION_COUNT:
		break;
	}
}

/* A build is under way: the short deadline of a returned starter is over. */
static void note_build(struct tunneler *tunneler,
		       const struct fsm_event *event)
{
	bool starting = event->kind == FSM_BUILD_UPDATE &&
			event->build.transition == FSM_TRANSITION_START;

	if (starting && !tunneler->build_seen &&
	    tunneler->fsm.state == FSM_WAIT_FOR_WORKSPACE_STARTED)
		tunneler_set_deadline(tunneler);
	tunneler->build_seen = starting;
}

static void take_event(struct tunneler *tunneler,
		       const struct fsm_event *event)
{
	struct fsm_step step;

	note_build(tunneler, event);
	fsm_step(&tunneler->fsm, &tunneler->config.fsm, event, &step);
	log_debug(tunneler->config.log, ROOM, "handled event %s, %s -> %s",
		  fsm_event_name(event->kind), fsm_state_name(step.from),
		  fsm_state_name(step.to));
	for (size_t i = 0; i < step.log_count; i++)
		log_at(tunneler->config.log, step.logs[i].level, ROOM,
		       "%s (%s, %s -> %s)", step.logs[i].message,
		       fsm_event_name(event->kind), fsm_state_name(step.from),
		       fsm_state_name(step.to));
	if (step.from != step.to && winds_down(step.to))
		tunneler_blame_step(tunneler, event);
	if (step.from != step.to)
		enter_state(tunneler, step.from);
	if (step.from == FSM_ESTABLISH_TAILNET &&
	    step.to == FSM_SHUTDOWN_TAILNET)
		tunneler_cancel_dial(tunneler);
	for (size_t i = 0; i < step.action_count; i++)
		act(tunneler, step.actions[i]);
}

static void run_step(struct task *task)
{
	struct tunneler *tunneler = task->user;
	struct fsm_event event;

	while (tunneler->events.len >= sizeof(event) && !tunneler->exited) {
		memcpy(&event, buf_data(&tunneler->events), sizeof(event));
		buf_consume(&tunneler->events, sizeof(event));
		take_event(tunneler, &event);
	}
}

static void run_finish(struct task *task)
{
	struct tunneler *tunneler = task->user;

	tunneler->config.on_exit(tunneler->config.user, &tunneler->reason);
}

/* --- the watch ------------------------------------------------------------ */

/* However much a snapshot tells, our own completions find room. */
static void on_watch_event(void *user, const struct fsm_event *event)
{
	struct tunneler *tunneler = user;

	if (buf_room(&tunneler->events) < EVENTS_RESERVE)
		run_step(&tunneler->step);
	tunneler_post(tunneler, event);
}

static void on_watch_fatal(void *user, const struct error *error)
{
	struct tunneler *tunneler = user;

	tunneler_blame(tunneler, REASON_UNREACHABLE,
		       status_of_code(error->code) == 1 ?
			       69 : status_of_code(error->code),
		       "the workspace cannot be watched", error);
	tunneler_post_kind(tunneler, FSM_SHUTDOWN_SIGNAL);
}

static const struct watch_handlers watch_handlers = {
	.on_event = on_watch_event,
	.on_fatal = on_watch_fatal,
};

static int start_watch(struct tunneler *tunneler, struct error *error)
{
	const struct rest *rest = tunneler->config.rest;
	const struct watch_config config = {
		.network = tunneler->config.network,
		.loop = tunneler->config.loop,
		.rng = tunneler->config.rng,
		.log = tunneler->config.log,
		.url = rest->url,
		.token = rest->token,
		.headers = rest->headers,
		.header_count = rest->header_count,
		.workspace_id = tunneler->workspace.id,
		.agent_name = tunneler->config.agent_name,
		.handlers = &watch_handlers,
		.user = tunneler,
	};

	return watch_new(&config, &tunneler->watch, error);
}

/* --- life ----------------------------------------------------------------- */

int tunneler_new(const struct tunneler_config *config, struct tunneler **out,
		 struct error *error)
{
	struct tunneler *tunneler = calloc(1, sizeof(*tunneler));
	int err;

	if (!tunneler)
		return error_set(error, ERR_NOMEM, "no memory for a tunnel");
	tunneler->config = *config;
	tunneler->workspace = *config->workspace;
	tunneler->up_by_us = config->timeout_us ?
				     tunneler_now(tunneler) + config->timeout_us :
				     DEADLINE_NONE;
	buf_init(&tunneler->events, EVENTS_CAP);
	tunneler->step = (struct task){ .run = run_step, .user = tunneler };
	tunneler->finish = (struct task){ .run = run_finish,
					  .user = tunneler };
	tunneler_init_deadlines(tunneler);
	timeline_note(&tunneler->timeline, fsm_state_name(FSM_INIT),
		      tunneler_now(tunneler));
	err = start_watch(tunneler, error);
	if (err < 0) {
		tunneler_free(tunneler);
		return err;
	}
	tunneler_set_deadline(tunneler);
	config->on_progress(config->user, tunneler_state_says(FSM_INIT));
	*out = tunneler;
	return 0;
}

void tunneler_stop(struct tunneler *tunneler)
{
	if (!tunneler)
		return;
	task_cancel(&tunneler->finish);
	if (tunneler->exited)
		return;
	tunneler->exited = true;
	watch_free(tunneler->watch);
	tunneler->watch = NULL;
	tunneler_cancel_starter(tunneler);
	tunneler_drop_tailnet(tunneler);
	timer_stop(tunneler->config.loop, &tunneler->deadline);
	timer_stop(tunneler->config.loop, &tunneler->budget);
}

void tunneler_free(struct tunneler *tunneler)
{
	if (!tunneler)
		return;
	tunneler_stop(tunneler);
	tunneler_free_starter(tunneler);
	task_cancel(&tunneler->step);
	task_cancel(&tunneler->finish);
	buf_clear(&tunneler->events);
	free(tunneler);
}

void tunneler_shutdown(struct tunneler *tunneler, enum reason_kind kind,
		       int status)
{
	if (tunneler->shutdown_asked)
		return;
	tunneler->shutdown_asked = true;
	tunneler_blame(tunneler, kind, status, NULL, NULL);
	tunneler_post_kind(tunneler, FSM_SHUTDOWN_SIGNAL);
}

void tunneler_abort(struct tunneler *tunneler)
{
	if (tunneler->abort_asked)
		return;
	tunneler->abort_asked = true;
	tunneler_blame(tunneler, REASON_SIGNAL, 130, NULL, NULL);
	tunneler_post_kind(tunneler, FSM_ABORT);
}

struct script_conn *tunneler_conn(struct tunneler *tunneler)
{
	bool up = tunneler->conn.tunnel && !tunneler->app_over &&
		  !tunneler->exited;

	return up ? &tunneler->conn.script : NULL;
}

struct tunnel *tunneler_tunnel(struct tunneler *tunneler)
{
	return tunneler->tunnel;
}

const struct fsm *tunneler_fsm(const struct tunneler *tunneler)
{
	return &tunneler->fsm;
}

const struct timeline *tunneler_timeline(const struct tunneler *tunneler)
{
	return &tunneler->timeline;
}
