/*
 * core/watch/watch.h: the agent-connection-watch of one workspace.
 *
 * Owns the WebSocket and its redialling (policy.h); hands what the deployment
 * says to its owner as events of the state machine (decode.h). It never
 * touches the tunnel: a watch that is down is logged, and only what retrying
 * cannot mend before the tunnel is up is told by on_fatal.
 */
#ifndef TUNNELHOST_WATCH_WATCH_H
#define TUNNELHOST_WATCH_WATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/id.h"
#include "core/base/log.h"
#include "core/base/loop.h"
#include "core/base/network.h"
#include "core/base/rng.h"
#include "core/fsm/fsm.h"

struct watch;

/* Either may free the watch. Never called from inside watch_new(). */
struct watch_handlers {
	/* FSM_BUILD_UPDATE or FSM_AGENT_UPDATE, in the order received. After a
	 * redial the whole snapshot comes again. */
	void (*on_event)(void *user, const struct fsm_event *event);
	/* At most once; the watch is then idle, to be freed by its owner. */
	void (*on_fatal)(void *user, const struct error *error);
};

/* url, token and headers are borrowed until watch_free(). */
struct watch_config {
	struct network *network;
	struct loop *loop;
	struct rng *rng;
	struct log *log;		/* may be NULL */
	const char *url;		/* of the deployment; may end in '/' */
	const char *token;
	const struct http_header *headers;	/* sent besides the token's */
	size_t header_count;		/* at most WATCH_HEADERS_CAP */
	struct uuid workspace_id;
	const char *agent_name;		/* NULL or "": the only one */
	const struct watch_handlers *handlers;
	void *user;
};

#define WATCH_HEADERS_CAP 32
#define WATCH_URL_CAP 2048

/*
 * Begins to dial with the loop's next turn. 0, ERR_TOO_LARGE for a URL or
 * headers beyond the caps, or ERR_NOMEM.
 */
int watch_new(const struct watch_config *config, struct watch **out,
	      struct error *error);
/* To be told at tailnetUp (true): from then on nothing is fatal. */
void watch_set_established(struct watch *watch, bool established);
/* Whether the WebSocket is open now. */
bool watch_is_open(const struct watch *watch);
void watch_free(struct watch *watch);	/* may be NULL */

#endif
