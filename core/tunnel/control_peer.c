/*
 * What is known of the agent; it outlives sessions with the coordinator. When
 * one ends the agent counts as LOST: the clock of 15 min since its last
 * handshake runs. When a new one begins the coordinator tells the agent's
 * node again, if it is still there; if it is not told within 10 s, the agent
 * may have said goodbye meanwhile, or be about to dial in itself: the tunnel
 * is asked. An agent that answers stays, one that does not has left.
 */
#include <string.h>

#include "core/tailnet/wireguard/wireguard.h"
#include "core/tunnel/control_private.h"

#define PROGRAM_AGAIN_US (500 * US_PER_MS)
#define READY_WAIT_US (5 * US_PER_S)
#define LOST_KEEP_US (15 * 60 * US_PER_S)
#define RETOLD_WITHIN_US (10 * US_PER_S)
#define ANSWER_WITHIN_US (5 * US_PER_S)

/*
 * Another key is another process: the TCP connections of the one before are
 * gone, and with them what it kept under this id, even if it left in order.
 */
static void note_key(struct control *control)
{
	bool another = !key_is_zero(&control->last_key) &&
		       !key_equal(&control->last_key, &control->peer.key);

	control->last_key = control->peer.key;
	if (!another)
		return;
	log_info(control->config.log, "coordinate",
		 "the agent has restarted: its key is another");
	control->config.events->on_peer_restarted(control->config.user);
}

static void program_peer(struct control *control)
{
	bool first = !control->programmed;
	int err;

	if (!control->have_peer || !control->ready)
		return;
	control->peer.endpoints = control->endpoints;
	err = node_peer_set(control->config.node, &control->peer);
	if (err < 0) {
		log_error(control->config.log, "coordinate",
			  "the agent's node cannot be used: %s",
			  err_name(err));
		if (control_may_pass(err))
			timer_set(control->config.loop, &control->gate,
				  control_now(control) + PROGRAM_AGAIN_US);
		return;
	}
	control->programmed = true;
	note_key(control);
	if (first)
		control->config.events->on_peer(control->config.user);
}

static void gate_fired(struct timer *timer)
{
	struct control *control = timer->user;

	if (!control->ready)
		log_info(control->config.log, "coordinate",
			 "no ready-for-handshake in 5 s, going on without");
	control->ready = true;
	program_peer(control);
}

static void stop_asking(struct control *control)
{
	timer_stop(control->config.loop, &control->retold);
	node_ping_forget(control->config.node, control);
}

/* Those that cannot be read, or are too many, are left out. */
static void take_endpoints(struct control *control,
			   const struct coord_node *node)
{
	size_t count = 0;

	for (size_t i = 0; i < node->endpoint_count; i++)
		if (count < CONTROL_ENDPOINT_CAP &&
		    endpoint_parse(node->endpoints[i],
				   &control->endpoints[count]))
			count++;
	control->peer.endpoint_count = count;
}

static void take_node(struct control *control, const struct coord_node *node)
{
	struct node_peer_config *peer = &control->peer;

	timer_stop(control->config.loop, &control->lost);
	stop_asking(control);
	if (node->preferred_derp == 0)
		return;		/* not complete yet: another will follow */
	peer->id = control->config.agent_id;
	peer->key = node->key;
	peer->disco_key = node->disco;
	peer->home_region = node->preferred_derp;
	peer->keepalive = true;
	peer->address_count = 0;
	for (size_t i = 0; i < node->allowed_count; i++)
		if (node->allowed[i].bits == 128 &&
		    peer->address_count < NODE_PEER_ADDRESS_CAP)
			memcpy(peer->addresses[peer->address_count++],
			       node->allowed[i].address, 16);
	take_endpoints(control, node);
	control->have_peer = true;
	if (!control->ready && !timer_active(&control->gate))
		timer_set(control->config.loop, &control->gate,
			  control_now(control) + READY_WAIT_US);
	program_peer(control);
}

static void forget_peer(struct control *control)
{
	timer_stop(control->config.loop, &control->gate);
	timer_stop(control->config.loop, &control->lost);
	stop_asking(control);
	node_peer_remove(control->config.node, &control->config.agent_id);
	control->have_peer = control->ready = control->programmed = false;
}

static void peer_left(struct control *control)
{
	bool programmed = control->programmed;

	forget_peer(control);
	if (programmed)
		control->config.events->on_peer_left(control->config.user);
}

/* The last handshake decides, looked at again when it could have aged. */
static void lost_fired(struct timer *timer)
{
	struct control *control = timer->user;
	struct node_peer_stats stats;

	if (node_peer_stats(control->config.node, &control->config.agent_id,
			    &stats) < 0)
		return;
	if (stats.last_handshake_us != WG_NEVER &&
	    stats.last_handshake_us + LOST_KEEP_US > control_now(control))
		timer_set(control->config.loop, &control->lost,
			  stats.last_handshake_us + LOST_KEEP_US);
	else
		peer_left(control);
}

static void peer_lost(struct control *control)
{
	if (control->programmed && !timer_active(&control->lost))
		timer_set(control->config.loop, &control->lost,
			  control_now(control) + LOST_KEEP_US);
}

static void agent_asked(void *user, int err, uint64_t latency_us)
{
	struct control *control = user;

	(void)latency_us;
	if (err == ERR_CANCELED || !control->programmed)
		return;
	if (err == 0) {
		log_info(control->config.log, "coordinate",
			 "the coordinator does not know the agent, but the "
			 "agent answers");
		return;
	}
	log_warn(control->config.log, "coordinate",
		 "the agent has gone while the coordinator was away");
	peer_left(control);
}

static void retold_fired(struct timer *timer)
{
	struct control *control = timer->user;

	if (!control->programmed || !control->peer.address_count)
		return;
	(void)node_ping(control->config.node, control->peer.addresses[0],
			ANSWER_WITHIN_US, agent_asked, control);
}

/* --- what control.c calls ------------------------------------------- */

void control_peer_init(struct control *control)
{
	control->gate = (struct timer){ .fire = gate_fired, .user = control };
	control->lost = (struct timer){ .fire = lost_fired, .user = control };
	control->retold =
		(struct timer){ .fire = retold_fired, .user = control };
}

void control_peer_update(struct control *control,
			 const struct coordinate_update *update)
{
	switch (update->kind) {
	case COORDINATE_NODE:
		take_node(control, update->node);
		break;
	case COORDINATE_READY:
		control->ready = true;
		timer_stop(control->config.loop, &control->gate);
		program_peer(control);
		break;
	case COORDINATE_LOST:
		peer_lost(control);
		break;
	case COORDINATE_DISCONNECTED:
		peer_left(control);
		break;
	}
}

void control_peer_session(struct control *control, bool begun)
{
	if (!begun) {
		stop_asking(control);
		peer_lost(control);
	} else if (control->programmed) {
		timer_set(control->config.loop, &control->retold,
			  control_now(control) + RETOLD_WITHIN_US);
	}
}

void control_peer_stop(struct control *control)
{
	timer_stop(control->config.loop, &control->gate);
	timer_stop(control->config.loop, &control->lost);
	stop_asking(control);
}
