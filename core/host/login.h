/*
 * core/host/login.h: which deployment, and with which token.
 *
 * A flag beats a variable, a variable beats the Coder CLI's files (cli.md):
 * `url` and `session` in --global-config, CODER_CONFIG_DIR, or
 * $XDG_CONFIG_HOME/coderv2. A file that others could read or have put there is
 * refused (trust.md). No error shows a byte of the token.
 */
#ifndef TUNNELHOST_HOST_LOGIN_H
#define TUNNELHOST_HOST_LOGIN_H

#include "core/base/err.h"

#define LOGIN_URL_CAP 1024
#define LOGIN_TOKEN_CAP 512
#define LOGIN_PATH_CAP 4096

/* The flags; NULL when not given. */
struct login_options {
	const char *url;
	const char *config_dir;
};

struct login {
	char url[LOGIN_URL_CAP];	/* without a '/' at its end */
	char token[LOGIN_TOKEN_CAP];
};

/*
 * Reads CODER_URL, CODER_SESSION_TOKEN, CODER_CONFIG_DIR, XDG_CONFIG_HOME,
 * HOME, the systemd credential `coder-session-token` and the files. 0;
 * ERR_UNAUTHORIZED when there is no token, ERR_NOT_FOUND when there is no URL,
 * ERR_DENIED for a file that is not safe, ERR_MISUSE for what is no URL or no
 * token. `out` is wiped on failure, and by login_clear().
 */
int login_load(const struct login_options *options, struct login *out,
	       struct error *error);
void login_clear(struct login *login);

/*
 * Overwrites CODER_SESSION_TOKEN where it stands, so that neither
 * /proc/self/environ nor a child process shows it. After login_load().
 */
void login_forget_environment(void);

#endif
