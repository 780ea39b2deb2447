#include "core/base/server.h"

#include <string.h>

#include "core/base/id.h"

/* One decoded character at *at; advances. 0 or ERR_PROTOCOL. */
static int decode_one(const char **at, const char *end, char *out)
{
	const char *text = *at;

	if (*text == '+') {
		*out = ' ';
		*at = text + 1;
		return 0;
	}
	if (*text != '%') {
		*out = *text;
		*at = text + 1;
		return 0;
	}
	if (end - text < 3 || hex_decode(text + 1, 2, out, 1) < 0)
		return ERR_PROTOCOL;
	*at = text + 3;
	return 0;
}

static int decode(const char *at, const char *end, char *out, size_t cap)
{
	size_t len = 0;

	while (at < end) {
		if (len + 1 >= cap)
			return ERR_TOO_LARGE;
		if (decode_one(&at, end, &out[len++]) < 0)
			return ERR_PROTOCOL;
	}
	out[len] = '\0';
	return (int)len;
}

int query_find(const char *query, const char *name, char *out, size_t cap)
{
	size_t name_len = strlen(name);

	for (const char *at = query; *at;) {
		const char *end = at + strcspn(at, "&");

		if (strncmp(at, name, name_len) == 0 && at[name_len] == '=')
			return decode(at + name_len + 1, end, out, cap);
		at = *end ? end + 1 : end;
	}
	return ERR_NOT_FOUND;
}
