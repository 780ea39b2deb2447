/*
 * core/script/pattern.h: Lua patterns with a budget.
 *
 * Lua's own matcher can backtrack for ever inside one C call, where no hook
 * reaches it. This one follows the same manual (Lua 5.4, section 6.4.1) and
 * asks `overspent` every few thousand steps.
 */
#ifndef TUNNELHOST_SCRIPT_PATTERN_H
#define TUNNELHOST_SCRIPT_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#define PATTERN_CAPTURE_CAP 32
#define PATTERN_DEPTH_CAP 200

enum pattern_capture_kind {
	PATTERN_CAPTURE_OPEN,
	PATTERN_CAPTURE_POSITION,
	PATTERN_CAPTURE_CLOSED,
};

struct pattern_capture {
	const char *start;
	size_t len;
	enum pattern_capture_kind kind;
};

struct pattern {
	const char *source;
	const char *source_end;
	const char *end;		/* of the pattern */
	const char *error;		/* what is wrong with it, or NULL */
	bool spent;			/* `overspent` said so */
	bool (*overspent)(void *user);
	void *user;
	unsigned depth;
	unsigned steps;
	int level;
	struct pattern_capture captures[PATTERN_CAPTURE_CAP];
};

/*
 * The end of a match of the pattern from `p` at exactly `s`, or NULL (then
 * look at error and spent). Captures are in captures[0 … level).
 */
const char *pattern_match(struct pattern *m, const char *s, const char *p);

#endif
