#include "tests/simulated/streams.h"

#include <stdlib.h>
#include <string.h>

static void echo_changed(struct stream *stream, void *user)
{
	const uint8_t *data;
	ssize_t len;

	(void)user;
	while ((len = stream_peek(stream, &data)) > 0) {
		ssize_t wrote = stream_write(stream, data, (size_t)len);

		if (wrote <= 0)
			break;
		stream_consume(stream, (size_t)wrote);
	}
	if (len == 0)
		stream_close(stream, false);
	else if (len < 0 && len != ERR_AGAIN)
		stream_close(stream, true);
}

void echo_port(void *user, struct stream *stream)
{
	(void)user;
	stream->on_change = echo_changed;
}

static void read_back(struct transfer *transfer)
{
	const uint8_t *data;
	ssize_t len;

	while ((len = stream_peek(transfer->stream, &data)) > 0) {
		size_t room = transfer->len - transfer->got;
		size_t take = (size_t)len < room ? (size_t)len : room;

		memcpy(transfer->in + transfer->got, data, take);
		transfer->got += take;
		stream_consume(transfer->stream, (size_t)len);
	}
	if (len != ERR_AGAIN && transfer->got < transfer->len)
		transfer->err = len ? (int)len : ERR_CLOSED;
}

static void transfer_changed(struct stream *stream, void *user)
{
	struct transfer *transfer = user;
	ssize_t wrote = 1;

	while (transfer->sent < transfer->len && wrote > 0) {
		wrote = stream_write(stream, transfer->out + transfer->sent,
				     transfer->len - transfer->sent);
		if (wrote > 0)
			transfer->sent += (size_t)wrote;
	}
	read_back(transfer);
	transfer->done = transfer->got == transfer->len || transfer->err;
}

void transfer_init(struct transfer *transfer, struct stream *stream,
		   struct rng *rng, size_t len)
{
	memset(transfer, 0, sizeof(*transfer));
	transfer->stream = stream;
	transfer->len = len;
	transfer->out = malloc(len);
	transfer->in = malloc(len);
	rng_bytes(rng, transfer->out, len);
	stream->on_change = transfer_changed;
	stream->user = transfer;
	transfer_changed(stream, transfer);
}

bool transfer_is_right(const struct transfer *transfer)
{
	return transfer->got == transfer->len &&
	       memcmp(transfer->in, transfer->out, transfer->len) == 0;
}

void transfer_clear(struct transfer *transfer)
{
	stream_close(transfer->stream, false);
	free(transfer->out);
	free(transfer->in);
}

static void reading_changed(struct stream *stream, void *user)
{
	struct reading *reading = user;
	const uint8_t *data;
	ssize_t len;

	while ((len = stream_peek(stream, &data)) > 0) {
		size_t room = sizeof(reading->text) - 1 - reading->len;
		size_t take = (size_t)len < room ? (size_t)len : room;

		memcpy(reading->text + reading->len, data, take);
		reading->len += take;
		reading->total += (size_t)len;
		stream_consume(stream, (size_t)len);
	}
	if (len == ERR_AGAIN)
		return;
	reading->err = (int)len;
	reading->done = true;
}

void reading_init(struct reading *reading, struct stream *stream,
		  const char *text)
{
	memset(reading, 0, sizeof(*reading));
	reading->stream = stream;
	stream->on_change = reading_changed;
	stream->user = reading;
	(void)stream_write(stream, text, strlen(text));
}
