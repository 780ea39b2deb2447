#include <stdlib.h>
#include <string.h>

#include "core/tailnet/coordinate/coordinate_parts.h"
#include "core/tailnet/coordinate/derp_map_proto.h"
#include "core/tailnet/coordinate/node_message.h"

#define REFRESH_LEAST_US (1 * US_PER_S)
#define REFRESH_MOST_US (7 * 24 * 3600 * US_PER_S)
#define REFRESH_DEFAULT_US (12 * 3600 * US_PER_S)
#define REFRESH_RETRY_MOST_US (3600 * US_PER_S)

/* Coordinate. */

static int send_request(struct coordinate *c,
			const Tailnet__CoordinateRequest *request)
{
	struct buf bytes = { .limit = NODE_ENCODED_CAP };
	int err = message_append(&request->base, &bytes);

	if (err == 0)
		err = rpc_message(&c->coordinate, buf_data(&bytes), bytes.len);
	buf_clear(&bytes);
	return err;
}

int coordinate_send_tunnel(struct coordinate *c, const struct uuid *agent,
			   bool add)
{
	Tailnet__CoordinateRequest request =
		TAILNET__COORDINATE_REQUEST__INIT;
	Tailnet__Tunnel tunnel = TAILNET__TUNNEL__INIT;

	tunnel.id.data = (uint8_t *)agent->bytes;
	tunnel.id.len = sizeof(agent->bytes);
	if (add)
		request.add_tunnel = &tunnel;
	else
		request.remove_tunnel = &tunnel;
	return send_request(c, &request);
}

int coordinate_send_node(struct coordinate *c, const struct coord_node *node)
{
	Tailnet__CoordinateRequest request =
		TAILNET__COORDINATE_REQUEST__INIT;
	Tailnet__UpdateSelf self = TAILNET__UPDATE_SELF__INIT;
	struct arena arena;
	int err = ERR_NOMEM;

	arena_init(&arena, ARENA_MESSAGE_CAP);
	self.node = coord_node_to_message(node, &arena);
	request.update_self = &self;
	if (self.node)
		err = send_request(c, &request);
	arena_clear(&arena);
	return err;
}

int coordinate_send_disconnect(struct coordinate *c)
{
	Tailnet__CoordinateRequest request =
		TAILNET__COORDINATE_REQUEST__INIT;
	Tailnet__Disconnect disconnect = TAILNET__DISCONNECT__INIT;

	request.disconnect = &disconnect;
	return send_request(c, &request);
}

static int decode_update(const Tailnet__PeerUpdate *message,
			 struct coordinate_update *out,
			 struct coord_node *node, struct error *error)
{
	if (message->id.len != sizeof(out->peer.bytes))
		return error_set(error, ERR_PROTOCOL,
				 "peer id of %zu bytes", message->id.len);
	memcpy(out->peer.bytes, message->id.data, sizeof(out->peer.bytes));
	if (message->kind < COORDINATE_NODE || message->kind > COORDINATE_READY)
		return error_set(error, ERR_PROTOCOL,
				 "peer update of kind %d", message->kind);
	out->kind = (enum coordinate_kind)message->kind;
	out->reason = message->reason;
	if (out->kind != COORDINATE_NODE)
		return 0;
	if (!message->node)
		return error_set(error, ERR_PROTOCOL,
				 "peer update without its node");
	out->node = node;
	return coord_node_from_message(message->node, node, error);
}

static void take_update(struct coordinate *c,
			const Tailnet__PeerUpdate *message,
			struct coord_node *node)
{
	const struct coordinate_events *events = c->config.events;
	struct coordinate_update update = { .node = NULL };
	struct error error;

	if (decode_update(message, &update, node, &error) < 0) {
		if (events->on_bad_update)
			events->on_bad_update(c->config.user, &update.peer,
					      &error);
	} else if (events->on_update) {
		events->on_update(c->config.user, &update);
	}
}

static void take_response(struct coordinate *c,
			  const Tailnet__CoordinateResponse *response)
{
	struct coord_node *node = malloc(sizeof(*node));
	struct error error;

	if (!node || response->n_peer_updates > COORDINATE_UPDATE_CAP) {
		error_set(&error, node ? ERR_TOO_LARGE : ERR_NOMEM,
			  "%zu peer updates at once, cap %d",
			  response->n_peer_updates, COORDINATE_UPDATE_CAP);
		free(node);
		coordinate_finish(c, &error);
		return;
	}
	if (response->error[0] && c->config.events->on_complaint)
		c->config.events->on_complaint(c->config.user,
					       response->error);
	for (size_t i = 0;
	     i < response->n_peer_updates && coordinate_listening(c); i++)
		take_update(c, response->peer_updates[i], node);
	free(node);
}

static void coordinate_message(struct rpc *rpc, const uint8_t *data,
			       size_t len)
{
	struct coordinate *c = rpc->user;
	ProtobufCMessage *message;
	struct arena arena;
	struct error error;
	int err;

	if (!coordinate_listening(c))
		return;
	arena_init(&arena, ARENA_MESSAGE_CAP);
	err = arena_decode(&arena, &tailnet__coordinate_response__descriptor,
			   data, len, "CoordinateResponse", &message, &error);
	if (err == 0)
		take_response(c, (Tailnet__CoordinateResponse *)message);
	else
		coordinate_finish(c, &error);
	arena_clear(&arena);
}

void coordinate_hang_up_all(struct coordinate *c)
{
	rpc_hang_up(&c->coordinate);
	rpc_hang_up(&c->derp_maps);
	rpc_hang_up(&c->refresh);
}

static void coordinate_end(struct rpc *rpc, const struct rpc_end *end)
{
	struct coordinate *c = rpc->user;
	struct error error = end->error;

	coordinate_hang_up_all(c);
	if (error.code)
		error_prefix(&error, "Coordinate");
	else
		error_set(&error, ERR_CLOSED, "the coordinator hung up");
	coordinate_finish(c, &error);
}

static const struct rpc_events coordinate_rpc = {
	.on_message = coordinate_message,
	.on_end = coordinate_end,
};

int coordinate_open(struct coordinate *c)
{
	return rpc_open(&c->coordinate, c->yamux, &coordinate_rpc, c);
}

/* StreamDERPMaps. */

static void derp_maps_message(struct rpc *rpc, const uint8_t *data, size_t len)
{
	struct coordinate *c = rpc->user;
	struct derp_map map = { .region_count = 0 };
	struct error error;

	if (!coordinate_listening(c))
		return;
	if (derp_map_decode(data, len, &map, &error) < 0)
		coordinate_rpc_failed(c, "StreamDERPMaps", &error);
	else if (c->config.events->on_derp_map)
		c->config.events->on_derp_map(c->config.user, &map);
	derp_map_clear(&map);
}

static void derp_maps_end(struct rpc *rpc, const struct rpc_end *end)
{
	struct coordinate *c = rpc->user;
	struct error error = end->error;

	rpc_hang_up(rpc);
	if (!error.code)
		error_set(&error, ERR_CLOSED, "no more DERP maps will come");
	coordinate_rpc_failed(c, "StreamDERPMaps", &error);
}

static const struct rpc_events derp_maps_rpc = {
	.on_message = derp_maps_message,
	.on_end = derp_maps_end,
};

static int unary(struct rpc *rpc, const char *path)
{
	int err = rpc_invoke(rpc, path);

	if (err == 0)
		err = rpc_message(rpc, NULL, 0);
	return err < 0 ? err : rpc_close_send(rpc);
}

int coordinate_start_derp_maps(struct coordinate *c)
{
	int err = rpc_open(&c->derp_maps, c->yamux, &derp_maps_rpc, c);

	return err < 0 ? err : unary(&c->derp_maps, RPC_PATH "StreamDERPMaps");
}

/* RefreshResumeToken. */

static uint64_t refresh_delay(const Tailnet__Duration *in)
{
	uint64_t delay;

	if (!in || in->seconds < 0 || (in->seconds == 0 && in->nanos <= 0))
		return REFRESH_DEFAULT_US;
	if ((uint64_t)in->seconds >= REFRESH_MOST_US / US_PER_S)
		return REFRESH_MOST_US;
	delay = (uint64_t)in->seconds * US_PER_S;
	if (in->nanos > 0)
		delay += (uint64_t)in->nanos / 1000;
	return delay < REFRESH_LEAST_US ? REFRESH_LEAST_US : delay;
}

static void refresh_failed(struct coordinate *c, const struct error *error,
			   bool again)
{
	c->refresh_deadline = again ? c->now_us + c->retry_us : DEADLINE_NONE;
	c->retry_us = c->retry_us * 2 > REFRESH_RETRY_MOST_US ?
			      REFRESH_RETRY_MOST_US :
			      c->retry_us * 2;
	coordinate_rpc_failed(c, "RefreshResumeToken", error);
}

static int take_token(struct coordinate *c,
		      const Tailnet__RefreshResumeTokenResponse *response,
		      struct error *error)
{
	struct coordinate_token token = {
		.token = response->token,
		.refresh_in_us = refresh_delay(response->refresh_in),
	};

	if (!token.token[0] ||
	    strnlen(token.token, COORDINATE_TOKEN_CAP) == COORDINATE_TOKEN_CAP)
		return error_set(error, ERR_PROTOCOL,
				 "resume token is empty or longer than %d",
				 COORDINATE_TOKEN_CAP - 1);
	token.has_peer_id = response->peer_id.len == sizeof(token.peer_id);
	if (token.has_peer_id)
		memcpy(token.peer_id.bytes, response->peer_id.data,
		       sizeof(token.peer_id));
	c->refresh_deadline = c->now_us + token.refresh_in_us;
	c->retry_us = COORDINATE_REFRESH_RETRY_US;
	if (c->config.events->on_token)
		c->config.events->on_token(c->config.user, &token);
	return 0;
}

static void refresh_message(struct rpc *rpc, const uint8_t *data, size_t len)
{
	struct coordinate *c = rpc->user;
	ProtobufCMessage *message;
	struct arena arena;
	struct error error;
	int err;

	if (!coordinate_listening(c))
		return;
	arena_init(&arena, ARENA_MESSAGE_CAP);
	err = arena_decode(&arena,
			   &tailnet__refresh_resume_token_response__descriptor,
			   data, len, "RefreshResumeTokenResponse", &message,
			   &error);
	rpc_hang_up(rpc);
	if (err == 0)
		err = take_token(
			c, (Tailnet__RefreshResumeTokenResponse *)message,
			&error);
	arena_clear(&arena);
	if (err < 0)
		refresh_failed(c, &error, true);
}

static void refresh_end(struct rpc *rpc, const struct rpc_end *end)
{
	struct coordinate *c = rpc->user;
	struct error error = end->error;

	rpc_hang_up(rpc);
	if (!error.code)
		error_set(&error, ERR_CLOSED, "the call ended unanswered");
	if (coordinate_listening(c))
		refresh_failed(c, &error,
			       end->code != DRPC_CODE_UNIMPLEMENTED);
}

static const struct rpc_events refresh_rpc = {
	.on_message = refresh_message,
	.on_end = refresh_end,
};

int coordinate_start_refresh(struct coordinate *c)
{
	int err = rpc_open(&c->refresh, c->yamux, &refresh_rpc, c);

	if (err == 0)
		err = unary(&c->refresh, RPC_PATH "RefreshResumeToken");
	c->refresh_deadline = c->now_us + COORDINATE_REFRESH_TIMEOUT_US;
	return err;
}

void coordinate_tick_refresh(struct coordinate *c)
{
	struct error error = { .code = ERR_TIMEOUT };
	int err;

	if (c->now_us < c->refresh_deadline || !coordinate_listening(c))
		return;
	if (c->refresh.stream) {
		rpc_hang_up(&c->refresh);
		error_set(&error, ERR_TIMEOUT, "no answer for %llu s",
			  COORDINATE_REFRESH_TIMEOUT_US / US_PER_S);
		refresh_failed(c, &error, true);
		return;
	}
	err = coordinate_start_refresh(c);
	if (err < 0) {
		rpc_hang_up(&c->refresh);
		error_set(&error, err, "cannot ask: %s", err_name(err));
		refresh_failed(c, &error, true);
	}
}
