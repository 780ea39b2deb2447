#include "tests/support/fake_network.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake_channel {
	struct channel channel;
	struct fake_network *fake;
};

struct http_call {
	char unused;
};

static struct fake_network *of(struct network *network)
{
	return (struct fake_network *)(void *)network;
}

static int fake_send(struct channel *channel, const void *data, size_t len)
{
	(void)channel;
	(void)data;
	(void)len;
	return 0;
}

static size_t fake_room(const struct channel *channel)
{
	(void)channel;
	return 0;
}

static void fake_pause(struct channel *channel, bool paused)
{
	(void)channel;
	(void)paused;
}

static void fake_close(struct channel *channel, int code, const char *reason)
{
	struct fake_channel *c = (struct fake_channel *)(void *)channel;

	(void)reason;
	assert(c->fake->channel == channel);
	c->fake->channel = NULL;
	c->fake->close_code = code;
	free(c);
}

static const struct channel_ops channel_ops = {
	.send = fake_send,
	.room = fake_room,
	.pause = fake_pause,
	.close = fake_close,
};

static void keep_headers(struct fake_network *fake,
			 const struct http_header *headers, size_t count)
{
	size_t used = 0;

	fake->headers[0] = '\0';
	for (size_t i = 0; i < count; i++)
		used += (size_t)snprintf(fake->headers + used,
					 FAKE_TEXT_CAP - used, "%s: %s\n",
					 headers[i].name, headers[i].value);
}

static int open_channel(struct network *network,
			const struct channel_request *request,
			struct channel **out, struct error *error)
{
	struct fake_network *fake = of(network);
	struct fake_channel *c;

	fake->dials++;
	if (fake->refuse_with)
		return error_set(error, fake->refuse_with, "refused here");
	assert(!fake->channel);
	c = calloc(1, sizeof(*c));
	assert(c);
	c->channel.ops = &channel_ops;
	c->fake = fake;
	snprintf(fake->url, sizeof(fake->url), "%s", request->url);
	keep_headers(fake, request->headers, request->header_count);
	fake->kind = request->kind;
	fake->message_cap = request->message_cap;
	fake->events = request->events;
	fake->user = request->user;
	fake->close_code = 0;
	fake->channel = &c->channel;
	*out = fake->channel;
	return 0;
}

static int http(struct network *network, const struct http_request *request,
		http_done *done, void *user, struct http_call **out,
		struct error *error)
{
	struct fake_network *fake = of(network);

	fake->calls++;
	if (fake->refuse_with)
		return error_set(error, fake->refuse_with, "refused here");
	assert(!fake->call);
	fake->call = calloc(1, sizeof(*fake->call));
	assert(fake->call);
	snprintf(fake->url, sizeof(fake->url), "%s", request->url);
	snprintf(fake->method, sizeof(fake->method), "%s", request->method);
	snprintf(fake->body, sizeof(fake->body), "%.*s",
		 (int)request->body_len,
		 request->body ? (const char *)request->body : "");
	keep_headers(fake, request->headers, request->header_count);
	fake->done = done;
	fake->done_user = user;
	*out = fake->call;
	return 0;
}

static void http_cancel(struct network *network, struct http_call *call)
{
	struct fake_network *fake = of(network);

	assert(fake->call == call);
	fake->call = NULL;
	fake->cancels++;
	free(call);
}

static const struct network_ops ops = {
	.open_channel = open_channel,
	.http = http,
	.http_cancel = http_cancel,
};

void fake_network_init(struct fake_network *fake)
{
	*fake = (struct fake_network){ .network.ops = &ops };
}

void fake_open(struct fake_network *fake)
{
	assert(fake->channel);
	fake->events->on_open(fake->user);
}

void fake_message(struct fake_network *fake, const char *text)
{
	assert(fake->channel);
	fake->events->on_message(fake->user, (const uint8_t *)text,
				 strlen(text));
}

static void end(struct fake_network *fake, const struct channel_end *end)
{
	assert(fake->channel);
	free(fake->channel);
	fake->channel = NULL;
	fake->events->on_close(fake->user, end);
}

void fake_refuse(struct fake_network *fake, int status, const char *body)
{
	struct channel_end how = { .http_status = status, .body = body,
				   .body_len = strlen(body) };

	error_set(&how.error, ERR_REFUSED, "refused with HTTP %d", status);
	end(fake, &how);
}

void fake_end(struct fake_network *fake, int code, const char *message)
{
	struct channel_end how = { .http_status = 0 };

	error_set(&how.error, code, "%s", message);
	end(fake, &how);
}

static void answer(struct fake_network *fake,
		   const struct http_response *response)
{
	assert(fake->call);
	free(fake->call);
	fake->call = NULL;
	fake->done(fake->done_user, response);
}

void fake_answer(struct fake_network *fake, int status, const char *body)
{
	struct http_response response = {
		.status = status,
		.content_type = "application/json",
		.body = (const uint8_t *)body,
		.body_len = strlen(body),
	};

	answer(fake, &response);
}

void fake_no_answer(struct fake_network *fake, int code, const char *message)
{
	struct http_response response = { .content_type = "" };

	error_set(&response.error, code, "%s", message);
	answer(fake, &response);
}
