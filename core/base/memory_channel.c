/*
 * Channels of the memory network. A link has two ends, the client's [0] and
 * the service's [1]. Each end has an inbox and one timer, from which all its
 * callbacks come: the request itself, on_open, what is due in the inbox,
 * on_writable, and last the other end's goodbye. A link lives until both
 * ends are given up.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/memory_private.h"

#define CLOSE_GOING_AWAY 1001
#define CLOSE_TOO_BIG 1009

struct message {
	struct list link;
	uint64_t due_us;
	size_t len;
	uint8_t data[];
};

struct link;

struct end {
	struct channel channel;
	struct link *link;
	const struct channel_events *events;
	void *user;
	struct list inbox;
	size_t unread;		/* bytes this end has sent, undelivered */
	size_t queue_cap;	/* most of them */
	size_t message_cap;
	struct timer wake;
	bool held;		/* its owner has not given it up */
	bool opened;
	bool paused;
	bool owes_writable;
	bool over;		/* nothing follows but on_close */
	uint64_t over_due_us;
	struct channel_end how;
};

struct link {
	struct list link;
	struct memory_network *memory;
	enum channel_kind kind;
	struct memory_request request;
	struct exchange exchange;
	struct memory_answer answer;
	struct end ends[2];
	unsigned busy;		/* inside a callback: may not be freed */
	bool asked;
};

static struct end *other(struct end *end)
{
	return &end->link->ends[end == &end->link->ends[0]];
}

static uint64_t now(const struct link *link)
{
	return loop_now_us(link->memory->config.loop);
}

static void drop_inbox(struct end *end)
{
	struct list *at;

	while ((at = list_pop(&end->inbox)) != NULL)
		free(container_of(at, struct message, link));
}

static void free_link(struct link *link)
{
	for (int i = 0; i < 2; i++) {
		drop_inbox(&link->ends[i]);
		timer_stop(link->memory->config.loop, &link->ends[i].wake);
	}
	memory_request_clear(&link->request);
	memory_answer_clear(&link->answer);
	list_remove(&link->link);
	free(link);
}

static void free_if_over(struct link *link)
{
	if (!link->busy && !link->ends[0].held && !link->ends[1].held)
		free_link(link);
}

/* When the end has next something to be told. */
static uint64_t next_due(const struct end *end)
{
	if (!end->held)
		return DEADLINE_NONE;
	if (!end->opened || end->owes_writable)
		return 0;
	if (end->paused)
		return DEADLINE_NONE;
	if (!list_empty(&end->inbox))
		return container_of(end->inbox.next, struct message, link)
			->due_us;
	return end->over ? end->over_due_us : DEADLINE_NONE;
}

static void arm(struct end *end)
{
	timer_set(end->link->memory->config.loop, &end->wake, next_due(end));
}

/* The other end learns it once all that was sent has been read. */
static void end_link(struct end *end, int code, int close_code,
		     const char *message)
{
	if (end->over)
		return;
	end->over = true;
	end->over_due_us = memory_after(end->link->memory, 1);
	end->how.close_code = close_code;
	error_set(&end->how.error, code, "%s", message);
	arm(end);
}

static int push(struct end *from, const uint8_t *data, size_t len)
{
	struct message *message = malloc(sizeof(*message) + len);
	struct end *to = other(from);

	if (!message)
		return ERR_NOMEM;
	*message = (struct message){
		.due_us = memory_after(from->link->memory, 1),
		.len = len,
	};
	if (len)
		memcpy(message->data, data, len);
	list_add_tail(&to->inbox, &message->link);
	from->unread += len;
	return 0;
}

static size_t chunk_of(const struct link *link, size_t len)
{
	const struct memory_network_config *config = &link->memory->config;
	size_t chunk;

	if (!config->rng || !config->chunk_cap)
		return len;
	chunk = 1 + rng_below(config->rng, (uint32_t)config->chunk_cap);
	return chunk < len ? chunk : len;
}

/* A message may be empty; a stream has no empty pieces. */
static int push_chunks(struct end *end, const uint8_t *at, size_t len)
{
	if (end->link->kind != CHANNEL_UPGRADE)
		return push(end, at, len);
	for (size_t chunk; len; at += chunk, len -= chunk) {
		chunk = chunk_of(end->link, len);
		if (push(end, at, chunk) < 0)
			return ERR_NOMEM;
	}
	return 0;
}

static int end_send(struct channel *channel, const void *data, size_t len)
{
	struct end *end = container_of(channel, struct end, channel);
	struct end *to = other(end);
	int err;

	if (!to->held || end->over)
		return ERR_CLOSED;
	if (len > end->queue_cap - end->unread)
		return ERR_LIMIT;
	if (end->link->kind != CHANNEL_UPGRADE && to->message_cap &&
	    len > to->message_cap) {
		end_link(to, ERR_TOO_LARGE, CLOSE_TOO_BIG,
			 "a message is larger than was allowed");
		end_link(end, ERR_CLOSED, CLOSE_TOO_BIG,
			 "the other end finds a message too large");
		return 0;
	}
	err = push_chunks(end, data, len);
	arm(to);
	return err;
}

static size_t end_room(const struct channel *channel)
{
	const struct end *end =
		container_of(channel, const struct end, channel);

	return end->over ? 0 : end->queue_cap - end->unread;
}

static void end_pause(struct channel *channel, bool paused)
{
	struct end *end = container_of(channel, struct end, channel);

	end->paused = paused;
	arm(end);
}

static void end_close(struct channel *channel, int code, const char *reason)
{
	struct end *end = container_of(channel, struct end, channel);
	struct link *link = end->link;
	char message[160];

	snprintf(message, sizeof(message), "closed by the other end (%d%s%s)",
		 code, reason && *reason ? " " : "", reason ? reason : "");
	end->held = false;
	drop_inbox(end);
	timer_stop(link->memory->config.loop, &end->wake);
	if (other(end)->held)
		end_link(other(end), ERR_CLOSED, code, message);
	free_if_over(link);
}

static const struct channel_ops channel_ops = {
	.send = end_send,
	.room = end_room,
	.pause = end_pause,
	.close = end_close,
};

/* Half empty or all empty: time to say that there is room. */
static void was_read(struct end *sender, size_t len)
{
	size_t before = sender->unread;

	sender->unread -= len;
	if (!sender->held || !sender->opened || !sender->events->on_writable)
		return;
	if (sender->unread == 0 || (before > sender->queue_cap / 2 &&
				    sender->unread <= sender->queue_cap / 2)) {
		sender->owes_writable = true;
		arm(sender);
	}
}

static void deliver_due(struct end *end)
{
	while (end->held && !end->paused && !list_empty(&end->inbox)) {
		struct message *message = container_of(
			end->inbox.next, struct message, link);

		if (message->due_us > now(end->link))
			return;
		list_remove(&message->link);
		was_read(other(end), message->len);
		end->events->on_message(end->user, message->data,
					message->len);
		free(message);
	}
}

static void give_up(struct end *end)
{
	end->held = false;
	end->events->on_close(end->user, &end->how);
}

static void tell(struct end *end)
{
	if (!end->opened) {
		end->opened = true;
		end->events->on_open(end->user);
	}
	deliver_due(end);
	if (end->held && end->owes_writable) {
		end->owes_writable = false;
		end->events->on_writable(end->user);
	}
	if (end->held && end->over && !end->paused &&
	    list_empty(&end->inbox) && end->over_due_us <= now(end->link))
		give_up(end);
}

static int exchange_answer(struct exchange *exchange, int status,
			   const char *content_type, const void *body,
			   size_t len)
{
	struct link *link = container_of(exchange, struct link, exchange);

	return memory_answer_set(&link->answer, status, content_type, body,
				 len);
}

static int exchange_take(struct exchange *exchange, const char *protocol,
			 size_t message_cap, size_t queue_cap,
			 const struct channel_events *events, void *user,
			 struct channel **out)
{
	struct link *link = container_of(exchange, struct link, exchange);
	struct end *end = &link->ends[1];

	(void)protocol;
	if (end->held)
		return ERR_MISUSE;
	end->held = true;
	end->events = events;
	end->user = user;
	end->message_cap = message_cap;
	end->queue_cap = queue_cap;
	arm(end);
	*out = &end->channel;
	return 0;
}

static const struct exchange_ops exchange_ops = {
	.respond = exchange_answer,
	.accept = exchange_take,
};

static void refused(struct link *link)
{
	struct end *end = &link->ends[0];
	int status = link->answer.status;

	end->how.http_status = status;
	end->how.body = (const char *)link->answer.body;
	end->how.body_len = link->answer.body_len;
	if (status)
		error_set(&end->how.error, ERR_REFUSED,
			  "refused with HTTP %d", status);
	else
		error_set(&end->how.error, ERR_UNREACHABLE,
			  "nobody answers in the memory network");
	give_up(end);
}

static void ask(struct link *link)
{
	struct service *service = link->memory->config.service;

	link->asked = true;
	if (service)
		service->serve(service, &link->exchange, &link->request.view);
	if (!link->ends[0].held)	/* given up meanwhile */
		return;
	if (link->ends[1].held || link->ends[0].over)
		arm(&link->ends[0]);
	else
		refused(link);
}

static void wake(struct timer *timer)
{
	struct end *end = timer->user;
	struct link *link = end->link;

	link->busy++;
	if (!link->asked)
		ask(link);
	else
		tell(end);
	link->busy--;
	if (end->held && link->asked && !timer_active(&end->wake))
		arm(end);
	free_if_over(link);
}

static void init_end(struct link *link, int side)
{
	struct end *end = &link->ends[side];

	end->channel.ops = &channel_ops;
	end->link = link;
	end->wake = (struct timer){ .fire = wake, .user = end };
	list_init(&end->inbox);
}

int memory_open_channel(struct network *network,
			const struct channel_request *request,
			struct channel **out, struct error *error)
{
	struct memory_network *memory = memory_self(network);
	enum exchange_kind kind = request->kind == CHANNEL_UPGRADE ?
		EXCHANGE_UPGRADE : EXCHANGE_WEBSOCKET;
	struct link *link = calloc(1, sizeof(*link));
	int err = ERR_NOMEM;

	if (link)
		err = memory_request_init(&link->request, kind, "GET",
					  request->url, request->protocol,
					  request->headers,
					  request->header_count, NULL, 0);
	if (err < 0) {
		free(link);
		return error_set(error, err, "cannot open %s: %s",
				 request->url, err_name(err));
	}
	link->memory = memory;
	link->kind = request->kind;
	link->exchange.ops = &exchange_ops;
	init_end(link, 0);
	init_end(link, 1);
	link->ends[0].held = true;
	link->ends[0].events = request->events;
	link->ends[0].user = request->user;
	link->ends[0].message_cap = request->message_cap;
	link->ends[0].queue_cap = request->queue_cap;
	list_add_tail(&memory->links, &link->link);
	timer_set(memory->config.loop, &link->ends[0].wake,
		  memory_after(memory, 2));
	*out = &link->ends[0].channel;
	return 0;
}

void memory_links_free(struct memory_network *memory)
{
	while (!list_empty(&memory->links))
		free_link(container_of(memory->links.next, struct link, link));
}
