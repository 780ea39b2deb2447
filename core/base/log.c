#include "core/base/log.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

static const char *const names[] = {
	[LOG_DEBUG] = "debug",
	[LOG_INFO] = "info",
	[LOG_WARN] = "warn",
	[LOG_ERROR] = "error",
	[LOG_CRITICAL] = "critical",
};
static_assert(sizeof(names) / sizeof(names[0]) == LOG_LEVEL_COUNT,
	      "a name for every level");

const char *log_level_name(enum log_level level)
{
	return level < LOG_LEVEL_COUNT ? names[level] : "unknown";
}

void log_at(struct log *log, enum log_level level, const char *room,
	    const char *format, ...)
{
	char message[1024];
	va_list args;

	if (!log || level < log->level)
		return;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	log->write(log, level, room, message);
}
