/*
 * core/host/reason.h: why a tunnel winds down, and the exit status for it.
 *
 * The first cause stands: what follows from it is not another reason.
 * Kinds are those of docs/lua-api.md, statuses those of docs/cli.md.
 */
#ifndef TUNNELHOST_HOST_REASON_H
#define TUNNELHOST_HOST_REASON_H

#include <stdbool.h>

#include "core/base/err.h"

enum reason_kind {
	REASON_NONE,
	REASON_SIGNAL,
	REASON_STOPPED,
	REASON_DELETED,
	REASON_BUILD_FAILED,
	REASON_REPLACED,
	REASON_TAILNET_LOST,
	REASON_APP_FAILED,
	REASON_APP_DONE,
	/* Before there was a tunnel; scripts do not see these. */
	REASON_UNREACHABLE,
	REASON_DEADLINE,
	REASON_KIND_COUNT,
};

struct reason {
	enum reason_kind kind;
	int status;		/* exit status */
	struct error error;	/* code 0: nothing to tell */
	const char *what;	/* of `tunnelhost: WHAT: WHY`, or NULL */
};

const char *reason_name(enum reason_kind kind);
/* 77, 69, 124 or 1, by docs/lua-api.md's rule for error codes. */
int status_of_code(int code);

#endif
