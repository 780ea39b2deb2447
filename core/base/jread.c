#include "core/base/jread.h"

#include <stdio.h>
#include <string.h>

#include "core/base/line.h"

/* jansson recurses; what it would recurse into is counted first. */
static bool too_deep(const char *text, size_t len)
{
	size_t depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		if (in_string && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			in_string = !in_string;
		else if (!in_string && (text[i] == '[' || text[i] == '{'))
			depth++;
		else if (!in_string && (text[i] == ']' || text[i] == '}'))
			depth -= depth > 0;
		if (depth > JREAD_DEPTH_CAP)
			return true;
	}
	return false;
}

/* jansson quotes the input after " near "; it may be anything. */
static int not_json(const json_error_t *parse, struct error *error)
{
	const char *near = strstr(parse->text, " near ");
	int len = near ? (int)(near - parse->text) : (int)strlen(parse->text);

	return error_set(error, ERR_PROTOCOL,
			 "not valid JSON at line %d, column %d: %.*s",
			 parse->line, parse->column, len, parse->text);
}

int jread_parse(const void *data, size_t len, size_t cap, json_t **out,
		struct error *error)
{
	json_error_t parse;

	if (len > cap)
		return error_set(error, ERR_TOO_LARGE,
				 "%zu bytes of JSON, more than %zu", len, cap);
	if (too_deep(data, len))
		return error_set(error, ERR_PROTOCOL,
				 "JSON nested deeper than %d",
				 JREAD_DEPTH_CAP);
	*out = json_loadb(len ? data : "", len,
			  JSON_DECODE_ANY | JSON_ALLOW_NUL, &parse);
	if (*out)
		return 0;
	if (json_error_code(&parse) == json_error_out_of_memory)
		return error_set(error, ERR_NOMEM, "out of memory");
	return not_json(&parse, error);
}

static const char *const type_names[] = {
	[JSON_OBJECT] = "an object",	[JSON_ARRAY] = "a list",
	[JSON_STRING] = "a string",	[JSON_INTEGER] = "an integer",
	[JSON_REAL] = "a fraction",	[JSON_TRUE] = "a boolean",
	[JSON_FALSE] = "a boolean",	[JSON_NULL] = "null",
};

static void join(char *out, const char *path, const char *key)
{
	const char *dot = path[0] && key[0] ? "." : "";

	snprintf(out, JREAD_PATH_CAP, "%.*s%s%.60s", JREAD_PATH_CAP - 64, path,
		 dot, key);
}

void jread_refuse(const struct jplace *at, const char *key, int code,
		  const char *format, ...)
{
	char path[JREAD_PATH_CAP];
	char message[256];
	va_list args;

	if (at->read->code)
		return;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	join(path, at->path, key ? key : "");
	at->read->code = error_set(at->read->error, code, "%s%s%s", path,
				   path[0] ? ": " : "", message);
}

static void wrong_type(const struct jplace *at, const char *key,
		       const char *wanted, const json_t *value)
{
	jread_refuse(at, key, ERR_PROTOCOL, "expected %s, not %s", wanted,
		     type_names[json_typeof(value)]);
}

/* NULL when absent, null, or after a failure. */
static json_t *member(const struct jplace *at, const char *key,
		      enum jneed need)
{
	json_t *value;

	if (at->read->code || !at->value)
		return NULL;
	value = json_object_get(at->value, key);
	if (value && !json_is_null(value))
		return value;
	if (need == JREAD_REQUIRED)
		jread_refuse(at, key, ERR_PROTOCOL, "missing");
	return NULL;
}

struct jplace jread_root(struct jread *read, json_t *value)
{
	struct jplace at = { .read = read, .value = value };

	if (!json_is_object(value)) {
		wrong_type(&at, NULL, "an object", value);
		at.value = NULL;
	}
	return at;
}

struct jplace jread_root_list(struct jread *read, json_t *value, size_t cap)
{
	struct jplace at = { .read = read, .value = value };

	if (!json_is_array(value)) {
		wrong_type(&at, NULL, "a list", value);
		at.value = NULL;
	} else if (json_array_size(value) > cap) {
		jread_refuse(&at, NULL, ERR_TOO_LARGE,
			     "%zu elements, more than %zu",
			     json_array_size(value), cap);
		at.value = NULL;
	}
	return at;
}

static struct jplace container(const struct jplace *at, const char *key,
			       enum jneed need, json_type type,
			       const char *wanted)
{
	struct jplace found = { .read = at->read };
	json_t *value = member(at, key, need);

	join(found.path, at->path, key);
	if (value && json_typeof(value) == type)
		found.value = value;
	else if (value)
		wrong_type(at, key, wanted, value);
	return found;
}

struct jplace jread_object(const struct jplace *at, const char *key,
			   enum jneed need)
{
	return container(at, key, need, JSON_OBJECT, "an object");
}

struct jplace jread_list(const struct jplace *at, const char *key,
			 enum jneed need, size_t cap)
{
	struct jplace list = container(at, key, need, JSON_ARRAY, "a list");

	if (jread_count(&list) > cap) {
		jread_refuse(at, key, ERR_TOO_LARGE,
			     "%zu elements, more than %zu",
			     jread_count(&list), cap);
		list.value = NULL;
	}
	return list;
}

size_t jread_count(const struct jplace *list)
{
	return list->value ? json_array_size(list->value) : 0;
}

struct jplace jread_item(const struct jplace *list, size_t index)
{
	struct jplace item = { .read = list->read };
	json_t *value = json_array_get(list->value, index);

	snprintf(item.path, sizeof(item.path), "%.*s[%zu]",
		 JREAD_PATH_CAP - 24, list->path, index);
	if (value && !json_is_object(value))
		wrong_type(&item, NULL, "an object", value);
	else
		item.value = value;
	return item;
}

static json_t *string_member(const struct jplace *at, const char *key,
			     enum jneed need)
{
	json_t *value = member(at, key, need);

	if (!value || json_is_string(value))
		return value;
	wrong_type(at, key, "a string", value);
	return NULL;
}

bool jread_line(const struct jplace *at, const char *key, enum jneed need,
		char *out, size_t cap)
{
	json_t *value = string_member(at, key, need);

	out[0] = '\0';
	if (!value)
		return false;
	line_of(json_string_value(value), json_string_length(value), out,
		cap);
	return true;
}

const char *jread_string(const struct jplace *at, const char *key,
			 enum jneed need)
{
	json_t *value = string_member(at, key, need);

	if (!value)
		return NULL;
	if (memchr(json_string_value(value), '\0',
		   json_string_length(value))) {
		jread_refuse(at, key, ERR_PROTOCOL, "contains a NUL");
		return NULL;
	}
	return json_string_value(value);
}

bool jread_text(const struct jplace *at, const char *key, enum jneed need,
		char *out, size_t cap)
{
	const char *text = jread_string(at, key, need);
	size_t len = text ? strlen(text) : 0;

	out[0] = '\0';
	if (!text)
		return false;
	if (len >= cap) {
		jread_refuse(at, key, ERR_TOO_LARGE,
			     "%zu bytes, more than %zu", len, cap - 1);
		return false;
	}
	memcpy(out, text, len + 1);
	return true;
}

bool jread_bool(const struct jplace *at, const char *key, enum jneed need,
		bool *out)
{
	json_t *value = member(at, key, need);

	*out = false;
	if (!value)
		return false;
	if (!json_is_boolean(value)) {
		wrong_type(at, key, "a boolean", value);
		return false;
	}
	*out = json_is_true(value);
	return true;
}

bool jread_integer(const struct jplace *at, const char *key, enum jneed need,
		   int64_t min, int64_t max, int64_t *out)
{
	json_t *value = member(at, key, need);
	json_int_t number;

	*out = 0;
	if (!value)
		return false;
	if (!json_is_integer(value)) {
		wrong_type(at, key, "an integer", value);
		return false;
	}
	number = json_integer_value(value);
	if (number < min || number > max) {
		jread_refuse(at, key, ERR_PROTOCOL,
			     "%lld is not within %lld to %lld",
			     (long long)number, (long long)min,
			     (long long)max);
		return false;
	}
	*out = number;
	return true;
}

bool jread_uuid(const struct jplace *at, const char *key, enum jneed need,
		struct uuid *out)
{
	char text[64];

	*out = (struct uuid){ { 0 } };
	if (!jread_text(at, key, need, text, sizeof(text)))
		return false;
	if (uuid_from_text(text, out) == 0)
		return true;
	jread_refuse(at, key, ERR_PROTOCOL, "not a UUID");
	return false;
}
