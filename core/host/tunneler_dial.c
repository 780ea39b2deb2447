/* connect_tailnet and shutdown_tailnet: the connection and its tunnel. */
#include "core/host/tunneler_private.h"
#include "core/io/url.h"

#define ROOM "tailnet"

static void dial_failed(struct tunneler *tunneler, const struct error *error)
{
	int status = status_of_code(error->code);

	log_info(tunneler->config.log, ROOM, "failed to connect agent: %s",
		 error->message);
	tunneler_blame(tunneler, REASON_UNREACHABLE, status == 1 ? 69 : status,
		       "failed to dial workspace agent", error);
	tunneler->dial_owed = false;
	tunneler_post_tailnet(tunneler, false);
}

static const char *conn_state(void *user)
{
	struct tunneler *tunneler = user;

	return fsm_state_name(tunneler->fsm.state);
}

static void conn_shutdown(void *user, int status)
{
	tunneler_shutdown(user, REASON_APP_DONE, status < 0 ? 0 : status);
}

static const char *agent_name(const struct tunneler *tunneler)
{
	const struct rest_workspace *workspace = &tunneler->workspace;

	for (size_t i = 0; i < workspace->agent_count; i++)
		if (uuid_equal(&workspace->agents[i].id,
			       &tunneler->fsm.agent_id))
			return workspace->agents[i].name;
	return tunneler->config.agent_name;
}

static const struct timeline *conn_timeline(void *user)
{
	return tunneler_timeline(user);
}

static void on_up(void *user)
{
	struct tunneler *tunneler = user;

	conn_init(&tunneler->conn, tunneler->tunnel, &tunneler->fsm.agent_id,
		  agent_name(tunneler));
	tunneler->conn.on_shutdown = conn_shutdown;
	tunneler->conn.on_state = conn_state;
	tunneler->conn.on_timeline = conn_timeline;
	tunneler->conn.user = tunneler;
	tunneler->dial_owed = false;
	tunneler_post_tailnet(tunneler, true);
}

static void lost(struct tunneler *tunneler, const struct error *error)
{
	log_info(tunneler->config.log, ROOM, "lost: %s", error->message);
	tunneler_blame(tunneler, REASON_TAILNET_LOST, 69,
		       "the tunnel was lost", error);
	tunneler_post_tailnet(tunneler, false);
}

/* Down by our wish, a failed dial, or lost while up. */
static void on_end(void *user, const struct error *error)
{
	struct tunneler *tunneler = user;

	tunneler->tunnel_ended = true;
	if (tunneler->dial_owed && error) {
		dial_failed(tunneler, error);
		return;
	}
	if (error && !tunneler->down_owed && !tunneler->dial_owed) {
		lost(tunneler, error);
		return;
	}
	if (error)
		log_error(tunneler->config.log, ROOM,
			  "failed to close agent connection: %s",
			  error->message);
	if (tunneler->tasks_ending)
		return;		/* whoever waits for them posts it */
	tunneler->dial_owed = tunneler->down_owed = false;
	tunneler_post_tailnet(tunneler, false);
}

static const struct tunnel_events tunnel_events = {
	.on_up = on_up,
	.on_end = on_end,
};

/* Relays of embedded regions are where the deployment is. */
static int rewrite_embedded(const char *url, struct derp_map *map,
			    struct error *error)
{
	struct io_url at;
	int err = url_parse(url, &at, error);

	return err < 0 ? err : derp_map_rewrite_embedded(map, at.host, at.port,
							 !at.tls);
}

static int open_tunnel(struct tunneler *tunneler,
		       struct rest_connection *connection, struct error *error)
{
	struct tunnel_config config = {
		.loop = tunneler->config.loop,
		.network = tunneler->config.network,
		.rng = tunneler->config.rng,
		.log = tunneler->config.log,
		.url = tunneler->config.rest->url,
		.headers = tunneler->config.headers,
		.header_count = tunneler->config.header_count,
		.agent_id = tunneler->fsm.agent_id,
		.derp_map = &connection->derp_map,
		.force_websockets = connection->derp_force_websockets,
		.no_direct = connection->disable_direct_connections ||
			     tunneler->config.force_relay,
		.timeout_us = tunneler->dial_by_us - tunneler_now(tunneler),
		.rekey_after_us = tunneler->config.rekey_after_us,
		.events = &tunnel_events,
		.user = tunneler,
	};
	int err = rewrite_embedded(config.url, &connection->derp_map, error);

	return err < 0 ? err : tunnel_new(&config, &tunneler->tunnel, error);
}

static void on_connection(void *user, const struct error *error,
			  struct rest_connection *connection)
{
	struct tunneler *tunneler = user;
	struct error failure;

	tunneler->connection = NULL;
	/* From here on the tunnel looks at the clock, and knows what failed. */
	timer_stop(tunneler->config.loop, &tunneler->deadline);
	if (error)
		dial_failed(tunneler, error);
	else if (open_tunnel(tunneler, connection, &failure) < 0)
		dial_failed(tunneler, &failure);
}

static void ask_connection(struct tunneler *tunneler)
{
	struct error error;

	if (rest_get_connection(tunneler->config.rest,
				&tunneler->fsm.agent_id, on_connection,
				tunneler, &tunneler->connection, &error) < 0)
		dial_failed(tunneler, &error);
}

static bool agent_is_known(const struct tunneler *tunneler)
{
	const struct rest_workspace *workspace = &tunneler->workspace;

	for (size_t i = 0; i < workspace->agent_count; i++)
		if (uuid_equal(&workspace->agents[i].id,
			       &tunneler->fsm.agent_id))
			return true;
	return false;
}

/* Only for the agent's name, which the watch does not tell. */
static void on_workspace(void *user, const struct error *error,
			 const struct rest_workspace *workspace)
{
	struct tunneler *tunneler = user;

	tunneler->connection = NULL;
	if (!error)
		tunneler->workspace = *workspace;
	ask_connection(tunneler);
}

/* A workspace that was stopped had no agents when it was looked up. */
void tunneler_dial(struct tunneler *tunneler)
{
	const struct rest_workspace_ref ref = {
		.by_id = true,
		.id = tunneler->workspace.id,
	};
	struct error error;

	log_info(tunneler->config.log, ROOM, "connecting tailnet");
	tunneler->dial_owed = true;
	tunneler->dial_by_us = tunneler_now(tunneler) + TUNNELER_DIAL_US;
	if (agent_is_known(tunneler) ||
	    rest_get_workspace(tunneler->config.rest, &ref, on_workspace,
			       tunneler, &tunneler->connection, &error) < 0)
		ask_connection(tunneler);
}

/* Its tailnet_update is owed all the same. */
void tunneler_cancel_dial(struct tunneler *tunneler)
{
	if (!tunneler->dial_owed)
		return;
	if (tunneler->tunnel) {
		tunnel_close(tunneler->tunnel);
		return;
	}
	rest_cancel(tunneler->connection);
	tunneler->connection = NULL;
	tunneler->dial_owed = false;
	tunneler_post_tailnet(tunneler, false);
}

void tunneler_dial_timed_out(struct tunneler *tunneler)
{
	struct error error;

	if (!tunneler->connection)
		return;
	rest_cancel(tunneler->connection);
	tunneler->connection = NULL;
	error_set(&error, ERR_TIMEOUT,
		  "the deployment does not say how to connect");
	dial_failed(tunneler, &error);
}

static void forget_conn(struct tunneler *tunneler)
{
	if (!tunneler->conn.tunnel)
		return;
	tunneler->config.app->ops->conn_end(tunneler->config.app,
					    &tunneler->conn.script);
	conn_clear(&tunneler->conn);
}

static void close_tunnel(struct tunneler *tunneler)
{
	forget_conn(tunneler);
	if (!tunneler->tunnel_ended) {
		tunnel_close(tunneler->tunnel);
		return;
	}
	tunneler->down_owed = false;
	tunneler_post_tailnet(tunneler, false);
}

static void on_tasks_ended(void *user, const struct script_result *result)
{
	struct tunneler *tunneler = user;

	(void)result;
	if (tunneler->exited)
		return;
	tunneler->tasks_ending = false;
	close_tunnel(tunneler);
}

/*
 * The script's tasks end, with the tunnel still there for what they close,
 * and its streams are closed before the tunnel is.
 */
void tunneler_take_down(struct tunneler *tunneler)
{
	struct tunneler_app *app = tunneler->config.app;

	log_info(tunneler->config.log, ROOM, "shutting down tailnet");
	tunneler->app_over = true;
	tunneler->down_owed = true;
	tunneler->tasks_ending = true;
	if (app->ops->end_tasks(app, on_tasks_ended, tunneler) < 0)
		on_tasks_ended(tunneler, NULL);
}

/* What is still owed is said here: nobody waits for it any more. */
void tunneler_drop_tailnet(struct tunneler *tunneler)
{
	if (tunneler->dial_owed)
		log_info(tunneler->config.log, ROOM, "context expired before "
			 "sending event after failed agent dial");
	else if (tunneler->down_owed)
		log_debug(tunneler->config.log, ROOM, "context expired before "
			  "sending event after shutting down tailnet");
	rest_cancel(tunneler->connection);
	tunneler->connection = NULL;
	forget_conn(tunneler);
	tunnel_free(tunneler->tunnel);
	tunneler->tunnel = NULL;
	tunneler->dial_owed = tunneler->down_owed = false;
}
