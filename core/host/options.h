/*
 * core/host/options.h: the command line (docs/cli.md).
 *
 * One table makes the parser and the help. A flag beats a variable, a
 * variable beats the Coder CLI's files. Options may stand before the command
 * and after it, up to `--`.
 */
#ifndef TUNNELHOST_HOST_OPTIONS_H
#define TUNNELHOST_HOST_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/base/err.h"

#define OPTIONS_LIST_CAP 64

/* Strings are borrowed from argv and the environment. */
struct option_list {
	const char *items[OPTIONS_LIST_CAP];
	size_t count;
};

struct options {
	const char *command;
	const char *script;	/* run: the application's file */
	const char *code;	/* run -e */
	const char *workspace;
	const char *starter;
	const char *url;
	const char *config_dir;
	const char *ca_file;
	const char *cert_file;
	const char *key_file;
	struct option_list headers;	/* NAME=VALUE */
	struct option_list parameters;	/* NAME=VALUE */
	bool no_autostart;
	const char *wait;		/* yes, no or auto */
	bool no_direct;
	double timeout_s;
	double shutdown_timeout_s;
	double test_rekey_after_s;	/* 0: as WireGuard says */
	bool simulate;
	double script_memory_mib;
	double script_cpu_ms;
	const char *log_level;
	const char *log_format;
	const char *log_file;
	bool verbose;
	bool quiet;
	bool help;
	bool json;
	const char *output;	/* text or json */
	bool dot;
	/* Of `simulate`. */
	const char *listen;
	const char *workspace_state;
	double agents;
	bool tls;
	bool websockets_only;
	/* What belongs to the application, or to the command's own hands. */
	struct option_list arguments;
};

/* 0, or ERR_MISUSE with a message for a person. */
int options_parse(struct options *options, int argc, char **argv,
		  struct error *error);

enum {
	COMMAND_APP = 1,	/* a Lua application of lua/apps */
	COMMAND_CONNECTS = 2,	/* takes the options of a connection */
	COMMAND_ALONE = 4,	/* to no workspace */
};

#define COMMAND_LETTER_CAP 4
struct command_letter {
	char letter;
	const char *name;
};

struct command {
	const char *name;
	const char *arguments;
	const char *help;
	unsigned flags;
	/* The application's own options that have a letter too. */
	struct command_letter letters[COMMAND_LETTER_CAP];
};

/* NULL at the end of the table; by name: NULL when there is none. */
const struct command *command_at(size_t index);
const struct command *command_find(const char *name);
bool command_takes_workspace(const char *name);

/* The whole program's help, or one command's. */
void options_help(FILE *out, const struct command *command);

#endif
