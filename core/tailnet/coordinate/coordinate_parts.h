/*
 * core/tailnet/coordinate/coordinate_parts.h: inside of the client.
 *
 * For coordinate.c (the session) and coordinate_calls.c (the calls) alone.
 *
 * Three calls, a yamux stream each: Coordinate (both ways, as long as the
 * session), StreamDERPMaps (one request, many answers) and
 * RefreshResumeToken (now and then). Only Coordinate is vital: what becomes
 * of the others is reported, no more.
 */
#ifndef TUNNELHOST_COORDINATE_COORDINATE_PARTS_H
#define TUNNELHOST_COORDINATE_COORDINATE_PARTS_H

#include "core/tailnet/coordinate/coordinate.h"
#include "core/tailnet/coordinate/rpc.h"
#include "core/tailnet/coordinate/yamux.h"

enum state {
	STATE_OPEN,
	STATE_DISCONNECTING,	/* Disconnect is out, Close is awaited */
	STATE_OVER,		/* on_done or on_failed was called */
};

struct coordinate {
	struct coordinate_config config;
	struct yamux *yamux;
	enum state state;
	struct rpc coordinate;
	struct rpc derp_maps;
	struct rpc refresh;
	uint64_t now_us;
	uint64_t refresh_deadline;	/* to ask, or to be answered */
	uint64_t retry_us;
	uint64_t disconnect_deadline;
	unsigned depth;		/* of public calls; freed at 0 */
	bool freed;
};

/* The session. */

/* Whether the owner still listens and the session still means something. */
bool coordinate_listening(const struct coordinate *c);
/* on_done or on_failed, once. */
void coordinate_finish(struct coordinate *c, const struct error *error);
void coordinate_rpc_failed(struct coordinate *c, const char *rpc,
			   const struct error *error);

/* The calls; the int ones are 0, ERR_CLOSED, ERR_LIMIT or ERR_NOMEM. */

int coordinate_open(struct coordinate *c);
int coordinate_start_derp_maps(struct coordinate *c);
int coordinate_start_refresh(struct coordinate *c);
int coordinate_send_tunnel(struct coordinate *c, const struct uuid *agent,
			   bool add);
int coordinate_send_node(struct coordinate *c, const struct coord_node *node);
int coordinate_send_disconnect(struct coordinate *c);
void coordinate_tick_refresh(struct coordinate *c);
void coordinate_hang_up_all(struct coordinate *c);

#endif
