/*
 * Frames from clients, and where they go.
 *
 * "Peer gone" has two uses. A client that leaves is announced to those that
 * it has sent to (`sent_to`), since they may be answering it here. And a
 * client that sends a disco packet to a key that nobody has is told so, at
 * most once a second (three at first): WireGuard packets are dropped
 * silently, for the sender retries them anyway.
 */
#include <stdlib.h>
#include <string.h>

#include "core/tailnet/derp/derp_box.h"
#include "core/tailnet/derp/derp_relay_conn.h"

#define SERVER_INFO "{\"version\":2}"
#define SERVER_INFO_LEN (sizeof(SERVER_INFO) - 1)

#define DISCO_MAGIC "TS\xf0\x9f\x92\xac"
#define DISCO_MAGIC_LEN 6
#define DISCO_LEN_MIN (6 + 32 + 24)

#define GONE_INTERVAL_US US_PER_S
#define GONE_BURST 3

struct sent_to {
	struct key32 peer;
};

static struct derp_relay_conn *find(const struct derp_relay *relay,
				    const struct key32 *key)
{
	return hash_get(&relay->clients, key->bytes, DERP_KEY_LEN);
}

/* Takes `conn` out of the row of its key, of which it is not the first. */
static void unlink_older(struct derp_relay_conn *first,
			 struct derp_relay_conn *conn)
{
	while (first->older != conn)
		first = first->older;
	first->older = conn->older;
	conn->older = NULL;
}

/* Makes `conn` the first of its key's row. */
static int make_active(struct derp_relay_conn *conn)
{
	struct derp_relay *relay = conn->relay;
	struct derp_relay_conn *first = find(relay, &conn->key);
	int err = hash_put(&relay->clients, conn->key.bytes, DERP_KEY_LEN,
			   conn);

	if (err < 0)
		return err;
	relay->generation++;
	conn->older = first;
	conn->active = true;
	if (first)
		first->active = false;
	return 0;
}

static void note_activity(struct derp_relay_conn *conn)
{
	if (conn->active)
		return;
	unlink_older(find(conn->relay, &conn->key), conn);
	/* Replaces an entry, which needs no memory. */
	(void)make_active(conn);
}

/*
 * Walks over what is remembered as sent to; forgets each. Told or, when
 * another connection of the key lives on, handed to that one.
 */
static void forget_peers(struct derp_relay_conn *conn,
			 void (*each)(struct derp_relay_conn *conn,
				      struct sent_to *sent))
{
	size_t position = 0;
	struct sent_to *sent;

	while ((sent = hash_next(&conn->sent_to, &position)) != NULL)
		each(conn, sent);
	hash_clear(&conn->sent_to);
}

static void remember_peer(struct derp_relay_conn *conn,
			  const struct key32 *peer)
{
	struct sent_to *sent;

	if (conn->sent_to.len >= DERP_RELAY_PEERS_CAP ||
	    hash_get(&conn->sent_to, peer->bytes, DERP_KEY_LEN))
		return;
	sent = malloc(sizeof(*sent));
	if (!sent)
		return;
	sent->peer = *peer;
	if (hash_put(&conn->sent_to, peer->bytes, DERP_KEY_LEN, sent) < 0)
		free(sent);
}

static void send_peer_gone(struct derp_relay_conn *to,
			   const struct key32 *peer,
			   enum derp_gone_reason reason)
{
	uint8_t byte = (uint8_t)reason;

	derp_conn_control(to, DERP_PEER_GONE, peer->bytes, DERP_KEY_LEN,
			  &byte, 1);
	to->relay->stats.peer_gone_sent++;
}

static void tell_gone(struct derp_relay_conn *conn, struct sent_to *sent)
{
	struct derp_relay_conn *to = find(conn->relay, &sent->peer);

	if (to)
		send_peer_gone(to, &conn->key, DERP_GONE_DISCONNECTED);
	free(sent);
}

static void hand_over(struct derp_relay_conn *conn, struct sent_to *sent)
{
	remember_peer(find(conn->relay, &conn->key), &sent->peer);
	free(sent);
}

void derp_route_remove(struct derp_relay_conn *conn)
{
	struct derp_relay *relay = conn->relay;

	relay->generation++;
	if (!conn->active) {
		unlink_older(find(relay, &conn->key), conn);
	} else if (conn->older) {
		conn->older->active = true;
		(void)hash_put(&relay->clients, conn->key.bytes, DERP_KEY_LEN,
			       conn->older);
	} else {
		hash_remove(&relay->clients, conn->key.bytes, DERP_KEY_LEN);
		forget_peers(conn, tell_gone);
		return;
	}
	forget_peers(conn, hand_over);
}

static void send_server_info(struct derp_relay_conn *conn,
			     const struct key32 *shared)
{
	uint8_t box[SERVER_INFO_LEN + DERP_BOX_OVERHEAD];

	derp_box_seal(shared, conn->relay->rng, SERVER_INFO, SERVER_INFO_LEN,
		      box);
	derp_conn_control(conn, DERP_SERVER_INFO, box, sizeof(box), NULL, 0);
}

static int register_client(struct derp_relay_conn *conn, struct error *error)
{
	struct derp_relay *relay = conn->relay;

	if (find(relay, &conn->key))
		relay->stats.duplicates++;
	if (make_active(conn) < 0)
		return error_set(error, ERR_NOMEM, "no memory for a client");
	relay->stats.handshakes++;
	conn->state = DERP_CONN_UP;
	conn->reader.body_cap = DERP_BODY_CAP;
	return 0;
}

static int on_client_info(struct derp_relay_conn *conn,
			  const struct derp_frame *frame, struct error *error)
{
	struct cursor c = cursor_of(frame->body, frame->len);
	struct derp_info info;
	struct key32 shared;
	int err;

	cursor_copy(&c, conn->key.bytes, DERP_KEY_LEN);
	if (frame->type != DERP_CLIENT_INFO || !cursor_ok(&c))
		return error_set(error, ERR_PROTOCOL,
				 "the first frame is no client info "
				 "(type 0x%02x, %zu bytes)",
				 frame->type, frame->len);
	if (derp_box_key(&conn->relay->private_key, &conn->key, &shared) < 0)
		return error_set(error, ERR_PROTOCOL,
				 "the client's key is no good key");
	err = derp_box_open_info(&shared, c.at, c.left, &info, error);
	if (err == 0)
		err = register_client(conn, error);
	if (err == 0)
		send_server_info(conn, &shared);
	key_wipe(&shared);
	return err;
}

static struct derp_relay_conn *route(struct derp_relay_conn *conn,
				     const uint8_t *key)
{
	struct derp_relay *relay = conn->relay;

	if (conn->route_generation == relay->generation &&
	    memcmp(conn->route_key.bytes, key, DERP_KEY_LEN) == 0)
		return conn->route;
	memcpy(conn->route_key.bytes, key, DERP_KEY_LEN);
	conn->route = find(relay, &conn->route_key);
	conn->route_generation = relay->generation;
	if (conn->route)
		remember_peer(conn, &conn->route_key);
	return conn->route;
}

static void on_unknown_peer(struct derp_relay_conn *conn,
			    const uint8_t *packet, size_t len, uint64_t now_us)
{
	conn->relay->stats.dropped_unknown++;
	if (len < DISCO_LEN_MIN ||
	    memcmp(packet, DISCO_MAGIC, DISCO_MAGIC_LEN) != 0)
		return;
	if (conn->gone_allowed_us >
	    now_us + (GONE_BURST - 1) * GONE_INTERVAL_US)
		return;
	if (conn->gone_allowed_us < now_us)
		conn->gone_allowed_us = now_us;
	conn->gone_allowed_us += GONE_INTERVAL_US;
	send_peer_gone(conn, &conn->route_key, DERP_GONE_NOT_HERE);
}

static void forward(struct derp_relay_conn *conn, struct derp_relay_conn *to,
		    const uint8_t *packet, size_t len, uint64_t now_us)
{
	struct derp_relay *relay = conn->relay;
	size_t dropped = 0;
	uint8_t *out = derp_queue_put(&to->queue, &relay->pool,
				      DERP_PACKET_OVERHEAD + len, &dropped);

	relay->stats.dropped_queue += dropped;
	if (!out) {
		relay->stats.dropped_nomem++;
		return;
	}
	derp_put_packet_header(out, DERP_RECV_PACKET, &conn->key, len);
	if (len > 0)
		memcpy(out + DERP_PACKET_OVERHEAD, packet, len);
	derp_conn_touch(to);
	derp_conn_flush_full(to, now_us);
}

static int on_send(struct derp_relay_conn *conn,
		   const struct derp_frame *frame, uint64_t now_us,
		   struct error *error)
{
	struct cursor c = cursor_of(frame->body, frame->len);
	const uint8_t *key = cursor_bytes(&c, DERP_KEY_LEN);
	struct derp_relay_conn *to;

	if (!key)
		return error_set(error, ERR_PROTOCOL,
				 "send frame of %zu bytes", frame->len);
	conn->relay->stats.packets_in++;
	conn->relay->stats.bytes_in += c.left;
	to = route(conn, key);
	if (to)
		forward(conn, to, c.at, c.left, now_us);
	else
		on_unknown_peer(conn, c.at, c.left, now_us);
	return 0;
}

static int on_ping(struct derp_relay_conn *conn,
		   const struct derp_frame *frame, struct error *error)
{
	if (frame->len < DERP_PING_LEN || frame->len > DERP_PING_BODY_CAP)
		return error_set(error, ERR_PROTOCOL,
				 "ping of %zu bytes", frame->len);
	conn->relay->stats.pings++;
	derp_conn_control(conn, DERP_PONG, frame->body, DERP_PING_LEN, NULL, 0);
	return 0;
}

static void note_home(struct derp_relay_conn *conn, bool home)
{
	conn->relay->stats.homes += home;
	conn->relay->stats.homes -= conn->home;
	conn->home = home;
}

int derp_route_frame(struct derp_relay_conn *conn,
		     const struct derp_frame *frame, uint64_t now_us,
		     struct error *error)
{
	if (conn->state == DERP_CONN_HANDSHAKE)
		return on_client_info(conn, frame, error);
	note_activity(conn);
	switch ((enum derp_type)frame->type) {
	case DERP_SEND_PACKET:
		return on_send(conn, frame, now_us, error);
	case DERP_PING:
		return on_ping(conn, frame, error);
	case DERP_NOTE_PREFERRED:
		if (frame->len != 1)
			return error_set(error, ERR_PROTOCOL,
					 "note preferred of %zu bytes",
					 frame->len);
		note_home(conn, frame->body[0] != 0);
		break;
	case DERP_SERVER_KEY:
	case DERP_CLIENT_INFO:
	case DERP_SERVER_INFO:
	case DERP_RECV_PACKET:
	case DERP_KEEPALIVE:
	case DERP_PEER_GONE:
	case DERP_PONG:
	case DERP_HEALTH:
	case DERP_RESTARTING:
		break;
	}
	return 0;
}
