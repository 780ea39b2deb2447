/* Plain requests, and the network's life. */
#include "core/base/memory_network.h"

#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/memory_private.h"

#define FIRST_PORT 20000

struct http_call {
	struct list link;
	struct memory_network *memory;
	struct memory_request request;
	struct exchange exchange;
	struct memory_answer answer;
	struct timer wake;
	size_t body_cap;
	bool serving;
	bool cancelled;		/* while the service answers */
	http_done *done;
	void *user;
};

static void free_call(struct http_call *call)
{
	timer_stop(call->memory->config.loop, &call->wake);
	list_remove(&call->link);
	memory_request_clear(&call->request);
	memory_answer_clear(&call->answer);
	free(call);
}

static int respond(struct exchange *exchange, int status,
		   const char *content_type, const void *body, size_t len)
{
	struct http_call *call =
		container_of(exchange, struct http_call, exchange);

	return memory_answer_set(&call->answer, status, content_type, body,
				 len);
}

static int refuse_accept(struct exchange *exchange, const char *protocol,
			 size_t message_cap, size_t queue_cap,
			 const struct channel_events *events, void *user,
			 struct channel **out)
{
	(void)exchange;
	(void)protocol;
	(void)message_cap;
	(void)queue_cap;
	(void)events;
	(void)user;
	(void)out;
	return ERR_MISUSE;
}

static const struct exchange_ops exchange_ops = {
	.respond = respond,
	.accept = refuse_accept,
};

static void fill_response(const struct http_call *call,
			  struct http_response *response)
{
	*response = (struct http_response){
		.status = call->answer.status,
		.content_type = call->answer.content_type,
		.body = call->answer.body,
		.body_len = call->answer.body_len,
	};
	if (!call->answer.status)
		error_set(&response->error, ERR_UNREACHABLE,
			  "nobody answers in the memory network");
	else if (call->answer.body_len > call->body_cap)
		error_set(&response->error, ERR_TOO_LARGE,
			  "the answer has %zu bytes, more than %zu",
			  call->answer.body_len, call->body_cap);
}

static void answer_call(struct timer *timer)
{
	struct http_call *call = timer->user;
	struct service *service = call->memory->config.service;
	struct http_response response;

	call->serving = true;
	if (service)
		service->serve(service, &call->exchange, &call->request.view);
	call->serving = false;
	if (!call->cancelled) {
		list_remove(&call->link);
		fill_response(call, &response);
		call->done(call->user, &response);
	}
	free_call(call);
}

static int memory_http(struct network *network,
		       const struct http_request *request, http_done *done,
		       void *user, struct http_call **out, struct error *error)
{
	struct memory_network *memory = memory_self(network);
	struct http_call *call = calloc(1, sizeof(*call));
	int err = ERR_NOMEM;

	if (call)
		err = memory_request_init(&call->request, EXCHANGE_PLAIN,
					  request->method, request->url, NULL,
					  request->headers,
					  request->header_count, request->body,
					  request->body_len);
	if (err < 0) {
		free(call);
		return error_set(error, err, "cannot request %s: %s",
				 request->url, err_name(err));
	}
	call->memory = memory;
	call->exchange.ops = &exchange_ops;
	call->body_cap = request->body_cap ? request->body_cap : 1024 * 1024;
	call->done = done;
	call->user = user;
	call->wake = (struct timer){ .fire = answer_call, .user = call };
	list_add_tail(&memory->calls, &call->link);
	timer_set(memory->config.loop, &call->wake, memory_after(memory, 2));
	*out = call;
	return 0;
}

static void memory_http_cancel(struct network *network, struct http_call *call)
{
	(void)network;
	call->cancelled = true;
	if (!call->serving)
		free_call(call);
}

static const struct network_ops network_ops = {
	.open_channel = memory_open_channel,
	.http = memory_http,
	.http_cancel = memory_http_cancel,
	.open_datagram = memory_open_datagram,
	.resolve = memory_resolve,
	.resolve_cancel = memory_resolve_cancel,
	.local_addresses = memory_local_addresses,
	.monitor_add = memory_monitor_add,
	.monitor_remove = memory_monitor_remove,
};

int memory_network_new(const struct memory_network_config *config,
		       struct memory_network **out)
{
	struct memory_network *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return ERR_NOMEM;
	memory->network.ops = &network_ops;
	memory->config = *config;
	memory->next_port = FIRST_PORT;
	memory->way_count = 1;
	list_init(&memory->links);
	list_init(&memory->calls);
	list_init(&memory->sockets);
	list_init(&memory->lookups);
	list_init(&memory->monitors);
	*out = memory;
	return 0;
}

void memory_network_set_service(struct memory_network *memory,
				struct service *service)
{
	memory->config.service = service;
}

void memory_network_set_latency(struct memory_network *memory,
				uint64_t latency_us)
{
	memory->config.latency_us = latency_us;
}

struct network *memory_network_of(struct memory_network *memory)
{
	return &memory->network;
}

void memory_network_free(struct memory_network *memory)
{
	if (!memory)
		return;
	while (!list_empty(&memory->calls))
		free_call(container_of(memory->calls.next, struct http_call,
				       link));
	memory_links_free(memory);
	memory_sockets_free(memory);
	memory_lookups_free(memory);
	free(memory);
}
