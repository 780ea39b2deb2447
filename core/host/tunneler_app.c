/* start_app and close_app: the application's hooks, and what they owe. */
#include "core/host/tunneler_private.h"

static bool is_job(const struct tunneler *tunneler)
{
	return tunneler->config.app->ops->is_job(tunneler->config.app);
}

static void on_closed(void *user, const struct script_result *result)
{
	struct tunneler *tunneler = user;

	if (!result->ok)
		log_error(tunneler->config.log, "app",
			  "failed to close networked application: %s",
			  result->traceback ? result->traceback :
					      result->error.message);
	tunneler->close_owed = false;
	tunneler_post_app(tunneler, false);
}

/* close(reason), then the app_update that says it is down. */
static void close_then_post(struct tunneler *tunneler)
{
	struct script_reason reason = tunneler_script_reason(tunneler);

	if (tunneler->close_called)
		return;
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
	struct error error = result->error;

	if (result->traceback)
		tunneler->config.on_note(tunneler->config.user, "script",
					 result->traceback);
	tunneler_blame(tunneler, REASON_APP_FAILED, result->status,
		       result->traceback ? "the script failed" :
		       is_job(tunneler) ?
					   "the script ended with an error" :
					   "failed to start",
		       &error);
}

/* A job that returns by itself: close(reason) first, then it is down. */
static void on_job_done(void *user, const struct script_result *result)
{
	struct tunneler *tunneler = user;

	tunneler->app_running = false;
	if (tunneler->app_over || tunneler->close_called)
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

	if (!tunneler->app_start_owed)
		return;
	tunneler->app_start_owed = false;
	if (!result->ok)
		app_failed(tunneler, result);
	tunneler_post_app(tunneler, result->ok);
}

void tunneler_start_app(struct tunneler *tunneler)
{
	bool job = is_job(tunneler);
	int err;

	tunneler->app_started = true;
	tunneler->app_running = job;
	tunneler->app_start_owed = !job;
	err = tunneler->config.app->ops->start(
		tunneler->config.app, &tunneler->conn.script,
		++tunneler->attempt, job ? on_job_done : on_started, tunneler);
	if (err < 0) {
		struct error error;

		error_set(&error, err, "no memory for the application");
		tunneler_blame(tunneler, REASON_APP_FAILED, 70,
			       "failed to start", &error);
		tunneler->app_running = tunneler->app_start_owed = false;
		tunneler_post_app(tunneler, false);
	} else if (job) {
		tunneler_post_app(tunneler, true);
	}
}

void tunneler_close_app(struct tunneler *tunneler)
{
	if (tunneler->close_called && !tunneler->close_owed)
		tunneler_post_app(tunneler, false);
	else
		close_then_post(tunneler);
}
