/*
 * core/host/netcheck.h: the network between here and a deployment.
 *
 * Asks the deployment for its relays, makes a tailnet node without peers, and
 * waits until it has heard from the STUN servers and has its home relay, or 6 s.
 * No workspace is touched, no coordinator told.
 */
#ifndef TUNNELHOST_HOST_NETCHECK_H
#define TUNNELHOST_HOST_NETCHECK_H

#include "core/base/log.h"
#include "core/base/rng.h"
#include "core/host/login.h"
#include "core/rest/rest.h"
#include "core/tunnel/node.h"

struct netcheck;

struct netcheck_result {
	struct node_report report;
	struct derp_map derp_map;
	bool direct_disabled;		/* by the deployment */
	bool force_websockets;		/* likewise */
	uint64_t rest_us;		/* what its answer took */
};

/* Once, from the loop; exactly one of the two. The result is borrowed. */
typedef void netcheck_done(void *user, const struct netcheck_result *result,
			   const struct error *error);

struct netcheck_config {
	struct loop *loop;
	struct network *network;
	struct rng *rng;
	struct log *log;
	const struct login *login;	/* copied */
	const struct http_header *headers;	/* the person's own; borrowed */
	size_t header_count;
	netcheck_done *done;
	void *user;
};

/* 0, or what is wrong. */
int netcheck_start(const struct netcheck_config *config, struct netcheck **out,
		   struct error *error);
/* No callback any more; not after `done`. */
void netcheck_cancel(struct netcheck *netcheck);

#endif
