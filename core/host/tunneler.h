/*
 * core/host/tunneler.h: one tunnel from the first watch event to the exit.
 *
 * Carries out what core/fsm decides: runs the starter, dials the agent,
 * starts and closes the application, takes the tailnet down; posts every
 * outcome back as the event that the action owes, and sees to it that no
 * state can wait for ever (docs/fsm.md "Deadlines"). The counterpart of the
 * seed's Tunneler.
 */
#ifndef TUNNELHOST_HOST_TUNNELER_H
#define TUNNELHOST_HOST_TUNNELER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/log.h"
#include "core/base/loop.h"
#include "core/base/network.h"
#include "core/base/rng.h"
#include "core/fsm/fsm.h"
#include "core/host/reason.h"
#include "core/host/timeline.h"
#include "core/rest/rest.h"
#include "core/script/script.h"

struct tunneler;
struct tunneler_app;

/* The application, as its tunnel sees it (app.h); `done` as in script.h. */
struct tunneler_app_ops {
	/* It has run(), and is down when that returns; else start(). */
	bool (*is_job)(struct tunneler_app *app);
	int (*start)(struct tunneler_app *app, struct script_conn *conn,
		     unsigned attempt, script_done *done, void *user);
	int (*close)(struct tunneler_app *app,
		     const struct script_reason *reason, script_done *done,
		     void *user);
	void (*post_state)(struct tunneler_app *app, const char *from,
			   const char *to);
	/* As script_conn_end() and script_cancel_tasks(). */
	void (*conn_end)(struct tunneler_app *app, struct script_conn *conn);
	int (*end_tasks)(struct tunneler_app *app, script_done *done,
			 void *user);
};

struct tunneler_app {
	const struct tunneler_app_ops *ops;
};

struct tunneler_config {
	struct loop *loop;
	struct network *network;
	struct rng *rng;
	struct log *log;
	const struct rest *rest;	/* outlives the tunneler */
	/* The token's and the person's own, for sockets; borrowed likewise. */
	const struct http_header *headers;
	size_t header_count;
	const struct rest_workspace *workspace;	/* copied */
	const char *agent_name;		/* "": the only one */
	struct fsm_config fsm;
	bool force_relay;		/* no direct paths */
	uint64_t timeout_us;		/* for build and agent; 0: none */
	uint64_t shutdown_timeout_us;
	uint64_t rekey_after_us;	/* for tests; 0: 120 s */
	struct tunneler_app *app;	/* loaded, arguments parsed */
	struct script *starter;		/* loaded, or NULL: by the next */
	/*
	 * Loads a starter when one is needed, once; `done` then comes unless
	 * the script is freed first. 0 and *out, or a negative enum err.
	 */
	int (*load_starter)(void *user, script_done *done, void *done_user,
			    struct script **out);
	const struct script_parameter *overrides;	/* --parameter */
	size_t override_count;
	bool interactive;
	/* The state, for a person; NULL: nothing is waited for any more. */
	void (*on_progress)(void *user, const char *line);
	/* A line of the starter or of a build; source NULL: a traceback. */
	void (*on_note)(void *user, const char *source, const char *line);
	/* Everything is down; once, from the loop. Free it then. */
	void (*on_exit)(void *user, const struct reason *reason);
	void *user;
};

/* 0 or what went wrong; then no callback. */
int tunneler_new(const struct tunneler_config *config, struct tunneler **out,
		 struct error *error);
/*
 * Giving it up at any time: tunneler_stop() ends everything at once, without
 * on_exit; then the app's and the starter's script_free(), where they have
 * one of their own; then tunneler_free().
 */
void tunneler_stop(struct tunneler *tunneler);
void tunneler_free(struct tunneler *tunneler);

/*
 * Graceful; the first reason stands. `status` is the exit status, unless the
 * budget runs out: then it is 124 where nothing had failed before.
 */
void tunneler_shutdown(struct tunneler *tunneler, enum reason_kind kind,
		       int status);
/* At once. */
void tunneler_abort(struct tunneler *tunneler);
/* NULL while the agent has not answered, and once the tunnel goes down. */
struct script_conn *tunneler_conn(struct tunneler *tunneler);
struct tunnel *tunneler_tunnel(struct tunneler *tunneler);
const struct timeline *tunneler_timeline(const struct tunneler *tunneler);
const struct fsm *tunneler_fsm(const struct tunneler *tunneler);

#endif
