/*
 * Destinations that take nothing now. What is ready for one is moved aside
 * when its turn comes, once, and comes back as a whole.
 */
#include <stdlib.h>
#include <string.h>

#include "core/netstack/internal.h"

#define IPV6_DST 24

static struct blocked *find(const struct ns *ns, const uint8_t *dst)
{
	return ns->blocked.len ?
		hash_get(&ns->blocked, dst, NS_ADDRESS_LEN) : NULL;
}

/* All of `from` before all of `to`: what waited longest goes first. */
static void put_before(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->prev->next = to->next;
	to->next->prev = from->prev;
	from->next->prev = to;
	to->next = from->next;
	list_init(from);
}

static int block(struct ns *ns, const uint8_t *dst)
{
	struct blocked *blocked;

	if (ns->blocked.len >= NS_BLOCKED_CAP)
		return ERR_LIMIT;
	blocked = calloc(1, sizeof(*blocked));
	if (!blocked)
		return ERR_NOMEM;
	list_init(&blocked->conns);
	list_init(&blocked->packets);
	memcpy(blocked->dst, dst, NS_ADDRESS_LEN);
	if (hash_put(&ns->blocked, dst, NS_ADDRESS_LEN, blocked) < 0) {
		free(blocked);
		return ERR_NOMEM;
	}
	return 0;
}

static void release(struct ns *ns, struct blocked *blocked)
{
	bool first = list_empty(&ns->ready) && list_empty(&ns->queue);

	put_before(&ns->ready, &blocked->conns);
	put_before(&ns->queue, &blocked->packets);
	free(blocked);
	if (first && !(list_empty(&ns->ready) && list_empty(&ns->queue)))
		ns_wake(ns);
}

int ns_set_blocked(struct ns *ns, const uint8_t dst[NS_ADDRESS_LEN],
		   bool blocked)
{
	struct blocked *there = find(ns, dst);

	if (blocked && !there)
		return block(ns, dst);
	if (!blocked && there) {
		hash_remove(&ns->blocked, dst, NS_ADDRESS_LEN);
		release(ns, there);
	}
	return 0;
}

bool ns_park_conn(struct ns *ns, struct conn *conn)
{
	struct blocked *blocked = find(ns, conn->remote);

	if (!blocked)
		return false;
	list_remove(&conn->ready);
	list_add_tail(&blocked->conns, &conn->ready);
	return true;
}

bool ns_park_packet(struct ns *ns, struct packet *packet)
{
	struct blocked *blocked = find(ns, packet->bytes + IPV6_DST);

	if (!blocked)
		return false;
	if (blocked->packet_count == NS_BLOCKED_QUEUE_CAP) {
		ns->stats.drop_queue++;
		ns->queue_len--;
		ns->queue_bytes -= packet->len;
		free(packet);
		return true;
	}
	blocked->packet_count++;
	list_add_tail(&blocked->packets, &packet->link);
	return true;
}

void ns_blocked_free(struct ns *ns)
{
	size_t position = 0;
	struct blocked *blocked;

	ns->config.wake = NULL;
	while ((blocked = hash_next(&ns->blocked, &position)) != NULL) {
		hash_remove(&ns->blocked, blocked->dst, NS_ADDRESS_LEN);
		release(ns, blocked);
	}
	hash_clear(&ns->blocked);
}
