#include "core/tailnet/coordinate/coordinate.h"

#include <stdlib.h>
#include <string.h>

#include "core/tailnet/coordinate/derp_map_proto.h"
#include "core/tailnet/coordinate/node_message.h"
#include "core/tailnet/coordinate/rpc.h"
#include "core/tailnet/coordinate/yamux.h"

/*
 * Three calls, a yamux stream each: Coordinate (both ways, as long as the
 * session), StreamDERPMaps (one request, many answers) and
 * RefreshResumeToken (now and then). Only Coordinate is vital: what becomes
 * of the others is reported, no more.
 */

#define REFRESH_LEAST_US (1 * US_PER_S)
#define REFRESH_MOST_US (7 * 24 * 3600 * US_PER_S)
#define REFRESH_DEFAULT_US (12 * 3600 * US_PER_S)
#define REFRESH_RETRY_MOST_US (3600 * US_PER_S)

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

static void enter(struct coordinate *c, uint64_t now_us)
{
	c->depth++;
	c->now_us = now_us;
	yamux_set_now(c->yamux, now_us);
}

static void destroy(struct coordinate *c)
{
	rpc_drop(&c->coordinate);
	rpc_drop(&c->derp_maps);
	rpc_drop(&c->refresh);
	yamux_free(c->yamux);
	free(c);
}

/* The end of every public call; `c` may be gone afterwards. */
static void leave(struct coordinate *c)
{
	const uint8_t *data;

	if (--c->depth > 0)
		return;
	if (c->freed) {
		destroy(c);
		return;
	}
	if (c->config.events->on_output && yamux_output(c->yamux, &data))
		c->config.events->on_output(c->config.user);
}

/* Whether the owner still listens and the session still means something. */
static bool listening(const struct coordinate *c)
{
	return !c->freed && c->state == STATE_OPEN;
}

static void stop_timers(struct coordinate *c)
{
	c->refresh_deadline = DEADLINE_NONE;
	c->disconnect_deadline = DEADLINE_NONE;
}

static void finish(struct coordinate *c, const struct error *error)
{
	const struct coordinate_events *events = c->config.events;
	enum state before = c->state;

	if (before == STATE_OVER)
		return;
	c->state = STATE_OVER;
	stop_timers(c);
	if (c->freed)
		return;
	if (before == STATE_DISCONNECTING) {
		if (events->on_done)
			events->on_done(c->config.user);
	} else if (events->on_failed) {
		events->on_failed(c->config.user, error);
	}
}

static void rpc_failed(struct coordinate *c, const char *rpc,
		       const struct error *error)
{
	if (listening(c) && c->config.events->on_rpc_failed)
		c->config.events->on_rpc_failed(c->config.user, rpc, error);
}

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

static int send_tunnel(struct coordinate *c, const struct uuid *agent,
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

static int send_node(struct coordinate *c, const struct coord_node *node)
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

static int send_disconnect(struct coordinate *c)
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
		finish(c, &error);
		return;
	}
	if (response->error[0] && c->config.events->on_complaint)
		c->config.events->on_complaint(c->config.user,
					       response->error);
	for (size_t i = 0; i < response->n_peer_updates && listening(c); i++)
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

	if (!listening(c))
		return;
	arena_init(&arena, ARENA_MESSAGE_CAP);
	err = arena_decode(&arena, &tailnet__coordinate_response__descriptor,
			   data, len, "CoordinateResponse", &message, &error);
	if (err == 0)
		take_response(c, (Tailnet__CoordinateResponse *)message);
	else
		finish(c, &error);
	arena_clear(&arena);
}

static void hang_up_all(struct coordinate *c)
{
	rpc_hang_up(&c->coordinate);
	rpc_hang_up(&c->derp_maps);
	rpc_hang_up(&c->refresh);
}

static void coordinate_end(struct rpc *rpc, const struct rpc_end *end)
{
	struct coordinate *c = rpc->user;
	struct error error = end->error;

	hang_up_all(c);
	if (error.code)
		error_prefix(&error, "Coordinate");
	else
		error_set(&error, ERR_CLOSED, "the coordinator hung up");
	finish(c, &error);
}

static const struct rpc_events coordinate_rpc = {
	.on_message = coordinate_message,
	.on_end = coordinate_end,
};

/* StreamDERPMaps. */

static void derp_maps_message(struct rpc *rpc, const uint8_t *data, size_t len)
{
	struct coordinate *c = rpc->user;
	struct derp_map map = { .region_count = 0 };
	struct error error;

	if (!listening(c))
		return;
	if (derp_map_decode(data, len, &map, &error) < 0)
		rpc_failed(c, "StreamDERPMaps", &error);
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
	rpc_failed(c, "StreamDERPMaps", &error);
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

static int start_derp_maps(struct coordinate *c)
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
	rpc_failed(c, "RefreshResumeToken", error);
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

	if (!listening(c))
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
	if (listening(c))
		refresh_failed(c, &error,
			       end->code != DRPC_CODE_UNIMPLEMENTED);
}

static const struct rpc_events refresh_rpc = {
	.on_message = refresh_message,
	.on_end = refresh_end,
};

static int start_refresh(struct coordinate *c)
{
	int err = rpc_open(&c->refresh, c->yamux, &refresh_rpc, c);

	if (err == 0)
		err = unary(&c->refresh, RPC_PATH "RefreshResumeToken");
	c->refresh_deadline = c->now_us + COORDINATE_REFRESH_TIMEOUT_US;
	return err;
}

static void tick_refresh(struct coordinate *c)
{
	struct error error = { .code = ERR_TIMEOUT };
	int err;

	if (c->now_us < c->refresh_deadline || !listening(c))
		return;
	if (c->refresh.stream) {
		rpc_hang_up(&c->refresh);
		error_set(&error, ERR_TIMEOUT, "no answer for %llu s",
			  COORDINATE_REFRESH_TIMEOUT_US / US_PER_S);
		refresh_failed(c, &error, true);
		return;
	}
	err = start_refresh(c);
	if (err < 0) {
		rpc_hang_up(&c->refresh);
		error_set(&error, err, "cannot ask: %s", err_name(err));
		refresh_failed(c, &error, true);
	}
}

/* The session. */

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
	.on_data = on_data,
	.on_end = on_end,
};

/* In the order that servers know from Coder's client. */
static int start(struct coordinate *c)
{
	int err = rpc_open(&c->coordinate, c->yamux, &coordinate_rpc, c);

	if (err == 0)
		err = start_derp_maps(c);
	if (err == 0)
		err = rpc_invoke(&c->coordinate, RPC_PATH "Coordinate");
	if (err == 0 && !uuid_is_nil(&c->config.agent))
		err = send_tunnel(c, &c->config.agent, true);
	return err < 0 ? err : start_refresh(c);
}

int coordinate_new(const struct coordinate_config *config, uint64_t now_us,
		   struct coordinate **out)
{
	struct coordinate *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return ERR_NOMEM;
	c->config = *config;
	c->retry_us = COORDINATE_REFRESH_RETRY_US;
	stop_timers(c);
	c->now_us = now_us;
	err = yamux_new(YAMUX_CLIENT, &yamux_callbacks, c, now_us, &c->yamux);
	if (err < 0) {
		free(c);
		return err;
	}
	err = start(c);
	if (err < 0) {
		destroy(c);
		return err;
	}
	*out = c;
	return 0;
}

void coordinate_free(struct coordinate *c)
{
	if (!c)
		return;
	c->freed = true;
	if (c->depth == 0)
		destroy(c);
}

int coordinate_in(struct coordinate *c, const void *data, size_t len,
		  uint64_t now_us)
{
	struct error error = { .code = 0 };
	int err;

	enter(c, now_us);
	err = yamux_in(c->yamux, data, len, now_us, &error);
	if (err < 0)
		finish(c, &error);
	leave(c);
	return err;
}

size_t coordinate_output(const struct coordinate *c, const uint8_t **data)
{
	return yamux_output(c->yamux, data);
}

void coordinate_sent(struct coordinate *c, size_t len, uint64_t now_us)
{
	yamux_sent(c->yamux, len, now_us);
}

uint64_t coordinate_next_deadline(const struct coordinate *c)
{
	if (c->state == STATE_OVER)
		return DEADLINE_NONE;
	return deadline_min(yamux_next_deadline(c->yamux),
			    deadline_min(c->refresh_deadline,
					 c->disconnect_deadline));
}

void coordinate_tick(struct coordinate *c, uint64_t now_us)
{
	struct error error = { .code = 0 };

	enter(c, now_us);
	if (yamux_tick(c->yamux, now_us, &error) < 0)
		finish(c, &error);
	tick_refresh(c);
	if (now_us >= c->disconnect_deadline) {
		hang_up_all(c);
		finish(c, &error);
	}
	leave(c);
}

int coordinate_set_node(struct coordinate *c, const struct coord_node *node,
			uint64_t now_us)
{
	int err = ERR_CLOSED;

	enter(c, now_us);
	if (listening(c))
		err = send_node(c, node);
	leave(c);
	return err;
}

static int change_tunnel(struct coordinate *c, const struct uuid *agent,
			 bool add, uint64_t now_us)
{
	int err = ERR_CLOSED;

	enter(c, now_us);
	if (listening(c))
		err = send_tunnel(c, agent, add);
	leave(c);
	return err;
}

int coordinate_add_tunnel(struct coordinate *c, const struct uuid *agent,
			  uint64_t now_us)
{
	return change_tunnel(c, agent, true, now_us);
}

int coordinate_remove_tunnel(struct coordinate *c, const struct uuid *agent,
			     uint64_t now_us)
{
	return change_tunnel(c, agent, false, now_us);
}

int coordinate_disconnect(struct coordinate *c, uint64_t now_us)
{
	int err = ERR_CLOSED;

	enter(c, now_us);
	if (listening(c)) {
		err = send_disconnect(c);
		c->state = STATE_DISCONNECTING;
		c->refresh_deadline = DEADLINE_NONE;
		c->disconnect_deadline =
			err < 0 ? now_us :
				  now_us + COORDINATE_DISCONNECT_TIMEOUT_US;
	}
	leave(c);
	return err;
}
