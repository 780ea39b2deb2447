/* Loading: the application, its arguments and init, then the starter. */
#include <stdio.h>
#include <string.h>

#include "core/host/run_private.h"

static void on_starter_loaded(void *user, const struct script_result *result)
{
	struct run *run = user;

	if (!result->ok) {
		run_report_script(run, "the starter cannot be loaded", result);
		run_finish(run, result->status);
		return;
	}
	run_resolve(run);
}

static void load_starter(struct run *run)
{
	char shipped[PATHS_CAP + 32];
	const char *path = run->options->starter;

	if (!path) {
		snprintf(shipped, sizeof(shipped), "%s/starters/api.lua",
			 run->lua_path);
		path = shipped;
	}
	if (script_load_starter(run->starter, path, on_starter_loaded, run) <
	    0)
		run_fail(run, 70, "the starter cannot be loaded", "no memory",
		     NULL);
}

static void on_initialised(void *user, const struct script_result *result)
{
	struct run *run = user;

	if (!result->ok) {
		run_report_script(run, "the script's init failed", result);
		run_finish(run, result->status);
		return;
	}
	if (run->workspace_text)
		load_starter(run);
	else
		run_start_alone(run);
}

static void on_arguments(void *user, const struct script_result *result)
{
	struct run *run = user;

	if (result->ok && result->text) {
		struct stream *out = run->stdio;

		(void)stream_write(out, result->text, strlen(result->text));
		run_finish(run, 0);
		return;
	}
	if (!result->ok) {
		console_error(run->console, "wrong usage",
			      result->error.message, NULL);
		if (result->text)
			console_write(run->console, result->text,
				      strlen(result->text));
		run_finish(run, result->status);
		return;
	}
	/* Only now: usage needs neither a token nor a network. */
	if (run->workspace_text && run_sign_in(run) < 0) {
		run_finish(run, run->status);
		return;
	}
	if (script_call_init(run->app, on_initialised, run) < 0)
		run_fail(run, 70, "failed to start", "no memory", NULL);
}

static void on_loaded(void *user, const struct script_result *result)
{
	struct run *run = user;
	const struct option_list *arguments = &run->options->arguments;

	if (!result->ok) {
		run_report_script(run, "the script cannot be loaded", result);
		run_finish(run, result->status);
		return;
	}
	if (script_parse_args(run->app, run->program, (int)arguments->count,
			      (char *const *)arguments->items, on_arguments,
			      run) < 0)
		run_fail(run, 70, "failed to start", "no memory", NULL);
}

void run_load_app(struct run *run)
{
	const struct options *options = run->options;
	int err;

	if (options->code)
		err = script_load_app_source(run->app, options->code,
					     strlen(options->code), "=(-e)",
					     on_loaded, run);
	else
		err = script_load_app(run->app, run->script_path, on_loaded,
				      run);
	if (err < 0)
		run_fail(run, 70, "the script cannot be loaded", "no memory",
		     NULL);
}
