#include "core/tailnet/coordinate/coordinator.h"

#include <stdlib.h>
#include <string.h>

#include "core/tailnet/coordinate/coordinator_parts.h"

/* Parties and tunnels. */

struct party *coordinator_party_find(struct coordinator *c,
				     const struct uuid *id)
{
	return hash_get(&c->parties, id->bytes, sizeof(id->bytes));
}

struct party *coordinator_party_get(struct coordinator *c,
				    const struct uuid *id)
{
	struct party *party = coordinator_party_find(c, id);

	if (party)
		return party;
	party = calloc(1, sizeof(*party));
	if (!party)
		return NULL;
	party->id = *id;
	list_init(&party->out);
	list_init(&party->in);
	if (hash_put(&c->parties, id->bytes, sizeof(id->bytes), party) < 0) {
		free(party);
		return NULL;
	}
	return party;
}

void coordinator_party_put(struct coordinator *c, struct party *party)
{
	if (party->pinned || party->peer || !list_empty(&party->out) ||
	    !list_empty(&party->in))
		return;
	hash_remove(&c->parties, party->id.bytes, sizeof(party->id.bytes));
	free(party);
}

struct tunnel *coordinator_tunnel_find(const struct party *from,
				       const struct party *to)
{
	list_each(at, safe, &from->out) {
		struct tunnel *tunnel = container_of(at, struct tunnel,
						     out_link);

		if (tunnel->ends[SIDE_DESTINATION] == to)
			return tunnel;
	}
	return NULL;
}

struct tunnel *coordinator_tunnel_new(struct party *from, struct party *to)
{
	struct tunnel *tunnel = calloc(1, sizeof(*tunnel));

	if (!tunnel)
		return NULL;
	tunnel->ends[SIDE_SOURCE] = from;
	tunnel->ends[SIDE_DESTINATION] = to;
	list_add_tail(&from->out, &tunnel->out_link);
	list_add_tail(&to->in, &tunnel->in_link);
	return tunnel;
}

void coordinator_tunnel_free(struct coordinator *c, struct tunnel *tunnel)
{
	list_remove(&tunnel->out_link);
	list_remove(&tunnel->in_link);
	shared_node_drop(tunnel->told[0]);
	shared_node_drop(tunnel->told[1]);
	coordinator_party_put(c, tunnel->ends[SIDE_DESTINATION]);
	free(tunnel);
}

static void forget(struct tunnel *tunnel, enum side side)
{
	shared_node_drop(tunnel->told[side]);
	tunnel->told[side] = NULL;
}

/* Queues. */

static void schedule(struct coordinator_peer *peer)
{
	if (!list_linked(&peer->work_link))
		list_add_tail(&peer->coordinator->work, &peer->work_link);
}

static void drop_queue(struct coordinator_peer *peer)
{
	struct list *at;

	while ((at = list_pop(&peer->queue)) != NULL)
		free(container_of(at, struct response, link));
	peer->queued = 0;
}

static void enqueue(struct coordinator_peer *peer, const struct buf *bytes)
{
	struct response *response = NULL;

	schedule(peer);
	if (peer->queued < COORDINATOR_QUEUE_CAP)
		response = malloc(sizeof(*response) + bytes->len);
	if (!response) {
		peer->failed = true;
		return;
	}
	response->len = bytes->len;
	memcpy(response->data, buf_data(bytes), bytes->len);
	list_add_tail(&peer->queue, &response->link);
	peer->queued++;
}

void coordinator_tell_update(struct coordinator_peer *to,
			     const struct uuid *about,
			     const struct shared_node *node,
			     enum coordinate_kind kind, const char *reason)
{
	struct buf bytes = { .limit = RESPONSE_CAP };

	if (response_update(&bytes, about, node, kind, reason) == 0)
		enqueue(to, &bytes);
	else
		to->failed = true;
	schedule(to);
	buf_clear(&bytes);
}

void coordinator_tell_error(struct coordinator_peer *to, const char *text)
{
	struct buf bytes = { .limit = RESPONSE_CAP };

	if (response_error(&bytes, text) == 0)
		enqueue(to, &bytes);
	buf_clear(&bytes);
}

void coordinator_tell_node(struct tunnel *tunnel, enum side side,
			   const char *reason)
{
	struct party *to = tunnel->ends[side];
	struct party *about = tunnel->ends[!side];
	struct shared_node *node = about->peer ? about->peer->node : NULL;

	if (!to->peer || !node || shared_node_equal(tunnel->told[side], node))
		return;
	forget(tunnel, side);
	tunnel->told[side] = shared_node_hold(node);
	coordinator_tell_update(to->peer, &about->id, node, COORDINATE_NODE,
				reason);
}

void coordinator_tell_gone(struct tunnel *tunnel, enum side side,
			   enum coordinate_kind kind, const char *reason)
{
	struct party *to = tunnel->ends[side];

	if (!to->peer || !tunnel->told[side])
		return;
	forget(tunnel, side);
	coordinator_tell_update(to->peer, &tunnel->ends[!side]->id, NULL, kind,
				reason);
}

/* Peers. */

static size_t *count_of(struct coordinator *c, bool agent)
{
	return agent ? &c->stats.agents : &c->stats.clients;
}

/* Gone from its party; what is queued still goes, then hang_up. */
static void detach(struct coordinator_peer *peer)
{
	struct coordinator *c = peer->coordinator;

	peer->party->peer = NULL;
	peer->party = NULL;
	(*count_of(c, peer->agent))--;
	schedule(peer);
}

void coordinator_remove(struct coordinator_peer *peer,
			enum coordinate_kind kind, const char *reason)
{
	struct coordinator *c = peer->coordinator;
	struct party *party = peer->party;

	if (!party)
		return;
	detach(peer);
	party->pinned = true;	/* a tunnel to itself must not end it here */
	list_each(at, safe, &party->in) {
		struct tunnel *tunnel = container_of(at, struct tunnel,
						     in_link);

		coordinator_tell_gone(tunnel, SIDE_SOURCE, kind, reason);
		forget(tunnel, SIDE_DESTINATION);
	}
	list_each(at, safe, &party->out) {
		struct tunnel *tunnel = container_of(at, struct tunnel,
						     out_link);

		coordinator_tell_gone(tunnel, SIDE_DESTINATION, kind, reason);
		coordinator_tunnel_free(c, tunnel);
	}
	party->pinned = false;
	coordinator_party_put(c, party);
}

static void free_peer(struct coordinator_peer *peer)
{
	if (peer->coordinator->delivering == peer)
		peer->coordinator->delivering = NULL;
	list_remove(&peer->work_link);
	drop_queue(peer);
	shared_node_drop(peer->node);
	free(peer);
}

static void hang_up(struct coordinator_peer *peer)
{
	const struct coordinator_events *events = peer->events;
	uint64_t now_us = peer->coordinator->now_us;
	void *user = peer->user;

	free_peer(peer);
	events->hang_up(user, now_us);
}

/* `peer` may be gone afterwards: the receiver may have left. */
static void deliver_one(struct coordinator_peer *peer)
{
	struct coordinator *c = peer->coordinator;
	struct response *response = container_of(list_pop(&peer->queue),
						 struct response, link);
	int err;

	peer->queued--;
	schedule(peer);
	c->delivering = peer;
	err = peer->events->deliver(peer->user, response->data, response->len,
				    c->now_us);
	if (err && c->delivering)
		c->delivering->failed = true;
	c->delivering = NULL;
	free(response);
}

static void work_on(struct coordinator_peer *peer)
{
	if (peer->failed) {
		coordinator_remove(peer, COORDINATE_DISCONNECTED,
				   "failed update");
		drop_queue(peer);
	}
	if (!list_empty(&peer->queue))
		deliver_one(peer);
	else if (!peer->party)
		hang_up(peer);
}

void coordinator_enter(struct coordinator *c, uint64_t now_us)
{
	c->depth++;
	c->now_us = now_us;
}

void coordinator_settle(struct coordinator *c)
{
	struct list *at;

	if (c->depth == 1)
		while ((at = list_pop(&c->work)) != NULL)
			work_on(container_of(at, struct coordinator_peer,
					     work_link));
	c->depth--;
}

int coordinator_new(struct rng *rng, struct coordinator **out)
{
	struct coordinator *c = calloc(1, sizeof(*c));

	if (!c)
		return ERR_NOMEM;
	hash_init(&c->parties, rng);
	list_init(&c->work);
	*out = c;
	return 0;
}

void coordinator_free(struct coordinator *c)
{
	struct party *party;
	size_t position = 0;

	if (!c)
		return;
	coordinator_enter(c, c->now_us);
	while ((party = hash_next(&c->parties, &position)) != NULL)
		if (party->peer)
			detach(party->peer);
	coordinator_settle(c);
	/* Nobody is left to be told; tunnels go, and then their parties. */
	position = 0;
	while ((party = hash_next(&c->parties, &position)) != NULL) {
		list_each(at, safe, &party->out) {
			struct tunnel *tunnel =
				container_of(at, struct tunnel, out_link);

			list_remove(&tunnel->in_link);
			list_remove(&tunnel->out_link);
			shared_node_drop(tunnel->told[0]);
			shared_node_drop(tunnel->told[1]);
			free(tunnel);
		}
	}
	position = 0;
	while ((party = hash_next(&c->parties, &position)) != NULL)
		free(party);
	hash_clear(&c->parties);
	free(c);
}

static void tell_all_tunnels(struct party *party)
{
	list_each(at, safe, &party->out)
		coordinator_tell_node(container_of(at, struct tunnel, out_link),
				      SIDE_SOURCE, "init");
	list_each(at, safe, &party->in)
		coordinator_tell_node(container_of(at, struct tunnel, in_link),
				      SIDE_DESTINATION, "init");
}

/* The same id again: the old socket is hung up on, its tunnels stay. */
static void replace(struct party *party)
{
	if (!party->peer)
		return;
	detach(party->peer);
	list_each(at, safe, &party->out)
		forget(container_of(at, struct tunnel, out_link), SIDE_SOURCE);
	list_each(at, safe, &party->in)
		forget(container_of(at, struct tunnel, in_link),
		       SIDE_DESTINATION);
}

int coordinator_join(struct coordinator *c, const struct uuid *id, bool agent,
		     const struct uuid *allowed,
		     const struct coordinator_events *events, void *user,
		     uint64_t now_us, struct coordinator_peer **out)
{
	struct coordinator_peer *peer = calloc(1, sizeof(*peer));
	struct party *party = peer ? coordinator_party_get(c, id) : NULL;

	if (!party) {
		free(peer);
		return ERR_NOMEM;
	}
	coordinator_enter(c, now_us);
	replace(party);
	peer->coordinator = c;
	peer->party = party;
	peer->agent = agent;
	if (allowed)
		peer->allowed = *allowed;
	peer->events = events;
	peer->user = user;
	list_init(&peer->queue);
	list_each(at, safe, &party->out)
		peer->tunnels++;
	party->peer = peer;
	(*count_of(c, agent))++;
	*out = peer;
	tell_all_tunnels(party);
	coordinator_settle(c);
	return 0;
}

void coordinator_leave(struct coordinator_peer *peer, uint64_t now_us)
{
	struct coordinator *c = peer->coordinator;

	coordinator_enter(c, now_us);
	coordinator_remove(peer, COORDINATE_LOST, "lost");
	free_peer(peer);
	coordinator_settle(c);
}

void coordinator_mute_ready(struct coordinator *c, bool mute)
{
	c->mute_ready = mute;
}

void coordinator_stats(const struct coordinator *c,
		       struct coordinator_stats *out)
{
	*out = c->stats;
}
