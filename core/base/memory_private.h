/* core/base/memory_private.h: what the memory network's files share. */
#ifndef TUNNELHOST_BASE_MEMORY_PRIVATE_H
#define TUNNELHOST_BASE_MEMORY_PRIVATE_H

#include "core/base/list.h"
#include "core/base/memory_network.h"
#include "core/base/memory_request.h"

/* What datagrams from a port meet with. */
struct memory_way {
	uint16_t port;
	struct memory_udp_faults faults;
	struct rng rng;
};

struct memory_network {
	struct network network;
	struct memory_network_config config;
	struct list links;
	struct list calls;
	struct list sockets;
	struct list lookups;
	struct list monitors;
	struct memory_way ways[MEMORY_UDP_WAYS_CAP];	/* the first: port 0 */
	size_t way_count;
	struct memory_udp_counts udp_counts;
	uint16_t next_port;
};

static inline struct memory_network *memory_self(struct network *network)
{
	return container_of(network, struct memory_network, network);
}

static inline uint64_t memory_after(const struct memory_network *memory,
				    unsigned trips)
{
	return loop_now_us(memory->config.loop) +
	       trips * memory->config.latency_us;
}

/* memory_channel.c */
int memory_open_channel(struct network *network,
			const struct channel_request *request,
			struct channel **out, struct error *error);
void memory_links_free(struct memory_network *memory);

/* memory_datagram.c */
int memory_open_datagram(struct network *network,
			 const struct sockaddr *bind_to,
			 const struct datagram_events *events, void *user,
			 struct datagram **out, struct error *error);
void memory_sockets_free(struct memory_network *memory);

/* memory_surroundings.c */
int memory_resolve(struct network *network, const char *host,
		   network_resolved *done, void *user,
		   struct network_lookup **out);
void memory_resolve_cancel(struct network *network,
			   struct network_lookup *lookup);
size_t memory_local_addresses(struct network *network, struct endpoint *out,
			      size_t cap);
int memory_monitor_add(struct network *network,
		       struct network_monitor *monitor);
void memory_monitor_remove(struct network *network,
			   struct network_monitor *monitor);
void memory_lookups_free(struct memory_network *memory);

#endif
