/*
 * core/host/run_private.h: what run*.c share.
 *
 * run.c		the tunnel, signals, setting up, the end
 * run_alone.c	the application without a tunnel
 * run_load.c	the application's and the starter's loading
 * run_target.c	which script, which workspace, which deployment
 */
#ifndef TUNNELHOST_HOST_RUN_PRIVATE_H
#define TUNNELHOST_HOST_RUN_PRIVATE_H

#include "core/host/app.h"
#include "core/host/console_stream.h"
#include "core/host/login.h"
#include "core/host/lua_host.h"
#include "core/host/paths.h"
#include "core/host/run.h"
#include "core/host/tunneler.h"
#include "core/rest/rest.h"
#include "core/script/script.h"

struct io;
struct run_simulation;

struct run {
	const struct options *options;
	struct console *console;
	struct rng rng;
	struct io *io;
	struct stream *stdio;
	struct console_stream diagnostics;
	struct script_local *local;
	char lua_path[PATHS_CAP];
	char script_path[PATHS_CAP + 64];
	char program[PATHS_CAP];	/* as usage texts name it */
	struct script *app;
	struct script *starter;
	struct script_parameter parameters[OPTIONS_LIST_CAP];
	char *parameter_names[OPTIONS_LIST_CAP];
	size_t parameter_count;
	/* Where to. */
	const char *workspace_text;	/* NULL: no tunnel */
	struct rest_workspace_ref ref;
	struct login login;
	int login_err;			/* why there is none */
	struct error login_error;
	struct http_header headers[OPTIONS_LIST_CAP + 1];
	char *header_names[OPTIONS_LIST_CAP];
	size_t header_count;
	struct rest rest;
	struct lua_host bindings;	/* what scripts open tunnels with */
	struct rest_call *resolving;
	struct rest_workspace *workspace;
	struct run_simulation *simulation;
	/* The run. */
	struct app_script tunneled;
	struct tunneler *tunneler;
	bool alone;
	bool alone_closing;
	int alone_status;
	struct timer alone_deadline;
	bool signalled;
	bool at_once;		/* by the second signal */
	bool done;
	bool flushed;
	int status;
};

/* Ends the loop, once; the first status stands. */
void run_finish(struct run *run, int status);
void run_fail(struct run *run, int status, const char *what, const char *why,
	      const char *hint);
/* Traceback, if any, and error. */
void run_report_script(struct run *run, const char *what,
		       const struct script_result *result);

/* run_load.c: until there is a tunnel to open, or none is needed. */
void run_load_app(struct run *run);
/* The scripts are loaded: asks for the workspace, then opens the tunnel. */
void run_resolve(struct run *run);

void run_start_alone(struct run *run);
/* close, then the tasks, then the end; the first call counts. */
void run_close_alone(struct run *run, const char *kind,
		     const struct error *error, int status);

/* `run APP.lua`, or the shipped application of a command. */
int run_find_script(struct run *run, struct error *error);
/*
 * Reads W, --header and --parameter; starts --simulate's deployment; takes
 * URL and token, which then leave the environment.
 */
int run_find_workspace(struct run *run, struct error *error);
/* 0, or negative with run->status set and all said: there is no token. */
int run_sign_in(struct run *run);
/* Ends --simulate's deployment and frees what the above have made. */
void run_forget_simulation(struct run *run);

#endif
