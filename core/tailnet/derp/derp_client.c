#include "core/tailnet/derp/derp_client.h"

#include <sodium.h>
#include <string.h>

#include "core/tailnet/derp/derp_box.h"

#define CLIENT_INFO "{\"version\":2,\"CanAckPings\":true}"
#define CLIENT_INFO_LEN (sizeof(CLIENT_INFO) - 1)
#define CLIENT_INFO_BODY (DERP_KEY_LEN + CLIENT_INFO_LEN + DERP_BOX_OVERHEAD)

#define EMIT(client, callback, ...)                                       \
	do {                                                              \
		if ((client)->events->callback)                           \
			(client)->events->callback((client)->user,        \
						   ##__VA_ARGS__);        \
	} while (0)

void derp_client_init(struct derp_client *client,
		      const struct key32 *private_key, struct rng *rng,
		      const struct derp_client_events *events, void *user,
		      uint64_t now_us)
{
	*client = (struct derp_client){
		.state = DERP_CLIENT_WAIT_KEY,
		.private_key = *private_key,
		.rng = rng,
		.events = events,
		.user = user,
		.started_us = now_us,
		.heard_us = now_us,
		.ping_us = DEADLINE_NONE,
	};
	key_public(private_key, &client->public_key);
	derp_reader_init(&client->reader, DERP_BODY_CAP);
	buf_init(&client->out, DERP_CLIENT_OUT_CAP);
}

static void die(struct derp_client *client)
{
	client->state = DERP_CLIENT_DEAD;
	key_wipe(&client->private_key);
}

void derp_client_clear(struct derp_client *client)
{
	die(client);
	derp_reader_clear(&client->reader);
	buf_clear(&client->out);
}

static int sendable(const struct derp_client *client)
{
	if (client->state == DERP_CLIENT_DEAD)
		return ERR_CLOSED;
	return client->state == DERP_CLIENT_WAIT_KEY ? ERR_AGAIN : 0;
}

static int put_control(struct derp_client *client, enum derp_type type,
		       const void *body, size_t len)
{
	uint8_t *out;
	int err = buf_reserve(&client->out, DERP_HEADER_LEN + len, &out);

	if (err < 0)
		return err;
	derp_put_header(out, type, len);
	memcpy(out + DERP_HEADER_LEN, body, len);
	buf_commit(&client->out, DERP_HEADER_LEN + len);
	return 0;
}

static int put_client_info(struct derp_client *client, struct error *error)
{
	uint8_t body[CLIENT_INFO_BODY];
	struct key32 shared;
	int err = derp_box_key(&client->private_key, &client->server_key,
			       &shared);

	if (err < 0)
		return error_set(error, err, "the relay's key is no good key");
	memcpy(body, client->public_key.bytes, DERP_KEY_LEN);
	derp_box_seal(&shared, client->rng, CLIENT_INFO, CLIENT_INFO_LEN,
		      body + DERP_KEY_LEN);
	key_wipe(&shared);
	err = put_control(client, DERP_CLIENT_INFO, body, sizeof(body));
	if (err < 0)
		return error_set(error, err, "no room for the client info");
	client->state = DERP_CLIENT_WAIT_INFO;
	return 0;
}

static int on_server_key(struct derp_client *client,
			 const struct derp_frame *frame, struct error *error)
{
	struct cursor c = cursor_of(frame->body, frame->len);
	const uint8_t *magic = cursor_bytes(&c, DERP_MAGIC_LEN);

	cursor_copy(&c, client->server_key.bytes, DERP_KEY_LEN);
	if (frame->type != DERP_SERVER_KEY || !cursor_ok(&c) ||
	    memcmp(magic, DERP_MAGIC, DERP_MAGIC_LEN) != 0)
		return error_set(error, ERR_PROTOCOL,
				 "no DERP relay: the first frame is no server "
				 "key (type 0x%02x, %zu bytes)",
				 frame->type, frame->len);
	return put_client_info(client, error);
}

static int on_server_info(struct derp_client *client,
			  const struct derp_frame *frame, struct error *error)
{
	struct derp_info info = { .version = 0 };
	struct key32 shared;
	int err;

	/* A second one tells nothing new, and the key is gone by then. */
	if (client->state != DERP_CLIENT_WAIT_INFO)
		return 0;
	err = derp_box_key(&client->private_key, &client->server_key, &shared);
	if (err < 0)
		return error_set(error, err, "the relay's key is no good key");
	err = derp_box_open_info(&shared, frame->body, frame->len, &info,
				 error);
	key_wipe(&shared);
	if (err < 0)
		return error_prefix(error, "server info");
	key_wipe(&client->private_key);
	client->server_version = info.version;
	client->rate_bytes_per_s = info.rate_bytes_per_s;
	client->rate_burst_bytes = info.rate_burst_bytes;
	client->state = DERP_CLIENT_READY;
	EMIT(client, on_ready);
	return 0;
}

static void on_packet(struct derp_client *client,
		      const struct derp_frame *frame)
{
	struct cursor c = cursor_of(frame->body, frame->len);
	struct key32 from;

	cursor_copy(&c, from.bytes, DERP_KEY_LEN);
	if (cursor_ok(&c))
		EMIT(client, on_packet, &from, c.at, c.left);
}

static void on_peer_gone(struct derp_client *client,
			 const struct derp_frame *frame)
{
	struct cursor c = cursor_of(frame->body, frame->len);
	uint8_t reason = DERP_GONE_DISCONNECTED;
	struct key32 peer;

	cursor_copy(&c, peer.bytes, DERP_KEY_LEN);
	if (!cursor_ok(&c))
		return;
	if (c.left > 0)
		reason = cursor_u8(&c);
	EMIT(client, on_peer_gone, &peer, reason);
}

static void on_ping(struct derp_client *client, const struct derp_frame *frame)
{
	/* A relay that pings faster than we can answer is not answered. */
	if (frame->len >= DERP_PING_LEN)
		(void)put_control(client, DERP_PONG, frame->body,
				  DERP_PING_LEN);
}

static void on_pong(struct derp_client *client, const struct derp_frame *frame)
{
	uint64_t sent_us = client->ping_us;

	if (sent_us == DEADLINE_NONE || frame->len < DERP_PING_LEN ||
	    memcmp(frame->body, client->ping, DERP_PING_LEN) != 0)
		return;
	client->ping_us = DEADLINE_NONE;
	EMIT(client, on_pong, client->heard_us - sent_us);
}

static void on_restarting(struct derp_client *client,
			  const struct derp_frame *frame)
{
	struct cursor c = cursor_of(frame->body, frame->len);
	uint32_t reconnect_in_ms = cursor_u32(&c);
	uint32_t try_for_ms = cursor_u32(&c);

	if (cursor_ok(&c))
		EMIT(client, on_restarting, reconnect_in_ms, try_for_ms);
}

static int on_frame(struct derp_client *client, const struct derp_frame *frame,
		    struct error *error)
{
	if (client->state == DERP_CLIENT_WAIT_KEY)
		return on_server_key(client, frame, error);
	switch ((enum derp_type)frame->type) {
	case DERP_RECV_PACKET:
		on_packet(client, frame);
		break;
	case DERP_SERVER_INFO:
		return on_server_info(client, frame, error);
	case DERP_PEER_GONE:
		on_peer_gone(client, frame);
		break;
	case DERP_PING:
		on_ping(client, frame);
		break;
	case DERP_PONG:
		on_pong(client, frame);
		break;
	case DERP_HEALTH:
		EMIT(client, on_health, (const char *)frame->body, frame->len);
		break;
	case DERP_RESTARTING:
		on_restarting(client, frame);
		break;
	case DERP_KEEPALIVE:	/* heard_us has noted it */
	case DERP_SERVER_KEY:
	case DERP_CLIENT_INFO:
	case DERP_SEND_PACKET:
	case DERP_NOTE_PREFERRED:
		break;
	}
	return 0;
}

int derp_client_in(struct derp_client *client, const void *data, size_t len,
		   uint64_t now_us, struct error *error)
{
	struct cursor in = cursor_of(data, len);
	struct derp_frame frame;
	int err;

	if (client->state == DERP_CLIENT_DEAD)
		return error_set(error, ERR_CLOSED, "the relay is given up");
	if (len > 0)
		client->heard_us = now_us;
	while ((err = derp_reader_next(&client->reader, &in, &frame,
				       error)) > 0) {
		err = on_frame(client, &frame, error);
		if (err < 0)
			break;
	}
	if (err < 0)
		die(client);
	return err;
}

int derp_client_send(const struct derp_client *client,
		     const struct key32 *dst, const void *packet, size_t len,
		     uint8_t *out, size_t cap)
{
	int err = sendable(client);

	if (err < 0)
		return err;
	if (len > DERP_PACKET_CAP)
		return ERR_TOO_LARGE;
	if (cap < DERP_PACKET_OVERHEAD + len)
		return ERR_LIMIT;
	derp_send_header(out, dst, len);
	if (len > 0)
		memcpy(out + DERP_PACKET_OVERHEAD, packet, len);
	return (int)(DERP_PACKET_OVERHEAD + len);
}

int derp_client_note_preferred(struct derp_client *client, bool preferred)
{
	uint8_t body = preferred;
	int err = sendable(client);

	if (err < 0)
		return err;
	return put_control(client, DERP_NOTE_PREFERRED, &body, 1);
}

int derp_client_ping(struct derp_client *client, uint64_t now_us)
{
	int err = sendable(client);

	if (err < 0)
		return err;
	rng_bytes(client->rng, client->ping, DERP_PING_LEN);
	err = put_control(client, DERP_PING, client->ping, DERP_PING_LEN);
	if (err < 0)
		return err;
	client->ping_us = now_us;
	return 0;
}

uint64_t derp_client_next_deadline(const struct derp_client *client)
{
	switch (client->state) {
	case DERP_CLIENT_WAIT_KEY:
	case DERP_CLIENT_WAIT_INFO:
		return client->started_us + DERP_HANDSHAKE_TIMEOUT_US;
	case DERP_CLIENT_READY:
		return client->heard_us + DERP_SILENCE_US;
	case DERP_CLIENT_DEAD:
		break;
	}
	return DEADLINE_NONE;
}

int derp_client_tick(struct derp_client *client, uint64_t now_us,
		     struct error *error)
{
	bool ready = client->state == DERP_CLIENT_READY;

	if (client->state == DERP_CLIENT_DEAD)
		return error_set(error, ERR_CLOSED, "the relay is given up");
	if (now_us < derp_client_next_deadline(client))
		return 0;
	die(client);
	if (ready)
		return error_set(error, ERR_TIMEOUT,
				 "the relay has been silent for 120 s");
	return error_set(error, ERR_TIMEOUT,
			 "no DERP handshake within 10 s");
}
