/*
 * core/host/tunneler_private.h: what tunneler*.c share.
 *
 * tunneler.c	events, steps, the end
 * tunneler_deadline.c	how long a state and winding down may last
 * tunneler_reason.c	why the tunnel ends
 * tunneler_dial.c	connect_tailnet and shutdown_tailnet
 * tunneler_app.c	start_app and close_app
 * tunneler_start.c	start_workspace
 */
#ifndef TUNNELHOST_HOST_TUNNELER_PRIVATE_H
#define TUNNELHOST_HOST_TUNNELER_PRIVATE_H

#include "core/base/buf.h"
#include "core/host/conn.h"
#include "core/host/tunneler.h"
#include "core/tunnel/tunnel.h"
#include "core/watch/watch.h"

struct starter;

struct tunneler {
	struct tunneler_config config;
	struct rest_workspace workspace;
	struct fsm fsm;
	struct watch *watch;
	struct buf events;	/* struct fsm_event, to be stepped */
	struct task step;
	struct task finish;
	struct timer deadline;	/* of the state */
	struct timer budget;	/* of winding down */
	struct reason reason;
	struct timeline timeline;
	bool build_seen;	/* the last build event was of a start */
	bool exited;
	bool shutdown_asked;	/* once is enough */
	bool abort_asked;
	uint64_t up_by_us;	/* build and agent; DEADLINE_NONE: none */
	/* connect_tailnet … shutdown_tailnet */
	struct rest_call *connection;	/* asking how to connect, or NULL */
	struct tunnel *tunnel;
	struct conn conn;
	uint64_t dial_by_us;
	bool dial_owed;		/* its tailnet_update has not been posted */
	bool down_owed;		/* shutdown_tailnet's */
	bool tasks_ending;	/* the script's, before the tunnel goes */
	bool tunnel_ended;	/* it has said so */
	/* start_app … close_app */
	unsigned attempt;
	bool app_start_owed;	/* start has not returned */
	bool close_called;
	bool close_owed;	/* close_app's app_update */
	bool app_over;		/* shutdown_tailnet was issued */
	/* start_workspace */
	struct starter *starter;	/* while it runs */
	bool starter_again;	/* asked for once more meanwhile */
};

#define TUNNELER_DIAL_US (30 * US_PER_S)

static inline uint64_t tunneler_now(const struct tunneler *tunneler)
{
	return loop_now_us(tunneler->config.loop);
}

/* The event is stepped from the loop, after those posted before. */
void tunneler_post(struct tunneler *tunneler, const struct fsm_event *event);
void tunneler_post_kind(struct tunneler *tunneler, enum fsm_event_kind kind);
void tunneler_post_tailnet(struct tunneler *tunneler, bool up);
void tunneler_post_app(struct tunneler *tunneler, bool up);

/* tunneler_deadline.c */
void tunneler_init_deadlines(struct tunneler *tunneler);
/* The present state's, from now on. */
void tunneler_set_deadline(struct tunneler *tunneler);
/* Of winding down; once. */
void tunneler_start_budget(struct tunneler *tunneler);
/* What is being done, for a person; NULL: nothing to tell. */
const char *tunneler_state_says(enum fsm_state state);
/* The starter has returned: a build has to follow soon. */
void tunneler_expect_build(struct tunneler *tunneler);

/* tunneler_reason.c */
/* The first cause stands. */
void tunneler_blame(struct tunneler *tunneler, enum reason_kind kind,
		    int status, const char *what, const struct error *error);
/* The event has made the tunneler wind down. */
void tunneler_blame_step(struct tunneler *tunneler,
			 const struct fsm_event *event);
struct script_reason tunneler_script_reason(const struct tunneler *tunneler);

void tunneler_dial(struct tunneler *tunneler);
void tunneler_cancel_dial(struct tunneler *tunneler);
/* The deployment has not told in time how to connect. */
void tunneler_dial_timed_out(struct tunneler *tunneler);
void tunneler_take_down(struct tunneler *tunneler);
void tunneler_drop_tailnet(struct tunneler *tunneler);

void tunneler_start_app(struct tunneler *tunneler);
void tunneler_close_app(struct tunneler *tunneler);

void tunneler_start_workspace(struct tunneler *tunneler);
void tunneler_cancel_starter(struct tunneler *tunneler);
void tunneler_free_starter(struct tunneler *tunneler);

#endif
