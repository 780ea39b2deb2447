/* TSMP pings through the tunnel: ours under way, and answers to theirs. */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/tunnel/node_private.h"
#include "core/tunnel/tsmp.h"

#define PING_CAP 256

static void end_ping(struct node *node, struct node_ping *ping, int err,
		     uint64_t latency_us)
{
	node_ping_done *done = ping->done;
	void *user = ping->user;

	list_remove(&ping->link);
	node->ping_count--;
	free(ping);
	if (done)
		done(user, err, latency_us);
}

static struct node_ping *find_ping(struct node *node, const uint8_t src[16],
				   const uint8_t data[8])
{
	list_each(at, next, &node->pings) {
		struct node_ping *ping =
			container_of(at, struct node_ping, link);

		if (memcmp(ping->data, data, sizeof(ping->data)) == 0 &&
		    memcmp(ping->address, src, sizeof(ping->address)) == 0)
			return ping;
	}
	return NULL;
}

void node_on_tsmp(void *user, const uint8_t src[16], const uint8_t dst[16],
		  const uint8_t *payload, size_t len)
{
	struct node *node = user;
	struct node_ping *ping;
	uint8_t pong[TSMP_PONG_LEN];

	(void)dst;
	if (tsmp_is_ping(payload, len)) {
		tsmp_pong(payload, pong);
		(void)ns_raw_send(node->ns, src, TSMP_NEXT_HEADER, pong,
				  sizeof(pong));
	} else if (tsmp_is_pong(payload, len)) {
		ping = find_ping(node, src, payload + 1);
		if (ping)
			end_ping(node, ping, 0, node_now(node) - ping->sent_us);
	}
}

int node_ping(struct node *node, const uint8_t address[16],
	      uint64_t timeout_us, node_ping_done *done, void *user)
{
	uint8_t payload[TSMP_PING_LEN];
	struct node_ping *ping;
	int err;

	if (node->closing)
		return ERR_CLOSED;
	if (node->ping_count == PING_CAP)
		return ERR_LIMIT;
	ping = calloc(1, sizeof(*ping));
	if (!ping)
		return ERR_NOMEM;
	rng_bytes(node->config.rng, ping->data, sizeof(ping->data));
	memcpy(ping->address, address, sizeof(ping->address));
	ping->sent_us = node_now(node);
	ping->deadline_us = timeout_us < DEADLINE_NONE - ping->sent_us ?
				    ping->sent_us + timeout_us :
				    DEADLINE_NONE;
	ping->done = done;
	ping->user = user;
	tsmp_ping(ping->data, payload);
	err = ns_raw_send(node->ns, address, TSMP_NEXT_HEADER, payload,
			  sizeof(payload));
	if (err < 0) {
		free(ping);
		return err;
	}
	list_add_tail(&node->pings, &ping->link);
	node->ping_count++;
	node_kick(node);
	return 0;
}

void node_ping_forget(struct node *node, void *user)
{
	list_each(at, next, &node->pings) {
		struct node_ping *ping =
			container_of(at, struct node_ping, link);

		if (ping->user == user)
			ping->done = NULL;
	}
}

uint64_t node_pings_deadline(const struct node *node)
{
	uint64_t deadline = DEADLINE_NONE;

	list_each(at, next, &node->pings)
		deadline = deadline_min(
			deadline,
			container_of(at, struct node_ping, link)->deadline_us);
	return deadline;
}

static struct node_ping *first_due(struct node *node)
{
	list_each(at, next, &node->pings) {
		struct node_ping *ping =
			container_of(at, struct node_ping, link);

		if (ping->deadline_us <= node_now(node))
			return ping;
	}
	return NULL;
}

/* No more than there were: `done` may have sent another with no time. */
void node_pings_tick(struct node *node)
{
	struct node_ping *ping;

	for (size_t left = node->ping_count; left; left--) {
		ping = first_due(node);
		if (!ping)
			return;
		end_ping(node, ping, ERR_TIMEOUT, 0);
	}
}

void node_pings_free(struct node *node)
{
	while (!list_empty(&node->pings))
		end_ping(node,
			 container_of(node->pings.next, struct node_ping,
				      link),
			 ERR_CANCELED, 0);
}
