#include "core/io/head.h"

#include <string.h>
#include <strings.h>

#include "core/base/id.h"

static int copy(const char *from, size_t len, char *out, size_t cap)
{
	if (len >= cap)
		return ERR_TOO_LARGE;
	memcpy(out, from, len);
	out[len] = '\0';
	return 0;
}

static int decode_path(const char *from, size_t len, char *out, size_t cap)
{
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		char c = from[i];

		if (c == '%') {
			if (len - i < 3 ||
			    hex_decode(from + i + 1, 2, &c, 1) < 0 || !c)
				return ERR_PROTOCOL;
			i += 2;
		}
		if (used + 1 >= cap)
			return ERR_TOO_LARGE;
		out[used++] = c;
	}
	out[used] = '\0';
	return 0;
}

/* "GET /path?query HTTP/1.1" */
static int decode_request_line(const char *line, size_t len,
			       struct request_head *out)
{
	const char *end = line + len;
	const char *target = memchr(line, ' ', len);
	const char *version, *query, *path_end;
	int err;

	if (!target || target == line)
		return ERR_PROTOCOL;
	err = copy(line, (size_t)(target - line), out->method,
		   sizeof(out->method));
	target++;
	version = memchr(target, ' ', (size_t)(end - target));
	if (err < 0 || !version || *target != '/' || end - version != 9 ||
	    memcmp(version + 1, "HTTP/1.", 7) != 0)
		return ERR_PROTOCOL;
	query = memchr(target, '?', (size_t)(version - target));
	path_end = query ? query : version;
	err = decode_path(target, (size_t)(path_end - target),
			  out->strings.path, SERVER_PATH_CAP);
	if (err == 0 && query)
		err = copy(query + 1, (size_t)(version - query - 1),
			   out->strings.query, SERVER_QUERY_CAP);
	return err;
}

static bool is_field(const char *line, size_t name_len, const char *name)
{
	return strlen(name) == name_len &&
	       strncasecmp(line, name, name_len) == 0;
}

/* Whether a comma-separated list has the word. */
static bool has_word(const char *list, size_t len, const char *word)
{
	size_t word_len = strlen(word);

	for (size_t i = 0; i < len; i++) {
		size_t n = 0;

		while (i + n < len && !strchr(", \t", list[i + n]))
			n++;
		if (n == word_len && strncasecmp(list + i, word, n) == 0)
			return true;
		i += n;
	}
	return false;
}

struct value {
	const char *at;
	size_t len;
};

static struct value trim(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return (struct value){ at, (size_t)(end - at) };
}

static int decode_field(const char *line, size_t len, char *cookie,
			size_t cookie_cap, struct request_head *out)
{
	const char *colon = memchr(line, ':', len);
	struct value value;
	size_t name_len;

	if (!colon || colon == line || memchr(line, ' ', (size_t)(colon - line)))
		return ERR_PROTOCOL;
	name_len = (size_t)(colon - line);
	value = trim(colon + 1, line + len);
	if (is_field(line, name_len, "connection"))
		out->upgrade |= has_word(value.at, value.len, "upgrade");
	if (is_field(line, name_len, "upgrade"))
		return copy(value.at, value.len, out->strings.protocol,
			    SERVER_PROTOCOL_CAP);
	if (is_field(line, name_len, "coder-session-token"))
		return copy(value.at, value.len, out->strings.token,
			    SERVER_TOKEN_CAP);
	if (is_field(line, name_len, "cookie"))
		return copy(value.at, value.len, cookie, cookie_cap);
	return 0;
}

/* All lines but the empty one; each ends with CRLF. */
static int decode_lines(const char *at, const char *end,
			struct request_head *out)
{
	char cookie[HEAD_CAP] = "";
	bool first = true;
	int err = 0;

	for (; err == 0 && at < end; first = false) {
		const char *stop = memchr(at, '\r', (size_t)(end - at));
		size_t len = stop ? (size_t)(stop - at) : 0;

		if (!stop || stop[1] != '\n' || memchr(at, '\0', len))
			return ERR_PROTOCOL;
		err = first ? decode_request_line(at, len, out) :
			      decode_field(at, len, cookie, sizeof(cookie),
					   out);
		at = stop + 2;
	}
	if (err == 0 && !*out->strings.token)
		server_find_token(&out->strings, cookie);
	return err;
}

ssize_t head_decode(const uint8_t *data, size_t len, struct request_head *out)
{
	const uint8_t *end = memmem(data, len < HEAD_CAP ? len : HEAD_CAP,
				    "\r\n\r\n", 4);
	int err;

	if (!end)
		return len >= HEAD_CAP ? ERR_TOO_LARGE : ERR_AGAIN;
	memset(out, 0, sizeof(*out));
	err = decode_lines((const char *)data, (const char *)end + 2, out);
	return err < 0 ? err : end + 4 - data;
}
