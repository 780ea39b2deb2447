#include "core/host/options.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum kind {
	KIND_FLAG,
	KIND_TEXT,
	KIND_NUMBER,
	KIND_LIST,
};

struct option_spec {
	const char *name;	/* without dashes */
	char letter;		/* 0: none */
	enum kind kind;
	size_t offset;
	const char *metavar;
	const char *variables;	/* "A B": the first that is set */
	/* " run fsm ", CONNECTS " simulate "; NULL: everywhere */
	const char *commands;
	const char *help;
};

#define AT(field) offsetof(struct options, field)
#define CONNECTS "*"	/* the commands that connect */

static const struct option_spec specs[] = {
	{ "workspace", 0, KIND_TEXT, AT(workspace), "W", NULL, " run ",
	  "[owner/]name[.agent] or a UUID" },
	{ "starter", 0, KIND_TEXT, AT(starter), "FILE", NULL, CONNECTS,
	  "how a stopped workspace is started (Lua)" },
	{ "execute", 'e', KIND_TEXT, AT(code), "CODE", NULL, " run ",
	  "an application given as Lua code" },
	{ "url", 0, KIND_TEXT, AT(url), "URL", "CODER_URL", CONNECTS,
	  "the deployment" },
	{ "global-config", 0, KIND_TEXT, AT(config_dir), "DIR",
	  "CODER_CONFIG_DIR", CONNECTS, "the Coder CLI's files" },
	{ "client-tls-ca-file", 0, KIND_TEXT, AT(ca_file), "FILE",
	  "CODER_CLIENT_TLS_CA_FILE", CONNECTS,
	  "trusted beside the system's CAs (PEM)" },
	{ "client-tls-cert-file", 0, KIND_TEXT, AT(cert_file), "FILE",
	  "CODER_CLIENT_TLS_CERT_FILE", CONNECTS,
	  "certificate to show to the deployment (PEM)" },
	{ "client-tls-key-file", 0, KIND_TEXT, AT(key_file), "FILE",
	  "CODER_CLIENT_TLS_KEY_FILE", CONNECTS, "its key (PEM)" },
	{ "header", 0, KIND_LIST, AT(headers), "NAME=VALUE", NULL, CONNECTS,
	  "sent with every request (repeatable)" },
	{ "parameter", 0, KIND_LIST, AT(parameters), "NAME=VALUE", NULL,
	  CONNECTS, "for the start build (repeatable)" },
	{ "disable-autostart", 0, KIND_FLAG, AT(no_autostart), NULL,
	  "CODER_SSH_DISABLE_AUTOSTART", CONNECTS,
	  "do not start a stopped workspace" },
	{ "wait", 0, KIND_TEXT, AT(wait), "yes|no|auto", NULL, CONNECTS,
	  "for the agent's startup scripts (auto)" },
	{ "disable-direct-connections", 0, KIND_FLAG, AT(no_direct), NULL,
	  "CODER_DISABLE_DIRECT_CONNECTIONS", CONNECTS " simulate ",
	  "relay only" },
	{ "timeout", 0, KIND_NUMBER, AT(timeout_s), "SECONDS", NULL, CONNECTS,
	  "for the workspace and its agent to come up (600)" },
	{ "shutdown-timeout", 0, KIND_NUMBER, AT(shutdown_timeout_s),
	  "SECONDS", NULL, CONNECTS, "for winding down in order (5)" },
	{ "simulate", 0, KIND_FLAG, AT(simulate), NULL, NULL, CONNECTS,
	  "use an embedded deployment with one stopped workspace" },
	{ "script-memory", 0, KIND_NUMBER, AT(script_memory_mib), "MIB", NULL,
	  CONNECTS, "most memory of a script (64)" },
	{ "script-cpu", 0, KIND_NUMBER, AT(script_cpu_ms), "MS", NULL,
	  CONNECTS, "most CPU of a script between two waits (100)" },
	{ "listen", 0, KIND_TEXT, AT(listen), "ADDRESS", NULL, " simulate ",
	  "where to serve (127.0.0.1:0)" },
	{ "workspace-state", 0, KIND_TEXT, AT(workspace_state),
	  "running|stopped", NULL, " simulate ",
	  "of the workspace at the beginning (running)" },
	{ "agents", 0, KIND_NUMBER, AT(agents), "N", NULL, " simulate ",
	  "agents of the workspace (1)" },
	{ "tls", 0, KIND_FLAG, AT(tls), NULL, NULL, " simulate ",
	  "serve https with a throw-away CA" },
	{ "websockets-only", 0, KIND_FLAG, AT(websockets_only), NULL, NULL,
	  " simulate ", "no relay by `Upgrade: DERP` on a port of its own" },
	{ "json", 0, KIND_FLAG, AT(json), NULL, NULL,
	  " simulate fsm ",
	  "for programs" },
	{ "output", 'o', KIND_TEXT, AT(output), "text|json", NULL,
	  " version ", "(text)" },
	{ "dot", 0, KIND_FLAG, AT(dot), NULL, NULL, " fsm ",
	  "a Graphviz graph" },
	{ "log-level", 0, KIND_TEXT, AT(log_level),
	  "debug|info|warn|error", NULL, NULL, "(warn)" },
	{ "log-format", 0, KIND_TEXT, AT(log_format), "text|json", NULL, NULL,
	  "(text)" },
	{ "log-file", 0, KIND_TEXT, AT(log_file), "FILE", NULL, NULL,
	  "append the log there, not to stderr" },
	{ "verbose", 'v', KIND_FLAG, AT(verbose), NULL, NULL, NULL,
	  "--log-level debug" },
	{ "quiet", 'q', KIND_FLAG, AT(quiet), NULL, NULL, NULL,
	  "no progress" },
	/* Not in the help: docs/testing.md. */
	{ "test-rekey-after", 0, KIND_NUMBER, AT(test_rekey_after_s),
	  "SECONDS", NULL, " run ", "" },
	{ "help", 'h', KIND_FLAG, AT(help), NULL, NULL, NULL, "" },
};
#define SPEC_COUNT (sizeof(specs) / sizeof(specs[0]))
static_assert(SPEC_COUNT <= 64, "struct parser has a bit for each");

static const struct command commands[] = {
	{ "run", "APP.lua [W] [-- ARGS]",
	  "start the workspace if need be, open the tunnel, run the script",
	  COMMAND_CONNECTS, { { 0 } } },
	{ "ping", "W [-n N] [-t SECONDS] [-o text|json]",
	  "round trips through the tunnel", COMMAND_APP | COMMAND_CONNECTS,
	  { { 'n', "--num" },
	    { 't', "--answer-timeout" },
	    { 'o', "--output" } } },
	{ "speedtest", "W [-d] [--direction down|up] [-t SECONDS] [-o table|json]",
	  "what the tunnel carries", COMMAND_APP | COMMAND_CONNECTS,
	  { { 'd', "--direct" },
	    { 't', "--time" },
	    { 'o', "--output" } } },
	{ "explain", "W [-o text|json]",
	  "where the time goes, and which way the packets",
	  COMMAND_APP | COMMAND_CONNECTS, { { 'o', "--output" } } },
	{ "netcheck", "[-o text|json]", "the network from here to the relays",
	  COMMAND_APP | COMMAND_CONNECTS | COMMAND_ALONE,
	  { { 'o', "--output" } } },
	{ "simulate", "", "serve the embedded deployment", 0, { { 0 } } },
	{ "replay", "FILE|-", "feed recorded events to the state machine", 0,
	  { { 0 } } },
	{ "fsm", "--dot|--json", "print the state machine", 0, { { 0 } } },
	{ "version", "[-o text|json]", "", 0, { { 0 } } },
	{ "help", "[COMMAND]", "", 0, { { 0 } } },
};

const struct command *command_at(size_t index)
{
	return index < sizeof(commands) / sizeof(commands[0]) ?
		       &commands[index] : NULL;
}

const struct command *command_find(const char *name)
{
	for (size_t i = 0; command_at(i); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

bool command_takes_workspace(const char *name)
{
	const struct command *command = command_find(name);

	return command && command->flags & COMMAND_CONNECTS &&
	       !(command->flags & COMMAND_ALONE);
}

static bool applies(const struct option_spec *spec, const char *command)
{
	char word[64];

	const struct command *found = command_find(command);

	if (!spec->commands)
		return true;
	if (spec->commands[0] == CONNECTS[0] && found &&
	    found->flags & COMMAND_CONNECTS)
		return true;
	snprintf(word, sizeof(word), " %s ", command);
	return strstr(spec->commands, word) != NULL;
}

static void *field(struct options *options, const struct option_spec *spec)
{
	return (char *)options + spec->offset;
}

static int set_number(double *out, const struct option_spec *spec,
		      const char *value, struct error *error)
{
	char *end;
	double number = strtod(value, &end);

	if (*value == '\0' || *end != '\0' || !(number >= 0) || number > 1e9)
		return error_set(error, ERR_MISUSE,
				 "--%s: '%s' is not a number that fits",
				 spec->name, value);
	*out = number;
	return 0;
}

static int set_value(struct options *options, const struct option_spec *spec,
		     const char *value, struct error *error)
{
	struct option_list *list;

	switch (spec->kind) {
	case KIND_FLAG:
		*(bool *)field(options, spec) = true;
		return 0;
	case KIND_TEXT:
		*(const char **)field(options, spec) = value;
		return 0;
	case KIND_NUMBER:
		return set_number(field(options, spec), spec, value, error);
	case KIND_LIST:
		list = field(options, spec);
		if (!strchr(value, '='))
			return error_set(error, ERR_MISUSE,
					 "--%s: '%s' is not NAME=VALUE",
					 spec->name, value);
		if (list->count == OPTIONS_LIST_CAP)
			return error_set(error, ERR_MISUSE,
					 "--%s: more than %d of them",
					 spec->name, OPTIONS_LIST_CAP);
		list->items[list->count++] = value;
		return 0;
	}
	return ERR_INTERNAL;
}

struct parser {
	struct options *options;
	int argc;
	char **argv;
	int at;
	struct error *error;
	uint64_t seen;		/* which of the specs, by index */
};

static int add_argument(struct parser *parser, const char *word)
{
	struct option_list *list = &parser->options->arguments;

	if (list->count == OPTIONS_LIST_CAP)
		return error_set(parser->error, ERR_MISUSE,
				 "more than %d arguments", OPTIONS_LIST_CAP);
	list->items[list->count++] = word;
	return 0;
}

static const struct option_spec *find_spec(const char *name, size_t len)
{
	for (size_t i = 0; i < SPEC_COUNT; i++)
		if (strlen(specs[i].name) == len &&
		    strncmp(specs[i].name, name, len) == 0)
			return &specs[i];
	return NULL;
}

static const struct option_spec *find_letter(char letter)
{
	for (size_t i = 0; i < SPEC_COUNT; i++)
		if (specs[i].letter == letter)
			return &specs[i];
	return NULL;
}

/* `value` is what stands behind '=', or NULL: the next word. */
static int take_option(struct parser *parser, const struct option_spec *spec,
		       const char *value)
{
	if (spec->kind == KIND_FLAG && value)
		return error_set(parser->error, ERR_MISUSE,
				 "--%s takes no value", spec->name);
	if (spec->kind != KIND_FLAG && !value) {
		if (parser->at + 1 >= parser->argc)
			return error_set(parser->error, ERR_MISUSE,
					 "--%s needs %s", spec->name,
					 spec->metavar);
		value = parser->argv[++parser->at];
	}
	parser->seen |= 1ull << (spec - specs);
	return set_value(parser->options, spec, value, parser->error);
}

/* `-n` as the application spells it. */
static const char *spell_out(const struct command *command, const char *word)
{
	for (size_t i = 0; i < COMMAND_LETTER_CAP; i++)
		if (command->letters[i].letter == word[1] && word[2] == '\0')
			return command->letters[i].name;
	return word;
}

/* Commands that are applications have options of their own: not ours. */
static int unknown_option(struct parser *parser, const char *word)
{
	const char *command = parser->options->command;
	const struct command *found = command ? command_find(command) : NULL;
	int err;

	if (!found || !(found->flags & COMMAND_APP))
		return error_set(parser->error, ERR_MISUSE,
				 "unknown option '%s'", word);
	err = add_argument(parser, spell_out(found, word));
	/* A value of its own is not the workspace. */
	if (err == 0 && !strchr(word, '=') &&
	    parser->at + 1 < parser->argc &&
	    parser->argv[parser->at + 1][0] != '-')
		err = add_argument(parser, parser->argv[++parser->at]);
	return err;
}

/* An application's option may share a name with another command's. */
static bool is_the_apps(const struct parser *parser,
			const struct option_spec *spec)
{
	const char *name = parser->options->command;
	const struct command *command = name ? command_find(name) : NULL;

	return command && command->flags & COMMAND_APP && !applies(spec, name);
}

/* `run APP.lua --help` is the application's. */
static bool is_help_of_app(const struct parser *parser,
			   const struct option_spec *spec)
{
	return strcmp(spec->name, "help") == 0 && parser->options->command &&
	       strcmp(parser->options->command, "run") == 0 &&
	       (parser->options->script || parser->options->code);
}

static int take_dashed(struct parser *parser, const char *word)
{
	const char *equals = strchr(word, '=');
	const struct option_spec *spec;
	const char *value = NULL;

	if (word[1] == '-') {
		size_t len = equals ? (size_t)(equals - word) : strlen(word);

		spec = find_spec(word + 2, len - 2);
		value = equals ? equals + 1 : NULL;
	} else {
		spec = word[2] == '\0' ? find_letter(word[1]) : NULL;
	}
	if (!spec || is_the_apps(parser, spec))
		return unknown_option(parser, word);
	if (is_help_of_app(parser, spec))
		return add_argument(parser, "--help");
	return take_option(parser, spec, value);
}

static int take_word(struct parser *parser, const char *word)
{
	struct options *options = parser->options;
	bool runs;

	if (!options->command) {
		options->command = word;
		return 0;
	}
	runs = strcmp(options->command, "run") == 0;
	if (runs && !options->script && !options->code) {
		options->script = word;
		return 0;
	}
	if (!options->workspace && command_takes_workspace(options->command)) {
		options->workspace = word;
		return 0;
	}
	return add_argument(parser, word);
}

static int take_all(struct parser *parser)
{
	int err = 0;

	for (; parser->at < parser->argc && err == 0; parser->at++) {
		const char *word = parser->argv[parser->at];

		if (strcmp(word, "--") == 0)
			break;
		err = word[0] == '-' && word[1] ? take_dashed(parser, word) :
						  take_word(parser, word);
	}
	for (parser->at++; parser->at < parser->argc && err == 0; parser->at++)
		err = add_argument(parser, parser->argv[parser->at]);
	return err;
}

static int take_environment(struct options *options, struct error *error)
{
	for (size_t i = 0; i < SPEC_COUNT; i++) {
		const char *value = specs[i].variables ?
					    getenv(specs[i].variables) : NULL;

		if (!value || !*value)
			continue;
		if (specs[i].kind == KIND_FLAG && strcmp(value, "true") != 0 &&
		    strcmp(value, "1") != 0)
			continue;
		if (set_value(options, &specs[i], value, error) < 0)
			return ERR_MISUSE;
	}
	return 0;
}

/* Options may stand before the command: only at the end is it known. */
static int check_applies(const struct parser *parser)
{
	const char *name = parser->options->command;

	for (size_t i = 0; name && command_find(name) && i < SPEC_COUNT; i++)
		if (parser->seen >> i & 1 && !applies(&specs[i], name))
			return error_set(parser->error, ERR_MISUSE,
					 "--%s is no option of %s",
					 specs[i].name, name);
	return 0;
}

static int check_choice(const char *name, const char *value,
			const char *choices, struct error *error)
{
	size_t len = value ? strlen(value) : 0;
	size_t choice;

	if (!value)
		return 0;
	for (const char *at = choices; *at; at += choice + (at[choice] == '|')) {
		choice = strcspn(at, "|");
		if (choice == len && strncmp(at, value, len) == 0)
			return 0;
	}
	return error_set(error, ERR_MISUSE, "--%s: '%s' is not %s", name,
			 value, choices);
}

static int check_choices(const struct options *options, struct error *error)
{
	if (check_choice("wait", options->wait, "yes|no|auto", error) < 0 ||
	    check_choice("log-level", options->log_level,
			 "debug|info|warn|error", error) < 0 ||
	    check_choice("log-format", options->log_format, "text|json",
			 error) < 0 ||
	    check_choice("output", options->output, "text|json", error) < 0 ||
	    check_choice("workspace-state", options->workspace_state,
			 "running|stopped", error) < 0)
		return ERR_MISUSE;
	return 0;
}

int options_parse(struct options *options, int argc, char **argv,
		  struct error *error)
{
	struct parser parser = { .options = options, .argc = argc,
				 .argv = argv, .at = 1, .error = error };

	*options = (struct options){
		.timeout_s = 600,
		.shutdown_timeout_s = 5,
		.script_memory_mib = 64,
		.script_cpu_ms = 100,
		.agents = 1,
	};
	if (take_environment(options, error) < 0 || take_all(&parser) < 0 ||
	    check_applies(&parser) < 0)
		return ERR_MISUSE;
	return check_choices(options, error);
}

static void print_option(FILE *out, const struct option_spec *spec)
{
	char left[64];

	if (!*spec->help)
		return;
	snprintf(left, sizeof(left), "%s%c%s --%s %s",
		 spec->letter ? "-" : " ", spec->letter ? spec->letter : ' ',
		 spec->letter ? "," : " ", spec->name,
		 spec->metavar ? spec->metavar : "");
	fprintf(out, "  %-38s %s%s%s%s\n", left, spec->help,
		spec->variables ? " [" : "",
		spec->variables ? spec->variables : "",
		spec->variables ? "]" : "");
}

static void print_options(FILE *out, const char *command)
{
	for (size_t i = 0; i < SPEC_COUNT; i++)
		if (command ? specs[i].commands && applies(&specs[i], command) :
			      !specs[i].commands)
			print_option(out, &specs[i]);
}

void options_help(FILE *out, const struct command *command)
{
	if (command) {
		fprintf(out, "usage: tunnelhost %s %s\n%s%s", command->name,
			command->arguments, command->help,
			*command->help ? "\n" : "");
		fputs("\noptions:\n", out);
		print_options(out, command->name);
	} else {
		fputs("usage: tunnelhost COMMAND [OPTIONS]\n\ncommands:\n",
		      out);
		for (size_t i = 0; command_at(i); i++)
			fprintf(out, "  %-10s %-24s %s\n", commands[i].name,
				commands[i].arguments, commands[i].help);
		fputs("\n`tunnelhost help COMMAND` lists a command's options; "
		      "everywhere:\n", out);
	}
	print_options(out, NULL);
}
