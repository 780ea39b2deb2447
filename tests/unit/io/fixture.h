/* tests/unit/io/fixture.h: an io, an echo service, a client that counts. */
#ifndef TUNNELHOST_TEST_IO_FIXTURE_H
#define TUNNELHOST_TEST_IO_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/io/io.h"
#include "core/io/tls_test_ca.h"

struct fixture {
	struct io *io;
	char directory[64];
	char hashed[128];
	struct tls_test_ca ca;
	struct service service;
	struct io_server *server;
	struct io_server *upgrade;
	uint16_t port;
	uint16_t upgrade_port;
	bool done;
	struct timer limit;
	char last_token[128];
	char last_query[128];
	struct list echoes;
	int echo_closes;
	int last_close_code;
	bool stall;		/* the echo does not read */
};

/* The CA is known by SSL_CERT_DIR. */
extern bool fixture_trust_by_directory;
/* `names` of the certificate; see tls_test_ca.h. `trust`: its CA is known. */
void fixture_open(struct fixture *f, bool tls, const char *bind_to,
		  const char *names, bool trust);
void fixture_close(struct fixture *f);
/* Runs until f->done; fails after `seconds`. */
void fixture_run(struct fixture *f, unsigned seconds);
void fixture_url(const struct fixture *f, const char *host, const char *path,
		 char out[256]);

/* A client's channel that sends `total` bytes and compares the echo. */
struct client {
	struct fixture *f;
	struct channel *channel;
	size_t message_len;
	size_t total;
	size_t sent;
	size_t received;
	bool opened;
	int closes;
	bool close_when_done;
	bool paused;
	bool pausing;		/* pauses after each message for a moment */
	struct timer resume;
	int end_code;
	int end_status;
	int end_close_code;
	char end_message[ERROR_MESSAGE_CAP];
	char end_body[256];
};

extern const struct channel_events client_events;
void client_open(struct client *c, struct fixture *f, enum channel_kind kind,
		 const char *url, const char *protocol, uint64_t timeout_us);
uint8_t pattern(size_t at);

struct answer {
	struct fixture *f;
	int calls;
	int code;
	int status;
	char message[ERROR_MESSAGE_CAP];
	char content_type[64];
	char body[4096];
	size_t body_len;
};

void on_answer(void *user, const struct http_response *response);

#endif
