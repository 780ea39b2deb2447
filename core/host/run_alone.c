/* The application without a tunnel: the same order, the same deadlines. */
#include "core/host/run_private.h"
#include "core/io/io.h"

#define STATUS_DEADLINE 124
#define START_APP_S 60

static void on_alone_ended(void *user, const struct script_result *result)
{
	struct run *run = user;

	(void)result;
	run_finish(run, run->alone_status);
}

/* As with a tunnel: close, then the tasks, then whatever is left. */
static void end_alone(struct run *run)
{
	if (script_cancel_tasks(run->app, SCRIPT_TREE_TUNNEL, on_alone_ended,
				run) < 0)
		run_finish(run, run->alone_status);
}

static void on_alone_closed(void *user, const struct script_result *result)
{
	struct run *run = user;

	if (!result->ok)
		run_report_script(run, "failed to close", result);
	end_alone(run);
}

static void alone_deadline_fired(struct timer *timer)
{
	struct run *run = timer->user;

	console_error(run->console, "a deadline ran out",
		      run->alone_closing ?
			      "the shutdown budget was spent while closing the "
			      "application" :
			      "gave up while starting the application", NULL);
	run_finish(run, STATUS_DEADLINE);
}

static void set_alone_deadline(struct run *run, double seconds)
{
	struct loop *loop = io_loop(run->io);

	run->alone_deadline = (struct timer){ .fire = alone_deadline_fired,
					      .user = run };
	timer_set(loop, &run->alone_deadline,
		  loop_now_us(loop) + (uint64_t)(seconds * 1e6));
}

void run_close_alone(struct run *run, const char *kind,
			const struct error *error, int status)
{
	const struct script_reason reason = {
		.kind = kind,
		.message = error ? error->message : "",
		.code = error ? error->code : 0,
	};

	if (run->alone_closing)
		return;
	timer_stop(io_loop(run->io), &run->alone_deadline);
	run->alone_closing = true;
	run->alone_status = status;
	set_alone_deadline(run, run->options->shutdown_timeout_s);
	if (script_call_close(run->app, &reason, on_alone_closed, run) < 0)
		end_alone(run);
}

static void alone_failed(struct run *run, const struct script_result *result)
{
	bool job = script_is_job(run->app);

	run_report_script(run, !job ? "failed to start" :
			   result->traceback ?
				  "the script failed" :
				  "the script ended with an error", result);
	run_close_alone(run, "app_failed", &result->error, result->status);
}

static void on_alone_started(void *user, const struct script_result *result)
{
	struct run *run = user;

	if (run->alone_closing)
		return;
	timer_stop(io_loop(run->io), &run->alone_deadline);
	if (!result->ok)
		alone_failed(run, result);
	else if (script_is_job(run->app))
		run_close_alone(run, "app_done", NULL, result->status);
}

void run_start_alone(struct run *run)
{
	run->alone = true;
	if (!script_is_job(run->app))
		set_alone_deadline(run, START_APP_S);
	if (script_call_start(run->app, NULL, 1, on_alone_started, run) < 0)
		run_fail(run, 70, "failed to start", "no memory", NULL);
}
