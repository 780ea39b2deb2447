/*
 * A hostile server against every kind of request, over real sockets. Beside
 * each attack an honest connection of the same process goes on echoing, and
 * neither its data nor its latency may suffer.
 */
#include "fixture.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#define MIB (1u << 20)
#define VICTIM_CAP (1u << 20)	/* message_cap and body_cap */
#define POUR_CAP (64u * MIB)	/* an attack never needs more */
#define PATIENCE_US (400 * US_PER_MS)
#define END_US (10 * US_PER_S)	/* on a slow machine; it ends far sooner */
#define LATENCY_CAP_US (500 * US_PER_MS)

/* What the server says once it has read a request. */
struct attack {
	const char *name;
	bool handshake;		/* a right 101 of a WebSocket goes first */
	const char *head;	/* once */
	size_t head_len;	/* 0: strlen() */
	const char *again;	/* as long as anybody reads it */
	size_t again_len;
	uint64_t drip_us;	/* a byte of it all at a time, not all at once */
};

struct server {
	struct fixture *f;
	const struct attack *attack;
	struct io_listener *listener;
	char url[256];
	char text[4096];	/* handshake and head */
	size_t text_len;
	size_t text_sent;
	size_t poured;
	unsigned accepted;
	struct stream *stream;
	struct timer drip;
};

static size_t websocket_accept(const uint8_t *request, size_t len, char *out,
			       size_t cap)
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	const char *key = memmem(request, len, "Sec-WebSocket-Key: ", 19);
	uint8_t digest[SHA_DIGEST_LENGTH];
	char text[64], encoded[64];

	assert_non_null(key);
	snprintf(text, sizeof(text), "%.24s%s", key + 19, guid);
	SHA1((const uint8_t *)text, strlen(text), digest);
	EVP_EncodeBlock((uint8_t *)encoded, digest, sizeof(digest));
	return (size_t)snprintf(out, cap,
				"HTTP/1.1 101 Switching Protocols\r\n"
				"Upgrade: websocket\r\nConnection: Upgrade\r\n"
				"Sec-WebSocket-Accept: %s\r\n\r\n", encoded);
}

static void compose(struct server *server, const uint8_t *request, size_t len)
{
	const struct attack *attack = server->attack;
	size_t head_len = attack->head_len ? attack->head_len :
			  attack->head	   ? strlen(attack->head) : 0;

	server->text_len = 0;
	server->text_sent = 0;
	if (attack->handshake)
		server->text_len = websocket_accept(request, len, server->text,
						    sizeof(server->text));
	assert_true(server->text_len + head_len < sizeof(server->text));
	if (head_len)
		memcpy(server->text + server->text_len, attack->head,
		       head_len);
	server->text_len += head_len;
}

static void drop(struct server *server)
{
	timer_stop(io_loop(server->f->io), &server->drip);
	if (server->stream)
		stream_close(server->stream, false);
	server->stream = NULL;
}

static bool write_text(struct server *server, size_t most)
{
	size_t left = server->text_len - server->text_sent;
	ssize_t n = stream_write(server->stream,
				 server->text + server->text_sent,
				 left < most ? left : most);

	if (n > 0)
		server->text_sent += (size_t)n;
	return server->text_sent == server->text_len;
}

static void pour(struct server *server)
{
	static char block[16384];
	const struct attack *attack = server->attack;
	size_t len = 0;
	ssize_t n;

	while (len + attack->again_len <= sizeof(block)) {
		memcpy(block + len, attack->again, attack->again_len);
		len += attack->again_len;
	}
	/* Whole blocks only, so that frames stay whole. */
	while (stream_unsent(server->stream) + len <= IO_STREAM_BUFFER &&
	       server->poured < POUR_CAP) {
		n = stream_write(server->stream, block, len);
		if (n < 0)
			return;
		assert_int_equal(n, len);
		server->poured += len;
	}
}

static void on_drip(struct timer *timer)
{
	struct server *server = timer->user;
	const struct attack *attack = server->attack;
	struct loop *loop = io_loop(server->f->io);

	if (write_text(server, 1) && attack->again)
		(void)stream_write(server->stream, attack->again, 1);
	timer_set(loop, timer, loop_now_us(loop) + attack->drip_us);
}

static void begin(struct server *server)
{
	struct loop *loop = io_loop(server->f->io);

	if (server->attack->drip_us)
		timer_set(loop, &server->drip,
			  loop_now_us(loop) + server->attack->drip_us);
	else if (write_text(server, SIZE_MAX) && server->attack->again)
		pour(server);
}

static void on_change(struct stream *stream, void *user)
{
	struct server *server = user;
	const uint8_t *data;
	ssize_t n = stream_peek(stream, &data);

	if (n == 0 || (n < 0 && n != ERR_AGAIN)) {
		drop(server);
		return;
	}
	if (n > 0 && !server->text_len) {
		if (!memmem(data, (size_t)n, "\r\n\r\n", 4))
			return;
		compose(server, data, (size_t)n);
		stream_consume(stream, (size_t)n);
		begin(server);
		return;
	}
	if (n > 0)
		stream_consume(stream, (size_t)n);
	if (server->text_len && !server->attack->drip_us &&
	    server->attack->again)
		pour(server);
}

static void on_accept(void *user, struct stream *stream)
{
	struct server *server = user;

	drop(server);		/* the one before */
	server->accepted++;
	server->text_len = 0;
	server->stream = stream;
	stream->on_change = on_change;
	stream->user = server;
}

static void server_open(struct server *server, struct fixture *f,
			const struct attack *attack)
{
	char bound[STREAM_ADDRESS_CAP];

	*server = (struct server){ .f = f, .attack = attack };
	server->drip = (struct timer){ .fire = on_drip, .user = server };
	assert_int_equal(io_listen(f->io, "127.0.0.1:0", on_accept, server,
				   &server->listener, bound, NULL), 0);
	snprintf(server->url, sizeof(server->url), "http://%s/x", bound);
}

static void server_close(struct server *server)
{
	drop(server);
	io_listener_close(server->listener);
}

/* The honest connection: a message every few milliseconds, echoed. */
struct beside {
	struct fixture *f;
	struct channel *channel;
	struct timer timer;
	bool open;
	bool waiting;
	uint64_t sent_us;
	uint64_t worst_us;
	unsigned echoes;
};

static void beside_open(void *user)
{
	struct beside *b = user;

	b->open = true;
	b->f->done = true;
}

static void beside_message(void *user, const uint8_t *data, size_t len)
{
	struct beside *b = user;
	uint64_t took_us = loop_now_us(io_loop(b->f->io)) - b->sent_us;

	assert_int_equal(len, 100);
	assert_int_equal(data[0], b->echoes & 0xff);
	if (took_us > b->worst_us)
		b->worst_us = took_us;
	b->echoes++;
	b->waiting = false;
}

static void beside_close(void *user, const struct channel_end *end)
{
	(void)user;
	fail_msg("the connection beside it died: %s", end->error.message);
}

static void beside_tick(struct timer *timer)
{
	struct beside *b = timer->user;
	struct loop *loop = io_loop(b->f->io);
	uint8_t message[100] = { (uint8_t)b->echoes };

	if (b->open && !b->waiting) {
		b->waiting = true;
		b->sent_us = loop_now_us(loop);
		assert_int_equal(channel_send(b->channel, message,
					      sizeof(message)), 0);
	}
	timer_set(loop, timer, loop_now_us(loop) + 2 * US_PER_MS);
}

static void beside_start(struct beside *b, struct fixture *f)
{
	static const struct channel_events events = {
		.on_open = beside_open,
		.on_message = beside_message,
		.on_close = beside_close,
	};
	char url[256];
	const struct channel_request request = {
		.kind = CHANNEL_BINARY, .url = url, .message_cap = 1000,
		.queue_cap = 1000, .events = &events, .user = b,
	};

	*b = (struct beside){ .f = f };
	fixture_url(f, "http://127.0.0.1", "/echo", url);
	assert_int_equal(network_open_channel(io_network(f->io), &request,
					      &b->channel, NULL), 0);
	fixture_run(f, 10);
	b->timer = (struct timer){ .fire = beside_tick, .user = b };
	timer_set(io_loop(f->io), &b->timer, loop_now_us(io_loop(f->io)));
}

static void beside_stop(struct beside *b)
{
	timer_stop(io_loop(b->f->io), &b->timer);
	channel_close(b->channel, 1000, NULL);
}

static void rest_stop(struct timer *timer)
{
	((struct fixture *)timer->user)->done = true;
}

static void run_for(struct fixture *f, uint64_t us)
{
	struct timer timer = { .fire = rest_stop, .user = f };
	struct loop *loop = io_loop(f->io);

	timer_set(loop, &timer, loop_now_us(loop) + us);
	fixture_run(f, 20);
	timer_stop(loop, &timer);
}

/* It still answers after an attack, and never waited long during it. */
static void beside_check(struct beside *b, const char *name)
{
	unsigned before = b->echoes;

	for (int i = 0; i < 100 && b->echoes < before + 3; i++)
		run_for(b->f, 10 * US_PER_MS);
	if (b->echoes < before + 3)
		fail_msg("%s: the connection beside it is stuck", name);
	if (b->worst_us > LATENCY_CAP_US)
		fail_msg("%s: the connection beside it waited %llu us", name,
			 (unsigned long long)b->worst_us);
}

struct victim {
	struct fixture *f;
	struct channel *channel;
	bool opened;
	unsigned messages;
	size_t largest;
	unsigned closes;
	int code;
	int status;
	size_t body_len;
	char message[ERROR_MESSAGE_CAP];
};

static void victim_opened(void *user)
{
	((struct victim *)user)->opened = true;
}

static void victim_message(void *user, const uint8_t *data, size_t len)
{
	struct victim *v = user;

	(void)data;
	v->messages++;
	if (len > v->largest)
		v->largest = len;
}

static void victim_closed(void *user, const struct channel_end *end)
{
	struct victim *v = user;

	v->closes++;
	v->code = end->error.code;
	v->status = end->http_status;
	v->body_len = end->body ? end->body_len : 0;
	strcpy(v->message, end->error.message);
	v->channel = NULL;
	v->f->done = true;
}

/* Opens a channel to the attacker and waits, at most `us`, for its end. */
static void victim_run(struct victim *v, const struct server *server,
		       enum channel_kind kind, uint64_t us)
{
	static const struct channel_events events = {
		.on_open = victim_opened,
		.on_message = victim_message,
		.on_close = victim_closed,
	};
	const struct channel_request request = {
		.kind = kind, .url = server->url,
		.protocol = kind == CHANNEL_UPGRADE ? "DERP" : NULL,
		.timeout_us = PATIENCE_US, .message_cap = VICTIM_CAP,
		.queue_cap = 65536, .events = &events, .user = v,
	};

	*v = (struct victim){ .f = server->f };
	assert_int_equal(network_open_channel(io_network(v->f->io), &request,
					      &v->channel, NULL), 0);
	run_for(v->f, us);
	if (v->channel)
		channel_close(v->channel, 1000, NULL);
	v->channel = NULL;
	if (v->largest > VICTIM_CAP)
		fail_msg("a message of %zu bytes got through", v->largest);
}

static void check_pour(const struct server *server)
{
	if (server->poured > 16 * MIB)
		fail_msg("%s: %zu bytes were read", server->attack->name,
			 server->poured);
	assert_true(server->accepted > 0);
}

/* --- answers to a plain request ------------------------------------- */

#define FILL "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define POURS(text) .again = text, .again_len = sizeof(text) - 1
#define OK "HTTP/1.1 200 OK\r\n"

struct http_case {
	struct attack attack;
	int code;
};

static const struct http_case http_cases[] = {
	{ { .name = "1 GiB announced", .head = OK
	    "Content-Length: 1073741824\r\n\r\n", POURS(FILL) },
	  ERR_TOO_LARGE },
	{ { .name = "no end of a body", .head = OK "\r\n", POURS(FILL) },
	  ERR_TOO_LARGE },
	{ { .name = "no end of chunks",
	    .head = OK "Transfer-Encoding: chunked\r\n\r\n",
	    POURS("10\r\naaaaaaaaaaaaaaaa\r\n") }, ERR_TOO_LARGE },
	{ { .name = "a chunk of 2^64-1",
	    .head = OK "Transfer-Encoding: chunked\r\n\r\n"
		    "ffffffffffffffff\r\n", POURS(FILL) }, ERR_TOO_LARGE },
	{ { .name = "a chunk of 2^31",
	    .head = OK "Transfer-Encoding: chunked\r\n\r\n80000000\r\n",
	    POURS(FILL) }, ERR_TOO_LARGE },
	/* Read and dropped, until the time is over. */
	{ { .name = "no end of a chunk's size",
	    .head = OK "Transfer-Encoding: chunked\r\n\r\n", POURS("0") },
	  ERR_TIMEOUT },
	{ { .name = "a length beyond 2^64", .head = OK
	    "Content-Length: 99999999999999999999\r\n\r\n", POURS(FILL) },
	  ERR_TOO_LARGE },
	{ { .name = "a negative length",
	    .head = OK "Content-Length: -1\r\n\r\n", POURS(FILL) }, ERR_TOO_LARGE },
	{ { .name = "endless headers", .head = OK,
	    POURS("X-Header-Of-No-Use: aaaaaaaaaaaaaaaaaa\r\n") }, ERR_PROTOCOL },
	{ { .name = "one header", .head = OK "X: ", POURS(FILL) }, ERR_PROTOCOL },
	{ { .name = "a known header again and again", .head = OK,
	    POURS("Content-Type: a\r\n") }, ERR_PROTOCOL },
	{ { .name = "a name without end", .head = OK, POURS(FILL) }, ERR_PROTOCOL },
	{ { .name = "a status line without end", .head = "HTTP/1.1 200 ",
	    POURS(FILL) }, ERR_PROTOCOL },
	{ { .name = "a status of many digits",
	    .head = "HTTP/1.1 99999999999999999999 OK\r\n"
		    "Content-Length: 0\r\n\r\n" }, ERR_PROTOCOL },
	{ { .name = "always to be continued",
	    .head = "HTTP/1.1 100 Continue\r\n\r\n",
	    POURS("HTTP/1.1 100 Continue\r\n\r\n") }, ERR_PROTOCOL },
	{ { .name = "a protocol that nobody asked for",
	    .head = "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n"
		    "Connection: Upgrade\r\n\r\n", POURS(FILL) },
	  ERR_PROTOCOL },
	{ { .name = "zeroes", POURS("\0\0\0\0\0\0\0\0") },
	  ERR_PROTOCOL },
};

static void ask(struct fixture *f, const char *url, struct answer *a)
{
	const struct http_request request = {
		.method = "GET", .url = url, .body_cap = VICTIM_CAP,
		.timeout_us = PATIENCE_US,
	};
	struct http_call *call;

	*a = (struct answer){ .f = f };
	assert_int_equal(network_http(io_network(f->io), &request, on_answer,
				      a, &call, NULL), 0);
	for (int i = 0; i < 5 && !a->calls; i++)
		fixture_run(f, 10);
	assert_int_equal(a->calls, 1);
}

static void test_answers(void **state)
{
	struct fixture f;
	struct beside beside;

	(void)state;
	fixture_open(&f, false, "127.0.0.1:0", NULL, true);
	beside_start(&beside, &f);
	for (size_t i = 0; i < sizeof(http_cases) / sizeof(*http_cases); i++) {
		const struct http_case *c = &http_cases[i];
		struct server server;
		struct answer a;

		server_open(&server, &f, &c->attack);
		ask(&f, server.url, &a);
		print_message("%s: %s, %s, %d, %zu poured\n", c->attack.name,
			      a.code ? err_name(a.code) : "answered",
			      a.message, a.status, server.poured);
		assert_int_equal(a.code, c->code);
		assert_true(a.body_len <= VICTIM_CAP);
		if (c->code != ERR_TIMEOUT)
			check_pour(&server);
		server_close(&server);
		beside_check(&beside, c->attack.name);
	}
	beside_stop(&beside);
	fixture_close(&f);
}

/* --- WebSockets -------------------------------------------------------- */

#define BYTES(text) .head = text, .head_len = sizeof(text) - 1
#define WS .handshake = true

struct ws_case {
	struct attack attack;
	int code;		/* 0: need not end */
};

static const struct ws_case ws_cases[] = {
	{ { .name = "a frame of 2^63-1", WS,
	    BYTES("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), POURS(FILL) },
	  -1 },
	{ { .name = "a frame of 2^63", WS,
	    BYTES("\x82\x7f\x80\0\0\0\0\0\0\0"), POURS(FILL) }, -1 },
	{ { .name = "a frame of 2^64-1", WS,
	    BYTES("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff"), POURS(FILL) },
	  -1 },
	{ { .name = "a frame of 1 GiB", WS,
	    BYTES("\x81\x7f\0\0\0\0\x40\0\0\0"), POURS(FILL) },
	  ERR_TOO_LARGE },
	{ { .name = "fragments without end", WS, BYTES("\x02\x01" "a"),
	    POURS("\0\x10" "aaaaaaaaaaaaaaaa") }, ERR_TOO_LARGE },
	{ { .name = "empty fragments without end", WS, BYTES("\x02\x01" "a"),
	    POURS("\0\0") }, 0 },
	{ { .name = "pings without end", WS,
	    POURS("\x89\x10" "aaaaaaaaaaaaaaaa") }, 0 },
	{ { .name = "pongs without end", WS, POURS("\x8a\0") }, 0 },
	{ { .name = "empty messages without end", WS, POURS("\x82\0") }, 0 },
	{ { .name = "a ping of 126", WS, BYTES("\x89\x7e\0\x7e"),
	    POURS(FILL) }, -1 },
	{ { .name = "a ping in pieces", WS, BYTES("\x09\x01" "a"),
	    POURS("\x80\x01" "a") }, -1 },
	{ { .name = "a masked frame", WS,
	    BYTES("\x82\x84\x01\x02\x03\x04" "aaaa") }, 0 },
	{ { .name = "a reserved opcode", WS, BYTES("\x83\x01" "a") }, -1 },
	{ { .name = "a reserved bit", WS, BYTES("\xc2\x01" "a") }, -1 },
	{ { .name = "a continuation of nothing", WS, BYTES("\x80\x01" "a") },
	  -1 },
	{ { .name = "a message in a message", WS,
	    BYTES("\x02\x01" "a\x82\x01" "a") }, -1 },
	{ { .name = "half a close", WS, BYTES("\x88\x01\x03") }, -1 },
	{ { .name = "the wrong accept",
	    .head = "HTTP/1.1 101 Switching Protocols\r\n"
		    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
		    "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n"
		    "\r\n" }, -1 },
	{ { .name = "no accept",
	    .head = "HTTP/1.1 101 Switching Protocols\r\n"
		    "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n" },
	  -1 },
	{ { .name = "no upgrade", .head = OK "Content-Length: 0\r\n\r\n" },
	  -1 },
	{ { .name = "a refusal of 1 GiB",
	    .head = "HTTP/1.1 403 Forbidden\r\n"
		    "Content-Length: 1073741824\r\n\r\n", POURS(FILL) }, -1 },
	{ { .name = "endless headers",
	    .head = "HTTP/1.1 101 Switching Protocols\r\n",
	    POURS("X-Header-Of-No-Use: aaaaaaaaaaaaaaaaaa\r\n") }, -1 },
};

static void check_ws(const struct ws_case *c, const struct victim *v,
		     const struct server *server)
{
	print_message("%s: %s %s, %d, %u messages, %zu poured\n",
		      c->attack.name, v->opened ? "opened," : "",
		      v->closes ? v->message : "lives", v->status,
		      v->messages, server->poured);
	if (c->code && v->closes != 1)
		fail_msg("%s: it lives", c->attack.name);
	if (c->code < -1)
		assert_int_equal(v->code, c->code);
	if (v->closes)
		assert_true(v->code < 0 && v->message[0]);
	if (c->code)
		check_pour(server);
	if (!c->attack.handshake)
		assert_false(v->opened);
	assert_int_equal(v->body_len, 0);
}

static void test_websockets(void **state)
{
	struct fixture f;
	struct beside beside;

	(void)state;
	fixture_open(&f, false, "127.0.0.1:0", NULL, true);
	beside_start(&beside, &f);
	for (size_t i = 0; i < sizeof(ws_cases) / sizeof(*ws_cases); i++) {
		struct server server;
		struct victim v;

		server_open(&server, &f, &ws_cases[i].attack);
		victim_run(&v, &server, i % 2 ? CHANNEL_TEXT : CHANNEL_BINARY,
			   ws_cases[i].code ? END_US : 2 * PATIENCE_US);
		check_ws(&ws_cases[i], &v, &server);
		server_close(&server);
		beside_check(&beside, ws_cases[i].attack.name);
	}
	beside_stop(&beside);
	fixture_close(&f);
}

/* --- upgrades ------------------------------------------------------------ */

static const struct ws_case upgrade_cases[] = {
	{ { .name = "no upgrade", .head = OK "Content-Length: 0\r\n\r\n" },
	  -1 },
	{ { .name = "a body in place of the upgrade", .head = OK "\r\n",
	    POURS(FILL) }, -1 },
	{ { .name = "endless headers",
	    .head = "HTTP/1.1 101 Switching Protocols\r\n",
	    POURS("X-Header-Of-No-Use: aaaaaaaaaaaaaaaaaa\r\n") }, -1 },
	{ { .name = "a refusal of 1 GiB",
	    .head = "HTTP/1.1 403 Forbidden\r\n"
		    "Content-Length: 1073741824\r\n\r\n", POURS(FILL) }, -1 },
};

static void test_upgrades(void **state)
{
	struct fixture f;
	struct beside beside;

	(void)state;
	fixture_open(&f, false, "127.0.0.1:0", NULL, true);
	beside_start(&beside, &f);
	for (size_t i = 0;
	     i < sizeof(upgrade_cases) / sizeof(*upgrade_cases); i++) {
		struct server server;
		struct victim v;

		server_open(&server, &f, &upgrade_cases[i].attack);
		victim_run(&v, &server, CHANNEL_UPGRADE, END_US);
		check_ws(&upgrade_cases[i], &v, &server);
		server_close(&server);
		beside_check(&beside, upgrade_cases[i].attack.name);
	}
	beside_stop(&beside);
	fixture_close(&f);
}

/* --- slow loris --------------------------------------------------------- */

#define DRIP .drip_us = 10 * US_PER_MS

static const struct attack drips[] = {
	{ .name = "status line", .head = "HTTP/1.1 200 OK and so on, and on: "
	  FILL FILL FILL FILL FILL FILL FILL FILL, DRIP },
	{ .name = "headers", .head = OK "X: y\r\n", POURS("z"), DRIP },
	{ .name = "body", .head = OK "Content-Length: 1000\r\n\r\n",
	  POURS("z"), DRIP },
	{ .name = "upgrade",
	  .head = "HTTP/1.1 101 Switching Protocols\r\n"
		  "Upgrade: websocket\r\nConnection: Upgrade\r\n", POURS("z"),
	  DRIP },
	{ .name = "handshake", .handshake = true, DRIP },
	{ .name = "nothing" },
};

static void loris(struct fixture *f, const struct attack *attack)
{
	static const enum channel_kind kinds[] = {
		CHANNEL_TEXT, CHANNEL_BINARY, CHANNEL_UPGRADE,
	};
	struct server server;
	struct answer a;
	struct victim v;

	server_open(&server, f, attack);
	if (!attack->handshake) {
		ask(f, server.url, &a);
		if (a.code != ERR_TIMEOUT)
			fail_msg("GET, %s: %s", attack->name, a.message);
	}
	for (int i = 0; i < (attack->handshake ? 2 : 3); i++) {
		victim_run(&v, &server, kinds[i], 3 * PATIENCE_US);
		if (v.closes != 1 || v.opened)
			fail_msg("kind %d, %s: %u closes %s", i, attack->name,
				 v.closes, v.message);
	}
	server_close(&server);
}

static void test_slow_loris(void **state)
{
	struct fixture f;
	struct beside beside;

	(void)state;
	fixture_open(&f, false, "127.0.0.1:0", NULL, true);
	beside_start(&beside, &f);
	for (size_t i = 0; i < sizeof(drips) / sizeof(*drips); i++) {
		loris(&f, &drips[i]);
		beside_check(&beside, drips[i].name);
	}
	beside_stop(&beside);
	fixture_close(&f);
}

/* --- redirects ---------------------------------------------------------- */

static void test_redirects_elsewhere(void **state)
{
	static const char *const targets[] = {
		"//example.org/", "http://127.0.0.1:1/", "http://u@127.0.0.1/",
		"ftp://127.0.0.1/", "\\\\example.org", "https://127.0.0.1/",
		"/ x", "", "x",
	};
	struct fixture f;

	(void)state;
	fixture_open(&f, false, "127.0.0.1:0", NULL, true);
	for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++) {
		char text[256];
		struct attack attack = { .name = targets[i], .head = text };
		struct server server;
		struct answer a;

		snprintf(text, sizeof(text), "HTTP/1.1 302 Found\r\n"
			 "Location: %s\r\nContent-Length: 0\r\n\r\n",
			 targets[i]);
		server_open(&server, &f, &attack);
		ask(&f, server.url, &a);
		assert_int_equal(server.accepted, 1);
		assert_true(a.code || a.status == 302);
		server_close(&server);
	}
	fixture_close(&f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_websockets),
		cmocka_unit_test(test_upgrades),
		cmocka_unit_test(test_slow_loris),
		cmocka_unit_test(test_redirects_elsewhere),
	};

	alarm(200);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
