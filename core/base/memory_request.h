/*
 * core/base/memory_request.h: one request of the memory network, as the
 * service sees it. Private to memory_network.c.
 */
#ifndef TUNNELHOST_BASE_MEMORY_REQUEST_H
#define TUNNELHOST_BASE_MEMORY_REQUEST_H

#include <stdbool.h>

#include "core/base/network.h"
#include "core/base/server.h"

/* Owns what `view` points at. */
struct memory_request {
	struct server_request view;
	char *strings[5];
	uint8_t *body;
};

/* 0, ERR_MISUSE (a bad URL) or ERR_NOMEM; cleared on failure. */
int memory_request_init(struct memory_request *request,
			enum exchange_kind kind, const char *method,
			const char *url, const char *protocol,
			const struct http_header *headers, size_t header_count,
			const void *body, size_t body_len);
void memory_request_clear(struct memory_request *request);

/* What the service answered. */
struct memory_answer {
	int status;		/* 0: none */
	char content_type[96];
	uint8_t *body;		/* owned */
	size_t body_len;
};

int memory_answer_set(struct memory_answer *answer, int status,
		      const char *content_type, const void *body, size_t len);
void memory_answer_clear(struct memory_answer *answer);

#endif
