/*
 * Handshake initiations that nobody answers. An agent acknowledges a client's
 * node a moment before its WireGuard knows the client (coder/coder tailnet:
 * READY_FOR_HANDSHAKE is sent when the update is taken, the engine is
 * configured after it), and what comes in between is dropped; WireGuard
 * itself would try again after 5 s. So an initiation is sent again as it
 * stands, after 50 ms and then after twice as long, until there is a session:
 * whoever has had it sees a replay and says nothing.
 */
#include "core/tunnel/node_private.h"

#define FIRST_US (50 * US_PER_MS)
#define LAST_US (2 * US_PER_S)

static void wait(struct node_peer *peer)
{
	struct node *node = peer->node;

	timer_set(node->config.loop, &peer->resend,
		  node_now(node) + peer->resend_us);
}

static void fire(struct timer *timer)
{
	struct node_peer *peer = timer->user;

	if (!peer->message_len || wg_peer_ready(peer->wg, node_now(peer->node)))
		return;
	peer->message_owed = true;
	node_wait_for_room(peer);
	peer->node->room_again = true;
	node_kick(peer->node);
	peer->resend_us *= 2;
	if (peer->resend_us <= LAST_US)
		wait(peer);
}

void node_resend_init(struct node_peer *peer)
{
	peer->resend = (struct timer){ .fire = fire, .user = peer };
}

void node_resend_begin(struct node_peer *peer)
{
	peer->resend_us = FIRST_US;
	wait(peer);
}

void node_message_forget(struct node_peer *peer)
{
	peer->message_len = 0;
	peer->message_owed = false;
	timer_stop(peer->node->config.loop, &peer->resend);
}
