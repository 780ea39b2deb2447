/*
 * core/base/err.h: the one error vocabulary of the program.
 *
 * Every function that can fail returns 0 or a negative enum err. Where a
 * person will read the failure, a struct error carries the sentence: what
 * was wrong, where, how much. Functions that take a `struct error *` accept
 * NULL, fill it only on failure, and return the code that they put in it.
 *
 * The codes from ERR_TIMEOUT to ERR_INTERNAL are the ones that Lua scripts
 * see by name (docs/lua-api.md); the first three stay inside the core.
 */
#ifndef TUNNELHOST_BASE_ERR_H
#define TUNNELHOST_BASE_ERR_H

#include <stdarg.h>
#include <stddef.h>

enum err {
	ERR_OK = 0,
	ERR_AGAIN = -1,		/* not now: wait for the next event */
	ERR_NOMEM = -2,
	ERR_MISUSE = -3,	/* the caller's arguments; Lua raises it */
	ERR_TIMEOUT = -4,
	ERR_CLOSED = -5,
	ERR_RESET = -6,
	ERR_REFUSED = -7,
	ERR_UNREACHABLE = -8,
	ERR_CANCELED = -9,
	ERR_DENIED = -10,
	ERR_NOT_FOUND = -11,
	ERR_UNAUTHORIZED = -12,
	ERR_CONFLICT = -13,
	ERR_PROTOCOL = -14,
	ERR_TOO_LARGE = -15,
	ERR_LIMIT = -16,
	ERR_INTERNAL = -17,
	ERR_MIN = ERR_INTERNAL,
};

#define ERROR_MESSAGE_CAP 512

struct error {
	int code;		/* enum err */
	char message[ERROR_MESSAGE_CAP];	/* one line, no full stop */
};

/* "timeout", "closed", …; "internal" for a code nobody knows. */
const char *err_name(int code);

/* Fills `error` (may be NULL) and returns `code`. Too long is cut. */
int error_set(struct error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts `format: ` in front of the message already there; returns its code. */
int error_prefix(struct error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* From errno values of the operating system (ECONNREFUSED → ERR_REFUSED …). */
int err_from_errno(int number);

#endif
