/*
 * core/watch/decode.h: one message of the agent-connection-watch.
 *
 * Text in, events of core/fsm out. Follows protocol.md, "Watch". Unknown
 * members and kinds (`job_log`) are skipped; unknown enum values become the
 * FSM's `unknown` and are named in `strange`, to be logged.
 */
#ifndef TUNNELHOST_WATCH_DECODE_H
#define TUNNELHOST_WATCH_DECODE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"
#include "core/fsm/fsm.h"

#define WATCH_MESSAGE_CAP (1u << 20)
#define WATCH_TEXT_CAP 200
#define WATCH_STRANGE_CAP 256

/* `error` of a frame. Coder's codes: 1 too many agents, 2 no such agent, 3 no
 * agents, 4 server shutdown, 5 database, 6 internal. */
struct watch_error {
	int code;
	bool retryable;		/* true when the frame does not say */
	char message[WATCH_TEXT_CAP];	/* printable, cut */
	char details[WATCH_TEXT_CAP];
};

struct watch_message {
	bool has_build;
	bool has_agent;
	bool has_error;
	struct fsm_event build;		/* FSM_BUILD_UPDATE */
	struct fsm_event agent;		/* FSM_AGENT_UPDATE */
	struct watch_error error;
	char strange[WATCH_STRANGE_CAP];	/* "" when all was known */
};

/*
 * 0; ERR_TOO_LARGE beyond WATCH_MESSAGE_CAP; ERR_PROTOCOL for what is no JSON
 * or of a wrong type, with the member's path; ERR_NOMEM.
 */
int watch_decode(const void *data, size_t len, struct watch_message *out,
		 struct error *error);

#endif
