/*
 * core/host/timeline.h: which states a tunnel has been in, and when.
 */
#ifndef TUNNELHOST_HOST_TIMELINE_H
#define TUNNELHOST_HOST_TIMELINE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TIMELINE_CAP 64

struct timeline_step {
	const char *state;	/* a name of docs/fsm.md */
	uint64_t at_us;		/* the loop's clock */
};

/* The first step stays; when it is full the oldest after it goes. */
struct timeline {
	struct timeline_step steps[TIMELINE_CAP];
	size_t count;
};

static inline void timeline_note(struct timeline *line, const char *state,
				 uint64_t at_us)
{
	if (line->count == TIMELINE_CAP)
		memmove(line->steps + 1, line->steps + 2,
			(--line->count - 1) * sizeof(line->steps[0]));
	line->steps[line->count++] = (struct timeline_step){
		.state = state, .at_us = at_us,
	};
}

#endif
