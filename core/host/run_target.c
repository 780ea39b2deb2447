/* Which script, which workspace, which deployment. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/host/run_private.h"
#include "core/io/io.h"
#include "core/simulate/serve.h"

#define STATUS_CONFIG 78
#define STATUS_DENIED 77

struct run_simulation {
	struct simulate_server *server;
};

int run_find_script(struct run *run, struct error *error)
{
	const struct options *options = run->options;

	if (strcmp(options->command, "run") != 0) {
		snprintf(run->script_path, sizeof(run->script_path),
			 "%s/apps/%s.lua", run->lua_path, options->command);
		snprintf(run->program, sizeof(run->program),
			 "tunnelhost %.64s%s", options->command,
			 command_takes_workspace(options->command) ? " W" : "");
		return 0;
	}
	if (!options->script && !options->code)
		return error_set(error, ERR_MISUSE,
				 "run needs an application: a Lua file, or "
				 "-e CODE");
	if (options->script)
		snprintf(run->script_path, sizeof(run->script_path), "%.4095s",
			 options->script);
	snprintf(run->program, sizeof(run->program),
		 "tunnelhost run %.1024s --",
		 options->script ? options->script : "-e CODE");
	return 0;
}

/* NAME=VALUE: *name is owned, *value points into `text`. */
static int split(const char *text, char **name, const char **value)
{
	const char *equals = strchr(text, '=');

	*name = strndup(text, (size_t)(equals - text));
	*value = equals + 1;
	return *name ? 0 : ERR_NOMEM;
}

static int read_headers(struct run *run, struct error *error)
{
	const struct option_list *list = &run->options->headers;

	for (size_t i = 0; i < list->count; i++) {
		struct http_header *header = &run->headers[i + 1];

		if (split(list->items[i], &run->header_names[i],
			  &header->value) < 0)
			return error_set(error, ERR_NOMEM, "no memory");
		header->name = run->header_names[i];
	}
	run->header_count = list->count + 1;	/* [0] is the token */
	return 0;
}

static int read_parameters(struct run *run, struct error *error)
{
	const struct option_list *list = &run->options->parameters;

	for (size_t i = 0; i < list->count; i++) {
		if (split(list->items[i], &run->parameter_names[i],
			  &run->parameters[i].value) < 0)
			return error_set(error, ERR_NOMEM, "no memory");
		run->parameters[i].name = run->parameter_names[i];
	}
	run->parameter_count = list->count;
	return 0;
}

static int start_simulation(struct run *run, struct error *error)
{
	const struct simulate_serve_config config = {
		.io = run->io,
		.rng = &run->rng,
		.log = &run->console->log,
		.workspace_state = run->options->workspace_state ?
					   run->options->workspace_state :
					   "stopped",
		.agents = 1,
	};
	int err;

	run->simulation = calloc(1, sizeof(*run->simulation));
	if (!run->simulation)
		return error_set(error, ERR_NOMEM, "no memory");
	err = simulate_serve(&config, &run->simulation->server, error);
	if (err == 0 && !run->workspace_text &&
	    command_takes_workspace(run->options->command))
		run->workspace_text =
			simulate_server_facts(run->simulation->server)
				->workspace_name;
	return err;
}

static int load_login(struct run *run, struct error *error)
{
	const struct login_options options = {
		.url = run->options->url,
		.config_dir = run->options->config_dir,
	};
	const struct simulate_facts *facts;

	if (!run->simulation)
		return login_load(&options, &run->login, error);
	facts = simulate_server_facts(run->simulation->server);
	snprintf(run->login.url, sizeof(run->login.url), "%s", facts->url);
	snprintf(run->login.token, sizeof(run->login.token), "%s",
		 facts->token);
	return 0;
}

int run_find_workspace(struct run *run, struct error *error)
{
	int err = read_headers(run, error);

	if (err == 0)
		err = read_parameters(run, error);
	if (err == 0 && run->options->simulate)
		err = start_simulation(run, error);
	/*
	 * Whether it is needed shows later. Without a URL, tunnel.open() may
	 * bring one and look for the token again.
	 */
	if (err == 0)
		run->login_err = load_login(run, &run->login_error);
	if (err == 0 && run->login_err == 0)
		login_forget_environment();
	if (err == 0 && run->workspace_text)
		err = rest_parse_workspace(run->workspace_text, &run->ref,
					   error);
	if (err == 0 && !run->workspace_text &&
	    command_takes_workspace(run->options->command) &&
	    strcmp(run->options->command, "run") != 0)
		err = error_set(error, ERR_MISUSE, "%s needs a workspace",
				run->options->command);
	return err;
}

int run_sign_in(struct run *run)
{
	int err = run->login_err;

	if (err < 0) {
		console_error(run->console, "not signed in",
			      run->login_error.message,
			      err == ERR_UNAUTHORIZED || err == ERR_NOT_FOUND ?
				      "  sign in with `coder login URL`, or "
				      "set CODER_URL and CODER_SESSION_TOKEN" :
				      NULL);
		run->status = err == ERR_UNAUTHORIZED || err == ERR_DENIED ?
				      STATUS_DENIED : STATUS_CONFIG;
		return err;
	}
	run->headers[0] = (struct http_header){
		.name = "Coder-Session-Token",
		.value = run->login.token,
	};
	run->rest = (struct rest){
		.network = io_network(run->io),
		.url = run->login.url,
		.token = run->login.token,
		.headers = run->headers + 1,
		.header_count = run->header_count - 1,
	};
	return 0;
}

void run_forget_simulation(struct run *run)
{
	if (run->simulation)
		simulate_server_free(run->simulation->server);
	free(run->simulation);
	for (size_t i = 0; i < OPTIONS_LIST_CAP; i++) {
		free(run->header_names[i]);
		free(run->parameter_names[i]);
	}
}
