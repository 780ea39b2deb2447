#include "core/host/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/host/check_agent.h"
#include "core/script/script.h"

struct session {
	struct session_config config;
	struct login login;
	struct http_header headers[REST_HEADERS_CAP];
	size_t header_count;
	struct rest rest;
	char starter_path[SESSION_PATH_CAP];
	struct app_guest app;
	struct script *starter;
	struct task begin;
	struct rest_call *resolving;
	struct tunneler *tunneler;
	struct timeline timeline;
	bool reached[FSM_STATE_COUNT];
	bool exited;
	struct reason reason;
};

static struct loop *loop_of(const struct session *session)
{
	return io_loop(session->config.host->io);
}

/* --- states --------------------------------------------------------------- */

static void note(struct session *session, const char *name)
{
	enum fsm_state state;

	if (fsm_state_from_name(name, &state))
		session->reached[state] = true;
	timeline_note(&session->timeline, name,
		      loop_now_us(loop_of(session)));
}

static void on_state(void *user, const char *to)
{
	struct session *session = user;

	note(session, to);
	if (strcmp(to, fsm_state_name(FSM_EXIT)) != 0)
		session->config.on_change(session->config.user);
}

/* Its tasks end with the tunnel, whichever way that went. */
static void forget_guest(struct session *session)
{
	struct script_guest *guest = session->config.guest;

	session->config.guest = session->app.guest = NULL;
	script_guest_free(guest);
}

/* on_change may free the session: the last thing that is done. */
static void finish(struct session *session, const struct reason *reason)
{
	if (session->exited)
		return;
	session->exited = true;
	session->reason = *reason;
	if (!session->reached[FSM_EXIT])
		note(session, fsm_state_name(FSM_EXIT));
	forget_guest(session);
	session->config.on_change(session->config.user);
}

static void fail(struct session *session, enum reason_kind kind, int status,
		 const struct error *error)
{
	const struct reason reason = {
		.kind = kind,
		.status = status,
		.error = *error,
	};

	finish(session, &reason);
}

static void fail_nomem(struct session *session)
{
	struct error error;

	error_set(&error, ERR_NOMEM, "no memory for a tunnel");
	fail(session, REASON_APP_FAILED, 70, &error);
}

/* --- the tunnel ----------------------------------------------------------- */

static void on_progress(void *user, const char *line)
{
	struct session *session = user;

	if (line)
		log_debug(session->config.host->log, "tunnel", "%s", line);
}

static void on_note(void *user, const char *source, const char *line)
{
	struct session *session = user;

	log_info(session->config.host->log, source ? source : "script", "%s",
		 line);
}

static void on_exit_tunnel(void *user, const struct reason *reason)
{
	finish(user, reason);
}

static int load_starter(void *user, script_done *done, void *done_user,
			struct script **out)
{
	struct session *session = user;
	const struct lua_host *host = session->config.host;
	const struct script_config config = {
		.loop = io_loop(host->io),
		.rng = host->rng,
		.log = host->log,
		.lua_path = host->lua_path,
	};
	struct error error;
	int err;

	if (!session->starter) {
		err = script_new(&config, &session->starter, &error);
		if (err < 0)
			return err;
	}
	err = script_load_starter(session->starter, session->starter_path,
				  done, done_user);
	if (err == 0)
		*out = session->starter;
	return err;
}

static void start_tunneler(struct session *session,
			   const struct rest_workspace *workspace)
{
	const struct session_config *mine = &session->config;
	const struct tunneler_config config = {
		.loop = loop_of(session),
		.network = io_network(mine->host->io),
		.rng = mine->host->rng,
		.log = mine->host->log,
		.rest = &session->rest,
		.headers = session->headers,
		.header_count = session->header_count,
		.workspace = workspace,
		.agent_name = mine->ref.agent,
		.fsm = mine->fsm,
		.force_relay = mine->force_relay,
		.timeout_us = mine->timeout_us,
		.shutdown_timeout_us = mine->shutdown_timeout_us,
		.app = &session->app.app,
		.load_starter = load_starter,
		.on_progress = on_progress,
		.on_note = on_note,
		.on_exit = on_exit_tunnel,
		.user = session,
	};
	struct error error;

	if (tunneler_new(&config, &session->tunneler, &error) < 0)
		fail(session, REASON_UNREACHABLE, 69, &error);
}

static void fail_resolving(struct session *session, const struct error *error)
{
	int status = status_of_code(error->code);

	fail(session, REASON_UNREACHABLE, status == 1 ? 69 : status, error);
}

static void on_workspace(void *user, const struct error *error,
			 const struct rest_workspace *workspace)
{
	struct session *session = user;
	struct error failure;

	session->resolving = NULL;
	if (error)
		fail_resolving(session, error);
	else if (check_agent(workspace, session->config.ref.agent,
			     &failure) < 0)
		fail_resolving(session, &failure);
	else
		start_tunneler(session, workspace);
}

static void resolve(struct session *session)
{
	struct error error;

	if (rest_get_workspace(&session->rest, &session->config.ref,
			       on_workspace, session, &session->resolving,
			       &error) < 0)
		fail_resolving(session, &error);
}

/* --- the application ------------------------------------------------------ */

/* Whether to go on with what comes after a call of the application. */
static bool went_well(struct session *session,
		      const struct script_result *result)
{
	if (session->exited)
		return false;
	if (result->ok)
		return true;
	if (result->traceback)
		on_note(session, NULL, result->traceback);
	fail(session, REASON_APP_FAILED, result->status, &result->error);
	return false;
}

static void on_initialised(void *user, const struct script_result *result)
{
	if (went_well(user, result))
		resolve(user);
}

static void on_arguments(void *user, const struct script_result *result)
{
	struct session *session = user;
	const struct reason helped = { .kind = REASON_APP_DONE };

	if (!went_well(session, result))
		return;
	if (result->text)	/* --help among the arguments */
		finish(session, &helped);
	else if (script_guest_init(session->config.guest, on_initialised,
				   session) < 0)
		fail_nomem(session);
}

static void on_loaded(void *user, const struct script_result *result)
{
	struct session *session = user;

	if (went_well(session, result) &&
	    script_guest_parse_args(session->config.guest, on_arguments,
				    session) < 0)
		fail_nomem(session);
}

static void begin(struct task *task)
{
	struct session *session = task->user;

	if (!session->config.guest)
		resolve(session);
	else if (script_guest_load(session->config.guest, on_loaded,
				   session) < 0)
		fail_nomem(session);
}

/* --- life ----------------------------------------------------------------- */

static void set_rest(struct session *session)
{
	const struct lua_host *host = session->config.host;
	size_t count = host->header_count;

	if (count > REST_HEADERS_CAP - 1)
		count = REST_HEADERS_CAP - 1;
	session->headers[0] = (struct http_header){
		.name = "Coder-Session-Token",
		.value = session->login.token,
	};
	for (size_t i = 0; i < count; i++)
		session->headers[i + 1] = host->headers[i];
	session->header_count = count + 1;
	session->rest = (struct rest){
		.network = io_network(host->io),
		.url = session->login.url,
		.token = session->login.token,
		.headers = session->headers + 1,
		.header_count = count,
	};
}

int session_new(const struct session_config *config, struct session **out)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return ERR_NOMEM;
	session->config = *config;
	session->login = *config->login;
	session->config.login = &session->login;
	if (config->starter)
		snprintf(session->starter_path, SESSION_PATH_CAP, "%s",
			 config->starter);
	else
		snprintf(session->starter_path, SESSION_PATH_CAP,
			 "%s/starters/api.lua", config->host->lua_path);
	set_rest(session);
	app_guest_init(&session->app, config->script, config->guest);
	session->app.on_state = on_state;
	session->app.user = session;
	note(session, fsm_state_name(FSM_INIT));
	session->begin = (struct task){ .run = begin, .user = session };
	task_post(loop_of(session), &session->begin);
	*out = session;
	return 0;
}

static void stop(struct session *session)
{
	task_cancel(&session->begin);
	rest_cancel(session->resolving);
	session->resolving = NULL;
	tunneler_stop(session->tunneler);
}

void session_free(struct session *session)
{
	if (!session)
		return;
	session->exited = true;
	stop(session);
	if (session->starter)
		script_free(session->starter);
	tunneler_free(session->tunneler);
	forget_guest(session);
	login_clear(&session->login);
	free(session);
}

const char *session_state(const struct session *session)
{
	const struct timeline *line = &session->timeline;

	return line->steps[line->count - 1].state;
}

bool session_reached(const struct session *session, enum fsm_state state)
{
	return session->reached[state];
}

const struct reason *session_reason(const struct session *session)
{
	return session->exited ? &session->reason : NULL;
}

struct script_conn *session_conn(struct session *session)
{
	return session->tunneler ? tunneler_conn(session->tunneler) : NULL;
}

struct tunnel *session_tunnel(struct session *session)
{
	return session->tunneler ? tunneler_tunnel(session->tunneler) : NULL;
}

void session_shutdown(struct session *session, int status)
{
	const struct reason reason = {
		.kind = REASON_APP_DONE,
		.status = status,
	};

	if (session->exited)
		return;
	if (session->tunneler) {
		tunneler_shutdown(session->tunneler, reason.kind, status);
		return;
	}
	stop(session);
	finish(session, &reason);
}

void session_abort(struct session *session, enum reason_kind kind, int status,
		   const char *why)
{
	struct error error;

	stop(session);
	error_set(&error, ERR_CLOSED, "%s", why);
	fail(session, kind, status, &error);
}

const struct timeline *session_timeline(const struct session *session)
{
	return &session->timeline;
}
