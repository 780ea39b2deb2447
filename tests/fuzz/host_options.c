/* Fuzzes core/host/options.c: one word of the command line a line. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/host/options.h"

#define WORD_CAP 100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A run must not depend on who started it. */
static void forget_environment(void)
{
	static bool done;

	if (!done)
		clearenv();
	done = true;
}

static bool one_of(const char *value, const char *const *choices)
{
	if (!value)
		return true;
	for (; *choices; choices++)
		if (strcmp(value, *choices) == 0)
			return true;
	return false;
}

static void check(const struct options *options)
{
	static const char *const waits[] = { "yes", "no", "auto", NULL };
	static const char *const formats[] = { "text", "json", NULL };
	static const char *const levels[] = { "debug", "info", "warn", "error",
					      NULL };
	static const char *const states[] = { "running", "stopped", NULL };
	const double numbers[] = {
		options->timeout_s, options->shutdown_timeout_s,
		options->script_memory_mib, options->script_cpu_ms,
		options->agents, options->test_rekey_after_s,
	};

	assert(one_of(options->wait, waits));
	assert(one_of(options->log_format, formats));
	assert(one_of(options->log_level, levels));
	assert(one_of(options->workspace_state, states));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		assert(isfinite(numbers[i]) && numbers[i] >= 0);
	assert(options->arguments.count <= OPTIONS_LIST_CAP);
	for (size_t i = 0; i < options->headers.count; i++)
		assert(strchr(options->headers.items[i], '='));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static char program[] = "tunnelhost";
	char *argv[WORD_CAP + 2] = { program };
	struct options options;
	struct error error = { .code = 0 };
	char *text = malloc(len + 1);
	char *rest = text;
	int argc = 1;

	if (!text)
		return 0;
	forget_environment();
	if (len)
		memcpy(text, data, len);
	text[len] = '\0';
	while (rest && *rest && argc <= WORD_CAP)
		argv[argc++] = strsep(&rest, "\n");
	if (options_parse(&options, argc, argv, &error) == 0)
		check(&options);
	else
		assert(error.code == ERR_MISUSE && error.message[0]);
	free(text);
	return 0;
}
