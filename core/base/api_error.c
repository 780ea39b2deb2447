#include "core/base/api_error.h"

#include <stdio.h>
#include <string.h>

#include "core/base/jread.h"
#include "core/base/line.h"

#define BODY_CAP (1u << 20)
#define VALIDATIONS_CAP 64
#define SHOWN_VALIDATIONS 4
#define PART_CAP 256
#define RAW_CAP 200

static int code_of(int status)
{
	switch (status) {
	case 401:
		return ERR_UNAUTHORIZED;
	case 403:
		return ERR_DENIED;
	case 404:
	case 410:
		return ERR_NOT_FOUND;
	case 408:
		return ERR_TIMEOUT;
	case 409:
		return ERR_CONFLICT;
	case 413:
		return ERR_TOO_LARGE;
	case 429:
		return ERR_LIMIT;
	}
	return status >= 500 ? ERR_UNREACHABLE : ERR_REFUSED;
}

/* Puts `text` behind what is there; a full stop between would read oddly. */
static void add(char *sentence, const char *before, const char *text,
		const char *after)
{
	size_t used = strlen(sentence);
	size_t len = strlen(text);

	while (len > 0 && text[len - 1] == '.')
		len--;
	if (len > 0)
		snprintf(sentence + used, ERROR_MESSAGE_CAP - used,
			 "%s%.*s%s", used ? before : "", (int)len, text,
			 after);
}

static void add_validations(const struct jplace *root, char *sentence)
{
	struct jplace list = jread_list(root, "validations", JREAD_OPTIONAL,
					VALIDATIONS_CAP);

	for (size_t i = 0; i < jread_count(&list) && i < SHOWN_VALIDATIONS;
	     i++) {
		struct jplace item = jread_item(&list, i);
		char field[64];
		char detail[PART_CAP];

		jread_line(&item, "field", JREAD_OPTIONAL, field,
			   sizeof(field));
		jread_line(&item, "detail", JREAD_OPTIONAL, detail,
			   sizeof(detail));
		add(sentence, i ? ", " : " (", field, ": ");
		add(sentence, "", detail, "");
	}
	if (jread_count(&list))
		add(sentence, "", ")", "");
}

/* Whether it was Coder's own form. */
static bool read_coder(const void *body, size_t len, char *sentence)
{
	struct jread read = { .error = NULL };
	struct jplace root;
	char message[PART_CAP];
	char detail[PART_CAP];
	json_t *value;
	bool found;

	if (jread_parse(body, len, BODY_CAP, &value, NULL) < 0)
		return false;
	root = jread_root(&read, value);
	found = jread_line(&root, "message", JREAD_REQUIRED, message,
			   sizeof(message)) && message[0];
	if (found) {
		add(sentence, "", message, "");
		jread_line(&root, "detail", JREAD_OPTIONAL, detail,
			   sizeof(detail));
		add(sentence, ": ", detail, "");
		add_validations(&root, sentence);
	}
	json_decref(value);
	return found;
}

int api_error_read(int status, const void *body, size_t len,
		   struct error *error)
{
	char sentence[ERROR_MESSAGE_CAP] = "";

	if (!len || !read_coder(body, len, sentence))
		line_of(len ? body : "", len, sentence, RAW_CAP);
	return error_set(error, code_of(status), "HTTP %d%s%s", status,
			 sentence[0] ? ": " : "", sentence);
}

bool api_error_names_field(const void *body, size_t len, const char *field)
{
	struct jread read = { .error = NULL };
	struct jplace root;
	struct jplace list;
	bool found = false;
	json_t *value;

	if (!len || jread_parse(body, len, BODY_CAP, &value, NULL) < 0)
		return false;
	root = jread_root(&read, value);
	list = jread_list(&root, "validations", JREAD_OPTIONAL,
			  VALIDATIONS_CAP);
	for (size_t i = 0; i < jread_count(&list); i++) {
		struct jplace item = jread_item(&list, i);
		char name[64];

		jread_line(&item, "field", JREAD_OPTIONAL, name, sizeof(name));
		found |= strcmp(name, field) == 0;
	}
	json_decref(value);
	return found;
}
