/*
 * core/host/session.h: one tunnel that a script has opened (tunnel.open).
 *
 * From names to the exit: loads the application (a guest of the script),
 * finds the workspace, runs a tunneler. It knows no Lua; lua_open.c is its
 * face. Whatever goes wrong ends it with a reason, never the script.
 */
#ifndef TUNNELHOST_HOST_SESSION_H
#define TUNNELHOST_HOST_SESSION_H

#include "core/host/app.h"
#include "core/host/login.h"
#include "core/host/lua_host.h"
#include "core/host/timeline.h"
#include "core/rest/rest.h"

#define SESSION_PATH_CAP 4200

struct session_config {
	const struct lua_host *host;	/* outlives the session */
	struct script *script;		/* likewise */
	struct script_guest *guest;	/* owned by the session; or NULL */
	struct rest_workspace_ref ref;
	const struct login *login;	/* copied */
	const char *starter;		/* copied; NULL: the shipped one */
	struct fsm_config fsm;
	bool force_relay;		/* no direct paths */
	uint64_t timeout_us;		/* for build and agent */
	uint64_t shutdown_timeout_us;
	/* Its state has changed, or it has exited; from the loop. */
	void (*on_change)(void *user);
	void *user;
};

struct session;

/* Begins in the loop's next turn. 0, or ERR_NOMEM (the guest stays yours). */
int session_new(const struct session_config *config, struct session **out);
/* Ends it at once, without on_change. May be NULL. */
void session_free(struct session *session);

/* A name of docs/fsm.md. */
const char *session_state(const struct session *session);
/* It is, or has been, in this state. */
bool session_reached(const struct session *session, enum fsm_state state);
/* Everything is down: NULL before. */
const struct reason *session_reason(const struct session *session);
/* NULL when it is not up. */
struct script_conn *session_conn(struct session *session);
struct tunnel *session_tunnel(struct session *session);
/* Graceful; the first reason stands. */
void session_shutdown(struct session *session, int status);
/* At once, with this reason; on_change comes from inside. */
void session_abort(struct session *session, enum reason_kind kind, int status,
		   const char *why);
const struct timeline *session_timeline(const struct session *session);

#endif
