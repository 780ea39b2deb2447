#include "core/host/reason.h"

#include <assert.h>

static const char *const names[] = {
	[REASON_NONE] = "none",
	[REASON_SIGNAL] = "signal",
	[REASON_STOPPED] = "stopped",
	[REASON_DELETED] = "deleted",
	[REASON_BUILD_FAILED] = "build_failed",
	[REASON_REPLACED] = "replaced",
	[REASON_TAILNET_LOST] = "tailnet_lost",
	[REASON_APP_FAILED] = "app_failed",
	[REASON_APP_DONE] = "app_done",
	[REASON_UNREACHABLE] = "unreachable",
	[REASON_DEADLINE] = "deadline",
};
static_assert(sizeof(names) / sizeof(names[0]) == REASON_KIND_COUNT,
	      "a name for every kind");

const char *reason_name(enum reason_kind kind)
{
	return names[kind];
}

int status_of_code(int code)
{
	switch (code) {
	case ERR_UNAUTHORIZED:
	case ERR_DENIED:
		return 77;
	case ERR_UNREACHABLE:
	case ERR_REFUSED:
	case ERR_RESET:
	case ERR_CLOSED:
	case ERR_NOT_FOUND:
		return 69;
	case ERR_TIMEOUT:
		return 124;
	default:
		return 1;
	}
}
