#include "core/tailnet/coordinate/coordinate.h"

#include <stdlib.h>

#include "core/tailnet/coordinate/coordinate_parts.h"

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

bool coordinate_listening(const struct coordinate *c)
{
	return !c->freed && c->state == STATE_OPEN;
}

static void stop_timers(struct coordinate *c)
{
	c->refresh_deadline = DEADLINE_NONE;
	c->disconnect_deadline = DEADLINE_NONE;
}

void coordinate_finish(struct coordinate *c, const struct error *error)
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

void coordinate_rpc_failed(struct coordinate *c, const char *rpc,
			   const struct error *error)
{
	if (coordinate_listening(c) && c->config.events->on_rpc_failed)
		c->config.events->on_rpc_failed(c->config.user, rpc, error);
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
	int err = coordinate_open(c);

	if (err == 0)
		err = coordinate_start_derp_maps(c);
	if (err == 0)
		err = rpc_invoke(&c->coordinate, RPC_PATH "Coordinate");
	if (err == 0 && !uuid_is_nil(&c->config.agent))
		err = coordinate_send_tunnel(c, &c->config.agent, true);
	return err < 0 ? err : coordinate_start_refresh(c);
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
		coordinate_finish(c, &error);
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
		coordinate_finish(c, &error);
	coordinate_tick_refresh(c);
	if (now_us >= c->disconnect_deadline) {
		coordinate_hang_up_all(c);
		coordinate_finish(c, &error);
	}
	leave(c);
}

void coordinate_probe(struct coordinate *c, uint64_t within_us, uint64_t now_us)
{
	enter(c, now_us);
	if (c->state != STATE_OVER)
		yamux_probe(c->yamux, within_us, now_us);
	leave(c);
}

int coordinate_set_node(struct coordinate *c, const struct coord_node *node,
			uint64_t now_us)
{
	int err = ERR_CLOSED;

	enter(c, now_us);
	if (coordinate_listening(c))
		err = coordinate_send_node(c, node);
	leave(c);
	return err;
}

static int change_tunnel(struct coordinate *c, const struct uuid *agent,
			 bool add, uint64_t now_us)
{
	int err = ERR_CLOSED;

	enter(c, now_us);
	if (coordinate_listening(c))
		err = coordinate_send_tunnel(c, agent, add);
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
	if (coordinate_listening(c)) {
		err = coordinate_send_disconnect(c);
		c->state = STATE_DISCONNECTING;
		c->refresh_deadline = DEADLINE_NONE;
		c->disconnect_deadline =
			err < 0 ? now_us :
				  now_us + COORDINATE_DISCONNECT_TIMEOUT_US;
	}
	leave(c);
	return err;
}
