/*
 * core/base/jread.h: reading JSON that nobody vouches for.
 *
 * Parses with a cap on length and depth (jansson), and reads members with a
 * message that names the path of what is wrong
 * (`latest_build.resources[2].name: expected a string, not an integer`). As
 * with a cursor the first failure sticks: a decoder reads all its members and
 * asks jread_code() once; what could not be read is zero or "". Members that
 * nobody asks for are ignored; null is the same as absent.
 */
#ifndef TUNNELHOST_BASE_JREAD_H
#define TUNNELHOST_BASE_JREAD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/id.h"

#define JREAD_DEPTH_CAP 64
#define JREAD_PATH_CAP 160

/*
 * One JSON value, owned by the caller (json_decref). 0; ERR_TOO_LARGE for
 * more than `cap` bytes; ERR_PROTOCOL for what is no JSON or is nested deeper
 * than JREAD_DEPTH_CAP; ERR_NOMEM.
 */
int jread_parse(const void *data, size_t len, size_t cap, json_t **out,
		struct error *error);

struct jread {
	int code;		/* of the first failure */
	struct error *error;	/* borrowed; may be NULL */
};

enum jneed {
	JREAD_OPTIONAL,
	JREAD_REQUIRED,
};

/* A value and where it stands; all borrowed. value NULL: absent. */
struct jplace {
	struct jread *read;
	json_t *value;
	char path[JREAD_PATH_CAP];
};

static inline int jread_code(const struct jread *read)
{
	return read->code;
}

/* The root must be an object. */
struct jplace jread_root(struct jread *read, json_t *value);
/* The root must be a list of at most `cap` elements. */
struct jplace jread_root_list(struct jread *read, json_t *value, size_t cap);
struct jplace jread_object(const struct jplace *at, const char *key,
			   enum jneed need);
/* At most `cap` elements, else ERR_TOO_LARGE. */
struct jplace jread_list(const struct jplace *at, const char *key,
			 enum jneed need, size_t cap);
size_t jread_count(const struct jplace *list);
/* Element `index`, which must be an object. */
struct jplace jread_item(const struct jplace *list, size_t index);

/* These return whether the member was there and right. */
bool jread_text(const struct jplace *at, const char *key, enum jneed need,
		char *out, size_t cap);
/* Borrowed from the value, at any length; NULL when absent or wrong. */
const char *jread_string(const struct jplace *at, const char *key,
			 enum jneed need);
/* For people: cut to `cap`, control characters become spaces. */
bool jread_line(const struct jplace *at, const char *key, enum jneed need,
		char *out, size_t cap);
bool jread_bool(const struct jplace *at, const char *key, enum jneed need,
		bool *out);
bool jread_integer(const struct jplace *at, const char *key, enum jneed need,
		   int64_t min, int64_t max, int64_t *out);
bool jread_uuid(const struct jplace *at, const char *key, enum jneed need,
		struct uuid *out);

/* A decoder's own complaint about a member (`key` NULL: about the place). */
void jread_refuse(const struct jplace *at, const char *key, int code,
		  const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#endif
