/*
 * core/base/api_error.h: a refusal of the deployment as one sentence.
 *
 * Coder answers {"message", "detail"?, "validations"?: [{"field", "detail"}]};
 * a proxy in front of it answers anything. Used for REST answers and for
 * refused WebSockets alike.
 */
#ifndef TUNNELHOST_BASE_API_ERROR_H
#define TUNNELHOST_BASE_API_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"

/*
 * Fills `error` and returns its code: 401 ERR_UNAUTHORIZED, 403 ERR_DENIED,
 * 404 and 410 ERR_NOT_FOUND, 409 ERR_CONFLICT, 408 ERR_TIMEOUT, 413
 * ERR_TOO_LARGE, 429 ERR_LIMIT, other 5xx ERR_UNREACHABLE, the rest
 * ERR_REFUSED. What is no such JSON is shown trimmed and printable.
 */
int api_error_read(int status, const void *body, size_t len,
		   struct error *error);

/* Whether validations[] names this field (`resume_token`). */
bool api_error_names_field(const void *body, size_t len, const char *field);

#endif
