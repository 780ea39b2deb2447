#include "core/tailnet/coordinate/rpc.h"

#include <stdio.h>
#include <string.h>

#include "core/base/cursor.h"

#define STOP 1			/* of on_packet: read no further */

static void finish(struct rpc *rpc, const struct rpc_end *end)
{
	if (rpc->ended || !rpc->stream)
		return;
	rpc->ended = true;
	rpc->events->on_end(rpc, end);
}

static void finish_with(struct rpc *rpc, int code, const char *text)
{
	struct rpc_end end = { .code = 0 };

	if (code)
		error_set(&end.error, code, "%s", text);
	finish(rpc, &end);
}

/*
 * Error body: u64 code, text. The text is the other side's; it is cut, and
 * what does not print is masked, before a person reads it.
 */
static void take_error(struct rpc *rpc, const struct drpc_packet *packet)
{
	struct cursor c = cursor_of(packet->data, packet->len);
	struct rpc_end end = { .code = cursor_u64(&c) };
	char text[256];
	size_t len = c.left < sizeof(text) - 1 ? c.left : sizeof(text) - 1;

	for (size_t i = 0; i < len; i++)
		text[i] = c.at[i] < ' ' || c.at[i] == 0x7f ? ' ' :
							     (char)c.at[i];
	text[len] = '\0';
	error_set(&end.error,
		  end.code == DRPC_CODE_UNIMPLEMENTED ? ERR_NOT_FOUND :
							ERR_REFUSED,
		  "%s (code %llu)", len ? text : "no reason given",
		  (unsigned long long)end.code);
	finish(rpc, &end);
}

static void take_invoke(struct rpc *rpc, const struct drpc_packet *packet)
{
	char path[RPC_PATH_CAP];

	if (rpc->client || rpc->drpc_stream) {
		finish_with(rpc, ERR_PROTOCOL, "drpc: Invoke out of place");
		return;
	}
	if (packet->len >= sizeof(path)) {
		finish_with(rpc, ERR_TOO_LARGE, "drpc: path is too long");
		return;
	}
	if (packet->len)
		memcpy(path, packet->data, packet->len);
	path[packet->len] = '\0';
	rpc->drpc_stream = packet->stream;
	rpc->events->on_invoke(rpc, path);
}

static void take_message(struct rpc *rpc, const struct drpc_packet *packet)
{
	if (!rpc->drpc_stream)
		finish_with(rpc, ERR_PROTOCOL, "drpc: Message before Invoke");
	else
		rpc->events->on_message(rpc, packet->data, packet->len);
}

static void take_close_send(struct rpc *rpc)
{
	if (rpc->client)
		finish_with(rpc, 0, NULL);
	else if (rpc->events->on_close_send)
		rpc->events->on_close_send(rpc);
}

static void take_unknown(struct rpc *rpc, const struct drpc_packet *packet)
{
	char text[64];

	if (packet->control)
		return;
	snprintf(text, sizeof(text), "drpc: packet of kind %u", packet->kind);
	finish_with(rpc, ERR_PROTOCOL, text);
}

static int on_packet(void *user, const struct drpc_packet *packet)
{
	struct rpc *rpc = user;

	/* As drpc's manager: what belongs to another stream is ignored. */
	if (rpc->drpc_stream && packet->stream != rpc->drpc_stream)
		return 0;
	switch (packet->kind) {
	case DRPC_INVOKE:
		take_invoke(rpc, packet);
		break;
	case DRPC_MESSAGE:
		take_message(rpc, packet);
		break;
	case DRPC_ERROR:
		take_error(rpc, packet);
		break;
	case DRPC_CANCEL:
		finish_with(rpc, ERR_CANCELED, "the peer cancelled the call");
		break;
	case DRPC_CLOSE:
		finish_with(rpc, 0, NULL);
		break;
	case DRPC_CLOSE_SEND:
		take_close_send(rpc);
		break;
	case DRPC_INVOKE_METADATA:
		break;
	default:
		take_unknown(rpc, packet);
	}
	return rpc->ended || !rpc->stream ? STOP : 0;
}

static void attach(struct rpc *rpc, struct yamux_stream *stream,
		   const struct rpc_events *events, void *user)
{
	*rpc = (struct rpc){ .stream = stream, .events = events,
			     .user = user, .busy = rpc->busy };
	drpc_reader_init(&rpc->reader, on_packet, rpc);
	yamux_stream_set_user(stream, rpc);
}

int rpc_open(struct rpc *rpc, struct yamux *yamux,
	     const struct rpc_events *events, void *user)
{
	struct yamux_stream *stream;
	int err = yamux_open(yamux, NULL, &stream);

	if (err < 0)
		return err;
	attach(rpc, stream, events, user);
	rpc->client = true;
	rpc->drpc_stream = 1;
	return 0;
}

void rpc_accept(struct rpc *rpc, struct yamux_stream *stream,
		const struct rpc_events *events, void *user)
{
	attach(rpc, stream, events, user);
}

void rpc_data(struct rpc *rpc, const uint8_t *data, size_t len)
{
	struct error error = { .code = 0 };
	int err;

	if (!rpc->stream || rpc->ended)
		return;
	rpc->busy = true;
	err = drpc_in(&rpc->reader, data, len, &error);
	rpc->busy = false;
	if (err < 0)
		finish_with(rpc, err, error.message);
	if (!rpc->stream)
		drpc_reader_clear(&rpc->reader);
}

void rpc_stream_end(struct rpc *rpc, int err)
{
	if (err == 0)
		finish_with(rpc, 0, NULL);
	else
		finish_with(rpc, err, "the stream was reset");
}

static int send_packet(struct rpc *rpc, enum drpc_kind kind, const void *data,
		       size_t len)
{
	struct buf packet = { .limit = DRPC_PACKET_CAP + (64u * 1024u) };
	int err;

	if (!rpc->stream || rpc->ended || rpc->send_closed)
		return ERR_CLOSED;
	err = drpc_append(&packet, kind, rpc->drpc_stream, rpc->message + 1,
			  data, len);
	if (err == 0)
		err = yamux_write(rpc->stream, buf_data(&packet), packet.len);
	if (err == 0)
		rpc->message++;
	buf_clear(&packet);
	return err;
}

int rpc_invoke(struct rpc *rpc, const char *path)
{
	return send_packet(rpc, DRPC_INVOKE, path, strlen(path));
}

int rpc_message(struct rpc *rpc, const void *data, size_t len)
{
	return send_packet(rpc, DRPC_MESSAGE, data, len);
}

int rpc_close_send(struct rpc *rpc)
{
	int err = send_packet(rpc, DRPC_CLOSE_SEND, NULL, 0);

	rpc->send_closed = true;
	return err;
}

int rpc_error(struct rpc *rpc, uint64_t code, const char *text)
{
	uint8_t body[8 + ERROR_MESSAGE_CAP];
	struct writer w = writer_of(body, sizeof(body));

	write_u64(&w, code);
	write_bytes(&w, text, strnlen(text, ERROR_MESSAGE_CAP));
	return send_packet(rpc, DRPC_ERROR, body, w.len);
}

static void detach(struct rpc *rpc)
{
	rpc->stream = NULL;
	if (!rpc->busy)
		drpc_reader_clear(&rpc->reader);
}

void rpc_hang_up(struct rpc *rpc)
{
	struct yamux_stream *stream = rpc->stream;

	if (!stream)
		return;
	/* A closed send side has said all but Close, which may still come. */
	rpc->send_closed = false;
	(void)send_packet(rpc, DRPC_CLOSE, NULL, 0);
	detach(rpc);
	yamux_close(stream);
}

void rpc_drop(struct rpc *rpc)
{
	struct yamux_stream *stream = rpc->stream;

	if (!stream)
		return;
	detach(rpc);
	yamux_close(stream);
}
