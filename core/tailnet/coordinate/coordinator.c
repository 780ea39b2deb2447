#include "core/tailnet/coordinate/coordinator.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/list.h"
#include "core/tailnet/coordinate/coordinate.h"
#include "core/tailnet/coordinate/node_message.h"
#include "core/tailnet/coordinate/response.h"

/*
 * A party is an id that somebody speaks of: a connected peer, one end of a
 * tunnel, or both. A tunnel belongs to its source and goes with it; its
 * destination may come and go. What an end was last told of the other is
 * kept in the tunnel.
 *
 * Nothing is delivered while the structures are being changed: responses go
 * into the peer's queue, and flush() empties the queues at the end of the
 * outermost call.
 */

enum side {
	SIDE_SOURCE,
	SIDE_DESTINATION,
};

struct party {
	struct uuid id;
	struct coordinator_peer *peer;	/* NULL: not connected */
	struct list out;		/* tunnels from here */
	struct list in;			/* tunnels to here */
};

struct tunnel {
	struct list out_link;
	struct list in_link;
	struct party *ends[2];
	struct shared_node *told[2];	/* [side]: what that side knows */
};

struct response {
	struct list link;
	size_t len;
	uint8_t data[];
};

struct coordinator_peer {
	struct list work_link;
	struct coordinator *coordinator;
	struct party *party;		/* NULL when gone */
	bool agent;
	bool failed;			/* cannot take more: to be removed */
	struct uuid allowed;
	const struct coordinator_events *events;
	void *user;
	struct shared_node *node;
	struct list queue;
	unsigned queued;
	unsigned tunnels;
};

struct coordinator {
	struct hash parties;
	struct list work;		/* peers with something in the queue */
	struct coordinator_peer *delivering;
	struct coordinator_stats stats;
	bool mute_ready;
	unsigned depth;
	uint64_t now_us;
};

/* Parties and tunnels. */

static struct party *party_find(struct coordinator *c, const struct uuid *id)
{
	return hash_get(&c->parties, id->bytes, sizeof(id->bytes));
}

static struct party *party_get(struct coordinator *c, const struct uuid *id)
{
	struct party *party = party_find(c, id);

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

static void party_put(struct coordinator *c, struct party *party)
{
	if (party->peer || !list_empty(&party->out) ||
	    !list_empty(&party->in))
		return;
	hash_remove(&c->parties, party->id.bytes, sizeof(party->id.bytes));
	free(party);
}

static struct tunnel *tunnel_find(const struct party *from,
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

static struct tunnel *tunnel_new(struct party *from, struct party *to)
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

/* The source's party is left to the caller. */
static void tunnel_free(struct coordinator *c, struct tunnel *tunnel)
{
	list_remove(&tunnel->out_link);
	list_remove(&tunnel->in_link);
	shared_node_drop(tunnel->told[0]);
	shared_node_drop(tunnel->told[1]);
	party_put(c, tunnel->ends[SIDE_DESTINATION]);
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

static void tell_update(struct coordinator_peer *to, const struct uuid *about,
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

static void tell_error(struct coordinator_peer *to, const char *text)
{
	struct buf bytes = { .limit = RESPONSE_CAP };

	if (response_error(&bytes, text) == 0)
		enqueue(to, &bytes);
	buf_clear(&bytes);
}

/* Tells one end of a tunnel of the other, unless it knows. */
static void tell_node(struct tunnel *tunnel, enum side side,
		      const char *reason)
{
	struct party *to = tunnel->ends[side];
	struct party *about = tunnel->ends[!side];
	struct shared_node *node = about->peer ? about->peer->node : NULL;

	if (!to->peer || !node || shared_node_equal(tunnel->told[side], node))
		return;
	forget(tunnel, side);
	tunnel->told[side] = shared_node_hold(node);
	tell_update(to->peer, &about->id, node, COORDINATE_NODE, reason);
}

static void tell_gone(struct tunnel *tunnel, enum side side,
		      enum coordinate_kind kind, const char *reason)
{
	struct party *to = tunnel->ends[side];

	if (!to->peer || !tunnel->told[side])
		return;
	forget(tunnel, side);
	tell_update(to->peer, &tunnel->ends[!side]->id, NULL, kind, reason);
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

static void remove_peer(struct coordinator_peer *peer,
			enum coordinate_kind kind, const char *reason)
{
	struct coordinator *c = peer->coordinator;
	struct party *party = peer->party;

	if (!party)
		return;
	detach(peer);
	list_each(at, safe, &party->in) {
		struct tunnel *tunnel = container_of(at, struct tunnel,
						     in_link);

		tell_gone(tunnel, SIDE_SOURCE, kind, reason);
		forget(tunnel, SIDE_DESTINATION);
	}
	list_each(at, safe, &party->out) {
		struct tunnel *tunnel = container_of(at, struct tunnel,
						     out_link);

		tell_gone(tunnel, SIDE_DESTINATION, kind, reason);
		tunnel_free(c, tunnel);
	}
	party_put(c, party);
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
		remove_peer(peer, COORDINATE_DISCONNECTED, "failed update");
		drop_queue(peer);
	}
	if (!list_empty(&peer->queue))
		deliver_one(peer);
	else if (!peer->party)
		hang_up(peer);
}

static void enter(struct coordinator *c, uint64_t now_us)
{
	c->depth++;
	c->now_us = now_us;
}

static void leave(struct coordinator *c)
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
	enter(c, c->now_us);
	while ((party = hash_next(&c->parties, &position)) != NULL)
		if (party->peer)
			detach(party->peer);
	leave(c);
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
		tell_node(container_of(at, struct tunnel, out_link),
			  SIDE_SOURCE, "init");
	list_each(at, safe, &party->in)
		tell_node(container_of(at, struct tunnel, in_link),
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
	struct party *party = peer ? party_get(c, id) : NULL;

	if (!party) {
		free(peer);
		return ERR_NOMEM;
	}
	enter(c, now_us);
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
	leave(c);
	return 0;
}

void coordinator_leave(struct coordinator_peer *peer, uint64_t now_us)
{
	struct coordinator *c = peer->coordinator;

	enter(c, now_us);
	remove_peer(peer, COORDINATE_LOST, "lost");
	free_peer(peer);
	leave(c);
}

/* Requests. */

static int deny(struct coordinator_peer *peer, const char *reason)
{
	char text[256];

	snprintf(text, sizeof(text), "authorize request: %s", reason);
	tell_error(peer, text);
	remove_peer(peer, COORDINATE_LOST, "unauthorized");
	return ERR_DENIED;
}

/* The sentence why it may not, or NULL. */
static const char *forbidden_tunnel(const struct coordinator_peer *peer,
				    const Tailnet__Tunnel *tunnel)
{
	if (peer->agent)
		return "agents cannot open tunnels";
	if (tunnel->id.len != sizeof(peer->allowed))
		return "parse add tunnel id: not 16 bytes";
	if (!uuid_is_nil(&peer->allowed) &&
	    memcmp(tunnel->id.data, peer->allowed.bytes,
		   sizeof(peer->allowed)) != 0)
		return "invalid agent id";
	if (peer->tunnels >= COORDINATOR_TUNNEL_CAP)
		return "too many tunnels";
	return NULL;
}

static const char *forbidden_node(const Tailnet__Node *node)
{
	struct node_prefix prefix;

	for (size_t i = 0; i < node->n_addresses; i++) {
		if (node_prefix_from_text(node->addresses[i], &prefix) < 0)
			return "parse node address: not a prefix";
		if (prefix.bits != 128 || strchr(node->addresses[i], '.'))
			return "invalid address bits, expected 128";
	}
	return NULL;
}

static const char *forbidden(const struct coordinator_peer *peer,
			     const Tailnet__CoordinateRequest *request)
{
	const char *reason = NULL;

	if (request->add_tunnel)
		reason = forbidden_tunnel(peer, request->add_tunnel);
	if (!reason && request->update_self && request->update_self->node)
		reason = forbidden_node(request->update_self->node);
	if (!reason && !peer->agent && request->n_ready_for_handshake)
		reason = "clients may not send ready_for_handshake";
	return reason;
}

static int update_node(struct coordinator_peer *peer, const struct buf *bytes)
{
	struct shared_node *node = shared_node_new(buf_data(bytes), bytes->len);

	if (!node)
		return ERR_NOMEM;
	peer->coordinator->stats.update_self++;
	shared_node_drop(peer->node);
	peer->node = node;
	list_each(at, safe, &peer->party->out)
		tell_node(container_of(at, struct tunnel, out_link),
			  SIDE_DESTINATION, "node update");
	list_each(at, safe, &peer->party->in)
		tell_node(container_of(at, struct tunnel, in_link),
			  SIDE_SOURCE, "node update");
	return 0;
}

static int handle_update(struct coordinator_peer *peer,
			 const Tailnet__UpdateSelf *self)
{
	struct buf bytes = { .limit = NODE_ENCODED_CAP };
	int err;

	if (!self->node)
		return 0;
	err = message_append(&self->node->base, &bytes);
	if (err == 0)
		err = update_node(peer, &bytes);
	buf_clear(&bytes);
	return err == ERR_LIMIT ? ERR_TOO_LARGE : err;
}

static int add_tunnel(struct coordinator_peer *peer, const struct uuid *id)
{
	struct coordinator *c = peer->coordinator;
	struct party *to = party_get(c, id);
	struct tunnel *tunnel;

	if (!to)
		return ERR_NOMEM;
	c->stats.add_tunnel++;
	tunnel = tunnel_find(peer->party, to);
	if (!tunnel) {
		tunnel = tunnel_new(peer->party, to);
		peer->tunnels++;
	}
	if (!tunnel) {
		party_put(c, to);
		return ERR_NOMEM;
	}
	tell_node(tunnel, SIDE_SOURCE, "add tunnel");
	tell_node(tunnel, SIDE_DESTINATION, "add tunnel");
	return 0;
}

static int take_id(const Tailnet__Tunnel *message, struct uuid *out)
{
	if (message->id.len != sizeof(out->bytes))
		return ERR_PROTOCOL;
	memcpy(out->bytes, message->id.data, sizeof(out->bytes));
	return 0;
}

static int handle_add(struct coordinator_peer *peer,
		      const Tailnet__Tunnel *message)
{
	struct uuid id;
	int err = take_id(message, &id);

	return err < 0 ? err : add_tunnel(peer, &id);
}

static int handle_remove(struct coordinator_peer *peer,
			 const Tailnet__Tunnel *message)
{
	struct coordinator *c = peer->coordinator;
	struct tunnel *tunnel;
	struct party *to;
	struct uuid id;
	int err = take_id(message, &id);

	if (err < 0)
		return err;
	to = party_find(c, &id);
	tunnel = to ? tunnel_find(peer->party, to) : NULL;
	if (!tunnel)
		return 0;
	tell_gone(tunnel, SIDE_SOURCE, COORDINATE_DISCONNECTED,
		  "remove tunnel");
	tell_gone(tunnel, SIDE_DESTINATION, COORDINATE_DISCONNECTED,
		  "remove tunnel");
	tunnel_free(c, tunnel);
	peer->tunnels--;
	return 0;
}

static void handle_ready(struct coordinator_peer *peer, const struct uuid *id)
{
	struct coordinator *c = peer->coordinator;
	struct party *to = party_find(c, id);
	char name[UUID_TEXT_CAP], text[128];

	c->stats.ready_for_handshake++;
	if (!to || (!tunnel_find(peer->party, to) &&
		    !tunnel_find(to, peer->party))) {
		uuid_to_text(id, name);
		snprintf(text, sizeof(text),
			 "you do not share a tunnel with \"%s\"", name);
		tell_error(peer, text);
		return;
	}
	if (to->peer && !c->mute_ready)
		tell_update(to->peer, &peer->party->id, NULL, COORDINATE_READY,
			    "");
}

static void handle_disconnect(struct coordinator_peer *peer)
{
	peer->coordinator->stats.disconnect++;
	remove_peer(peer, COORDINATE_DISCONNECTED, "graceful disconnect");
}

static int handle(struct coordinator_peer *peer,
		  const Tailnet__CoordinateRequest *request)
{
	const char *reason = forbidden(peer, request);
	struct uuid id;
	int err = 0;

	if (reason)
		return deny(peer, reason);
	if (request->update_self)
		err = handle_update(peer, request->update_self);
	if (err == 0 && request->add_tunnel)
		err = handle_add(peer, request->add_tunnel);
	if (err == 0 && request->remove_tunnel)
		err = handle_remove(peer, request->remove_tunnel);
	if (err == 0 && request->disconnect) {
		handle_disconnect(peer);
		return 0;
	}
	for (size_t i = 0; i < request->n_ready_for_handshake && err == 0;
	     i++) {
		err = take_id(request->ready_for_handshake[i], &id);
		if (err == 0)
			handle_ready(peer, &id);
	}
	return err;
}

int coordinator_request(struct coordinator_peer *peer, const void *data,
			size_t len, uint64_t now_us)
{
	struct coordinator *c = peer->coordinator;
	ProtobufCMessage *message;
	struct arena arena;
	int err;

	if (!peer->party)
		return ERR_CLOSED;
	enter(c, now_us);
	arena_init(&arena, ARENA_MESSAGE_CAP);
	err = arena_decode(&arena, &tailnet__coordinate_request__descriptor,
			   data, len, "CoordinateRequest", &message, NULL);
	if (err == 0)
		err = handle(peer, (Tailnet__CoordinateRequest *)message);
	if (err < 0)
		remove_peer(peer, COORDINATE_LOST, "lost");
	arena_clear(&arena);
	leave(c);
	return err;
}

int coordinator_set_node(struct coordinator_peer *peer,
			 const struct coord_node *node, uint64_t now_us)
{
	struct coordinator *c = peer->coordinator;
	struct buf bytes = { .limit = NODE_ENCODED_CAP };
	int err = coord_node_encode(node, &bytes);

	enter(c, now_us);
	if (err == 0)
		err = peer->party ? update_node(peer, &bytes) : ERR_CLOSED;
	buf_clear(&bytes);
	leave(c);
	return err;
}

int coordinator_ready(struct coordinator_peer *peer, const struct uuid *to,
		      uint64_t now_us)
{
	struct coordinator *c = peer->coordinator;

	if (!peer->party)
		return ERR_CLOSED;
	enter(c, now_us);
	handle_ready(peer, to);
	leave(c);
	return 0;
}

void coordinator_disconnect(struct coordinator_peer *peer, uint64_t now_us)
{
	struct coordinator *c = peer->coordinator;

	if (!peer->party)
		return;
	enter(c, now_us);
	handle_disconnect(peer);
	leave(c);
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
