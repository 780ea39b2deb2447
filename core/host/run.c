#include "core/host/run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/host/check_agent.h"
#include "core/host/console_stream.h"
#include "core/host/login.h"
#include "core/host/paths.h"
#include "core/host/run_private.h"
#include "core/host/tunneler.h"
#include "core/io/io.h"
#include "core/script/local_io.h"
#include "core/script/script.h"

#define STATUS_UNREACHABLE 69
#define STATUS_CONFIG 78
#define FLUSH_US (2 * US_PER_S)
#define FLUSH_STDERR_MS 1000

/* --- the end ------------------------------------------------------------- */

void run_finish(struct run *run, int status)
{
	if (run->done)
		return;
	run->status = status;
	run->done = true;
	io_stop(run->io);
}

void run_fail(struct run *run, int status, const char *what,
		 const char *why, const char *hint)
{
	console_error(run->console, what, why, hint);
	run_finish(run, status);
}

static const char *hint_for(int code)
{
	if (code == ERR_UNAUTHORIZED)
		return "  sign in with `coder login`, or set "
		       "CODER_SESSION_TOKEN";
	return NULL;
}

static const char *hint_for_reason(const struct run *run,
				   const struct reason *reason)
{
	if (reason->kind == REASON_STOPPED && run->options->no_autostart)
		return "  start it, or leave out --disable-autostart";
	if (reason->kind == REASON_DEADLINE &&
	    !tunneler_fsm(run->tunneler)->has_agent)
		return "  --timeout SECONDS waits longer";
	return hint_for(reason->error.code);
}

/* A failure before there is a tunnel. */
static void fail_error(struct run *run, const char *what,
		       const struct error *error)
{
	int status = status_of_code(error->code);

	run_fail(run, status == 1 ? STATUS_UNREACHABLE : status, what,
	     error->message, hint_for(error->code));
}

static void on_exit_tunnel(void *user, const struct reason *reason)
{
	struct run *run = user;

	console_progress(run->console, NULL);
	if (reason->what)
		console_error(run->console, reason->what,
			      reason->error.message,
			      hint_for_reason(run, reason));
	run_finish(run, reason->status);
}

/* --- what a script had to say -------------------------------------------- */

static void note(struct run *run, const char *source, const char *line)
{
	char text[4096];
	int len = snprintf(text, sizeof(text) - 1, "%s%s%s",
			   source ? source : "", source ? ": " : "", line);

	if (len >= (int)sizeof(text) - 1)
		len = (int)sizeof(text) - 2;
	text[len++] = '\n';
	console_write(run->console, text, (size_t)len);
}

void run_report_script(struct run *run, const char *what,
			  const struct script_result *result)
{
	if (result->traceback && result->status != STATUS_CONFIG)
		note(run, NULL, result->traceback);
	console_error(run->console, what, result->error.message, NULL);
}

/* --- the tunnel ---------------------------------------------------------- */

static bool winding_down(const struct run *run)
{
	const struct fsm *fsm =
		run->tunneler ? tunneler_fsm(run->tunneler) : NULL;

	return fsm && (fsm->state == FSM_SHUTDOWN_APPLICATION ||
		       fsm->state == FSM_SHUTDOWN_TAILNET);
}

/* The screen is the application's until winding down takes long. */
static void on_progress(void *user, const char *line)
{
	struct run *run = user;

	if (!line)
		console_progress(run->console, NULL);
	else if (winding_down(run))
		console_progress_later(run->console, "%s: %s",
				       run->workspace->name, line);
	else
		console_progress(run->console, "%s: %s", run->workspace->name,
				 line);
}

/* A starter's lines are progress too. */
static void on_note(void *user, const char *source, const char *line)
{
	struct run *run = user;

	if (!source || !run->options->quiet)
		note(run, source, line);
}

static void start_tunneler(struct run *run)
{
	const struct options *options = run->options;
	const struct tunneler_config config = {
		.loop = io_loop(run->io),
		.network = io_network(run->io),
		.rng = &run->rng,
		.log = &run->console->log,
		.rest = &run->rest,
		.headers = run->headers,
		.header_count = run->header_count,
		.workspace = run->workspace,
		.agent_name = run->ref.agent,
		.fsm = { .no_autostart = options->no_autostart,
			 .no_wait_for_scripts =
				 !options->wait ||
				 strcmp(options->wait, "yes") != 0 },
		.force_relay = options->no_direct,
		.timeout_us = (uint64_t)(options->timeout_s * 1e6),
		.shutdown_timeout_us =
			(uint64_t)(options->shutdown_timeout_s * 1e6),
		.rekey_after_us =
			(uint64_t)(options->test_rekey_after_s * 1e6),
		.app = &run->tunneled.app,
		.starter = run->starter,
		.overrides = run->parameters,
		.override_count = run->parameter_count,
		.interactive = isatty(STDIN_FILENO) && isatty(STDERR_FILENO),
		.on_progress = on_progress,
		.on_note = on_note,
		.on_exit = on_exit_tunnel,
		.user = run,
	};
	struct error error;

	app_script_init(&run->tunneled, run->app);
	if (tunneler_new(&config, &run->tunneler, &error) < 0)
		fail_error(run, "the tunnel cannot be set up", &error);
}

static void on_workspace(void *user, const struct error *error,
			 const struct rest_workspace *workspace)
{
	struct run *run = user;
	struct error failure;
	char what[160];

	run->resolving = NULL;
	if (error) {
		snprintf(what, sizeof(what), "workspace '%s' cannot be found",
			 run->workspace_text);
		fail_error(run, what, error);
		return;
	}
	*run->workspace = *workspace;
	if (check_agent(workspace, run->ref.agent, &failure) < 0)
		fail_error(run, "which agent", &failure);
	else
		start_tunneler(run);
}

void run_resolve(struct run *run)
{
	struct error error;

	console_progress(run->console, "%s: looking for the workspace",
			 run->workspace_text);
	if (rest_get_workspace(&run->rest, &run->ref, on_workspace, run,
			       &run->resolving, &error) < 0)
		fail_error(run, "the deployment cannot be asked", &error);
}

/* --- signals ------------------------------------------------------------- */

/* The second one, and any once all is done but the last output: at once. */
static void leave_at_once(struct run *run, int status)
{
	run->at_once = true;
	run->status = status;
	run->done = run->flushed = true;
	io_stop(run->io);
}

static void on_signal(void *user, int signo)
{
	struct run *run = user;
	int status = signo == SIGINT ? 130 : 143;

	if (signo == SIGUSR2)
		return;
	if (run->signalled || run->done) {
		leave_at_once(run, status);
		return;
	}
	run->signalled = true;
	if (run->tunneler)
		tunneler_shutdown(run->tunneler, REASON_SIGNAL, status);
	else if (run->alone)
		run_close_alone(run, "signal", NULL, status);
	else
		run_finish(run, status);
}

/* --- life ---------------------------------------------------------------- */

/* A stream wakes one script: standard input and output are the app's. */
static int make_script(struct run *run, struct stream *stdio,
		       struct script **out, struct error *error)
{
	const struct script_config config = {
		.loop = io_loop(run->io),
		.rng = &run->rng,
		.log = &run->console->log,
		.local = run->local,
		.stdio = stdio,
		.diagnostics = &run->diagnostics.stream,
		.lua_path = run->lua_path,
		.memory_cap = (size_t)(run->options->script_memory_mib *
				       1024 * 1024),
		.cpu_us = (uint64_t)(run->options->script_cpu_ms * 1000),
	};

	return script_new(&config, out, error);
}

/* What the application opens by itself. */
static int register_bindings(struct run *run, struct error *error)
{
	run->bindings = (struct lua_host){
		.io = run->io,
		.rng = &run->rng,
		.log = &run->console->log,
		.lua_path = run->lua_path,
		.login = &run->login,
		.login_options = { .url = run->options->url,
				   .config_dir = run->options->config_dir },
		.headers = run->headers + 1,
		.header_count = run->header_count - 1,
	};
	if (lua_host_register(run->app, &run->bindings) < 0)
		return error_set(error, ERR_NOMEM, "no memory for a script");
	return 0;
}

static int make_io(struct run *run, struct error *error)
{
	const struct io_config config = {
		.log = &run->console->log,
		.ca_file = run->options->ca_file,
		.client_cert_file = run->options->cert_file,
		.client_key_file = run->options->key_file,
	};
	int err = io_new(&config, &run->io, error);

	if (err < 0)
		return err;
	console_attach(run->console, run->io);
	err = io_stdio(run->io, &run->stdio, error);
	if (err < 0)
		return err;
	if (script_local_io_new(run->io, &run->local) < 0)
		return error_set(error, ERR_NOMEM, "no memory");
	return io_on_signal(run->io, on_signal, run);
}

static int set_up(struct run *run, struct error *error)
{
	int err;

	rng_system(&run->rng);
	console_stream_init(&run->diagnostics, run->console);
	err = paths_find_lua(run->lua_path, error);
	if (err == 0)
		err = run_find_script(run, error);
	if (err == 0)
		err = make_io(run, error);
	if (err == 0)
		err = run_find_workspace(run, error);
	if (err == 0)
		err = make_script(run, run->stdio, &run->app, error);
	if (err == 0)
		err = register_bindings(run, error);
	if (err == 0)
		err = make_script(run, &run->diagnostics.stream, &run->starter,
				  error);
	return err;
}

static void flush_fired(struct timer *timer)
{
	struct run *run = timer->user;

	run->flushed = true;
	io_stop(run->io);
}

static void stdout_changed(struct stream *stream, void *user)
{
	struct run *run = user;

	if (stream_unsent(stream) > 0)
		return;
	run->flushed = true;
	io_stop(run->io);
}

/* What the application wrote goes out, unless nobody reads it. */
static void flush_stdout(struct run *run)
{
	struct timer timer = { .fire = flush_fired, .user = run };
	struct loop *loop = io_loop(run->io);

	if (run->at_once || stream_unsent(run->stdio) == 0)
		return;
	run->stdio->on_change = stdout_changed;
	run->stdio->user = run;
	timer_set(loop, &timer, loop_now_us(loop) + FLUSH_US);
	io_run(run->io, &run->flushed);
	timer_stop(loop, &timer);
}

static void end_scripts(struct run *run)
{
	rest_cancel(run->resolving);
	tunneler_stop(run->tunneler);
	if (run->app)
		script_free(run->app);
	if (run->starter)
		script_free(run->starter);
	tunneler_free(run->tunneler);
}

static int tear_down(struct run *run)
{
	int status;

	end_scripts(run);
	if (run->stdio) {
		timer_stop(io_loop(run->io), &run->alone_deadline);
		flush_stdout(run);
		stream_close(run->stdio, false);
	}
	run_forget_simulation(run);
	console_progress(run->console, NULL);
	if (run->io)
		io_writer_flush(io_stderr(run->io),
				run->at_once ? 0 : FLUSH_STDERR_MS);
	console_attach(run->console, NULL);
	script_local_io_free(run->local);
	io_free(run->io);
	login_clear(&run->login);
	status = run->status;
	free(run->workspace);
	free(run);
	return status;
}

int run_command(const struct options *options, struct console *console)
{
	struct run *run = calloc(1, sizeof(*run));
	struct error error = { .code = ERR_NOMEM, .message = "no memory" };

	if (!run)
		return 70;
	run->options = options;
	run->console = console;
	run->workspace_text = options->workspace;
	run->workspace = calloc(1, sizeof(*run->workspace));
	if (!run->workspace || set_up(run, &error) < 0) {
		console_error(console, "cannot start", error.message, NULL);
		run->status = error.code == ERR_MISUSE ? 64 : STATUS_CONFIG;
	} else {
		run_load_app(run);
		io_run(run->io, &run->done);
	}
	/* A signal may still change it. */
	return tear_down(run);
}
