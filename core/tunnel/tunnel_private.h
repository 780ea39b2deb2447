/* core/tunnel/tunnel_private.h: what tunnel.c and tunnel_dial.c share. */
#ifndef TUNNELHOST_TUNNEL_TUNNEL_PRIVATE_H
#define TUNNELHOST_TUNNEL_TUNNEL_PRIVATE_H

#include <netinet/in.h>

#include "core/base/list.h"
#include "core/tunnel/control.h"
#include "core/tunnel/node.h"
#include "core/tunnel/tunnel.h"

enum tunnel_phase {
	TUNNEL_CONNECTING,
	TUNNEL_UP,
	TUNNEL_DRAINING,	/* closed streams end */
	TUNNEL_RESETTING,	/* what was open is reset, that shall arrive */
	TUNNEL_LEAVING,		/* Disconnect was said */
	TUNNEL_ENDED,
};

struct tunnel {
	struct tunnel_config config;
	enum tunnel_phase phase;
	struct derp_map derp_map;
	uint8_t own_address[1][16];
	uint8_t agent_address[16];
	char address[INET6_ADDRSTRLEN];
	struct node *node;
	struct control *control;
	struct list dials;
	struct list pings;
	struct timer timeout;	/* of the phase */
	struct timer probe;	/* the next reachability ping */
	uint64_t probe_wait_us;
	struct task end;
	bool ended_with_error;
	struct error error;
	struct tunnel_timeline timeline;
};

/* tunnel_dial.c */
void tunnel_operations_free(struct tunnel *tunnel);

#endif
