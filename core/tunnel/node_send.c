/*
 * Packets out. A packet is pulled from the netstack only when there is room
 * for it, straight into the slab of the socket or of a relay, and sealed where
 * it lies. The one that took the last packet is the one that is filled; a
 * packet that turns out to go elsewhere is copied there, or held with its
 * peer while there is no room. The socket always has room. When all peers are
 * on one relay and that is full or down, packets simply stay where they are.
 * With several, a relay that is up is waited for (100 ms); if it is down or takes
 * nothing, only its own peers wait.
 */
#include <string.h>

#include "core/base/cursor.h"
#include "core/base/err.h"
#include "core/tunnel/node_private.h"

#define IPV6_DESTINATION 24	/* offset in the header */
#define PACKETS_PER_TURN 1024	/* then the loop's other users have a turn */
/*
 * How many packets come in before output is pulled. A read of the relay that
 * got one ACK for its 50 packets made the agent's CUBIC burst over the relay's
 * queue: half the throughput. Without a relay there is no such queue, and the
 * agent sends what one ACK releases in one call: few ACKs are cheaper.
 */
#define TAKEN_BY_RELAY 8
#define TAKEN_DIRECTLY 64

void node_wait_for_room(struct node_peer *peer)
{
	if (!list_linked(&peer->waiting))
		list_add_tail(&peer->node->waiting, &peer->waiting);
}

/* PACKET_ROOM bytes where the peer's next packet goes, or NULL. */
static uint8_t *reserve(struct node_peer *peer)
{
	if (peer->direct)
		return node_udp_reserve(peer->node);
	return peer->relay ? relay_reserve(peer->relay, PACKET_ROOM) : NULL;
}

/* The packet is where reserve() said. */
static void commit(struct node_peer *peer, size_t len)
{
	if (!peer->direct) {
		relay_commit(peer->relay, &peer->config.key, len);
		return;
	}
	peer->direct_tx_bytes += len;
	node_udp_commit(peer->node, &peer->endpoint, len);
}

static bool send_copy(struct node_peer *peer, const uint8_t *data, size_t len)
{
	uint8_t *to = reserve(peer);

	if (!to)
		return false;
	memcpy(to, data, len);
	commit(peer, len);
	return true;
}

void node_send_message(struct node_peer *peer, const uint8_t *message,
		       size_t len, bool keep)
{
	bool sent = send_copy(peer, message, len);

	if (!keep)
		return;
	peer->message_len = sent ? 0 : len;
	if (sent)
		return;
	memcpy(peer->message, message, len);
	node_wait_for_room(peer);
}

/* Full: the newest is dropped; whoever sent it sends it again. */
static void hold(struct node_peer *peer, const uint8_t *packet, size_t len)
{
	uint8_t *to;

	if (buf_reserve(&peer->held, 2 + len, &to) < 0)
		return;
	be_store(to, len, 2);
	memcpy(to + 2, packet, len);
	buf_commit(&peer->held, 2 + len);
}

/* 0, or ERR_AGAIN: no room (the peer waits), or no session (wg tells). */
static int send_sealed(struct node_peer *peer, const uint8_t *packet,
		       size_t len)
{
	uint8_t *to = reserve(peer);
	ssize_t sealed;

	if (!to) {
		node_wait_for_room(peer);
		return ERR_AGAIN;
	}
	memcpy(to + WG_DATA_HEADER, packet, len);
	sealed = wg_seal(peer->wg, to, len, PACKET_ROOM, node_now(peer->node));
	if (sealed == ERR_AGAIN)
		return ERR_AGAIN;
	if (sealed > 0)
		commit(peer, (size_t)sealed);
	return 0;
}

void node_release_held(struct node_peer *peer)
{
	while (peer->held.len >= 2) {
		const uint8_t *at = buf_data(&peer->held);
		size_t len = be_load(at, 2);

		if (send_sealed(peer, at + 2, len) == ERR_AGAIN)
			return;
		buf_consume(&peer->held, 2 + len);
	}
}

static void serve_peer(struct node_peer *peer)
{
	if (peer->message_len) {
		if (!send_copy(peer, peer->message, peer->message_len)) {
			node_wait_for_room(peer);
			return;
		}
		peer->message_len = 0;
	}
	if (peer->call_owed)
		node_path_call(peer);
	node_release_held(peer);
}

void node_serve_waiting(struct node *node)
{
	struct list waiting;
	struct list *at;

	if (!node->room_again || list_empty(&node->waiting))
		return;
	node->room_again = false;
	waiting = node->waiting;
	waiting.next->prev = &waiting;
	waiting.prev->next = &waiting;
	list_init(&node->waiting);
	while ((at = list_pop(&waiting)) != NULL)
		serve_peer(container_of(at, struct node_peer, waiting));
}

/* `room` is where reserve() would put it. */
static void send_in_place(struct node_peer *peer, uint8_t *room, size_t len)
{
	ssize_t sealed = wg_seal(peer->wg, room, len, PACKET_ROOM,
				 node_now(peer->node));

	if (sealed == ERR_AGAIN)
		hold(peer, room + WG_DATA_HEADER, len);
	else if (sealed > 0)
		commit(peer, (size_t)sealed);
}

/* `relay` is the one that is being filled, NULL: the socket's slab. */
static void send_packet(struct node *node, struct relay *relay, uint8_t *room,
			size_t len)
{
	uint8_t *packet = room + WG_DATA_HEADER;
	struct node_peer *peer = node_peer_at(node, packet + IPV6_DESTINATION);

	if (!peer)
		return;
	node_path_want(peer);
	if (!peer->direct && !peer->relay)
		return;
	if (peer->held.len) {
		hold(peer, packet, len);	/* behind the others */
		node_release_held(peer);
	} else if (peer->direct ? !relay : peer->relay == relay) {
		send_in_place(peer, room, len);
	} else if (send_sealed(peer, packet, len) == ERR_AGAIN) {
		hold(peer, packet, len);
	}
	node->fill_direct = peer->direct;
	if (!peer->direct && node_relay_is_waited_for(peer->relay))
		node->last = peer->relay;
}

/* *relay is NULL when the room is in the socket's slab. */
static uint8_t *room_to_fill(struct node *node, struct relay **relay)
{
	uint8_t *room;

	*relay = NULL;
	if (node->fill_direct && node->direct_peers)
		return node_udp_reserve(node);
	*relay = node_relay_to_fill(node);
	room = *relay ? relay_reserve(*relay, PACKET_ROOM) : NULL;
	if (room || !node->direct_peers)
		return room;
	*relay = NULL;		/* a full relay blocks its own peers alone */
	return node_udp_reserve(node);
}

/* False: nothing to send, or no room (the relay will say when). */
static bool send_next(struct node *node)
{
	struct relay *relay;
	uint8_t *room = room_to_fill(node, &relay);
	size_t len;

	if (!room)
		return false;
	len = ns_out(node->ns, room + WG_DATA_HEADER, NS_MTU_MIN,
		     node_now(node));
	if (len == 0)
		return false;
	send_packet(node, relay, room, len);
	return true;
}

bool node_send_packets(struct node *node)
{
	for (int i = 0; i < PACKETS_PER_TURN; i++)
		if (!send_next(node))
			return false;
	return true;
}

void node_took_packet(struct node *node, bool directly)
{
	if (++node->taken < (directly ? TAKEN_DIRECTLY : TAKEN_BY_RELAY))
		return;
	node->taken = 0;
	(void)node_send_packets(node);
}
