/*
 * core/tailnet/coordinate/coordinate_server.h: the server end of one
 * coordinate socket.
 *
 * yamux and DRPC for one client of the embedded deployment; the rules are
 * the coordinator's (coordinator.h). Serves Coordinate, StreamDERPMaps,
 * RefreshResumeToken and PostTelemetry; answers everything else with an
 * error, as drpcmux does. Follows tailnetSvc in peer/coordinator.go.
 */
#ifndef TUNNELHOST_COORDINATE_COORDINATE_SERVER_H
#define TUNNELHOST_COORDINATE_COORDINATE_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/derp_map.h"
#include "core/base/err.h"
#include "core/base/id.h"
#include "core/tailnet/coordinate/coordinator.h"
#include "core/tailnet/coordinate/resume_token.h"

#define COORDINATE_SERVER_RPC_CAP 16	/* calls under way on one socket */

struct coordinate_server;

struct coordinate_server_config {
	struct coordinator *coordinator;
	struct uuid peer;		/* the client's id on this socket */
	struct uuid agent;		/* the one it may open a tunnel to */
	/* NULL: RefreshResumeToken is unimplemented, as on old servers. */
	const struct resume_tokens *tokens;
	int64_t wall_offset_us;		/* Unix time at now_us 0 */
	const struct derp_map *derp_map;	/* borrowed for the call */
	/*
	 * There is something to send. Also from calls for other peers of the
	 * coordinator, so it may only queue; never free the server in it.
	 */
	void (*on_output)(void *user);
	void *user;
};

/* 0 or ERR_NOMEM; `*out` is owned. */
int coordinate_server_new(const struct coordinate_server_config *config,
			  uint64_t now_us, struct coordinate_server **out);
/* The others hear LOST unless the client disconnected. */
void coordinate_server_free(struct coordinate_server *server, uint64_t now_us);

/* 0, or what ended the session: flush the output and close the socket. */
int coordinate_server_in(struct coordinate_server *server, const void *data,
			 size_t len, uint64_t now_us, struct error *error);
/* As yamux_output() and yamux_sent(). */
size_t coordinate_server_output(const struct coordinate_server *server,
				const uint8_t **data);
void coordinate_server_sent(struct coordinate_server *server, size_t len,
			    uint64_t now_us);
uint64_t coordinate_server_next_deadline(
	const struct coordinate_server *server);
/* 0, or what ended the session. */
int coordinate_server_tick(struct coordinate_server *server, uint64_t now_us,
			   struct error *error);

/* Sends it to those who follow the DERP map. 0 or a negative enum err. */
int coordinate_server_set_derp_map(struct coordinate_server *server,
				   const struct derp_map *map,
				   uint64_t now_us);
/* Telemetry events that the client has posted. */
uint64_t coordinate_server_telemetry_events(
	const struct coordinate_server *server);

#endif
