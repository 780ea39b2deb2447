#include "core/tailnet/coordinate/node.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cursor.h"
#include "core/tailnet/coordinate/node_message.h"

#define KEY_PREFIX "np"
#define KEY_FIELD_LEN (2 + 32)
#define DISCO_PREFIX "discokey:"
#define DISCO_PREFIX_LEN (sizeof(DISCO_PREFIX) - 1)
#define DISCO_TEXT_LEN (DISCO_PREFIX_LEN + 64)
#define PREFIX_TEXT_CAP (INET6_ADDRSTRLEN + 4)
#define ENCODE_ARENA_CAP (256u * 1024u)

static const uint8_t v4_mapped[12] = { [10] = 0xff, [11] = 0xff };

/* Prefixes. */

/* "128": decimal, no sign, no leading zero, at most `max`; or -1. */
static int parse_bits(const char *text, int max)
{
	int bits = 0;

	if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		bits = bits * 10 + (*text - '0');
		if (bits > max)
			return -1;
	}
	return bits;
}

int node_prefix_from_text(const char *text, struct node_prefix *out)
{
	const char *slash = strchr(text, '/');
	struct node_prefix prefix = { .bits = 0 };
	char address[INET6_ADDRSTRLEN];
	size_t len;
	int bits;

	if (!slash || (size_t)(slash - text) >= sizeof(address))
		return ERR_PROTOCOL;
	len = (size_t)(slash - text);
	memcpy(address, text, len);
	address[len] = '\0';
	if (inet_pton(AF_INET6, address, prefix.address) == 1) {
		bits = parse_bits(slash + 1, 128);
	} else if (inet_pton(AF_INET, address, prefix.address + 12) == 1) {
		memcpy(prefix.address, v4_mapped, sizeof(v4_mapped));
		bits = parse_bits(slash + 1, 32);
		bits = bits < 0 ? bits : bits + 96;
	} else {
		return ERR_PROTOCOL;
	}
	if (bits < 0)
		return ERR_PROTOCOL;
	prefix.bits = (uint8_t)bits;
	*out = prefix;
	return 0;
}

size_t node_prefix_to_text(const struct node_prefix *prefix, char *out,
			   size_t cap)
{
	bool v4 = prefix->bits >= 96 &&
		  memcmp(prefix->address, v4_mapped, sizeof(v4_mapped)) == 0;
	char address[INET6_ADDRSTRLEN];

	inet_ntop(v4 ? AF_INET : AF_INET6, prefix->address + (v4 ? 12 : 0),
		  address, sizeof(address));
	return (size_t)snprintf(out, cap, "%s/%d", address,
				prefix->bits - (v4 ? 96 : 0));
}

static void address_of(const struct uuid *id, const uint8_t head[6],
		       uint8_t out[16])
{
	memcpy(out, id->bytes, 16);
	memcpy(out, head, 6);
}

void node_address_tailscale(const struct uuid *id, uint8_t out[16])
{
	static const uint8_t head[6] = { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0 };

	address_of(id, head, out);
}

void node_address_coder(const struct uuid *id, uint8_t out[16])
{
	static const uint8_t head[6] = { 0xfd, 0x60, 0x62, 0x7a, 0xa4, 0x2b };

	address_of(id, head, out);
}

int64_t node_id_of_uuid(const struct uuid *id)
{
	uint64_t value = be_load(id->bytes + 8, 8);

	/* Two's complement by hand: the least int64 has no absolute value. */
	if (value >> 63)
		value = ~value + 1;
	return (int64_t)value;
}

/* Decoding. */

static int take_key(const ProtobufCBinaryData *field, struct key32 *out,
		    struct error *error)
{
	if (field->len != KEY_FIELD_LEN ||
	    memcmp(field->data, KEY_PREFIX, 2) != 0)
		return error_set(error, ERR_PROTOCOL,
				 "node key of %zu bytes is not np and 32",
				 field->len);
	memcpy(out->bytes, field->data + 2, 32);
	if (key_is_zero(out))
		return error_set(error, ERR_PROTOCOL, "node key is zero");
	return 0;
}

static int take_disco(const char *text, struct key32 *out,
		      struct error *error)
{
	if (strlen(text) != DISCO_TEXT_LEN ||
	    memcmp(text, DISCO_PREFIX, DISCO_PREFIX_LEN) != 0 ||
	    hex_decode(text + DISCO_PREFIX_LEN, 64, out->bytes, 32) < 0)
		return error_set(error, ERR_PROTOCOL,
				 "disco key is not discokey: and 64 digits");
	if (key_is_zero(out))
		return error_set(error, ERR_PROTOCOL, "disco key is zero");
	return 0;
}

static int check_count(size_t count, size_t cap, const char *what,
		       struct error *error)
{
	if (count <= cap)
		return 0;
	return error_set(error, ERR_TOO_LARGE, "node with %zu %s, cap %zu",
			 count, what, cap);
}

static int take_prefixes(char **texts, size_t count, const char *what,
			 struct node_prefix *out, size_t *out_count,
			 struct error *error)
{
	int err = check_count(count, NODE_PREFIX_CAP, what, error);

	if (err < 0)
		return err;
	for (size_t i = 0; i < count; i++)
		if (node_prefix_from_text(texts[i], &out[i]) < 0)
			return error_set(error, ERR_PROTOCOL,
					 "%s %zu of a node is no prefix", what,
					 i);
	*out_count = count;
	return 0;
}

/* Whether it is a short word of printing characters. */
static bool plain_text(const char *text, size_t cap)
{
	size_t len = strnlen(text, cap);

	if (len == 0 || len == cap)
		return false;
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	return true;
}

static int take_endpoints(const Tailnet__Node *message, struct coord_node *out,
			  struct error *error)
{
	int err = check_count(message->n_endpoints, NODE_ENDPOINT_CAP,
			      "endpoints", error);

	if (err < 0)
		return err;
	for (size_t i = 0; i < message->n_endpoints; i++) {
		const char *text = message->endpoints[i];

		if (!plain_text(text, NODE_ENDPOINT_TEXT_CAP))
			return error_set(error, ERR_PROTOCOL,
					 "endpoint %zu of a node is none", i);
		strcpy(out->endpoints[i], text);
	}
	out->endpoint_count = message->n_endpoints;
	return 0;
}

static int take_latency(const Tailnet__Node *message, struct coord_node *out,
			struct error *error)
{
	int err = check_count(message->n_derp_latency, NODE_LATENCY_CAP,
			      "latencies", error);

	if (err < 0)
		return err;
	for (size_t i = 0; i < message->n_derp_latency; i++) {
		const Tailnet__LatencyEntry *entry = message->derp_latency[i];

		if (!plain_text(entry->key, NODE_LATENCY_KEY_CAP) ||
		    !isfinite(entry->value))
			return error_set(error, ERR_PROTOCOL,
					 "latency %zu of a node is none", i);
		strcpy(out->latency[i].key, entry->key);
		out->latency[i].seconds = entry->value;
	}
	out->latency_count = message->n_derp_latency;
	return 0;
}

static int take_node(const Tailnet__Node *message, struct coord_node *out,
		     struct error *error)
{
	int err;

	out->id = message->id;
	out->preferred_derp = message->preferred_derp;
	if (message->as_of) {
		out->as_of_s = message->as_of->seconds;
		out->as_of_ns = message->as_of->nanos;
	}
	err = take_key(&message->key, &out->key, error);
	if (err == 0)
		err = take_disco(message->disco, &out->disco, error);
	if (err == 0)
		err = take_prefixes(message->addresses, message->n_addresses,
				    "addresses", out->addresses,
				    &out->address_count, error);
	if (err == 0)
		err = take_prefixes(message->allowed_ips,
				    message->n_allowed_ips, "allowed_ips",
				    out->allowed, &out->allowed_count, error);
	if (err == 0)
		err = take_endpoints(message, out, error);
	return err < 0 ? err : take_latency(message, out, error);
}

int coord_node_from_message(const Tailnet__Node *message,
			    struct coord_node *out, struct error *error)
{
	struct coord_node *node = calloc(1, sizeof(*node));
	int err;

	if (!node)
		return error_set(error, ERR_NOMEM, "no memory for a node");
	err = take_node(message, node, error);
	if (err == 0)
		*out = *node;
	free(node);
	return err;
}

int coord_node_decode(const void *data, size_t len, struct coord_node *out,
		      struct error *error)
{
	ProtobufCMessage *message;
	struct arena arena;
	int err;

	arena_init(&arena, ARENA_MESSAGE_CAP);
	err = arena_decode(&arena, &tailnet__node__descriptor, data, len,
			   "Node", &message, error);
	if (err == 0)
		err = coord_node_from_message((Tailnet__Node *)message, out,
					      error);
	arena_clear(&arena);
	return err;
}

/* Encoding. */

static int put_prefixes(const struct node_prefix *prefixes, size_t count,
			struct arena *arena, char ***out)
{
	char **texts = arena_take(arena, count + 1, sizeof(*texts));

	if (!texts)
		return ERR_NOMEM;
	for (size_t i = 0; i < count; i++) {
		texts[i] = arena_take(arena, 1, PREFIX_TEXT_CAP);
		if (!texts[i])
			return ERR_NOMEM;
		node_prefix_to_text(&prefixes[i], texts[i], PREFIX_TEXT_CAP);
	}
	*out = texts;
	return 0;
}

static int put_latency(const struct coord_node *node, Tailnet__Node *message,
		       struct arena *arena)
{
	size_t count = node->latency_count;
	Tailnet__LatencyEntry *entries =
		arena_take(arena, count + 1, sizeof(*entries));
	Tailnet__LatencyEntry **list =
		arena_take(arena, count + 1, sizeof(*list));

	if (!entries || !list)
		return ERR_NOMEM;
	for (size_t i = 0; i < count; i++) {
		tailnet__latency_entry__init(&entries[i]);
		entries[i].key = (char *)node->latency[i].key;
		entries[i].value = node->latency[i].seconds;
		list[i] = &entries[i];
	}
	message->n_derp_latency = count;
	message->derp_latency = list;
	return 0;
}

static int put_keys(const struct coord_node *node, Tailnet__Node *message,
		    struct arena *arena)
{
	uint8_t *key = arena_take(arena, 1, KEY_FIELD_LEN);
	char *disco = arena_take(arena, 1, DISCO_TEXT_LEN + 1);

	if (!key || !disco)
		return ERR_NOMEM;
	memcpy(key, KEY_PREFIX, 2);
	memcpy(key + 2, node->key.bytes, 32);
	memcpy(disco, DISCO_PREFIX, DISCO_PREFIX_LEN);
	hex_encode(node->disco.bytes, 32, disco + DISCO_PREFIX_LEN);
	message->key.data = key;
	message->key.len = KEY_FIELD_LEN;
	message->disco = disco;
	return 0;
}

static int put_lists(const struct coord_node *node, Tailnet__Node *message,
		     struct arena *arena)
{
	char **endpoints = arena_take(arena, node->endpoint_count + 1,
				      sizeof(*endpoints));

	if (!endpoints)
		return ERR_NOMEM;
	for (size_t i = 0; i < node->endpoint_count; i++)
		endpoints[i] = (char *)node->endpoints[i];
	message->n_endpoints = node->endpoint_count;
	message->endpoints = endpoints;
	message->n_addresses = node->address_count;
	message->n_allowed_ips = node->allowed_count;
	if (put_prefixes(node->addresses, node->address_count, arena,
			 &message->addresses) < 0)
		return ERR_NOMEM;
	return put_prefixes(node->allowed, node->allowed_count, arena,
			    &message->allowed_ips);
}

Tailnet__Node *coord_node_to_message(const struct coord_node *node,
				     struct arena *arena)
{
	Tailnet__Node *message = arena_take(arena, 1, sizeof(*message));
	Tailnet__Timestamp *as_of = arena_take(arena, 1, sizeof(*as_of));

	if (!message || !as_of)
		return NULL;
	tailnet__node__init(message);
	tailnet__timestamp__init(as_of);
	as_of->seconds = node->as_of_s;
	as_of->nanos = node->as_of_ns;
	message->id = node->id;
	message->as_of = as_of;
	message->preferred_derp = node->preferred_derp;
	if (put_keys(node, message, arena) < 0 ||
	    put_latency(node, message, arena) < 0 ||
	    put_lists(node, message, arena) < 0)
		return NULL;
	return message;
}

int coord_node_encode(const struct coord_node *node, struct buf *out)
{
	Tailnet__Node *message;
	struct arena arena;
	int err = ERR_NOMEM;

	arena_init(&arena, ENCODE_ARENA_CAP);
	message = coord_node_to_message(node, &arena);
	if (message)
		err = message_append(&message->base, out);
	arena_clear(&arena);
	return err;
}
