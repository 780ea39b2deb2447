/*
 * Cookie replies have no peer: they go back to the place that an initiation
 * came from. WireGuard knows it by a token alone, and owes no more replies
 * than there are places here, so the newest of them are all that is needed.
 */
#include <string.h>

#include "core/tunnel/node_private.h"

static struct node_place *new_place(struct node *node)
{
	return &node->places[node->next_place++ % WG_COOKIE_REPLIES_CAP];
}

void node_cookie_to_relay(struct node *node, uint64_t token,
			  const struct relay *relay, const struct key32 *key)
{
	*new_place(node) = (struct node_place){
		.token = token,
		.used = true,
		.region = relay_region(relay),
		.key = *key,
	};
}

void node_cookie_to_endpoint(struct node *node, uint64_t token,
			     const struct endpoint *endpoint)
{
	*new_place(node) = (struct node_place){
		.token = token,
		.used = true,
		.endpoint = *endpoint,
	};
}

/* By its region: the relay may be gone. */
static struct relay *relay_of(const struct node *node,
			      const struct node_place *place)
{
	for (size_t i = 0; i < node->relay_count; i++)
		if (relay_region(node->relays[i].relay) == place->region)
			return node->relays[i].relay;
	return NULL;
}

/* Whoever gets none tries again in 5 s. */
static void send_by_relay(struct node *node, const struct node_place *place,
			  const uint8_t *message, size_t len)
{
	struct relay *relay = relay_of(node, place);
	uint8_t *to = relay ? relay_reserve(relay, len) : NULL;

	if (!to)
		return;
	memcpy(to, message, len);
	relay_commit(relay, &place->key, len);
}

void node_send_cookie(struct node *node, uint64_t token,
		      const uint8_t *message, size_t len)
{
	for (size_t i = 0; i < WG_COOKIE_REPLIES_CAP; i++) {
		const struct node_place *place = &node->places[i];

		if (!place->used || place->token != token)
			continue;
		if (place->region)
			send_by_relay(node, place, message, len);
		else
			(void)node_udp_send_one(node, &place->endpoint,
						message, len);
		return;
	}
}
