#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/host/login.h"

#define TOKEN "abcdefghij-marker-token"

struct fixture {
	char dir[64];
	struct login_options options;
	struct login login;
	struct error error;
};

static char *path_of(const struct fixture *f, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	return path;
}

static void put(const struct fixture *f, const char *name, const char *text,
		mode_t mode)
{
	FILE *file = fopen(path_of(f, name), "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(chmod(path_of(f, name), mode), 0);
}

static int set_up(void **state)
{
	static struct fixture f;

	f = (struct fixture){ .dir = "/tmp/test_login.XXXXXX" };
	assert_non_null(mkdtemp(f.dir));
	f.options.config_dir = f.dir;
	unsetenv("CODER_URL");
	unsetenv("CODER_SESSION_TOKEN");
	unsetenv("CODER_CONFIG_DIR");
	unsetenv("CREDENTIALS_DIRECTORY");
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = { "url", "session", "real",
					     "coder-session-token",
					     "coderv2/url",
					     "coderv2/session" };
	struct fixture *f = *state;

	assert_null(strstr(f->error.message, "marker"));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path_of(f, names[i]));
	rmdir(path_of(f, "coderv2"));
	rmdir(f->dir);
	return 0;
}

static void expect(struct fixture *f, const char *url, const char *token)
{
	if (login_load(&f->options, &f->login, &f->error) < 0)
		fail_msg("%s", f->error.message);
	assert_string_equal(f->login.url, url);
	assert_string_equal(f->login.token, token);
}

static void expect_bad(struct fixture *f, int code, const char *part)
{
	static const struct login wiped;

	f->error.message[0] = '\0';
	assert_int_equal(login_load(&f->options, &f->login, &f->error), code);
	if (!strstr(f->error.message, part))
		fail_msg("%s", f->error.message);
	assert_memory_equal(&f->login, &wiped, sizeof(wiped));
}

static void test_files(void **state)
{
	struct fixture *f = *state;

	put(f, "url", "https://coder.example/\n", 0644);
	put(f, "session", TOKEN "\r\n ", 0600);
	expect(f, "https://coder.example", TOKEN);
	f->options.config_dir = NULL;
	setenv("CODER_CONFIG_DIR", f->dir, 1);
	expect(f, "https://coder.example", TOKEN);
	unsetenv("CODER_CONFIG_DIR");
}

static void test_default_directory(void **state)
{
	struct fixture *f = *state;

	f->options.config_dir = NULL;
	assert_int_equal(mkdir(path_of(f, "coderv2"), 0700), 0);
	put(f, "coderv2/url", "http://127.0.0.1:3000", 0600);
	put(f, "coderv2/session", TOKEN, 0600);
	setenv("XDG_CONFIG_HOME", f->dir, 1);
	expect(f, "http://127.0.0.1:3000", TOKEN);
	unsetenv("XDG_CONFIG_HOME");
}

static void test_precedence(void **state)
{
	struct fixture *f = *state;

	put(f, "url", "https://file.example", 0600);
	put(f, "session", "from-file", 0600);
	setenv("CODER_URL", "https://variable.example//", 1);
	setenv("CODER_SESSION_TOKEN", TOKEN, 1);
	expect(f, "https://variable.example", TOKEN);
	f->options.url = "https://flag.example/sub";
	expect(f, "https://flag.example/sub", TOKEN);
	setenv("CODER_SESSION_TOKEN", "", 1);
	expect(f, "https://flag.example/sub", "from-file");
	put(f, "coder-session-token", "from-systemd", 0440);
	setenv("CREDENTIALS_DIRECTORY", f->dir, 1);
	expect(f, "https://flag.example/sub", "from-systemd");
}

static void test_nothing(void **state)
{
	struct fixture *f = *state;

	expect_bad(f, ERR_NOT_FOUND, "no deployment is known");
	put(f, "url", "https://coder.example", 0600);
	expect_bad(f, ERR_UNAUTHORIZED, "not signed in");
	put(f, "session", "\n", 0600);
	expect_bad(f, ERR_UNAUTHORIZED, "not signed in");
}

static void test_modes(void **state)
{
	static const mode_t bad[] = { 0640, 0604, 0660, 0666, 0610, 0601 };
	struct fixture *f = *state;

	put(f, "url", "https://coder.example", 0600);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put(f, "session", TOKEN, bad[i]);
		expect_bad(f, ERR_DENIED, "is open to others (mode 06");
		assert_non_null(strstr(f->error.message, "chmod 600 /tmp/"));
	}
	put(f, "session", TOKEN, 0400);
	expect(f, "https://coder.example", TOKEN);
	put(f, "url", "https://evil.example", 0622);
	expect_bad(f, ERR_DENIED, "/url is open to others (mode 0622)");
}

static void test_strange_files(void **state)
{
	struct fixture *f = *state;

	put(f, "url", "https://coder.example", 0600);
	put(f, "real", TOKEN, 0600);
	assert_int_equal(symlink("real", path_of(f, "session")), 0);
	expect_bad(f, ERR_DENIED, "is a symbolic link");
	unlink(path_of(f, "session"));
	assert_int_equal(mkfifo(path_of(f, "session"), 0600), 0);
	expect_bad(f, ERR_DENIED, "is not a regular file");
	unlink(path_of(f, "session"));
	f->options.config_dir = "/dev";
	f->options.url = "https://coder.example";
	expect_bad(f, ERR_UNAUTHORIZED, "not signed in");
}

static void test_strange_owner(void **state)
{
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	put(f, "url", "https://coder.example", 0600);
	put(f, "session", TOKEN, 0600);
	assert_int_equal(chown(path_of(f, "session"), 12345, 0), 0);
	expect_bad(f, ERR_DENIED, "belongs to user 12345, not to you (0)");
}

static void test_strange_contents(void **state)
{
	struct fixture *f = *state;
	char big[2000];

	put(f, "url", "https://coder.example", 0600);
	put(f, "session", "marker\nmarker", 0600);
	expect_bad(f, ERR_MISUSE, "characters that no token has");
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	put(f, "session", big, 0600);
	expect_bad(f, ERR_TOO_LARGE, "/session is longer than 511 bytes");
	big[512] = '\0';
	put(f, "session", big, 0600);
	expect_bad(f, ERR_TOO_LARGE, "/session is longer than 511 bytes");
	big[511] = '\0';
	put(f, "session", big, 0600);
	expect(f, "https://coder.example", big);
	setenv("CODER_SESSION_TOKEN", "marker\x01", 1);
	expect_bad(f, ERR_MISUSE, "characters that no token has");
	login_forget_environment();
	assert_null(getenv("CODER_SESSION_TOKEN"));
}

static void test_urls(void **state)
{
	static const char *const bad[] = {
		"coder.example", "ftp://coder.example", "https://",
		"https:///x", "https://co der", "https://x\n.example",
		"https://user:marker@coder.example",
		"https://coder.example?x=1", "https://coder.example/#x",
	};
	struct fixture *f = *state;

	setenv("CODER_SESSION_TOKEN", TOKEN, 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		f->options.url = bad[i];
		expect_bad(f, ERR_MISUSE, "the deployment's URL must");
	}
	f->options.url = "https://[::1]:8443/coder/@x";
	expect(f, "https://[::1]:8443/coder/@x", TOKEN);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_files),
		TEST(test_default_directory),
		TEST(test_precedence),
		TEST(test_nothing),
		TEST(test_modes),
		TEST(test_strange_files),
		TEST(test_strange_owner),
		TEST(test_strange_contents),
		TEST(test_urls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
