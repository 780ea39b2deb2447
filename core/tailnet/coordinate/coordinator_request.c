#include <stdio.h>
#include <string.h>

#include "core/tailnet/coordinate/arena.h"
#include "core/tailnet/coordinate/coordinator_parts.h"
#include "core/tailnet/coordinate/node_message.h"

static int deny(struct coordinator_peer *peer, const char *reason)
{
	char text[256];

	snprintf(text, sizeof(text), "authorize request: %s", reason);
	coordinator_tell_error(peer, text);
	coordinator_remove(peer, COORDINATE_LOST, "unauthorized");
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
		coordinator_tell_node(container_of(at, struct tunnel, out_link),
				      SIDE_DESTINATION, "node update");
	list_each(at, safe, &peer->party->in)
		coordinator_tell_node(container_of(at, struct tunnel, in_link),
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
	struct party *to = coordinator_party_get(c, id);
	struct tunnel *tunnel;

	if (!to)
		return ERR_NOMEM;
	c->stats.add_tunnel++;
	tunnel = coordinator_tunnel_find(peer->party, to);
	if (!tunnel) {
		tunnel = coordinator_tunnel_new(peer->party, to);
		peer->tunnels++;
	}
	if (!tunnel) {
		coordinator_party_put(c, to);
		return ERR_NOMEM;
	}
	coordinator_tell_node(tunnel, SIDE_SOURCE, "add tunnel");
	coordinator_tell_node(tunnel, SIDE_DESTINATION, "add tunnel");
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
	to = coordinator_party_find(c, &id);
	tunnel = to ? coordinator_tunnel_find(peer->party, to) : NULL;
	if (!tunnel)
		return 0;
	coordinator_tell_gone(tunnel, SIDE_SOURCE, COORDINATE_DISCONNECTED,
			      "remove tunnel");
	coordinator_tell_gone(tunnel, SIDE_DESTINATION, COORDINATE_DISCONNECTED,
			      "remove tunnel");
	coordinator_tunnel_free(c, tunnel);
	peer->tunnels--;
	return 0;
}

static void handle_ready(struct coordinator_peer *peer, const struct uuid *id)
{
	struct coordinator *c = peer->coordinator;
	struct party *to = coordinator_party_find(c, id);
	char name[UUID_TEXT_CAP], text[128];

	c->stats.ready_for_handshake++;
	if (!to || (!coordinator_tunnel_find(peer->party, to) &&
		    !coordinator_tunnel_find(to, peer->party))) {
		uuid_to_text(id, name);
		snprintf(text, sizeof(text),
			 "you do not share a tunnel with \"%s\"", name);
		coordinator_tell_error(peer, text);
		return;
	}
	if (to->peer && !c->mute_ready)
		coordinator_tell_update(to->peer, &peer->party->id, NULL,
					COORDINATE_READY, "");
}

static void handle_disconnect(struct coordinator_peer *peer)
{
	peer->coordinator->stats.disconnect++;
	coordinator_remove(peer, COORDINATE_DISCONNECTED,
			   "graceful disconnect");
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
	coordinator_enter(c, now_us);
	arena_init(&arena, ARENA_MESSAGE_CAP);
	err = arena_decode(&arena, &tailnet__coordinate_request__descriptor,
			   data, len, "CoordinateRequest", &message, NULL);
	if (err == 0)
		err = handle(peer, (Tailnet__CoordinateRequest *)message);
	if (err < 0)
		coordinator_remove(peer, COORDINATE_LOST, "lost");
	arena_clear(&arena);
	coordinator_settle(c);
	return err;
}

int coordinator_set_node(struct coordinator_peer *peer,
			 const struct coord_node *node, uint64_t now_us)
{
	struct coordinator *c = peer->coordinator;
	struct buf bytes = { .limit = NODE_ENCODED_CAP };
	int err = coord_node_encode(node, &bytes);

	coordinator_enter(c, now_us);
	if (err == 0)
		err = peer->party ? update_node(peer, &bytes) : ERR_CLOSED;
	buf_clear(&bytes);
	coordinator_settle(c);
	return err;
}

int coordinator_ready(struct coordinator_peer *peer, const struct uuid *to,
		      uint64_t now_us)
{
	struct coordinator *c = peer->coordinator;

	if (!peer->party)
		return ERR_CLOSED;
	coordinator_enter(c, now_us);
	handle_ready(peer, to);
	coordinator_settle(c);
	return 0;
}

void coordinator_disconnect(struct coordinator_peer *peer, uint64_t now_us)
{
	struct coordinator *c = peer->coordinator;

	if (!peer->party)
		return;
	coordinator_enter(c, now_us);
	handle_disconnect(peer);
	coordinator_settle(c);
}

