#include "core/tailnet/coordinate/coordinate_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/time.h"
#include "core/tailnet/coordinate/arena.h"
#include "core/tailnet/coordinate/derp_map_proto.h"
#include "core/tailnet/coordinate/rpc.h"
#include "core/tailnet/coordinate/tailnet.pb-c.h"
#include "core/tailnet/coordinate/yamux.h"

enum method {
	METHOD_NONE,		/* no Invoke yet */
	METHOD_COORDINATE,
	METHOD_DERP_MAPS,
	METHOD_REFRESH,
	METHOD_TELEMETRY,
};

struct call {
	struct rpc rpc;
	struct coordinate_server *server;
	enum method method;
	bool answered;		/* the one request has been taken */
	struct coordinator_peer *peer;	/* of METHOD_COORDINATE */
};

struct coordinate_server {
	struct coordinate_server_config config;
	struct yamux *yamux;
	uint64_t now_us;
	struct derp_map derp_map;
	uint64_t telemetry_events;
	struct call calls[COORDINATE_SERVER_RPC_CAP];
	unsigned depth;
};

static void enter(struct coordinate_server *s, uint64_t now_us)
{
	s->depth++;
	s->now_us = now_us;
	yamux_set_now(s->yamux, now_us);
}

static void leave(struct coordinate_server *s)
{
	const uint8_t *data;

	if (--s->depth == 0 && s->config.on_output &&
	    yamux_output(s->yamux, &data))
		s->config.on_output(s->config.user);
}

static void leave_coordinator(struct call *call)
{
	struct coordinator_peer *peer = call->peer;

	call->peer = NULL;
	if (peer)
		coordinator_leave(peer, call->server->now_us);
}

static void end_call(struct call *call)
{
	leave_coordinator(call);
	rpc_hang_up(&call->rpc);
}

static void fail_call(struct call *call, uint64_t code, const char *text)
{
	(void)rpc_error(&call->rpc, code, text);
	/* After an Error nothing may follow, not even Close. */
	leave_coordinator(call);
	rpc_drop(&call->rpc);
}

static void send_or_end(struct call *call, const ProtobufCMessage *message)
{
	struct buf bytes = { .limit = DRPC_PACKET_CAP };
	int err = message_append(message, &bytes);

	if (err == 0)
		err = rpc_message(&call->rpc, buf_data(&bytes), bytes.len);
	buf_clear(&bytes);
	if (err < 0)
		end_call(call);
}

/* Coordinate. */

static int deliver(void *user, const void *data, size_t len, uint64_t now_us)
{
	struct call *call = user;
	struct coordinate_server *s = call->server;
	int err;

	enter(s, now_us);
	err = rpc_message(&call->rpc, data, len);
	leave(s);
	return err;
}

static void hung_up(void *user, uint64_t now_us)
{
	struct call *call = user;
	struct coordinate_server *s = call->server;

	enter(s, now_us);
	call->peer = NULL;
	rpc_hang_up(&call->rpc);
	leave(s);
}

static const struct coordinator_events coordinator_callbacks = {
	.deliver = deliver,
	.hang_up = hung_up,
};

static void start_coordinate(struct call *call)
{
	struct coordinate_server *s = call->server;
	const struct coordinate_server_config *config = &s->config;

	call->method = METHOD_COORDINATE;
	if (coordinator_join(config->coordinator, &config->peer, false,
			     &config->agent, &coordinator_callbacks, call,
			     s->now_us, &call->peer) < 0)
		fail_call(call, 0, "no memory for a peer");
}

static void coordinate_request(struct call *call, const uint8_t *data,
			       size_t len)
{
	/* What is wrong with it ends in hung_up(). */
	if (call->peer)
		(void)coordinator_request(call->peer, data, len,
					  call->server->now_us);
}

/* StreamDERPMaps. */

static void send_derp_map(struct call *call)
{
	struct buf bytes = { .limit = DRPC_PACKET_CAP };
	int err = derp_map_encode(&call->server->derp_map, &bytes);

	if (err == 0)
		err = rpc_message(&call->rpc, buf_data(&bytes), bytes.len);
	buf_clear(&bytes);
	if (err < 0)
		fail_call(call, 0, "the DERP map cannot be sent");
}

/* The unary ones. */

static void answer_refresh(struct call *call)
{
	struct coordinate_server *s = call->server;
	const struct resume_tokens *tokens = s->config.tokens;
	Tailnet__RefreshResumeTokenResponse response =
		TAILNET__REFRESH_RESUME_TOKEN_RESPONSE__INIT;
	Tailnet__Duration refresh_in = TAILNET__DURATION__INIT;
	Tailnet__Timestamp expires = TAILNET__TIMESTAMP__INIT;
	char token[RESUME_TOKEN_CAP];
	int64_t wall_us = s->config.wall_offset_us + (int64_t)s->now_us;

	expires.seconds = wall_us / (int64_t)US_PER_S + tokens->lifetime_s;
	refresh_in.seconds = tokens->lifetime_s / 2;
	refresh_in.nanos = tokens->lifetime_s % 2 ? 500000000 : 0;
	resume_token_sign(tokens, &s->config.peer, expires.seconds, token);
	response.token = token;
	response.refresh_in = &refresh_in;
	response.expires_at = &expires;
	response.peer_id.data = s->config.peer.bytes;
	response.peer_id.len = sizeof(s->config.peer.bytes);
	send_or_end(call, &response.base);
	(void)rpc_close_send(&call->rpc);
}

static void answer_telemetry(struct call *call, const uint8_t *data,
			     size_t len)
{
	ProtobufCMessage *message;
	struct arena arena;

	arena_init(&arena, ARENA_MESSAGE_CAP);
	if (arena_decode(&arena, &tailnet__telemetry_request__descriptor, data,
			 len, "TelemetryRequest", &message, NULL) == 0) {
		call->server->telemetry_events +=
			((Tailnet__TelemetryRequest *)message)->n_events;
		(void)rpc_message(&call->rpc, NULL, 0);
		(void)rpc_close_send(&call->rpc);
	} else {
		fail_call(call, 0, "TelemetryRequest cannot be decoded");
	}
	arena_clear(&arena);
}

/* Calls. */

static void on_invoke(struct rpc *rpc, const char *path)
{
	struct call *call = rpc->user;
	char text[RPC_PATH_CAP + 32];

	if (strcmp(path, RPC_PATH "Coordinate") == 0) {
		start_coordinate(call);
	} else if (strcmp(path, RPC_PATH "StreamDERPMaps") == 0) {
		call->method = METHOD_DERP_MAPS;
	} else if (strcmp(path, RPC_PATH "RefreshResumeToken") == 0 &&
		   call->server->config.tokens) {
		call->method = METHOD_REFRESH;
	} else if (strcmp(path, RPC_PATH "PostTelemetry") == 0) {
		call->method = METHOD_TELEMETRY;
	} else {
		snprintf(text, sizeof(text), "unknown rpc: \"%s\"", path);
		fail_call(call, DRPC_CODE_UNIMPLEMENTED, text);
	}
}

static void on_message(struct rpc *rpc, const uint8_t *data, size_t len)
{
	struct call *call = rpc->user;

	if (call->method == METHOD_COORDINATE) {
		coordinate_request(call, data, len);
		return;
	}
	if (call->answered) {
		fail_call(call, 0, "a second request on a unary call");
		return;
	}
	call->answered = true;
	switch (call->method) {
	case METHOD_DERP_MAPS:
		send_derp_map(call);
		break;
	case METHOD_REFRESH:
		answer_refresh(call);
		break;
	case METHOD_TELEMETRY:
		answer_telemetry(call, data, len);
		break;
	case METHOD_NONE:
	case METHOD_COORDINATE:
		break;
	}
}

/* A client that sends no more requests leaves, as one whose socket is gone. */
static void on_close_send(struct rpc *rpc)
{
	struct call *call = rpc->user;

	if (call->method == METHOD_COORDINATE)
		end_call(call);
}

static void on_rpc_end(struct rpc *rpc, const struct rpc_end *end)
{
	(void)end;
	end_call(rpc->user);
}

static const struct rpc_events rpc_callbacks = {
	.on_invoke = on_invoke,
	.on_message = on_message,
	.on_close_send = on_close_send,
	.on_end = on_rpc_end,
};

/* The session. */

static bool on_accept(void *user, struct yamux_stream *stream)
{
	struct coordinate_server *s = user;

	for (size_t i = 0; i < COORDINATE_SERVER_RPC_CAP; i++) {
		struct call *call = &s->calls[i];

		if (call->rpc.stream || call->rpc.busy)
			continue;
		*call = (struct call){ .server = s };
		rpc_accept(&call->rpc, stream, &rpc_callbacks, call);
		return true;
	}
	return false;
}

static void on_data(void *user, struct yamux_stream *stream,
		    const uint8_t *data, size_t len)
{
	(void)user;
	rpc_data(yamux_stream_user(stream), data, len);
}

static void on_end(void *user, struct yamux_stream *stream, int err)
{
	(void)user;
	rpc_stream_end(yamux_stream_user(stream), err);
}

static const struct yamux_events yamux_callbacks = {
	.on_accept = on_accept,
	.on_data = on_data,
	.on_end = on_end,
};

int coordinate_server_new(const struct coordinate_server_config *config,
			  uint64_t now_us, struct coordinate_server **out)
{
	struct coordinate_server *s = calloc(1, sizeof(*s));

	if (!s)
		return ERR_NOMEM;
	s->config = *config;
	s->config.derp_map = NULL;
	s->now_us = now_us;
	if (derp_map_copy(config->derp_map, &s->derp_map) < 0 ||
	    yamux_new(YAMUX_SERVER, &yamux_callbacks, s, now_us, &s->yamux) <
		    0) {
		derp_map_clear(&s->derp_map);
		free(s);
		return ERR_NOMEM;
	}
	*out = s;
	return 0;
}

static void end_all(struct coordinate_server *s)
{
	for (size_t i = 0; i < COORDINATE_SERVER_RPC_CAP; i++) {
		leave_coordinator(&s->calls[i]);
		rpc_drop(&s->calls[i].rpc);
	}
}

void coordinate_server_free(struct coordinate_server *s, uint64_t now_us)
{
	if (!s)
		return;
	s->now_us = now_us;
	end_all(s);
	yamux_free(s->yamux);
	derp_map_clear(&s->derp_map);
	free(s);
}

int coordinate_server_in(struct coordinate_server *s, const void *data,
			 size_t len, uint64_t now_us, struct error *error)
{
	int err;

	enter(s, now_us);
	err = yamux_in(s->yamux, data, len, now_us, error);
	if (err < 0)
		end_all(s);
	leave(s);
	return err;
}

size_t coordinate_server_output(const struct coordinate_server *s,
				const uint8_t **data)
{
	return yamux_output(s->yamux, data);
}

void coordinate_server_sent(struct coordinate_server *s, size_t len,
			    uint64_t now_us)
{
	yamux_sent(s->yamux, len, now_us);
}

uint64_t coordinate_server_next_deadline(const struct coordinate_server *s)
{
	return yamux_next_deadline(s->yamux);
}

int coordinate_server_tick(struct coordinate_server *s, uint64_t now_us,
			   struct error *error)
{
	int err;

	enter(s, now_us);
	err = yamux_tick(s->yamux, now_us, error);
	if (err < 0)
		end_all(s);
	leave(s);
	return err;
}

int coordinate_server_set_derp_map(struct coordinate_server *s,
				   const struct derp_map *map, uint64_t now_us)
{
	if (derp_map_equal(map, &s->derp_map))
		return 0;
	if (derp_map_copy(map, &s->derp_map) < 0)
		return ERR_NOMEM;
	enter(s, now_us);
	for (size_t i = 0; i < COORDINATE_SERVER_RPC_CAP; i++)
		if (s->calls[i].rpc.stream && s->calls[i].answered &&
		    s->calls[i].method == METHOD_DERP_MAPS)
			send_derp_map(&s->calls[i]);
	leave(s);
	return 0;
}

uint64_t coordinate_server_telemetry_events(const struct coordinate_server *s)
{
	return s->telemetry_events;
}
