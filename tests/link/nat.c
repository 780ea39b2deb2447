#include "tests/link/nat.h"

#include <stdlib.h>

#define FIRST_PORT 1024
#define PORT_TRIES 64

struct mapping {
	struct list in_nat;
	uint8_t inside_key[HASH_KEY_CAP];
	size_t inside_key_len;
	uint8_t protocol;
	uint16_t port;
	struct endpoint inside;
	struct hash permitted;	/* endpoints that were sent to */
};

void nat_init(struct nat *nat, struct rng *rng)
{
	memset(nat, 0, sizeof(*nat));
	nat->rng = rng;
	hash_init(&nat->by_inside, rng);
	hash_init(&nat->by_port, rng);
	list_init(&nat->mappings);
}

static size_t port_key(uint8_t protocol, uint16_t port, uint8_t out[3])
{
	out[0] = protocol;
	out[1] = (uint8_t)(port >> 8);
	out[2] = (uint8_t)port;
	return 3;
}

static void mapping_free(struct nat *nat, struct mapping *m)
{
	uint8_t key[3];

	hash_remove(&nat->by_inside, m->inside_key, m->inside_key_len);
	hash_remove(&nat->by_port, key, port_key(m->protocol, m->port, key));
	list_remove(&m->in_nat);
	nat->len--;
	hash_clear(&m->permitted);
	free(m);
}

static void free_oldest(struct nat *nat)
{
	mapping_free(nat, container_of(nat->mappings.next, struct mapping,
				       in_nat));
}

void nat_forget(struct nat *nat)
{
	while (nat->len)
		free_oldest(nat);
}

void nat_clear(struct nat *nat)
{
	nat_forget(nat);
	hash_clear(&nat->by_inside);
	hash_clear(&nat->by_port);
}

void nat_set(struct nat *nat, enum nat_kind kind, const uint8_t *public)
{
	nat_forget(nat);
	nat->kind = kind;
	if (public)
		memcpy(nat->public, public, 16);
}

bool nat_kind_parse(const char *name, enum nat_kind *out)
{
	static const char *const names[] = {
		[NAT_NONE] = "none", [NAT_EASY] = "easy",
		[NAT_ADDRESS] = "address", [NAT_PORT] = "port",
		[NAT_HARD] = "hard",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(name, names[i])) {
			*out = (enum nat_kind)i;
			return true;
		}
	return false;
}

/* TCP is mapped and filtered like NAT_PORT in every kind. */
static enum nat_kind kind_of(const struct nat *nat, const struct flow *flow)
{
	return flow->protocol == FLOW_UDP ? nat->kind : NAT_PORT;
}

static size_t inside_key(const struct flow *flow, enum nat_kind kind,
			 uint8_t out[HASH_KEY_CAP])
{
	size_t len = 1 + sizeof(struct endpoint);

	out[0] = flow->protocol;
	memcpy(out + 1, &flow->source, sizeof(struct endpoint));
	if (kind != NAT_HARD)
		return len;
	memcpy(out + len, &flow->destination, sizeof(struct endpoint));
	return len + sizeof(struct endpoint);
}

static bool draw_port(struct nat *nat, struct mapping *m)
{
	uint8_t key[3];

	for (int i = 0; i < PORT_TRIES; i++) {
		m->port = (uint16_t)(FIRST_PORT + rng_below(nat->rng,
							65536 - FIRST_PORT));
		port_key(m->protocol, m->port, key);
		if (!hash_get(&nat->by_port, key, sizeof(key)))
			return !hash_put(&nat->by_port, key, sizeof(key), m);
	}
	return false;
}

static struct mapping *mapping_new(struct nat *nat, const struct flow *flow,
				   const uint8_t *key, size_t len)
{
	struct mapping *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->protocol = flow->protocol;
	m->inside = flow->source;
	memcpy(m->inside_key, key, len);
	m->inside_key_len = len;
	hash_init(&m->permitted, nat->rng);
	list_add_tail(&nat->mappings, &m->in_nat);
	nat->len++;
	if (!draw_port(nat, m) || hash_put(&nat->by_inside, key, len, m)) {
		mapping_free(nat, m);
		return NULL;
	}
	return m;
}

static struct mapping *mapping_for(struct nat *nat, const struct flow *flow)
{
	uint8_t key[HASH_KEY_CAP];
	size_t len = inside_key(flow, kind_of(nat, flow), key);
	struct mapping *m = hash_get(&nat->by_inside, key, len);

	if (m)
		return m;
	if (nat->len == NAT_MAPPING_CAP)
		free_oldest(nat);
	return mapping_new(nat, flow, key, len);
}

/* The part of the other end that the filter compares. */
static struct endpoint filtered(enum nat_kind kind, const struct endpoint *peer)
{
	struct endpoint key = *peer;

	if (kind == NAT_ADDRESS)
		key.port = 0;
	return key;
}

static bool translatable(const struct flow *flow)
{
	return !flow->fragment && flow->source.port &&
		endpoint_is_ipv4(&flow->source);
}

bool nat_out(struct nat *nat, uint8_t *packet, struct flow *flow)
{
	struct endpoint peer = filtered(kind_of(nat, flow), &flow->destination);
	struct endpoint public;
	struct mapping *m;

	if (nat->kind == NAT_NONE || !endpoint_is_ipv4(&flow->source))
		return true;
	if (!translatable(flow) ||
	    !memcmp(flow->destination.address, nat->public, 16))
		return false;
	m = mapping_for(nat, flow);
	if (!m || m->permitted.len == NAT_PERMIT_CAP ||
	    hash_put(&m->permitted, &peer, sizeof(peer), m))
		return false;
	memcpy(public.address, nat->public, 16);
	public.port = m->port;
	flow_set_source(packet, flow, &public);
	flow->source = public;
	return true;
}

bool nat_in(struct nat *nat, uint8_t *packet, struct flow *flow)
{
	enum nat_kind kind = kind_of(nat, flow);
	struct endpoint peer = filtered(kind, &flow->source);
	struct mapping *m;
	uint8_t key[3];

	if (nat->kind == NAT_NONE || !endpoint_is_ipv4(&flow->source))
		return true;
	if (!translatable(flow))
		return false;
	port_key(flow->protocol, flow->destination.port, key);
	m = hash_get(&nat->by_port, key, sizeof(key));
	if (!m || (kind != NAT_EASY &&
		   !hash_get(&m->permitted, &peer, sizeof(peer))))
		return false;
	flow_set_destination(packet, flow, &m->inside);
	flow->destination = m->inside;
	return true;
}
