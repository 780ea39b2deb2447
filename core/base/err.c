#include "core/base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
	[-ERR_OK] = "ok",
	[-ERR_AGAIN] = "again",
	[-ERR_NOMEM] = "limit",
	[-ERR_MISUSE] = "misuse",
	[-ERR_TIMEOUT] = "timeout",
	[-ERR_CLOSED] = "closed",
	[-ERR_RESET] = "reset",
	[-ERR_REFUSED] = "refused",
	[-ERR_UNREACHABLE] = "unreachable",
	[-ERR_CANCELED] = "canceled",
	[-ERR_DENIED] = "denied",
	[-ERR_NOT_FOUND] = "not_found",
	[-ERR_UNAUTHORIZED] = "unauthorized",
	[-ERR_CONFLICT] = "conflict",
	[-ERR_PROTOCOL] = "protocol",
	[-ERR_TOO_LARGE] = "too_large",
	[-ERR_LIMIT] = "limit",
	[-ERR_INTERNAL] = "internal",
};
static_assert(sizeof(names) / sizeof(names[0]) == -ERR_MIN + 1,
	      "a name for every code");

const char *err_name(int code)
{
	if (code > 0 || code < ERR_MIN)
		return names[-ERR_INTERNAL];
	return names[-code];
}

int error_set(struct error *error, int code, const char *format, ...)
{
	va_list args;

	if (!error)
		return code;
	error->code = code;
	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);
	return code;
}

int error_prefix(struct error *error, const char *format, ...)
{
	char old[ERROR_MESSAGE_CAP];
	va_list args;
	size_t used;

	if (!error)
		return ERR_INTERNAL;
	memcpy(old, error->message, sizeof(old));
	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);
	used = strlen(error->message);
	snprintf(error->message + used, sizeof(error->message) - used,
		 ": %.*s", (int)sizeof(old) - 1, old);
	return error->code;
}

int err_from_errno(int number)
{
	switch (number) {
	case 0:
		return ERR_OK;
	case EAGAIN:
	case EINTR:
		return ERR_AGAIN;
	case ENOMEM:
	case ENOBUFS:
		return ERR_NOMEM;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case EPIPE:
	case ENOTCONN:
		return ERR_CLOSED;
	case ECONNRESET:
	case ECONNABORTED:
		return ERR_RESET;
	case ECONNREFUSED:
		return ERR_REFUSED;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ENETDOWN:
	case EADDRNOTAVAIL:
		return ERR_UNREACHABLE;
	case EACCES:
	case EPERM:
		return ERR_DENIED;
	case ENOENT:
		return ERR_NOT_FOUND;
	case EADDRINUSE:
	case EEXIST:
		return ERR_CONFLICT;
	case EMFILE:
	case ENFILE:
		return ERR_LIMIT;
	default:
		return ERR_INTERNAL;
	}
}
