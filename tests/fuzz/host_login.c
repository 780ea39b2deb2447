/* Fuzzes core/host/login.c: the first line a URL, the rest a token. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/host/login.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct login *login)
{
	size_t len = strlen(login->url);

	assert(strncmp(login->url, "http", 4) == 0);
	assert(len >= 8 && login->url[len - 1] != '/');
	assert(strpbrk(login->url, " \r\n?#") == NULL);
	assert(login->token[0] && strpbrk(login->token, " \r\n") == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static char variable[4096];
	const uint8_t *end = len ? memchr(data, '\n', len) : NULL;
	size_t url_len = end ? (size_t)(end - data) : len;
	char *url = strndup(len ? (const char *)data : "", url_len);
	struct login_options options = { .url = url,
					 .config_dir = "/nowhere" };
	struct login login;
	struct error error = { .code = 0 };
	int code;

	if (!url)
		return 0;
	clearenv();
	snprintf(variable, sizeof(variable), "CODER_SESSION_TOKEN=%.*s",
		 end ? (int)(len - url_len - 1) : 0,
		 end ? (const char *)end + 1 : "");
	putenv(variable);
	code = login_load(&options, &login, &error);
	if (code == 0)
		check(&login);
	else
		assert(error.code == code && error.message[0] &&
		       !login.token[0]);
	login_clear(&login);
	clearenv();
	free(url);
	return 0;
}
