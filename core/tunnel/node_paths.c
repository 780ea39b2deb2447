/*
 * Which way each peer's packets go. Every peer has a `struct path`
 * (core/tailnet/path/path.h), which decides; here its pings and call-me-maybe
 * messages are sent, the peer's are answered, and what it decides is kept in
 * peer->direct and peer->endpoint, so that a packet costs a comparison. A
 * peer's timer stands at its path's deadline: a peer to which nothing is sent
 * has none.
 */
#include "core/base/err.h"
#include "core/tunnel/node_private.h"

static void describe(const struct node_peer *peer, char out[9])
{
	hex_encode(peer->config.key.bytes, 4, out);
}

static void set_way(struct node_peer *peer, const struct endpoint *direct)
{
	struct node *node = peer->node;

	peer->direct = direct != NULL;
	if (direct)
		peer->endpoint = *direct;
	if (direct && !peer->direct_us)
		peer->direct_us = node_now(node);
}

static void log_way(const struct node_peer *peer)
{
	char where[ENDPOINT_TEXT_CAP], who[9];

	describe(peer, who);
	if (peer->direct) {
		endpoint_format(&peer->endpoint, where);
		log_info(peer->node->config.log, "path",
			 "%s directly at %s, %llu us", who, where,
			 (unsigned long long)peer->path.best_latency_us);
	} else {
		log_info(peer->node->config.log, "path", "%s by relay %lld",
			 who, (long long)peer->config.home_region);
	}
}

/* The task tells: whoever hears of it may remove the peer. */
static void take_change(struct node_peer *peer)
{
	const struct endpoint *direct;

	if (!path_changed(&peer->path, node_now(peer->node), &direct))
		return;
	set_way(peer, direct);
	log_way(peer);
	peer->way_new = peer->node->ways_new = true;
	/* What waited for a relay's room has another way, or the reverse;
	 * a handshake without an answer has another chance. */
	peer->message_owed = peer->message_len > 0;
	node_wait_for_room(peer);
	peer->node->room_again = true;
	node_kick(peer->node);
}

void node_paths_tell(struct node *node)
{
	if (node->endpoints_stale) {
		node->endpoints_stale = false;
		if (node_endpoints_refresh(node))
			node_paths_own_changed(node);
	}
	if (!node->ways_new)
		return;
	node->ways_new = false;
	list_each(at, next, &node->peers) {
		struct node_peer *peer =
			container_of(at, struct node_peer, link);
		struct uuid id = peer->config.id;

		if (!peer->way_new)
			continue;
		peer->way_new = false;
		node->ways_new = true;
		if (node->config.events->on_path)
			node->config.events->on_path(node->config.user, &id);
		break;		/* the list may be another now */
	}
	if (node->ways_new)
		node_kick(node);
}

static int seal(const struct node_peer *peer,
		const struct disco_message *message,
		uint8_t out[DISCO_PACKET_CAP])
{
	return disco_packet(&peer->disco_shared, &peer->node->disco_public,
			    peer->node->config.rng, message, out,
			    DISCO_PACKET_CAP);
}

static void send_ping(struct node_peer *peer, const struct path_out *out)
{
	struct node *node = peer->node;
	struct disco_message ping = {
		.type = DISCO_PING,
		.padded = true,		/* the full size must get through */
		.node_key = *wg_public_key(node->wg),
	};
	uint8_t packet[DISCO_PACKET_CAP];
	int len;

	memcpy(ping.txid, out->txid, sizeof(ping.txid));
	len = seal(peer, &ping, packet);
	if (len > 0)
		(void)node_udp_send_one(node, &out->to, packet, (size_t)len);
}

void node_path_call(struct node_peer *peer)
{
	struct node *node = peer->node;
	struct disco_message call = { .type = DISCO_CALL_ME_MAYBE };
	uint8_t *to = peer->relay ? relay_reserve(peer->relay, DISCO_PACKET_CAP) :
				    NULL;
	int len;

	peer->call_owed = !to;
	if (!to) {
		node_wait_for_room(peer);
		return;
	}
	call.endpoint_count = node->endpoint_count;
	memcpy(call.endpoints, node->endpoints,
	       node->endpoint_count * sizeof(node->endpoints[0]));
	len = seal(peer, &call, to);
	if (len > 0)
		relay_commit(peer->relay, &peer->config.key, (size_t)len);
	node_kick(node);
}

/* Carries out what the path wants; after everything that it learns. */
static void drive(struct node_peer *peer)
{
	struct node *node = peer->node;
	struct path_out out;

	for (;;) {
		switch (path_out(&peer->path, node_now(node), &out)) {
		case PATH_PING:
			send_ping(peer, &out);
			continue;
		case PATH_CALL_ME_MAYBE:
			node_path_call(peer);
			continue;
		case PATH_NOTHING:
			break;
		}
		break;
	}
	take_change(peer);
	timer_set(node->config.loop, &peer->path_timer,
		  path_next_deadline(&peer->path));
}

static bool usable(const struct node_peer *peer)
{
	return peer->has_disco && peer->node->udp.socket;
}

static void path_fired(struct timer *timer)
{
	struct node_peer *peer = timer->user;

	path_tick(&peer->path, node_now(peer->node));
	drive(peer);
}

void node_path_init(struct node_peer *peer)
{
	path_init(&peer->path, peer->node->config.rng);
	peer->path_timer = (struct timer){ .fire = path_fired, .user = peer };
}

void node_path_clear(struct node_peer *peer)
{
	node_disco_unlink(peer);
	set_way(peer, NULL);
	timer_stop(peer->node->config.loop, &peer->path_timer);
	path_clear(&peer->path);
}

void node_path_want(struct node_peer *peer)
{
	bool was_active = peer->path.active;

	if (!usable(peer))
		return;
	peer->node->wanted_us = node_now(peer->node);
	path_want(&peer->path, node_now(peer->node));
	if (was_active)
		return;
	drive(peer);
	node_survey_wanted(peer->node);
}

void node_path_data_in(struct node_peer *peer, const struct endpoint *from)
{
	uint64_t now_us = node_now(peer->node);

	if (endpoint_equal(from, &peer->path.best)) {
		path_data_in(&peer->path, from, now_us);
	} else if (usable(peer)) {
		path_heard_elsewhere(&peer->path, from, now_us);
		drive(peer);
	}
}

void node_path_set(struct node_peer *peer, const struct endpoint *endpoints,
		   size_t count, bool is_new)
{
	uint64_t now_us = node_now(peer->node);

	if (!usable(peer))
		return;
	if (is_new)
		path_rebind(&peer->path, now_us);
	path_set_endpoints(&peer->path, endpoints, count, now_us);
	drive(peer);
}

/* --- disco ---------------------------------------------------------- */

int node_disco_link(struct node_peer *peer)
{
	struct hash *hash = &peer->node->by_disco;
	const struct key32 *key = &peer->config.disco_key;
	struct node_peer *first = hash_get(hash, key->bytes, 32);

	if (!first)
		return hash_put(hash, key->bytes, 32, peer);
	peer->disco_next = first->disco_next;
	first->disco_next = peer;
	return 0;
}

void node_disco_unlink(struct node_peer *peer)
{
	struct hash *hash = &peer->node->by_disco;
	const struct key32 *key = &peer->config.disco_key;
	struct node_peer *at = hash_get(hash, key->bytes, 32);

	if (!peer->has_disco || !at)
		return;
	peer->has_disco = false;
	if (at == peer) {
		hash_remove(hash, key->bytes, 32);
		/* There is a slot: this cannot fail. */
		if (peer->disco_next)
			(void)hash_put(hash, key->bytes, 32, peer->disco_next);
	} else {
		while (at->disco_next != peer)
			at = at->disco_next;
		at->disco_next = peer->disco_next;
	}
	peer->disco_next = NULL;
}

/* Which of those that share the disco key; old pings do not say. */
static struct node_peer *pinging_peer(struct node *node,
				      struct node_peer *first,
				      const struct disco_message *ping)
{
	struct wg_peer *wg;
	struct node_peer *peer;

	if (key_is_zero(&ping->node_key))
		return first->disco_next ? NULL : first;
	wg = wg_peer_find(node->wg, &ping->node_key);
	peer = wg ? wg_peer_user(wg) : NULL;
	return peer && peer->has_disco &&
			       key_equal(&peer->config.disco_key,
					 &first->config.disco_key) ?
		       peer : NULL;
}

static void take_ping(struct node *node, struct node_peer *first,
		      const struct endpoint *from,
		      const struct disco_message *ping)
{
	struct node_peer *peer = pinging_peer(node, first, ping);
	struct disco_message pong = {
		.type = DISCO_PONG,
		.padded = true,
		.source = *from,
	};
	uint8_t packet[DISCO_PACKET_CAP];
	int len;

	if (!peer)
		return;
	memcpy(pong.txid, ping->txid, sizeof(pong.txid));
	len = seal(peer, &pong, packet);
	if (len > 0)
		(void)node_udp_send_one(node, from, packet, (size_t)len);
	path_ping_in(&peer->path, from, node_now(node));
	drive(peer);
}

static void take_pong(struct node_peer *first, const struct disco_message *pong)
{
	for (struct node_peer *peer = first; peer; peer = peer->disco_next) {
		if (path_pong_in(&peer->path, pong->txid,
				 node_now(peer->node)) == PATH_NEVER)
			continue;
		drive(peer);
		return;
	}
}

void node_path_disco_in(struct node *node, const struct endpoint *from,
			const uint8_t *data, size_t len)
{
	struct disco_message message;
	struct node_peer *first;
	struct key32 sender;

	if (!disco_sender(data, len, &sender))
		return;
	first = hash_get(&node->by_disco, sender.bytes, 32);
	if (!first || disco_open(&first->disco_shared, data, len, &message) < 0)
		return;
	switch (message.type) {
	case DISCO_PING:
		take_ping(node, first, from, &message);
		break;
	case DISCO_PONG:
		take_pong(first, &message);
		break;
	case DISCO_CALL_ME_MAYBE:	/* by relays alone */
		break;
	}
}

void node_path_disco_relayed(struct node_peer *peer,
			     const struct disco_message *message)
{
	if (message->type != DISCO_CALL_ME_MAYBE || !usable(peer))
		return;
	path_call_me_maybe(&peer->path, message->endpoints,
			   message->endpoint_count, node_now(peer->node));
	drive(peer);
}

void node_path_refused(struct node *node, const struct endpoint *to, int err)
{
	char where[ENDPOINT_TEXT_CAP];

	endpoint_format(to, where);
	log_debug(node->config.log, "udp", "%s: %s", where, err_name(err));
}

/* --- the whole node ------------------------------------------------- */

static void own_changed(struct node *node, void (*tell)(struct path *path,
							uint64_t now_us))
{
	list_each(at, next, &node->peers) {
		struct node_peer *peer =
			container_of(at, struct node_peer, link);

		if (!peer->has_disco)
			continue;
		tell(&peer->path, node_now(node));
		drive(peer);
	}
}

void node_paths_own_changed(struct node *node)
{
	own_changed(node, path_own_changed);
	if (node->config.events->on_changed)
		node->config.events->on_changed(node->config.user);
}

void node_survey_done(struct node *node)
{
	struct survey_report report;

	survey_report(node->survey, &report);
	if (!report.udp && !node->latency_asked)
		node_latency_soon(node);
	else
		node_home_choose(node);
	node->endpoints_stale = true;
	node_kick(node);
}

/* The same addresses may still be another network: look at everything. */
static void network_changed(struct network_monitor *monitor)
{
	struct node *node = monitor->user;

	if (node_endpoints_refresh(node))
		node_paths_own_changed(node);
	(void)node_udp_open(node);
	own_changed(node, path_rebind);
	if (node_survey_anew(node) < 0)
		log_warn(node->config.log, "udp", "no memory for a survey");
	node_kick(node);
}

void node_paths_begin(struct node *node)
{
	if (node_udp_open(node) < 0 || !node->udp.socket)
		return;
	node->monitor = (struct network_monitor){ .changed = network_changed,
						  .user = node };
	node->monitored = network_monitor_add(node_udp_network(node),
					      &node->monitor) == 0;
	(void)node_endpoints_refresh(node);
	if (node_survey_anew(node) < 0)
		log_warn(node->config.log, "udp", "no memory for a survey");
}

void node_paths_end(struct node *node)
{
	if (node->monitored)
		network_monitor_remove(node_udp_network(node), &node->monitor);
	node_udp_close(node);
}

bool node_peer_candidate(const struct node *node, const struct uuid *id,
			 size_t index, struct path_candidate_info *out)
{
	const struct node_peer *peer =
		hash_get(&node->by_id, id->bytes, sizeof(id->bytes));

	return peer && path_candidate_info(&peer->path, index, node_now(node),
					   out);
}
