/*
 * core/base/channel.h: a message or byte channel to some server.
 *
 * A message channel is a WebSocket: whole messages in and out. A byte
 * channel is what is left of an HTTP connection after `101`: chunks of any
 * size. core/io makes real ones, core/base/memory.h ones in memory.
 *
 * Life: opened by network_open_channel(); on_open once; then on_message any
 * number of times; then on_close once, after which the channel is gone. Or
 * the owner calls channel_close(), after which there are no callbacks and
 * the channel must not be touched. No callback is made from inside a
 * channel_* or network_* call. A callback may close its channel.
 */
#ifndef TUNNELHOST_BASE_CHANNEL_H
#define TUNNELHOST_BASE_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/endpoint.h"
#include "core/base/err.h"

struct channel;

/* Why a channel ended or never opened; borrowed for the callback. */
struct channel_end {
	struct error error;	/* ERR_CLOSED for an orderly close by the peer */
	int http_status;	/* of a refusal while opening, else 0 */
	int close_code;		/* WebSocket close code, else 0 */
	const char *body;	/* of a refusal: the answer's body, or NULL */
	size_t body_len;
};

struct channel_events {
	void (*on_open)(void *user);
	void (*on_message)(void *user, const uint8_t *data, size_t len);
	/* The queue, full before, has room again. May be NULL. */
	void (*on_writable)(void *user);
	void (*on_close)(void *user, const struct channel_end *end);
};

struct channel_ops {
	int (*send)(struct channel *channel, const void *data, size_t len);
	size_t (*room)(const struct channel *channel);
	void (*pause)(struct channel *channel, bool paused);
	void (*close)(struct channel *channel, int code, const char *reason);
	/* May be NULL. */
	int (*local)(const struct channel *channel, struct endpoint *out);
};

struct channel {
	const struct channel_ops *ops;
};

/*
 * Queues one message (copied). 0; ERR_LIMIT when the queue has no room for
 * it (wait for on_writable); ERR_CLOSED.
 */
static inline int channel_send(struct channel *channel, const void *data,
			       size_t len)
{
	return channel->ops->send(channel, data, len);
}

/* Bytes that channel_send() takes now. */
static inline size_t channel_room(const struct channel *channel)
{
	return channel->ops->room(channel);
}

/* While paused nothing is read: back-pressure to the server. */
static inline void channel_pause(struct channel *channel, bool paused)
{
	channel->ops->pause(channel, paused);
}

/*
 * Says goodbye with a WebSocket close code (1000 normal) once what is queued
 * has left, or after a short time-out; the caller's part ends here.
 */
static inline void channel_close(struct channel *channel, int code,
				 const char *reason)
{
	channel->ops->close(channel, code, reason);
}

/* Its end on this machine. 0, or ERR_NOT_FOUND while that is not known. */
static inline int channel_local(const struct channel *channel,
				struct endpoint *out)
{
	return channel->ops->local ? channel->ops->local(channel, out) :
				     ERR_NOT_FOUND;
}

#endif
