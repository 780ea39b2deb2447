#include "core/rest/workspace_ref.h"

#include <ctype.h>
#include <string.h>

#define PARTS_CAP 3
#define UUID_LEN (UUID_TEXT_CAP - 1)

struct part {
	const char *at;
	size_t len;
};

/* Bytes of the separator at `at`, 0 when there is none: '/', '.' or "--". */
static size_t separator(const char *at)
{
	if (*at == '/' || *at == '.')
		return 1;
	return at[0] == '-' && at[1] == '-' ? 2 : 0;
}

/* How many parts; PARTS_CAP + 1 when there are too many. */
static size_t split(const char *text, struct part parts[PARTS_CAP])
{
	size_t count = 0;

	for (;;) {
		size_t len = 0;

		while (text[len] && !separator(text + len))
			len++;
		if (count == PARTS_CAP)
			return PARTS_CAP + 1;
		parts[count++] = (struct part){ text, len };
		if (!text[len])
			return count;
		text += len + separator(text + len);
	}
}

static int take(struct part part, char out[REST_NAME_CAP], const char *what,
		struct error *error)
{
	if (part.len == 0)
		return error_set(error, ERR_MISUSE, "the %s is empty", what);
	if (part.len >= REST_NAME_CAP)
		return error_set(error, ERR_MISUSE,
				 "the %s is longer than %d characters", what,
				 REST_NAME_CAP - 1);
	if (part.at[0] == '-')
		return error_set(error, ERR_MISUSE,
				 "the %s begins with '-'", what);
	for (size_t i = 0; i < part.len; i++) {
		unsigned char c = (unsigned char)part.at[i];

		if (c >= 0x80 || (!isalnum(c) && c != '-' && c != '_'))
			return error_set(error, ERR_MISUSE,
					 "the %s may only have letters, "
					 "digits, '-' and '_'", what);
	}
	memcpy(out, part.at, part.len);
	out[part.len] = '\0';
	return 0;
}

static int take_id(const char *text, struct rest_workspace_ref *out,
		   struct error *error)
{
	const char *agent = text + UUID_LEN + 1;

	out->by_id = true;
	if (text[UUID_LEN] == '\0')
		return 0;
	return take((struct part){ agent, strlen(agent) }, out->agent,
		    "agent's name", error);
}

/* A UUID has no separator in it, but it must not be taken for a name. */
static bool starts_with_id(const char *text, struct uuid *id)
{
	char head[UUID_TEXT_CAP];

	if (strlen(text) < UUID_LEN ||
	    (text[UUID_LEN] != '\0' && text[UUID_LEN] != '.'))
		return false;
	memcpy(head, text, UUID_LEN);
	head[UUID_LEN] = '\0';
	return uuid_from_text(head, id) == 0;
}

static int take_names(const struct part *parts, size_t count, bool has_dot,
		      struct rest_workspace_ref *out, struct error *error)
{
	bool owner = count == 3 || (count == 2 && !has_dot);
	bool agent = count == 3 || (count == 2 && has_dot);
	int code = 0;

	strcpy(out->owner, "me");
	if (owner)
		code = take(*parts++, out->owner, "owner's name", error);
	if (code == 0)
		code = take(*parts++, out->name, "workspace's name", error);
	if (code == 0 && agent)
		code = take(*parts, out->agent, "agent's name", error);
	return code;
}

int rest_parse_workspace(const char *text, struct rest_workspace_ref *out,
			 struct error *error)
{
	struct part parts[PARTS_CAP];
	size_t count;
	int code;

	*out = (struct rest_workspace_ref){ .by_id = false };
	if (starts_with_id(text, &out->id)) {
		code = take_id(text, out, error);
	} else {
		count = split(text, parts);
		code = count > PARTS_CAP ?
			       error_set(error, ERR_MISUSE,
					 "expected [owner/]name[.agent]") :
			       take_names(parts, count, strchr(text, '.'),
					  out, error);
	}
	if (code < 0)
		error_prefix(error, "no name of a workspace");
	return code;
}
