#include "tests/unit/base/test.h"

#include <stdlib.h>
#include <string.h>

#include "core/host/options.h"

static int parse(struct options *options, struct error *error,
		 const char *line)
{
	static char text[1024];
	char *argv[32];
	int argc = 0;

	snprintf(text, sizeof(text), "tunnelhost %s", line);
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	return options_parse(options, argc, argv, error);
}

static void accept(struct options *options, const char *line)
{
	struct error error = { 0 };

	if (parse(options, &error, line) < 0)
		fail_msg("%s: %s", line, error.message);
}

static void refuse(const char *line, const char *needle)
{
	struct options options;
	struct error error = { 0 };

	assert_int_equal(parse(&options, &error, line), ERR_MISUSE);
	if (!strstr(error.message, needle))
		fail_msg("%s: '%s' lacks '%s'", line, error.message, needle);
}

static void run_takes_app_workspace_and_arguments(void **state)
{
	struct options o;

	(void)state;
	accept(&o, "run app.lua ws -- --times 3 x");
	assert_string_equal(o.command, "run");
	assert_string_equal(o.script, "app.lua");
	assert_string_equal(o.workspace, "ws");
	assert_int_equal(o.arguments.count, 3);
	assert_string_equal(o.arguments.items[0], "--times");
	accept(&o, "run --workspace a/b.c --disable-autostart app.lua");
	assert_string_equal(o.workspace, "a/b.c");
	assert_true(o.no_autostart);
	assert_int_equal(o.arguments.count, 0);
}

static void code_stands_for_the_file(void **state)
{
	struct options o;

	(void)state;
	accept(&o, "run -e return{} ws");
	assert_null(o.script);
	assert_string_equal(o.code, "return{}");
	assert_string_equal(o.workspace, "ws");
}

static void options_stand_anywhere_and_take_equals(void **state)
{
	struct options o;

	(void)state;
	accept(&o, "--global-config /x run app.lua --timeout=2.5 ws");
	assert_string_equal(o.config_dir, "/x");
	assert_true(o.timeout_s > 2.4 && o.timeout_s < 2.6);
	assert_string_equal(o.workspace, "ws");
}

static void help_behind_the_app_is_the_apps(void **state)
{
	struct options o;

	(void)state;
	accept(&o, "run --help");
	assert_true(o.help);
	accept(&o, "run app.lua --help");
	assert_false(o.help);
	assert_string_equal(o.arguments.items[0], "--help");
}

static void an_applications_options_pass_through(void **state)
{
	struct options o;

	(void)state;
	accept(&o, "ping -n 3 ws --timeout 9");
	assert_string_equal(o.workspace, "ws");
	assert_int_equal(o.arguments.count, 2);
	assert_string_equal(o.arguments.items[0], "--num");
	assert_string_equal(o.arguments.items[1], "3");
	accept(&o, "ping ws -o json");
	assert_string_equal(o.arguments.items[0], "--output");
	accept(&o, "run -e --tls ws");
	assert_string_equal(o.code, "--tls");
	accept(&o, "version -o json");
	assert_string_equal(o.output, "json");
}

static void variables_give_way_to_flags(void **state)
{
	struct options o;

	(void)state;
	setenv("CODER_URL", "https://a", 1);
	setenv("CODER_SSH_DISABLE_AUTOSTART", "true", 1);
	accept(&o, "run x.lua");
	assert_string_equal(o.url, "https://a");
	assert_true(o.no_autostart);
	accept(&o, "run x.lua --url https://b");
	assert_string_equal(o.url, "https://b");
	unsetenv("CODER_URL");
	unsetenv("CODER_SSH_DISABLE_AUTOSTART");
}

static void nonsense_is_refused_by_name(void **state)
{
	(void)state;
	refuse("run x.lua --nonsense", "--nonsense");
	refuse("run x.lua --timeout soon", "soon");
	refuse("run x.lua --timeout -1", "-1");
	refuse("run x.lua --timeout", "--timeout needs SECONDS");
	refuse("run x.lua --quiet=yes", "--quiet takes no value");
	refuse("run x.lua --wait maybe", "maybe");
	refuse("run x.lua --wait ye", "ye");
	refuse("run x.lua --wait yes|no", "yes|no");
	refuse("run x.lua --wait=", "'' is not");
	refuse("run x.lua --parameter novalue", "NAME=VALUE");
	refuse("fsm --tls", "--tls is no option of fsm");
	refuse("--tls fsm", "--tls is no option of fsm");
	refuse("version -o xml", "xml");
	refuse("simulate --workspace-state gone", "gone");
}

static void every_option_appears_in_some_help(void **state)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	for (size_t i = 0; command_at(i); i++)
		options_help(out, command_at(i));
	options_help(out, NULL);
	fclose(out);
	assert_non_null(strstr(text, "--shutdown-timeout SECONDS"));
	assert_non_null(strstr(text, "[CODER_URL]"));
	assert_non_null(strstr(text, "-v, --verbose"));
	assert_non_null(strstr(text, "usage: tunnelhost ping"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(run_takes_app_workspace_and_arguments),
		cmocka_unit_test(code_stands_for_the_file),
		cmocka_unit_test(options_stand_anywhere_and_take_equals),
		cmocka_unit_test(help_behind_the_app_is_the_apps),
		cmocka_unit_test(an_applications_options_pass_through),
		cmocka_unit_test(variables_give_way_to_flags),
		cmocka_unit_test(nonsense_is_refused_by_name),
		cmocka_unit_test(every_option_appears_in_some_help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
