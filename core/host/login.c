#include "core/host/login.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CREDENTIAL "coder-session-token"

/* What others may do to a file that holds this. */
enum secrecy {
	FILE_PUBLIC,		/* read it, but not write it: an address */
	FILE_SECRET,		/* nothing: a token */
	FILE_CREDENTIAL,	/* as secret, and systemd may own it */
};

static int refuse(struct error *error, const char *path, const char *why)
{
	return error_set(error, ERR_DENIED, "%s %s", path, why);
}

static int check_owner(const struct stat *st, enum secrecy secrecy,
		       const char *path, struct error *error)
{
	if (st->st_uid == geteuid() ||
	    (secrecy == FILE_CREDENTIAL && st->st_uid == 0))
		return 0;
	return error_set(error, ERR_DENIED,
			 "%s belongs to user %u, not to you (%u)", path,
			 (unsigned)st->st_uid, (unsigned)geteuid());
}

static int check_mode(const struct stat *st, enum secrecy secrecy,
		      const char *path, struct error *error)
{
	mode_t forbidden = secrecy == FILE_PUBLIC ? S_IWGRP | S_IWOTH :
			   secrecy == FILE_SECRET ? S_IRWXG | S_IRWXO :
						    S_IWGRP | S_IRWXO;

	if (!(st->st_mode & forbidden))
		return 0;
	return error_set(error, ERR_DENIED,
			 "%s is open to others (mode %04o): chmod 600 %s",
			 path, (unsigned)st->st_mode & 07777, path);
}

static int check_file(int fd, enum secrecy secrecy, const char *path,
		      struct error *error)
{
	struct stat st;
	int code;

	if (fstat(fd, &st) < 0)
		return error_set(error, err_from_errno(errno), "%s: %s", path,
				 strerror(errno));
	if (!S_ISREG(st.st_mode))
		return refuse(error, path, "is not a regular file");
	code = check_owner(&st, secrecy, path, error);
	return code < 0 ? code : check_mode(&st, secrecy, path, error);
}

static void trim(char *text)
{
	size_t len = strlen(text);

	while (len > 0 && strchr(" \t\r\n", text[len - 1]))
		text[--len] = '\0';
}

/* One byte more than fits is asked for, to tell too long from full. */
static int read_text(int fd, char *out, size_t cap, const char *path,
		     struct error *error)
{
	size_t used = 0;
	ssize_t got;

	while (used < cap && (got = read(fd, out + used, cap - used)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set(error, err_from_errno(errno),
					 "%s: %s", path, strerror(errno));
		used += (size_t)got;
	}
	if (used == cap)
		return error_set(error, ERR_TOO_LARGE,
				 "%s is longer than %zu bytes", path,
				 cap - 1);
	out[used] = '\0';
	if (strlen(out) != used)
		return error_set(error, ERR_MISUSE, "%s contains a NUL",
				 path);
	trim(out);
	return 0;
}

/*
 * 0 with the text, "" when there is no such file. O_NOFOLLOW refuses a
 * symbolic link, O_NONBLOCK does not wait for the writer of a FIFO.
 */
static int load_file(const char *path, enum secrecy secrecy, char *out,
		     size_t cap, struct error *error)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC |
				    O_NOCTTY);
	int code;

	out[0] = '\0';
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0 && errno == ELOOP)
		return refuse(error, path, "is a symbolic link: put the file "
					   "itself there");
	if (fd < 0)
		return error_set(error, err_from_errno(errno), "%s: %s", path,
				 strerror(errno));
	code = check_file(fd, secrecy, path, error);
	if (code == 0)
		code = read_text(fd, out, cap, path, error);
	close(fd);
	return code;
}

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value && value[0] ? value : NULL;
}

static const char *home(void)
{
	const char *value = variable("HOME");
	const struct passwd *entry = value ? NULL : getpwuid(geteuid());

	return value ? value : entry ? entry->pw_dir : NULL;
}

/* The directory of the CLI's files, or "" when there is none. */
static int config_dir(const struct login_options *options,
		      char out[LOGIN_PATH_CAP], struct error *error)
{
	const char *dir = options->config_dir ? options->config_dir :
						variable("CODER_CONFIG_DIR");
	const char *xdg = variable("XDG_CONFIG_HOME");
	int len = 0;

	out[0] = '\0';
	if (dir)
		len = snprintf(out, LOGIN_PATH_CAP, "%s", dir);
	else if (xdg)
		len = snprintf(out, LOGIN_PATH_CAP, "%s/coderv2", xdg);
	else if (home())
		len = snprintf(out, LOGIN_PATH_CAP, "%s/.config/coderv2",
			       home());
	if (len >= LOGIN_PATH_CAP)
		return error_set(error, ERR_TOO_LARGE,
				 "the configuration directory's path is too "
				 "long");
	return 0;
}

static int load_in(const char *dir, const char *name, enum secrecy secrecy,
		   char *out, size_t cap, struct error *error)
{
	char path[LOGIN_PATH_CAP + 64];

	out[0] = '\0';
	if (!dir[0])
		return 0;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return load_file(path, secrecy, out, cap, error);
}

static int take(const char *text, const char *what, char *out, size_t cap,
		struct error *error)
{
	if (strlen(text) >= cap)
		return error_set(error, ERR_TOO_LARGE,
				 "%s is longer than %zu bytes", what,
				 cap - 1);
	strcpy(out, text);
	trim(out);
	return 0;
}

static bool printable(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || (unsigned char)*text > '~')
			return false;
	return true;
}

/* Credentials in a URL would end up in logs; a query would break paths. */
static int check_url(char *url, struct error *error)
{
	const char *host = strncmp(url, "https://", 8) == 0 ? url + 8 :
			   strncmp(url, "http://", 7) == 0  ? url + 7 :
							       NULL;
	size_t len;

	if (!host || !host[0] || host[0] == '/' || !printable(url))
		return error_set(error, ERR_MISUSE,
				 "the deployment's URL must read "
				 "https://HOST");
	if (memchr(host, '@', strcspn(host, "/")) || strpbrk(host, "?#"))
		return error_set(error, ERR_MISUSE,
				 "the deployment's URL must have no user, "
				 "query or fragment");
	for (len = strlen(url); url[len - 1] == '/'; len--)
		url[len - 1] = '\0';
	return 0;
}

static int load_url(const struct login_options *options, const char *dir,
		    struct login *out, struct error *error)
{
	const char *given = options->url ? options->url :
					   variable("CODER_URL");
	int code;

	if (given)
		code = take(given, "the deployment's URL", out->url,
			    sizeof(out->url), error);
	else
		code = load_in(dir, "url", FILE_PUBLIC, out->url,
			       sizeof(out->url), error);
	if (code < 0)
		return code;
	if (!out->url[0])
		return error_set(error, ERR_NOT_FOUND,
				 "no deployment is known: give --url or "
				 "CODER_URL, or run `coder login`");
	return check_url(out->url, error);
}

static int find_token(const char *dir, struct login *out,
		      struct error *error)
{
	const char *given = variable("CODER_SESSION_TOKEN");
	const char *credentials = variable("CREDENTIALS_DIRECTORY");
	int code = 0;

	if (given)
		return take(given, "CODER_SESSION_TOKEN", out->token,
			    sizeof(out->token), error);
	if (credentials && strlen(credentials) < LOGIN_PATH_CAP)
		code = load_in(credentials, CREDENTIAL, FILE_CREDENTIAL,
			       out->token, sizeof(out->token), error);
	if (code < 0 || out->token[0])
		return code;
	return load_in(dir, "session", FILE_SECRET, out->token,
		       sizeof(out->token), error);
}

static int load_token(const char *dir, struct login *out,
		      struct error *error)
{
	int code = find_token(dir, out, error);

	if (code < 0)
		return code;
	if (!out->token[0])
		return error_set(error, ERR_UNAUTHORIZED,
				 "not signed in: set CODER_SESSION_TOKEN or "
				 "run `coder login`");
	if (!printable(out->token))
		return error_set(error, ERR_MISUSE,
				 "the session token has characters that no "
				 "token has");
	return 0;
}

int login_load(const struct login_options *options, struct login *out,
	       struct error *error)
{
	char dir[LOGIN_PATH_CAP];
	int code = config_dir(options, dir, error);

	*out = (struct login){ .url = "" };
	if (code == 0)
		code = load_url(options, dir, out, error);
	if (code == 0)
		code = load_token(dir, out, error);
	if (code < 0)
		login_clear(out);
	return code;
}

void login_clear(struct login *login)
{
	sodium_memzero(login, sizeof(*login));
}

void login_forget_environment(void)
{
	char *value = getenv("CODER_SESSION_TOKEN");

	if (!value)
		return;
	sodium_memzero(value, strlen(value));
	unsetenv("CODER_SESSION_TOKEN");
}
