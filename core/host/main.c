/*
 * core/host/main.c: the program: which command, and its exit status.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/host/fsm_print.h"
#include "core/host/login.h"
#include "core/host/options.h"
#include "core/host/replay.h"
#include "core/host/run.h"
#include "core/host/simulate_command.h"
#include "version.h"

#define STATUS_USAGE 64
#define STATUS_NO_INPUT 66

static int usage(struct console *console, const char *why,
		 const struct command *command)
{
	char hint[128];

	snprintf(hint, sizeof(hint), "  `tunnelhost help%s%s` lists what there "
		 "is", command ? " " : "", command ? command->name : "");
	console_error(console, "wrong usage", why, hint);
	return STATUS_USAGE;
}

static int help_command(const struct options *options,
			struct console *console)
{
	const char *name = options->arguments.count ?
				   options->arguments.items[0] : NULL;
	const struct command *command = name ? command_find(name) : NULL;

	if (name && !command)
		return usage(console, "there is no such command", NULL);
	options_help(stdout, command);
	return 0;
}

static int version_command(const struct options *options)
{
	if (options->output && strcmp(options->output, "json") == 0)
		puts("{\"version\":\"" TUNNELHOST_VERSION "\"}");
	else
		puts("tunnelhost " TUNNELHOST_VERSION);
	return 0;
}

static int replay_command(const struct options *options,
			  struct console *console)
{
	const char *path = options->arguments.count == 1 ?
				   options->arguments.items[0] : NULL;
	FILE *file;
	int status;

	if (!path)
		return usage(console, "replay needs a file, or -",
			     command_find("replay"));
	if (strcmp(path, "-") == 0)
		return replay_run(stdin, stdout, stderr);
	file = fopen(path, "r");
	if (!file) {
		console_error(console, path, strerror(errno), NULL);
		return STATUS_NO_INPUT;
	}
	status = replay_run(file, stdout, stderr);
	fclose(file);
	return status;
}

static int fsm_command(const struct options *options, struct console *console)
{
	if (options->json == options->dot)
		return usage(console, "fsm needs --dot or --json",
			     command_find("fsm"));
	if (options->dot)
		fsm_print_dot(stdout);
	else
		fsm_print_json(stdout);
	return 0;
}

static int dispatch(const struct options *options, struct console *console)
{
	const char *name = options->command;

	if (!name) {
		options_help(stdout, NULL);
		return options->help ? 0 : STATUS_USAGE;
	}
	if (!command_find(name))
		return usage(console, "there is no such command", NULL);
	if (options->help) {
		options_help(stdout, command_find(name));
		return 0;
	}
	if (strcmp(name, "help") == 0)
		return help_command(options, console);
	if (strcmp(name, "version") == 0)
		return version_command(options);
	if (strcmp(name, "replay") == 0)
		return replay_command(options, console);
	if (strcmp(name, "fsm") == 0)
		return fsm_command(options, console);
	if (strcmp(name, "simulate") == 0) {
		login_forget_environment();	/* its agents have children */
		return simulate_command(options, console);
	}
	return run_command(options, console);
}

static enum log_level level_of(const struct options *options)
{
	if (options->verbose)
		return LOG_DEBUG;
	for (int level = 0; options->log_level && level < LOG_LEVEL_COUNT;
	     level++)
		if (strcmp(log_level_name((enum log_level)level),
			   options->log_level) == 0)
			return (enum log_level)level;
	return LOG_WARN;
}

static enum console_format format_of(const struct options *options)
{
	return options->log_format && strcmp(options->log_format, "json") == 0 ?
		       CONSOLE_JSON : CONSOLE_TEXT;
}

int main(int argc, char **argv)
{
	struct options options;
	struct console console;
	struct error error;
	int status;

	if (options_parse(&options, argc, argv, &error) < 0) {
		console_init(&console, LOG_WARN, CONSOLE_TEXT, false);
		return usage(&console, error.message,
			     options.command ? command_find(options.command) :
					       NULL);
	}
	console_init(&console, level_of(&options), format_of(&options),
		     options.quiet);
	if (options.log_file &&
	    console_open_file(&console, options.log_file, &error) < 0) {
		console_error(&console, "no log", error.message, NULL);
		return STATUS_USAGE;
	}
	status = dispatch(&options, &console);
	console_clear(&console);
	return status;
}
