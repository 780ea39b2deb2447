#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/rest/workspace_ref.h"

#define ID "0f9d1b6a-6b2e-4a57-9a55-0a6a9e1f0b11"

static void expect(const char *text, const char *owner, const char *name,
		   const char *agent)
{
	struct rest_workspace_ref ref;
	struct error error = { .message = "" };

	if (rest_parse_workspace(text, &ref, &error) < 0)
		fail_msg("%s: %s", text, error.message);
	assert_false(ref.by_id);
	assert_string_equal(ref.owner, owner);
	assert_string_equal(ref.name, name);
	assert_string_equal(ref.agent, agent);
}

static void expect_bad(const char *text, const char *why)
{
	struct rest_workspace_ref ref;
	struct error error;

	assert_int_equal(rest_parse_workspace(text, &ref, &error),
			 ERR_MISUSE);
	assert_string_equal(error.message, why);
	assert_int_equal(rest_parse_workspace(text, &ref, NULL), ERR_MISUSE);
}

static void test_spellings(void **state)
{
	(void)state;
	expect("dev", "me", "dev", "");
	expect("dev.main", "me", "dev", "main");
	expect("ada/dev", "ada", "dev", "");
	expect("ada/dev.main", "ada", "dev", "main");
	expect("ada/dev--main", "ada", "dev", "main");
	expect("ada--dev", "ada", "dev", "");
	expect("ada--dev.main", "ada", "dev", "main");
	expect("ada--dev--main", "ada", "dev", "main");
	expect("me/a-b_1", "me", "a-b_1", "");
}

static void test_ids(void **state)
{
	struct rest_workspace_ref ref;

	(void)state;
	assert_int_equal(rest_parse_workspace(ID, &ref, NULL), 0);
	assert_true(ref.by_id);
	assert_int_equal(ref.id.bytes[0], 0x0f);
	assert_string_equal(ref.agent, "");
	assert_int_equal(rest_parse_workspace(ID ".main", &ref, NULL), 0);
	assert_true(ref.by_id);
	assert_string_equal(ref.agent, "main");
	expect_bad(ID ".", "no name of a workspace: the agent's name is empty");
	expect("me/" ID, "me", ID, "");
}

static void test_bad_names(void **state)
{
	char longest[70];

	(void)state;
	expect_bad("", "no name of a workspace: the workspace's name is empty");
	expect_bad("/dev",
		   "no name of a workspace: the owner's name is empty");
	expect_bad("dev.", "no name of a workspace: the agent's name is empty");
	expect_bad("ada/", "no name of a workspace: the workspace's name is "
			   "empty");
	expect_bad("a/b/c/d",
		   "no name of a workspace: expected [owner/]name[.agent]");
	expect_bad("-oProxyCommand=x",
		   "no name of a workspace: the workspace's name begins with "
		   "'-'");
	expect_bad("de v", "no name of a workspace: the workspace's name may "
			   "only have letters, digits, '-' and '_'");
	expect_bad("d\xc3\xa9v",
		   "no name of a workspace: the workspace's name may only have "
		   "letters, digits, '-' and '_'");
	memset(longest, 'a', sizeof(longest));
	longest[64] = '\0';
	expect(longest, "me", longest, "");
	longest[64] = 'a';
	longest[65] = '\0';
	expect_bad(longest, "no name of a workspace: the workspace's name is "
			    "longer than 64 characters");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_bad_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
