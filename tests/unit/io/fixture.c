#include "fixture.h"

#include <openssl/pem.h>
#include <openssl/x509.h>

#include "core/base/buf.h"

struct echo {
	struct list link;
	struct fixture *f;
	struct channel *channel;
	bool goodbye;
	struct buf waiting;
};

static void echo_free(struct echo *e)
{
	list_remove(&e->link);
	buf_clear(&e->waiting);
	free(e);
}

static void echo_open(void *user)
{
	struct echo *e = user;

	if (e->f->stall)
		channel_pause(e->channel, true);
	if (!e->goodbye)
		return;
	channel_close(e->channel, 1001, "going away");
	echo_free(e);
}

/* Back-pressure to the client: what cannot be sent stops the reading. */
static void echo_message(void *user, const uint8_t *data, size_t len)
{
	struct echo *e = user;
	int err;

	if (e->waiting.len == 0) {
		err = channel_send(e->channel, data, len);
		if (err == 0)
			return;
		assert_int_equal(err, ERR_LIMIT);
	}
	assert_int_equal(buf_append(&e->waiting, data, len), 0);
	channel_pause(e->channel, true);
}

static void echo_writable(void *user)
{
	struct echo *e = user;

	if (e->waiting.len == 0)
		return;
	if (channel_send(e->channel, buf_data(&e->waiting),
			 e->waiting.len) == 0) {
		buf_clear(&e->waiting);
		channel_pause(e->channel, false);
	}
}

static void echo_close(void *user, const struct channel_end *end)
{
	struct echo *e = user;

	e->f->echo_closes++;
	e->f->last_close_code = end->close_code;
	echo_free(e);
}

static const struct channel_events echo_events = {
	.on_open = echo_open,
	.on_message = echo_message,
	.on_writable = echo_writable,
	.on_close = echo_close,
};

static void serve_channel(struct fixture *f, struct exchange *exchange,
			  const struct server_request *request)
{
	struct echo *e = calloc(1, sizeof(*e));

	e->f = f;
	list_add_tail(&f->echoes, &e->link);
	buf_init(&e->waiting, 2u << 20);
	assert_int_equal(exchange_accept(exchange,
					 *request->protocol ?
						 request->protocol : NULL,
					 strcmp(request->path, "/small") == 0 ?
						 1000 : 1u << 20,
					 256u << 10, &echo_events, e,
					 &e->channel), 0);
	e->goodbye = strcmp(request->path, "/goodbye") == 0;
}

static void serve(struct service *service, struct exchange *exchange,
		  const struct server_request *request)
{
	struct fixture *f = service == NULL ? NULL :
		(struct fixture *)(void *)((char *)service -
					   offsetof(struct fixture, service));

	snprintf(f->last_token, sizeof(f->last_token), "%s", request->token);
	snprintf(f->last_query, sizeof(f->last_query), "%s", request->query);
	if (strcmp(request->path, "/refuse") == 0)
		exchange_respond(exchange, 403, NULL,
				 "{\"message\":\"no\"}", 16);
	else if (request->kind != EXCHANGE_PLAIN)
		serve_channel(f, exchange, request);
	else if (request->body_len)
		exchange_respond(exchange, 200, "text/plain", request->body,
				 request->body_len);
	else if (strcmp(request->path, "/empty") == 0)
		exchange_respond(exchange, 204, NULL, NULL, 0);
	else
		exchange_respond(exchange, 200, NULL, request->path,
				 strlen(request->path));
}

static void on_limit(struct timer *timer)
{
	(void)timer;
	fail_msg("timed out");
}

bool fixture_trust_by_directory;

/* As the system keeps its certificates. */
static void link_by_hash(struct fixture *f)
{
	FILE *file = fopen(f->ca.ca_file, "r");
	X509 *ca = PEM_read_X509(file, NULL, NULL, NULL);
	char path[128];

	fclose(file);
	snprintf(path, sizeof(path), "%s/%08lx.0", f->directory,
		 X509_subject_name_hash(ca));
	X509_free(ca);
	assert_int_equal(symlink("ca.pem", path), 0);
	setenv("SSL_CERT_DIR", f->directory, 1);
	unsetenv("SSL_CERT_FILE");
	strcpy(f->hashed, path);
}

void fixture_open(struct fixture *f, bool tls, const char *bind_to,
		  const char *names, bool trust)
{
	struct io_config config = { 0 };
	struct error error = { 0 };

	memset(f, 0, sizeof(*f));
	list_init(&f->echoes);
	strcpy(f->directory, "/tmp/th_io_XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	if (tls_test_ca_write(f->directory, names, &f->ca, &error) < 0)
		fail_msg("%s", error.message);
	if (fixture_trust_by_directory)
		link_by_hash(f);
	if (trust)
		config.ca_file = f->ca.ca_file;
	if (io_new(&config, &f->io, &error) < 0)
		fail_msg("%s", error.message);
	f->service.serve = serve;
	f->limit = (struct timer){ .fire = on_limit, .user = f };
	if (io_serve(f->io, bind_to, &f->service,
		     tls ? f->ca.cert_file : NULL,
		     tls ? f->ca.key_file : NULL, &f->server, &f->port,
		     &error) < 0 ||
	    io_serve_upgrade(f->io, bind_to, &f->service,
			     tls ? f->ca.cert_file : NULL,
			     tls ? f->ca.key_file : NULL, &f->upgrade,
			     &f->upgrade_port, &error) < 0)
		fail_msg("%s", error.message);
	assert_int_not_equal(f->port, 0);
	assert_int_not_equal(f->upgrade_port, 0);
}

void fixture_close(struct fixture *f)
{
	timer_stop(io_loop(f->io), &f->limit);
	io_free(f->io);
	list_each(at, safe, &f->echoes)
		echo_free(container_of(at, struct echo, link));
	if (*f->hashed)
		unlink(f->hashed);
	tls_test_ca_remove(&f->ca);
	rmdir(f->directory);
}

void fixture_run(struct fixture *f, unsigned seconds)
{
	struct loop *loop = io_loop(f->io);

	f->done = false;
	timer_set(loop, &f->limit, loop_now_us(loop) + seconds * US_PER_S);
	io_run(f->io, &f->done);
	timer_stop(loop, &f->limit);
}

uint8_t pattern(size_t at)
{
	return (uint8_t)(at * 31 + at / 251);
}

static void client_fill(struct client *c)
{
	uint8_t *message = malloc(c->message_len);

	while (c->sent < c->total) {
		size_t left = c->total - c->sent;
		size_t len = left < c->message_len ? left : c->message_len;
		int err;

		for (size_t i = 0; i < len; i++)
			message[i] = pattern(c->sent + i);
		err = channel_send(c->channel, message, len);
		if (err == ERR_LIMIT)
			break;
		assert_int_equal(err, 0);
		c->sent += len;
	}
	free(message);
}

static void client_on_open(void *user)
{
	struct client *c = user;

	assert_false(c->opened);
	c->opened = true;
	if (c->total)
		client_fill(c);
	else
		c->f->done = true;
}

static void client_resume(struct timer *timer)
{
	struct client *c = timer->user;

	c->paused = false;
	channel_pause(c->channel, false);
}

static void client_on_message(void *user, const uint8_t *data, size_t len)
{
	struct client *c = user;
	struct loop *loop = io_loop(c->f->io);

	assert_false(c->paused);
	for (size_t i = 0; i < len; i++)
		if (data[i] != pattern(c->received + i))
			fail_msg("byte %zu differs", c->received + i);
	c->received += len;
	if (c->pausing && !timer_active(&c->resume)) {
		channel_pause(c->channel, true);
		c->paused = true;
		c->resume = (struct timer){ .fire = client_resume, .user = c };
		timer_set(loop, &c->resume, loop_now_us(loop) + 100);
	}
	if (c->received < c->total)
		return;
	assert_int_equal(c->received, c->total);
	if (c->close_when_done)
		channel_close(c->channel, 1000, "done");
	timer_stop(loop, &c->resume);
	c->f->done = true;
}

static void client_on_writable(void *user)
{
	client_fill(user);
}

static void client_on_close(void *user, const struct channel_end *end)
{
	struct client *c = user;

	c->closes++;
	c->end_code = end->error.code;
	c->end_status = end->http_status;
	c->end_close_code = end->close_code;
	strcpy(c->end_message, end->error.message);
	if (end->body)
		snprintf(c->end_body, sizeof(c->end_body), "%.*s",
			 (int)end->body_len, end->body);
	c->channel = NULL;
	c->f->done = true;
}

const struct channel_events client_events = {
	.on_open = client_on_open,
	.on_message = client_on_message,
	.on_writable = client_on_writable,
	.on_close = client_on_close,
};

void client_open(struct client *c, struct fixture *f, enum channel_kind kind,
		 const char *url, const char *protocol, uint64_t timeout_us)
{
	static const struct http_header headers[] = {
		{ "Coder-Session-Token", "secret" },
	};
	const struct channel_request request = {
		.kind = kind,
		.url = url,
		.protocol = protocol,
		.headers = headers,
		.header_count = 1,
		.timeout_us = timeout_us,
		.message_cap = 4u << 20,
		.queue_cap = 1u << 20,
		.events = &client_events,
		.user = c,
	};
	struct error error = { 0 };

	c->f = f;
	if (network_open_channel(io_network(f->io), &request, &c->channel,
				 &error) < 0)
		fail_msg("%s", error.message);
}

void fixture_url(const struct fixture *f, const char *host, const char *path,
		 char out[256])
{
	bool upgrade = strncmp(path, "/derp", 5) == 0;

	snprintf(out, 256, "%s%s:%u%s", strchr(host, '/') ? "" : "https://",
		 host, upgrade ? f->upgrade_port : f->port, path);
}

void on_answer(void *user, const struct http_response *response)
{
	struct answer *a = user;

	a->calls++;
	a->code = response->error.code;
	strcpy(a->message, response->error.message);
	a->status = response->status;
	snprintf(a->content_type, sizeof(a->content_type), "%s",
		 response->content_type);
	a->body_len = response->body_len;
	snprintf(a->body, sizeof(a->body), "%.*s",
		 (int)(response->body_len < 4000 ? response->body_len : 4000),
		 (const char *)response->body);
	a->f->done = true;
}
