/* The network without sockets: what channel.h and network.h promise. */
#include "tests/unit/base/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory_network.h"
#include "core/base/virtual_loop.h"

#define LATENCY_US 1000
#define QUEUE 1000
#define MESSAGE 600

/* One end of a channel, with what it has heard. */
struct side {
	struct channel *channel;
	bool open;
	bool echo;
	bool closes;		/* at the first message */
	unsigned messages;
	unsigned writables;
	uint8_t got[65536];
	size_t len;
	bool closed;
	int code;
	int close_code;
	int status;
	char body[64];
};

struct world {
	struct virtual_loop v;
	struct rng rng;
	struct memory_network *memory;
	struct network *network;
	struct service service;
	struct side client;
	struct side server;
	char asked[256];
	char answer[256];
	int answer_code;
	int answer_status;
	unsigned answers;
};

static void on_open(void *user)
{
	struct side *side = user;

	side->open = true;
}

static void on_message(void *user, const uint8_t *data, size_t len)
{
	struct side *side = user;

	assert_true(side->open);
	assert_true(side->len + len <= sizeof(side->got));
	memcpy(side->got + side->len, data, len);
	side->len += len;
	side->messages++;
	if (side->echo)
		assert_int_equal(channel_send(side->channel, data, len), 0);
	if (!side->closes)
		return;
	channel_close(side->channel, 4001, "enough");
	side->channel = NULL;
}

static void on_writable(void *user)
{
	struct side *side = user;

	side->writables++;
}

static void on_close(void *user, const struct channel_end *end)
{
	struct side *side = user;

	assert_false(side->closed);
	side->closed = true;
	side->channel = NULL;
	side->code = end->error.code;
	side->close_code = end->close_code;
	side->status = end->http_status;
	snprintf(side->body, sizeof(side->body), "%.*s", (int)end->body_len,
		 end->body ? end->body : "");
}

static const struct channel_events events = {
	.on_open = on_open,
	.on_message = on_message,
	.on_writable = on_writable,
	.on_close = on_close,
};

static void serve(struct service *service, struct exchange *exchange,
		  const struct server_request *request)
{
	struct world *world = container_of(service, struct world, service);

	snprintf(world->asked, sizeof(world->asked), "%d %s %s %s %s %s %.*s",
		 (int)request->kind, request->method, request->path,
		 request->query, request->protocol, request->token,
		 (int)request->body_len, (const char *)request->body);
	if (strcmp(request->path, "/refused") == 0 ||
	    request->kind == EXCHANGE_PLAIN)
		exchange_respond(exchange, 403, "text/plain", "go away", 7);
	else
		assert_int_equal(exchange_accept(exchange, NULL, MESSAGE,
						 QUEUE, &events,
						 &world->server,
						 &world->server.channel), 0);
}

static void init(struct world *world, size_t chunk_cap)
{
	struct memory_network_config config = {
		.loop = &world->v.loop,
		.service = &world->service,
		.latency_us = LATENCY_US,
		.rng = &world->rng,
		.chunk_cap = chunk_cap,
	};

	memset(world, 0, sizeof(*world));
	virtual_loop_init(&world->v);
	rng_seeded(&world->rng, 7);
	world->service.serve = serve;
	assert_int_equal(memory_network_new(&config, &world->memory), 0);
	world->network = memory_network_of(world->memory);
}

static void run(struct world *world)
{
	virtual_loop_run(&world->v, world->v.now_us + US_PER_S, NULL);
}

static void clear(struct world *world)
{
	if (world->client.channel)
		channel_close(world->client.channel, 1000, "");
	if (world->server.channel)
		channel_close(world->server.channel, 1000, "");
	memory_network_free(world->memory);
	virtual_loop_clear(&world->v);
}

static void open_channel(struct world *world, enum channel_kind kind,
			 const char *url)
{
	const struct http_header token = { "coder-session-token", "secret" };
	const struct channel_request request = {
		.kind = kind,
		.url = url,
		.protocol = "derp",
		.headers = &token,
		.header_count = 1,
		.message_cap = MESSAGE,
		.queue_cap = QUEUE,
		.events = &events,
		.user = &world->client,
	};
	struct error error;

	assert_int_equal(network_open_channel(world->network, &request,
					      &world->client.channel, &error),
			 0);
	assert_false(world->client.open);
}

static struct world world;

static void keeps_messages_whole(void **state)
{
	(void)state;
	init(&world, 10);
	open_channel(&world, CHANNEL_BINARY, "http://x:1/a%20b?q=%201");
	run(&world);
	assert_string_equal(world.asked, "1 GET /a b q=%201 derp secret ");
	assert_true(world.client.open && world.server.open);
	world.server.echo = true;
	assert_int_equal(channel_send(world.client.channel, "one", 3), 0);
	assert_int_equal(channel_send(world.client.channel, "", 0), 0);
	assert_int_equal(channel_send(world.client.channel, "three", 5), 0);
	assert_int_equal(world.server.messages, 0);
	run(&world);
	assert_int_equal(world.server.messages, 3);
	assert_int_equal(world.client.messages, 3);
	assert_memory_equal(world.client.got, "onethree", 8);
	clear(&world);
}

static void cuts_byte_streams(void **state)
{
	uint8_t sent[900];

	(void)state;
	init(&world, 10);
	open_channel(&world, CHANNEL_UPGRADE, "https://x/derp");
	run(&world);
	rng_bytes(&world.rng, sent, sizeof(sent));
	assert_int_equal(channel_send(world.client.channel, sent,
				      sizeof(sent)), 0);
	run(&world);
	assert_true(world.server.messages > 90);
	assert_int_equal(world.server.len, sizeof(sent));
	assert_memory_equal(world.server.got, sent, sizeof(sent));
	clear(&world);
}

static void a_paused_reader_fills_the_queue(void **state)
{
	uint8_t data[400] = { 0 };

	(void)state;
	init(&world, 0);
	open_channel(&world, CHANNEL_BINARY, "http://x/");
	run(&world);
	channel_pause(world.server.channel, true);
	assert_int_equal(channel_room(world.client.channel), QUEUE);
	assert_int_equal(channel_send(world.client.channel, data, 400), 0);
	assert_int_equal(channel_send(world.client.channel, data, 400), 0);
	assert_int_equal(channel_send(world.client.channel, data, 400),
			 ERR_LIMIT);
	run(&world);
	assert_int_equal(channel_room(world.client.channel), 200);
	assert_int_equal(world.server.messages, 0);
	assert_int_equal(world.client.writables, 0);
	channel_pause(world.server.channel, false);
	run(&world);
	assert_int_equal(world.server.messages, 2);
	assert_true(world.client.writables > 0);
	assert_int_equal(channel_room(world.client.channel), QUEUE);
	clear(&world);
}

static void says_goodbye_after_what_was_sent(void **state)
{
	(void)state;
	init(&world, 0);
	open_channel(&world, CHANNEL_TEXT, "http://x/");
	run(&world);
	assert_int_equal(channel_send(world.client.channel, "last", 4), 0);
	channel_close(world.client.channel, 1001, "leaving");
	world.client.channel = NULL;
	run(&world);
	assert_memory_equal(world.server.got, "last", 4);
	assert_true(world.server.closed);
	assert_int_equal(world.server.code, ERR_CLOSED);
	assert_int_equal(world.server.close_code, 1001);
	assert_false(world.client.closed);
	clear(&world);
}

static void may_close_in_a_callback(void **state)
{
	(void)state;
	init(&world, 0);
	open_channel(&world, CHANNEL_TEXT, "http://x/");
	run(&world);
	world.server.closes = true;
	assert_int_equal(channel_send(world.client.channel, "a", 1), 0);
	assert_int_equal(channel_send(world.client.channel, "b", 1), 0);
	run(&world);
	assert_int_equal(world.server.messages, 1);
	assert_int_equal(world.client.close_code, 4001);
	clear(&world);
}

static void refuses_large_messages(void **state)
{
	uint8_t data[MESSAGE + 1] = { 0 };

	(void)state;
	init(&world, 0);
	open_channel(&world, CHANNEL_BINARY, "http://x/");
	run(&world);
	assert_int_equal(channel_send(world.client.channel, data,
				      sizeof(data)), 0);
	assert_int_equal(channel_send(world.client.channel, data, 1),
			 ERR_CLOSED);
	run(&world);
	assert_int_equal(world.server.code, ERR_TOO_LARGE);
	assert_int_equal(world.client.close_code, 1009);
	clear(&world);
}

static void tells_of_refusals(void **state)
{
	struct channel_request request = { .url = "ftp://x",
					   .events = &events };
	struct error error;

	(void)state;
	init(&world, 0);
	open_channel(&world, CHANNEL_BINARY, "http://x/refused");
	run(&world);
	assert_false(world.client.open);
	assert_int_equal(world.client.status, 403);
	assert_int_equal(world.client.code, ERR_REFUSED);
	assert_string_equal(world.client.body, "go away");
	memory_network_set_service(world.memory, NULL);
	memset(&world.client, 0, sizeof(world.client));
	open_channel(&world, CHANNEL_BINARY, "http://x/");
	run(&world);
	assert_int_equal(world.client.code, ERR_UNREACHABLE);
	assert_int_equal(network_open_channel(world.network, &request,
					      &world.client.channel, &error),
			 ERR_MISUSE);
	world.client.channel = NULL;
	/* Given up while still opening. */
	memset(&world.client, 0, sizeof(world.client));
	open_channel(&world, CHANNEL_BINARY, "http://x/");
	clear(&world);
	assert_false(world.client.closed);
}

static void answered(void *user, const struct http_response *response)
{
	struct world *at = user;

	at->answers++;
	at->answer_code = response->error.code;
	at->answer_status = response->status;
	snprintf(at->answer, sizeof(at->answer), "%s %.*s",
		 response->content_type, (int)response->body_len,
		 (const char *)response->body);
}

static struct http_call *call(struct world *at, size_t body_cap)
{
	const struct http_request request = {
		.method = "POST",
		.url = "http://x/p?a=b",
		.body = "body",
		.body_len = 4,
		.body_cap = body_cap,
	};
	struct http_call *out;
	struct error error;

	assert_int_equal(network_http(at->network, &request, answered, at,
				      &out, &error), 0);
	return out;
}

static void answers_plain_requests(void **state)
{
	(void)state;
	init(&world, 0);
	call(&world, 0);
	assert_int_equal(world.answers, 0);
	run(&world);
	assert_int_equal(world.answers, 1);
	assert_string_equal(world.asked, "0 POST /p a=b   body");
	assert_int_equal(world.answer_status, 403);
	assert_string_equal(world.answer, "text/plain go away");
	call(&world, 3);
	run(&world);
	assert_int_equal(world.answer_code, ERR_TOO_LARGE);
	network_http_cancel(world.network, call(&world, 0));
	run(&world);
	assert_int_equal(world.answers, 2);
	call(&world, 0);	/* goes with the network */
	clear(&world);
	assert_int_equal(world.answers, 2);
}

struct mailbox {
	uint8_t got[64];
	size_t len;
	struct sockaddr_in from;
	struct datagram *socket;
	bool closes;
};

static void on_receive(void *user, const struct sockaddr *from,
		       uint8_t *data, size_t len, size_t segment)
{
	struct mailbox *mailbox = user;

	(void)segment;
	memcpy(mailbox->got, data, len);
	mailbox->len = len;
	memcpy(&mailbox->from, from, sizeof(mailbox->from));
	if (mailbox->closes)
		mailbox->socket->ops->close(mailbox->socket);
}

static void open_socket(struct world *at, struct mailbox *mailbox,
			struct sockaddr_storage *where)
{
	static const struct datagram_events datagram_events = {
		.on_receive = on_receive,
	};
	struct error error;

	memset(mailbox, 0, sizeof(*mailbox));
	assert_int_equal(network_open_datagram(at->network, NULL,
					       &datagram_events, mailbox,
					       &mailbox->socket, &error), 0);
	assert_int_equal(mailbox->socket->ops->local(mailbox->socket, where),
			 0);
}

static void delivers_datagrams(void **state)
{
	struct sockaddr_storage at_a, at_b;
	struct mailbox a, b;

	(void)state;
	init(&world, 0);
	open_socket(&world, &a, &at_a);
	open_socket(&world, &b, &at_b);
	assert_int_equal(a.socket->ops->send(a.socket,
					     (struct sockaddr *)&at_b, "hi",
					     2, 0), 0);
	assert_int_equal(b.len, 0);
	run(&world);
	assert_int_equal(b.len, 2);
	assert_memory_equal(b.got, "hi", 2);
	assert_memory_equal(&b.from, &at_a, sizeof(b.from));
	b.closes = true;
	a.socket->ops->send(a.socket, (struct sockaddr *)&at_b, "1", 1, 0);
	a.socket->ops->send(a.socket, (struct sockaddr *)&at_b, "2", 1, 0);
	run(&world);
	assert_memory_equal(b.got, "1", 1);
	assert_int_equal(a.socket->ops->send(a.socket,
					     (struct sockaddr *)&at_b, "3",
					     1, 0), 0);
	clear(&world);	/* closes what was left open */
}

struct tally {
	struct datagram *socket;
	unsigned got;
	unsigned odd;		/* were changed on the way */
	unsigned early;		/* came before one that was sent earlier */
	uint8_t last;
	uint64_t first_us;
};

static void on_numbered(void *user, const struct sockaddr *from,
			uint8_t *data, size_t len, size_t segment)
{
	struct tally *tally = user;

	(void)from;
	assert_true(segment == 0 || segment == len);
	assert_int_equal(len, 10);
	if (tally->got++ == 0)
		tally->first_us = world.v.now_us;
	for (size_t i = 1; i < len; i++)
		tally->odd += data[i] != data[0];
	tally->early += data[0] < tally->last;
	tally->last = data[0];
}

static void open_tally(struct tally *tally, struct sockaddr_storage *at)
{
	static const struct datagram_events numbered = {
		.on_receive = on_numbered,
	};
	struct error error;

	memset(tally, 0, sizeof(*tally));
	assert_int_equal(network_open_datagram(world.network, NULL, &numbered,
					       tally, &tally->socket, &error),
			 0);
	assert_int_equal(tally->socket->ops->local(tally->socket, at), 0);
}

/* 200 of ten bytes, in batches of 20, one each millisecond. */
static void send_numbered(struct tally *from, struct sockaddr_storage *to)
{
	uint8_t batch[200];

	for (unsigned i = 0; i < 10; i++) {
		for (unsigned k = 0; k < sizeof(batch); k++)
			batch[k] = (uint8_t)(i * 20 + k / 10);
		assert_int_equal(from->socket->ops->send(
					 from->socket, (struct sockaddr *)to,
					 batch, sizeof(batch), 10), 0);
		virtual_loop_run(&world.v, world.v.now_us + US_PER_MS, NULL);
	}
}

static uint16_t port_at(const struct sockaddr_storage *at)
{
	return ntohs(((const struct sockaddr_in *)(const void *)at)->sin_port);
}

static struct memory_udp_counts lossy_run(struct tally *b)
{
	const struct memory_udp_faults faults = {
		.loss = 200, .duplicate = 50, .corrupt = 50, .reorder = 200,
		.seed = 11,
	};
	struct sockaddr_storage at_a, at_b;
	struct memory_udp_counts counts;
	struct tally a;

	init(&world, 0);
	open_tally(&a, &at_a);
	open_tally(b, &at_b);
	assert_int_equal(memory_network_set_udp(world.memory, port_at(&at_a),
						&faults), 0);
	send_numbered(&a, &at_b);
	run(&world);
	memory_network_udp_counts(world.memory, &counts);
	clear(&world);
	return counts;
}

static void treats_datagrams_badly(void **state)
{
	struct memory_udp_counts first, second;
	struct tally b, again;

	(void)state;
	first = lossy_run(&b);
	assert_int_equal(first.sent, 200);
	assert_in_range(first.lost, 20, 60);
	assert_in_range(first.duplicated, 1, 30);
	assert_in_range(first.corrupted, 1, 30);
	assert_in_range(first.reordered, 20, 60);
	assert_int_equal(b.got, 200 - first.lost + first.duplicated);
	assert_true(b.odd >= first.corrupted);
	assert_true(b.early > 0);
	second = lossy_run(&again);
	assert_memory_equal(&first, &second, sizeof(first));
}

static void faults_have_a_direction(void **state)
{
	const struct memory_udp_faults blocked = { .blocked = true };
	const struct memory_udp_faults slow = {
		.delay_us = 20 * US_PER_MS, .jitter_us = 5 * US_PER_MS,
	};
	struct sockaddr_storage at_a, at_b;
	struct memory_udp_counts counts;
	struct tally a, b;
	uint64_t start_us;

	(void)state;
	init(&world, 0);
	open_tally(&a, &at_a);
	open_tally(&b, &at_b);
	memory_network_set_udp(world.memory, 0, &slow);
	memory_network_set_udp(world.memory, port_at(&at_a), &blocked);
	start_us = world.v.now_us;
	send_numbered(&a, &at_b);
	send_numbered(&b, &at_a);
	run(&world);
	memory_network_udp_counts(world.memory, &counts);
	assert_int_equal(counts.lost, 200);
	assert_int_equal(b.got, 0);
	assert_int_equal(a.got, 200);
	assert_int_equal(a.early, 0);	/* jitter keeps the order */
	assert_true(a.first_us >= start_us + 30 * US_PER_MS);
	for (uint16_t port = 1; port < MEMORY_UDP_WAYS_CAP - 1; port++)
		assert_int_equal(memory_network_set_udp(world.memory, port,
							&blocked), 0);
	assert_int_equal(memory_network_set_udp(world.memory, 9, &blocked),
			 ERR_LIMIT);
	assert_int_equal(memory_network_set_udp(world.memory, 1, &slow), 0);
	clear(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_messages_whole),
		cmocka_unit_test(cuts_byte_streams),
		cmocka_unit_test(a_paused_reader_fills_the_queue),
		cmocka_unit_test(says_goodbye_after_what_was_sent),
		cmocka_unit_test(may_close_in_a_callback),
		cmocka_unit_test(refuses_large_messages),
		cmocka_unit_test(tells_of_refusals),
		cmocka_unit_test(answers_plain_requests),
		cmocka_unit_test(delivers_datagrams),
		cmocka_unit_test(treats_datagrams_badly),
		cmocka_unit_test(faults_have_a_direction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
