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

/*
 * What happens to datagrams on their way. Each of a batch has its own luck,
 * and then comes alone. Chances are of 1,000; zeroed is a faultless way.
 */
struct memory_udp_faults {
	bool blocked;		/* all are lost */
	unsigned loss;
	unsigned duplicate;
	unsigned corrupt;	/* one bit of it is turned */
	unsigned reorder;	/* held back while others pass */
	uint64_t held_us;	/* for how long; 0: 3 ms */
	uint64_t delay_us;	/* beside the latency */
	uint64_t jitter_us;	/* at most, beside it; the order is kept */
	uint64_t seed;		/* the same: the same luck */
};
/* How often they struck. */
struct memory_udp_counts {
	uint64_t sent;
	uint64_t lost;		/* blocked ones, too */
	uint64_t duplicated;
	uint64_t corrupted;
	uint64_t reordered;
	uint64_t overflowed;	/* the receiver had too many */
};

#define MEMORY_UDP_WAYS_CAP 8
/*
 * For what is sent from now on: from this port, or (0) from every port that
 * has no faults of its own. 0 or ERR_LIMIT: too many ports.
 */
int memory_network_set_udp(struct memory_network *memory, uint16_t from_port,
			   const struct memory_udp_faults *faults);
void memory_network_udp_counts(const struct memory_network *memory,
			       struct memory_udp_counts *out);
/* All monitors hear of a change, at once. */
void memory_network_change(struct memory_network *memory);
struct network *memory_network_of(struct memory_network *memory);
/* All channels, calls and sockets have been closed or cancelled by their
 * owners; what still says goodbye goes with it. */
void memory_network_free(struct memory_network *memory);

#endif
