#include "core/tunnel/tunnel.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/tailnet/coordinate/node.h"
#include "core/tailnet/wireguard/wireguard.h"
#include "core/tunnel/tunnel_private.h"

#define DEFAULT_TIMEOUT_US (30 * US_PER_S)
#define PROBE_FIRST_US (50 * US_PER_MS)
#define PROBE_MOST_US (30 * US_PER_S)
#define PROBE_ANSWER_US (10 * US_PER_S)
#define DRAIN_US (1 * US_PER_S)
/* An agent that hears Disconnect first hears no reset any more. */
#define RESET_US (100 * US_PER_MS)
#define LEAVE_US (2 * US_PER_S)	/* for the coordinator's goodbye */
/* An agent that left in order has this long to come back. */
#define COME_BACK_US (10 * US_PER_S)

static uint64_t now(const struct tunnel *tunnel)
{
	return loop_now_us(tunnel->config.loop);
}

static void set_timeout(struct tunnel *tunnel, uint64_t after_us)
{
	uint64_t most = DEADLINE_NONE - now(tunnel);

	timer_set(tunnel->config.loop, &tunnel->timeout,
		  after_us < most ? now(tunnel) + after_us : DEADLINE_NONE);
}

/* on_end comes from the loop, so that the owner may free us soon after. */
static void end(struct tunnel *tunnel, const struct error *error)
{
	if (tunnel->phase == TUNNEL_ENDED)
		return;
	tunnel->phase = TUNNEL_ENDED;
	tunnel->ended_with_error = error != NULL;
	if (error)
		tunnel->error = *error;
	timer_stop(tunnel->config.loop, &tunnel->timeout);
	timer_stop(tunnel->config.loop, &tunnel->probe);
	task_post(tunnel->config.loop, &tunnel->end);
}

static void run_end(struct task *task)
{
	struct tunnel *tunnel = task->user;

	/* Whoever waits for a stream hears it now: the owner may free us. */
	ns_fail(node_netstack(tunnel->node), ERR_RESET);
	ns_dispatch(node_netstack(tunnel->node));
	tunnel->config.events->on_end(
		tunnel->config.user,
		tunnel->ended_with_error ? &tunnel->error : NULL);
}

static void fail(struct tunnel *tunnel, int code, const char *message)
{
	struct error error;

	error_set(&error, code, "%s", message);
	end(tunnel, &error);
}

/* --- reachability --------------------------------------------------- */

static void probe_answered(void *user, int err, uint64_t latency_us)
{
	struct tunnel *tunnel = user;

	(void)latency_us;
	if (err < 0 || tunnel->phase != TUNNEL_CONNECTING)
		return;
	tunnel->phase = TUNNEL_UP;
	tunnel->timeline.up_us = now(tunnel);
	timer_stop(tunnel->config.loop, &tunnel->probe);
	timer_stop(tunnel->config.loop, &tunnel->timeout);
	node_ping_forget(tunnel->node, tunnel);
	tunnel->config.events->on_up(tunnel->config.user);
}

static void probe_fired(struct timer *timer)
{
	struct tunnel *tunnel = timer->user;

	(void)node_ping(tunnel->node, tunnel->agent_address, PROBE_ANSWER_US,
			probe_answered, tunnel);
	timer_set(tunnel->config.loop, &tunnel->probe,
		  now(tunnel) + tunnel->probe_wait_us);
	tunnel->probe_wait_us = tunnel->probe_wait_us * 3 / 2;
	if (tunnel->probe_wait_us > PROBE_MOST_US)
		tunnel->probe_wait_us = PROBE_MOST_US;
}

static void on_session(void *user, const struct uuid *peer)
{
	struct tunnel *tunnel = user;

	(void)peer;
	if (!tunnel->timeline.session_us)
		tunnel->timeline.session_us = now(tunnel);
}

static void on_silent(void *user, const struct uuid *peer)
{
	struct tunnel *tunnel = user;

	(void)peer;
	if (tunnel->phase == TUNNEL_CONNECTING || tunnel->phase == TUNNEL_UP)
		fail(tunnel, ERR_TIMEOUT,
		     "the agent has not answered for 90 s");
}

static void on_home(void *user)
{
	struct tunnel *tunnel = user;

	tunnel->timeline.relay_us = now(tunnel);
}

static void leave(struct tunnel *tunnel)
{
	tunnel->phase = TUNNEL_LEAVING;
	set_timeout(tunnel, LEAVE_US);
	control_disconnect(tunnel->control);
}

static bool is_drained(const struct tunnel *tunnel)
{
	struct ns_stats stats;

	ns_get_stats(node_netstack(tunnel->node), &stats);
	return stats.connections <= stats.time_wait;
}

static void drained_or_not(struct tunnel *tunnel)
{
	bool drained = is_drained(tunnel);

	ns_fail(node_netstack(tunnel->node), ERR_CLOSED);
	if (drained) {
		leave(tunnel);
		return;
	}
	tunnel->phase = TUNNEL_RESETTING;
	set_timeout(tunnel, RESET_US);
}

static void on_turn(void *user)
{
	struct tunnel *tunnel = user;

	if (tunnel->phase == TUNNEL_DRAINING && is_drained(tunnel))
		drained_or_not(tunnel);
}

static void on_changed(void *user)
{
	struct tunnel *tunnel = user;

	if (tunnel->control)
		control_announce(tunnel->control);
}

static void on_path(void *user, const struct uuid *peer)
{
	struct tunnel *tunnel = user;
	struct tunnel_path path;

	(void)peer;
	tunnel_path(tunnel, &path);
	if (path.direct && !tunnel->timeline.direct_us)
		tunnel->timeline.direct_us = now(tunnel);
	if (tunnel->config.events->on_path)
		tunnel->config.events->on_path(tunnel->config.user);
}

static const struct node_events node_events = {
	.on_changed = on_changed,
	.on_path = on_path,
	.on_session = on_session,
	.on_silent = on_silent,
	.on_home = on_home,
	.on_turn = on_turn,
};

/* --- the coordinator ------------------------------------------------ */

static void on_connected(void *user)
{
	struct tunnel *tunnel = user;

	if (!tunnel->timeline.coordinate_us)
		tunnel->timeline.coordinate_us = now(tunnel);
}

static void on_peer(void *user)
{
	struct tunnel *tunnel = user;

	if (tunnel->phase == TUNNEL_UP)
		timer_stop(tunnel->config.loop, &tunnel->timeout);
	if (tunnel->phase != TUNNEL_CONNECTING)
		return;
	tunnel->timeline.peer_us = now(tunnel);
	tunnel->probe_wait_us = PROBE_FIRST_US;
	timer_set(tunnel->config.loop, &tunnel->probe, now(tunnel));
}

static void on_peer_restarted(void *user)
{
	struct tunnel *tunnel = user;

	if (tunnel->phase == TUNNEL_UP)
		ns_fail_established(node_netstack(tunnel->node), ERR_RESET);
	node_kick(tunnel->node);
}

static void on_peer_left(void *user)
{
	struct tunnel *tunnel = user;

	if (tunnel->phase == TUNNEL_UP)
		set_timeout(tunnel, COME_BACK_US);
}

/* Where the deployment is: the map that we began with has been rewritten. */
static const struct derp_map_node *embedded_relay(const struct derp_map *map)
{
	for (size_t i = 0; i < map->region_count; i++)
		if (map->regions[i].embedded_relay &&
		    derp_map_relay(&map->regions[i]))
			return derp_map_relay(&map->regions[i]);
	return NULL;
}

static int take_derp_map(struct tunnel *tunnel, const struct derp_map *map)
{
	const struct derp_map_node *embedded =
		embedded_relay(&tunnel->derp_map);
	struct derp_map copy = { .region_count = 0 };
	int err = derp_map_copy(map, &copy);

	if (err == 0 && embedded)
		err = derp_map_rewrite_embedded(&copy, embedded->host_name,
						embedded->derp_port,
						embedded->force_http);
	if (err == 0 && !derp_map_equal(&copy, &tunnel->derp_map))
		err = node_set_derp_map(tunnel->node, &copy);
	if (err < 0) {
		derp_map_clear(&copy);
		return err;
	}
	derp_map_clear(&tunnel->derp_map);
	tunnel->derp_map = copy;
	return 0;
}

static void on_derp_map(void *user, const struct derp_map *map)
{
	struct tunnel *tunnel = user;
	int err = map->region_count ? take_derp_map(tunnel, map) : 0;

	if (err < 0)
		log_warn(tunnel->config.log, "coordinate",
			 "a new DERP map cannot be used: %s", err_name(err));
	else
		log_debug(tunnel->config.log, "coordinate",
			  "DERP map: %zu regions", map->region_count);
}

static void on_fatal(void *user, const struct error *error)
{
	struct tunnel *tunnel = user;

	if (tunnel->phase == TUNNEL_CONNECTING)
		end(tunnel, error);
	else if (tunnel->phase == TUNNEL_LEAVING)
		end(tunnel, NULL);
	else
		log_error(tunnel->config.log, "coordinate",
			  "given up: %s (the tunnel goes on)", error->message);
}

static void on_disconnected(void *user)
{
	end(user, NULL);
}

static const struct control_events control_events = {
	.on_connected = on_connected,
	.on_peer = on_peer,
	.on_peer_restarted = on_peer_restarted,
	.on_peer_left = on_peer_left,
	.on_derp_map = on_derp_map,
	.on_fatal = on_fatal,
	.on_disconnected = on_disconnected,
};

static void timed_out(struct timer *timer)
{
	struct tunnel *tunnel = timer->user;

	switch (tunnel->phase) {
	case TUNNEL_CONNECTING:
		fail(tunnel, ERR_TIMEOUT,
		     !tunnel->timeline.coordinate_us ?
			     "no connection to the coordinator" :
		     !tunnel->timeline.peer_us ?
			     "the agent is not connected to the coordinator" :
		     !tunnel->timeline.relay_us ? "no connection to a relay" :
		     !tunnel->timeline.session_us ?
			     "no WireGuard handshake with the agent" :
			     "the agent does not answer in the tunnel");
		break;
	case TUNNEL_UP:
		fail(tunnel, ERR_UNREACHABLE, "the agent has gone");
		break;
	case TUNNEL_DRAINING:
		drained_or_not(tunnel);
		break;
	case TUNNEL_RESETTING:
		leave(tunnel);
		break;
	case TUNNEL_LEAVING:
		end(tunnel, NULL);
		break;
	case TUNNEL_ENDED:
		break;
	}
}

/* --- life ----------------------------------------------------------- */

static int make_node(struct tunnel *tunnel, struct error *error)
{
	const struct node_config config = {
		.loop = tunnel->config.loop,
		.network = tunnel->config.network,
		.rng = tunnel->config.rng,
		.log = tunnel->config.log,
		.addresses = tunnel->own_address,
		.address_count = 1,
		.derp_map = &tunnel->derp_map,
		.home_region = derp_map_first_home(&tunnel->derp_map),
		.force_websockets = tunnel->config.force_websockets,
		.rekey_after_us = tunnel->config.rekey_after_us,
		.no_direct = tunnel->config.no_direct,
		.events = &node_events,
		.user = tunnel,
	};

	return node_new(&config, &tunnel->node, error);
}

static int make_control(struct tunnel *tunnel, struct error *error)
{
	const struct control_config config = {
		.loop = tunnel->config.loop,
		.network = tunnel->config.network,
		.rng = tunnel->config.rng,
		.log = tunnel->config.log,
		.url = tunnel->config.url,
		.headers = tunnel->config.headers,
		.header_count = tunnel->config.header_count,
		.agent_id = tunnel->config.agent_id,
		.node = tunnel->node,
		.addresses = tunnel->own_address,
		.address_count = 1,
		.events = &control_events,
		.user = tunnel,
	};

	return control_new(&config, &tunnel->control, error);
}

static int build(struct tunnel *tunnel, struct error *error)
{
	int err;

	if (derp_map_copy(tunnel->config.derp_map, &tunnel->derp_map) < 0)
		return error_set(error, ERR_NOMEM, "no memory for a tunnel");
	err = make_node(tunnel, error);
	return err < 0 ? err : make_control(tunnel, error);
}

static void choose_addresses(struct tunnel *tunnel)
{
	struct uuid own;

	uuid_random(tunnel->config.rng, &own);
	node_address_tailscale(&own, tunnel->own_address[0]);
	node_address_tailscale(&tunnel->config.agent_id,
			       tunnel->agent_address);
	inet_ntop(AF_INET6, tunnel->agent_address, tunnel->address,
		  sizeof(tunnel->address));
}

int tunnel_new(const struct tunnel_config *config, struct tunnel **out,
	       struct error *error)
{
	struct tunnel *tunnel = calloc(1, sizeof(*tunnel));
	int err;

	if (!tunnel)
		return error_set(error, ERR_NOMEM, "no memory for a tunnel");
	tunnel->config = *config;
	tunnel->phase = TUNNEL_CONNECTING;
	tunnel->timeout = (struct timer){ .fire = timed_out, .user = tunnel };
	tunnel->probe = (struct timer){ .fire = probe_fired, .user = tunnel };
	tunnel->end = (struct task){ .run = run_end, .user = tunnel };
	list_init(&tunnel->dials);
	list_init(&tunnel->pings);
	choose_addresses(tunnel);
	tunnel->timeline.started_us = now(tunnel);
	set_timeout(tunnel, config->timeout_us ? config->timeout_us :
						 DEFAULT_TIMEOUT_US);
	err = build(tunnel, error);
	if (err < 0) {
		tunnel_free(tunnel);
		return err;
	}
	*out = tunnel;
	return 0;
}

void tunnel_close(struct tunnel *tunnel)
{
	bool was_up = tunnel->phase == TUNNEL_UP;

	if (!was_up && tunnel->phase != TUNNEL_CONNECTING)
		return;
	timer_stop(tunnel->config.loop, &tunnel->probe);
	tunnel->phase = TUNNEL_DRAINING;
	set_timeout(tunnel, was_up ? DRAIN_US : 0);
	node_kick(tunnel->node);
}

void tunnel_free(struct tunnel *tunnel)
{
	if (!tunnel)
		return;
	tunnel->phase = TUNNEL_ENDED;
	tunnel_operations_free(tunnel);
	timer_stop(tunnel->config.loop, &tunnel->timeout);
	timer_stop(tunnel->config.loop, &tunnel->probe);
	if (tunnel->node)
		node_ping_forget(tunnel->node, tunnel);
	control_free(tunnel->control);
	node_free(tunnel->node);
	task_cancel(&tunnel->end);
	derp_map_clear(&tunnel->derp_map);
	free(tunnel);
}

const char *tunnel_address(const struct tunnel *tunnel)
{
	return tunnel->address;
}

const struct tunnel_timeline *tunnel_timeline(const struct tunnel *tunnel)
{
	return &tunnel->timeline;
}

void tunnel_path(const struct tunnel *tunnel, struct tunnel_path *out)
{
	const struct derp_map_region *region;
	struct node_peer_stats stats;

	*out = (struct tunnel_path){ .known = false };
	if (node_peer_stats(tunnel->node, &tunnel->config.agent_id, &stats) < 0)
		return;
	out->known = true;
	out->direct = stats.direct;
	if (stats.direct)
		endpoint_format(&stats.endpoint, out->endpoint);
	out->derp_region = stats.region;
	region = derp_map_region(&tunnel->derp_map, stats.region);
	if (region)
		memcpy(out->derp_name, region->name, sizeof(out->derp_name));
	out->latency_us = stats.latency_us;
	out->direct_rx_bytes = stats.direct_rx_bytes;
	out->direct_tx_bytes = stats.direct_tx_bytes;
	out->relay_rx_bytes = stats.rx_bytes - stats.direct_rx_bytes;
	out->relay_tx_bytes = stats.tx_bytes - stats.direct_tx_bytes;
	if (stats.last_handshake_us != WG_NEVER)
		out->last_handshake_us = stats.last_handshake_us;
	out->handshakes = stats.handshakes;
}

void tunnel_report(const struct tunnel *tunnel, struct node_report *out)
{
	node_report(tunnel->node, out);
}

void tunnel_survey(struct tunnel *tunnel)
{
	node_survey(tunnel->node);
}

bool tunnel_candidate(const struct tunnel *tunnel, size_t index,
		      struct tunnel_candidate *out)
{
	struct path_candidate_info info;

	if (!node_peer_candidate(tunnel->node, &tunnel->config.agent_id, index,
				 &info))
		return false;
	*out = (struct tunnel_candidate){
		.endpoint = info.endpoint,
		.latency_us = info.latency_us == PATH_NEVER ? 0 :
							info.latency_us,
		.used = info.best,
	};
	return true;
}

const struct derp_map *tunnel_derp_map(const struct tunnel *tunnel)
{
	return &tunnel->derp_map;
}
