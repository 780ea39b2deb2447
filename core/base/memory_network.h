/*
 * core/base/memory_network.h: a network without sockets.
 *
 * Joins the requests of network.h to one `struct service` (server.h) on one
 * loop, so that a client and a deployment run in one process under a virtual
 * clock. Scheme, host and port of a URL are not looked at. Messages keep
 * their bounds; upgraded channels are byte streams and may be cut into
 * chunks of random size. Queues are bounded by what either side asked for,
 * a paused reader fills the writer's queue, nothing is lost or reordered.
 * Datagram sockets reach each other by port; every name is 127.0.0.1, which
 * is also the machine's one address.
 */
#ifndef TUNNELHOST_BASE_MEMORY_NETWORK_H
#define TUNNELHOST_BASE_MEMORY_NETWORK_H

#include "core/base/loop.h"
#include "core/base/network.h"
#include "core/base/rng.h"
#include "core/base/server.h"

struct memory_network;

struct memory_network_config {
	struct loop *loop;
	struct service *service;	/* may be set later */
	uint64_t latency_us;		/* each way */
	struct rng *rng;		/* NULL: upgraded channels stay whole */
	size_t chunk_cap;		/* the largest chunk of them */
};

/* 0 or ERR_NOMEM. */
int memory_network_new(const struct memory_network_config *config,
		       struct memory_network **out);
void memory_network_set_service(struct memory_network *memory,
				struct service *service);
/* For what is sent from now on; it never overtakes what was sent before. */
void memory_network_set_latency(struct memory_network *memory,
				uint64_t latency_us);
/* Datagrams sent from now on are lost, or are not. */
void memory_network_set_udp_blocked(struct memory_network *memory,
				    bool blocked);
/* All monitors hear of a change, at once. */
void memory_network_change(struct memory_network *memory);
struct network *memory_network_of(struct memory_network *memory);
/* All channels, calls and sockets have been closed or cancelled by their
 * owners; what still says goodbye goes with it. */
void memory_network_free(struct memory_network *memory);

#endif
