/*
 * tests/simulated/world.h: a deployment and its clients on one virtual loop,
 * with no sockets between them.
 */
#ifndef TUNNELHOST_TESTS_WORLD_H
#define TUNNELHOST_TESTS_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/base/memory_network.h"
#include "core/base/virtual_loop.h"
#include "core/simulate/simulate.h"
#include "core/tunnel/tunnel.h"

#define WORLD_URL "http://127.0.0.1:8080"

struct world_config {
	uint64_t seed;
	uint64_t latency_us;
	size_t chunk_cap;
	bool refuse_upgrade;
	const struct simulation_dialer *dialer;
};

struct world {
	struct virtual_loop v;
	struct rng rng;
	struct log log;
	struct memory_network *memory;
	struct network *network;
	struct simulation *sim;
	char token[SIMULATION_TOKEN_CAP];
	struct http_header header;
};

void world_init(struct world *world, const struct world_config *config);
void world_clear(struct world *world);
/* Runs until *done or for so long of virtual time; whether it is done. */
bool world_run(struct world *world, uint64_t for_us, const bool *done);

/* A client's tunnel and what it has heard. */
struct client {
	struct world *world;
	struct tunnel *tunnel;
	bool up;
	bool ended;
	bool failed;
	struct error error;
};

/* Begins; world_run() until client->up. */
void client_init(struct client *client, struct world *world,
		 const struct uuid *agent);
void client_up(struct client *client, struct world *world,
	       const struct uuid *agent);
void client_close(struct client *client);	/* in order, then frees */
void client_free(struct client *client);	/* at once */

/* Dials a port and waits; NULL and client->error when it failed. */
struct stream *client_dial(struct client *client, uint16_t port);

/* GET or POST; returns the status, and the body in `out`. */
int world_http(struct world *world, const char *method, const char *path,
	       const char *body, char *out, size_t cap);

#endif
