/*
 * Packets out. The netstack asks for each packet whether its destination has
 * room (node_gate); what has none stays where it is, until a relay has room, a
 * path is found or a session is there. The others are pulled straight into
 * the slab of the socket or the relay that took the last packet, and sealed
 * where they lie; one that turns out to go elsewhere is copied there. A peer
 * without a session holds a few, and then its gate is shut.
 */
#include <string.h>

#include "core/base/cursor.h"
#include "core/base/err.h"
#include "core/tunnel/node_private.h"

#define IPV6_DESTINATION 24	/* offset in the header */
#define HELD_ROOM (2 + NS_MTU_MIN)
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
	bool sent;

	if (keep)
		node_path_want(peer);
	sent = send_copy(peer, message, len);
	if (!keep)
		return;
	memcpy(peer->message, message, len);
	peer->message_len = len;
	peer->message_owed = !sent;
	if (!sent)
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
	if (peer->message_owed) {
		if (!send_copy(peer, peer->message, peer->message_len)) {
			node_wait_for_room(peer);
			return;
		}
		peer->message_owed = false;
	}
	if (peer->call_owed)
		node_path_call(peer);
	node_release_held(peer);
}

void node_serve_waiting(struct node *node)
{
	struct list waiting;
	struct list *at;

	if (!node->room_again)
		return;
	node->room_again = false;
	ns_gate_opened(node->ns);
	if (list_empty(&node->waiting))
		return;
	waiting = node->waiting;
	waiting.next->prev = &waiting;
	waiting.prev->next = &waiting;
	list_init(&node->waiting);
	while ((at = list_pop(&waiting)) != NULL)
		serve_peer(container_of(at, struct node_peer, waiting));
}

static void seal_in_place(struct node_peer *peer, uint8_t *room, size_t len)
{
	ssize_t sealed = wg_seal(peer->wg, room, len, PACKET_ROOM,
				 node_now(peer->node));

	if (sealed == ERR_AGAIN)
		hold(peer, room + WG_DATA_HEADER, len);
	else if (sealed > 0)
		commit(peer, (size_t)sealed);
}

/* Mostly it lies where it will leave from. */
static void send_packet(struct node *node, const uint8_t *packet, size_t len)
{
	struct node_peer *peer = node_peer_at(node, packet + IPV6_DESTINATION);
	uint8_t *room;

	if (!peer)
		return;
	node->fill_direct = peer->direct;
	if (peer->relay && !peer->direct)
		node->last = peer->relay;
	room = peer->held.len ? NULL : reserve(peer);
	if (!room) {
		hold(peer, packet, len);	/* behind the others */
		node_release_held(peer);
		return;
	}
	if (packet != room + WG_DATA_HEADER)
		memcpy(room + WG_DATA_HEADER, packet, len);
	seal_in_place(peer, room, len);
}

bool node_gate(void *user, const uint8_t dst[NS_ADDRESS_LEN])
{
	struct node *node = user;
	struct node_peer *peer = node_peer_at(node, dst);

	if (!peer)
		return true;	/* to be dropped */
	node_path_want(peer);
	if (peer->held.len > peer->held.limit - HELD_ROOM)
		return false;	/* until there is a session */
	return reserve(peer) != NULL;
}

/* Where the next packet probably leaves from. */
static uint8_t *room_to_fill(struct node *node)
{
	uint8_t *room = NULL;

	if (node->fill_direct)
		room = node_udp_reserve(node);
	else if (node->last)
		room = relay_reserve(node->last, PACKET_ROOM);
	return room ? room : node->scratch;
}

static bool send_next(struct node *node)
{
	uint8_t *packet = room_to_fill(node) + WG_DATA_HEADER;
	size_t len = ns_out(node->ns, packet, NS_MTU_MIN, node_now(node));

	if (len == 0)
		return false;
	send_packet(node, packet, len);
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
