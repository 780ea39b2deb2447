/*
 * How it lives: `timer` is set while nothing is dialled, `channel` is set
 * from the dial until its end, and neither once the policy has said stop.
 * `freed` points at a flag on the stack of whoever calls the owner back, so
 * that it learns of a watch_free() from in there.
 */
#include "core/watch/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/api_error.h"
#include "core/base/line.h"
#include "core/watch/decode.h"
#include "core/watch/policy.h"

#define ROOM "watch"
#define QUEUE_CAP 4096		/* it never sends */
#define AGENT_NAME_CAP 600	/* percent-encoded */

enum close_code {
	CLOSE_NORMAL = 1000,
	CLOSE_PROTOCOL_ERROR = 1002,
};

struct watch {
	struct watch_config config;
	struct watch_policy policy;
	struct timer timer;
	struct channel *channel;
	bool open;
	bool *freed;
	char url[WATCH_URL_CAP];
};

static void end_connection(struct watch *watch,
			   const struct watch_failure *failure,
			   const struct error *error);

static void tell_event(struct watch *watch, const struct fsm_event *event)
{
	watch->config.handlers->on_event(watch->config.user, event);
}

static void tell_fatal(struct watch *watch, const struct error *error)
{
	watch->config.handlers->on_fatal(watch->config.user, error);
}

static void close_channel(struct watch *watch, int code)
{
	struct channel *channel = watch->channel;

	watch->channel = NULL;
	watch->open = false;
	if (channel)
		channel_close(channel, code, "");
}

static void on_open(void *user)
{
	struct watch *watch = user;

	watch->open = true;
	watch_policy_opened(&watch->policy, loop_now_us(watch->config.loop));
	log_debug(watch->config.log, ROOM, "watch open");
}

static void on_error_frame(struct watch *watch, const struct watch_error *said)
{
	struct watch_failure failure = { .final = !said->retryable };
	struct error error;

	/* 2 and 3: no such agent, no agents (protocol.md, "Watch") */
	error_set(&error,
		  said->code == 2 || said->code == 3 ? ERR_NOT_FOUND :
						       ERR_REFUSED,
		  "workspace agent connection watch error: %s%s%s",
		  said->message, said->details[0] ? ": " : "", said->details);
	close_channel(watch, CLOSE_NORMAL);
	end_connection(watch, &failure, &error);
}

static void deliver(struct watch *watch, const struct watch_message *message)
{
	bool freed = false;

	watch->freed = &freed;
	if (message->has_build)
		tell_event(watch, &message->build);
	if (!freed && message->has_agent)
		tell_event(watch, &message->agent);
	if (!freed)
		watch->freed = NULL;
}

static void on_message(void *user, const uint8_t *data, size_t len)
{
	struct watch *watch = user;
	struct watch_failure failure = { .http_status = 0 };
	struct watch_message message;
	struct error error;

	if (watch_decode(data, len, &message, &error) < 0) {
		error_prefix(&error, "watch message");
		close_channel(watch, CLOSE_PROTOCOL_ERROR);
		end_connection(watch, &failure, &error);
		return;
	}
	if (message.strange[0])
		log_warn(watch->config.log, ROOM, "unknown value: %s",
			 message.strange);
	if (message.has_error)
		on_error_frame(watch, &message.error);
	else
		deliver(watch, &message);
}

static void on_close(void *user, const struct channel_end *end)
{
	struct watch *watch = user;
	struct watch_failure failure = { .http_status = end->http_status };
	struct error error = end->error;

	watch->channel = NULL;
	watch->open = false;
	if (end->http_status)
		api_error_read(end->http_status, end->body, end->body_len,
			       &error);
	end_connection(watch, &failure, &error);
}

static const struct channel_events events = {
	.on_open = on_open,
	.on_message = on_message,
	.on_close = on_close,
};

static void retry(struct watch *watch, uint64_t at_us,
		  const struct error *error)
{
	uint64_t now_us = loop_now_us(watch->config.loop);

	log_warn(watch->config.log, ROOM, "watch closed: %s; again in %llu ms",
		 error->message,
		 (unsigned long long)((at_us - now_us) / US_PER_MS));
	timer_set(watch->config.loop, &watch->timer, at_us);
}

static void give_up(struct watch *watch, const struct error *why,
		    bool budget_spent)
{
	struct error error = *why;

	if (budget_spent)
		error_prefix(&error, "no watch for %llu s",
			     WATCH_BUDGET_US / US_PER_S);
	tell_fatal(watch, &error);
}

/* The channel is gone. Last in its callers: the owner may free the watch. */
static void end_connection(struct watch *watch,
			   const struct watch_failure *failure,
			   const struct error *error)
{
	struct watch_verdict verdict = watch_policy_closed(
		&watch->policy, failure, loop_now_us(watch->config.loop));

	switch (verdict.kind) {
	case WATCH_RETRY:
		retry(watch, verdict.retry_at_us, error);
		break;
	case WATCH_STOP:
		log_warn(watch->config.log, ROOM,
			 "watch closed: %s; the tunnel goes on without it",
			 error->message);
		break;
	case WATCH_FATAL:
	case WATCH_FATAL_BUDGET:
		give_up(watch, error, verdict.kind == WATCH_FATAL_BUDGET);
		break;
	}
}

static void dial(struct timer *timer)
{
	struct watch *watch = timer->user;
	const struct watch_config *config = &watch->config;
	struct http_header headers[WATCH_HEADERS_CAP + 1];
	struct channel_request request = {
		.kind = CHANNEL_TEXT,
		.url = watch->url,
		.headers = headers,
		.header_count = config->header_count + 1,
		.message_cap = WATCH_MESSAGE_CAP,
		.queue_cap = QUEUE_CAP,
		.events = &events,
		.user = watch,
	};
	struct watch_failure failure = { .http_status = 0 };
	struct error error = { .code = 0 };
	int code;

	headers[0] = (struct http_header){ "Coder-Session-Token",
					   config->token };
	if (config->header_count)
		memcpy(headers + 1, config->headers,
		       config->header_count * sizeof(headers[0]));
	code = network_open_channel(config->network, &request,
				    &watch->channel, &error);
	if (code == 0)
		return;
	/* What is wrong with the request itself stays wrong. */
	watch->channel = NULL;
	failure.final = code != ERR_NOMEM && code != ERR_LIMIT;
	end_connection(watch, &failure, &error);
}

static int build_url(struct watch *watch)
{
	const struct watch_config *config = &watch->config;
	const char *name = config->agent_name ? config->agent_name : "";
	char encoded[AGENT_NAME_CAP];
	char id[UUID_TEXT_CAP];
	size_t len = strlen(config->url);
	int written;

	while (len > 0 && config->url[len - 1] == '/')
		len--;
	if (len >= WATCH_URL_CAP ||
	    url_encode(name, encoded, sizeof(encoded)) < 0)
		return ERR_TOO_LARGE;
	uuid_to_text(&config->workspace_id, id);
	written = snprintf(watch->url, sizeof(watch->url),
			   "%.*s/api/v2/workspaces/%s/agent-connection-watch"
			   "%s%s",
			   (int)len, config->url, id,
			   name[0] ? "?agent_name=" : "", encoded);
	return written < WATCH_URL_CAP ? 0 : ERR_TOO_LARGE;
}

int watch_new(const struct watch_config *config, struct watch **out,
	      struct error *error)
{
	struct watch *watch;
	uint64_t now_us = loop_now_us(config->loop);

	if (config->header_count > WATCH_HEADERS_CAP)
		return error_set(error, ERR_TOO_LARGE,
				 "%zu headers, more than %d",
				 config->header_count, WATCH_HEADERS_CAP);
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return error_set(error, ERR_NOMEM, "out of memory");
	watch->config = *config;
	if (build_url(watch) < 0) {
		free(watch);
		return error_set(error, ERR_TOO_LARGE,
				 "the watch's URL is too long");
	}
	watch->config.agent_name = NULL;	/* it is in the URL now */
	watch->timer = (struct timer){ .fire = dial, .user = watch };
	watch_policy_init(&watch->policy, config->rng, now_us);
	timer_set(config->loop, &watch->timer, now_us);
	*out = watch;
	return 0;
}

void watch_set_established(struct watch *watch, bool established)
{
	watch_policy_set_established(&watch->policy, established,
				     loop_now_us(watch->config.loop));
}

bool watch_is_open(const struct watch *watch)
{
	return watch->open;
}

void watch_free(struct watch *watch)
{
	if (!watch)
		return;
	if (watch->freed)
		*watch->freed = true;
	timer_stop(watch->config.loop, &watch->timer);
	close_channel(watch, CLOSE_NORMAL);
	free(watch);
}
