/* start_app and close_app: the application's hooks, and what they owe. */
#include "core/host/tunneler_private.h"

#define ROOM "app"

static bool is_job(const struct tunneler *tunneler)
{
	return tunneler->config.app->ops->is_job(tunneler->config.app);
}

static void note_traceback(struct tunneler *tunneler,
			   const struct script_result *result)
{
	if (result->traceback)
		tunneler->config.on_note(tunneler->config.user, NULL,
					 result->traceback);
}

static void on_closed(void *user, const struct script_result *result)
{
	struct tunneler *tunneler = user;

	tunneler->close_owed = false;
	if (tunneler->exited) {
		log_info(tunneler->config.log, ROOM,
			 "context expired before sending app down");
		return;
	}
	if (!result->ok) {
		note_traceback(tunneler, result);
		log_error(tunneler->config.log, ROOM,
			  "failed to close networked application: %s",
			  result->error.message);
	}
	tunneler_post_app(tunneler, false);
}

/* close(reason), then the app_update that says it is down. */
static void close_then_post(struct tunneler *tunneler)
{
	struct script_reason reason = tunneler_script_reason(tunneler);

	if (tunneler->close_called)
		return;
	log_info(tunneler->config.log, ROOM, "closing networked application");
	tunneler->close_called = true;
	tunneler->close_owed = true;
	if (tunneler->config.app->ops->close(tunneler->config.app, &reason,
					     on_closed, tunneler) < 0) {
		tunneler->close_owed = false;
		tunneler_post_app(tunneler, false);
	}
}

static void app_failed(struct tunneler *tunneler,
		       const struct script_result *result)
{
	bool job = is_job(tunneler);

	note_traceback(tunneler, result);
	if (!job)
		log_info(tunneler->config.log, ROOM,
			 "failed to start application: %s",
			 result->error.message);
	tunneler_blame(tunneler, REASON_APP_FAILED, result->status,
		       !job ? "failed to start" :
		       result->traceback ? "the script failed" :
					   "the script ended with an error",
		       &result->error);
}

/* A job that returns by itself: close(reason) first, then it is down. */
static void on_job_done(void *user, const struct script_result *result)
{
	struct tunneler *tunneler = user;

	if (tunneler->exited || tunneler->app_over || tunneler->close_called)
		return;
	if (result->ok)
		tunneler_blame(tunneler, REASON_APP_DONE, result->status,
			       NULL, NULL);
	else
		app_failed(tunneler, result);
	close_then_post(tunneler);
}

static void on_started(void *user, const struct script_result *result)
{
	struct tunneler *tunneler = user;

	if (tunneler->exited) {
		log_info(tunneler->config.log, ROOM, result->ok ?
			 "context expired before sending network application "
			 "start update" :
			 "context expired before sending event after failed "
			 "network application start");
		return;
	}
	if (!tunneler->app_start_owed)
		return;
	tunneler->app_start_owed = false;
	if (!result->ok)
		app_failed(tunneler, result);
	tunneler_post_app(tunneler, result->ok);
}

static void cannot_start(struct tunneler *tunneler, int err)
{
	struct error error;

	error_set(&error, err, "no memory for the application");
	tunneler_blame(tunneler, REASON_APP_FAILED, 70, "failed to start",
		       &error);
	tunneler->app_start_owed = false;
	tunneler_post_app(tunneler, false);
}

void tunneler_start_app(struct tunneler *tunneler)
{
	bool job = is_job(tunneler);
	int err;

	log_debug(tunneler->config.log, ROOM, "starting networked application");
	tunneler->app_start_owed = !job;
	err = tunneler->config.app->ops->start(
		tunneler->config.app, &tunneler->conn.script,
		++tunneler->attempt, job ? on_job_done : on_started, tunneler);
	if (err < 0)
		cannot_start(tunneler, err);
	else if (job)
		tunneler_post_app(tunneler, true);
}

/* A job that has returned: its close is under way, or already posted. */
void tunneler_close_app(struct tunneler *tunneler)
{
	close_then_post(tunneler);
}
