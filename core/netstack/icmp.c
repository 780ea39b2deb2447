/* ICMPv6 echo (RFC 4443 4.1, 4.2), answered and asked. */
#include <stdlib.h>
#include <string.h>

#include "core/base/cursor.h"
#include "core/netstack/internal.h"

#define ECHO_REQUEST 128
#define ECHO_REPLY 129
#define ECHO_HEADER_LEN 8
#define PING_TIMEOUT_US (5 * US_PER_S)
#define NONCE_LEN 8

static void answer(struct ns *ns, const uint8_t *ip, const uint8_t *payload,
		   size_t len)
{
	struct packet *packet;
	uint8_t *out;

	if (ns_packet_new(ns, ip + 24, ip + 8, NS_HEADER_ICMPV6, len, &packet,
			  &out) < 0)
		return;
	memcpy(out, payload, len);
	out[0] = ECHO_REPLY;
	be_store(out + 2, 0, 2);
	ns_packet_push(ns, packet, 2);
}

static void finish(struct ns *ns, struct ping *ping, int err)
{
	ping->err = err;
	hash_remove(&ns->ping_nonces, &ping->nonce, sizeof(ping->nonce));
	heap_remove(&ns->ping_timers, &ping->timer);
	list_remove(&ping->link);
	list_add_tail(&ns->pings_done, &ping->link);
	ns_wake(ns);
}

static void reply(struct ns *ns, const uint8_t *ip, uint64_t nonce,
		  uint64_t now_us)
{
	struct ping *ping = hash_get(&ns->ping_nonces, &nonce,
				     sizeof(nonce));

	if (!ping || memcmp(ping->dst, ip + 8, NS_ADDRESS_LEN))
		return;
	ping->latency_us = now_us - ping->sent_us;
	finish(ns, ping, 0);
}

void ns_icmp_in(struct ns *ns, const uint8_t *ip, const uint8_t *payload,
		size_t len, uint64_t now_us)
{
	struct cursor c = cursor_of(payload, len);
	uint8_t type = cursor_u8(&c);
	uint8_t code = cursor_u8(&c);
	uint64_t nonce;

	cursor_bytes(&c, ECHO_HEADER_LEN - 2);
	if (!cursor_ok(&c) || (code && type >= ECHO_REQUEST)) {
		ns->stats.drop_malformed++;
		return;
	}
	if (type == ECHO_REQUEST) {
		answer(ns, ip, payload, len);
		return;
	}
	nonce = cursor_u64(&c);
	if (type == ECHO_REPLY && cursor_ok(&c))
		reply(ns, ip, nonce, now_us);
	else
		ns->stats.drop_protocol++;
}

static int send_request(struct ns *ns, const struct ping *ping)
{
	const uint8_t *src = ns->addresses[ns_source_for(ns, ping->dst)];
	struct packet *packet;
	uint8_t *out;
	int err = ns_packet_new(ns, src, ping->dst, NS_HEADER_ICMPV6,
				ECHO_HEADER_LEN + NONCE_LEN, &packet, &out);

	if (err < 0)
		return err;
	out[0] = ECHO_REQUEST;
	be_store(out + 4, ping->nonce >> 48, 2);
	be_store(out + 6, 1, 2);
	be_store(out + ECHO_HEADER_LEN, ping->nonce, NONCE_LEN);
	ns_packet_push(ns, packet, 2);
	return 0;
}

int ns_ping(struct ns *ns, const uint8_t dst[NS_ADDRESS_LEN],
	    uint64_t timeout_us, uint64_t now_us, ns_ping_done *done,
	    void *user)
{
	struct ping *ping;
	int err;

	if (ns->ping_count >= NS_PING_CAP)
		return ERR_LIMIT;
	ping = calloc(1, sizeof(*ping));
	if (!ping)
		return ERR_NOMEM;
	memcpy(ping->dst, dst, NS_ADDRESS_LEN);
	ping->nonce = rng_u64(ns->config.rng);
	ping->sent_us = now_us;
	ping->done = done;
	ping->user = user;
	err = heap_set(&ns->ping_timers, &ping->timer,
		       now_us + (timeout_us ? timeout_us : PING_TIMEOUT_US));
	if (!err)
		err = hash_put(&ns->ping_nonces, &ping->nonce,
			       sizeof(ping->nonce), ping);
	if (!err)
		err = send_request(ns, ping);
	if (err < 0) {
		hash_remove(&ns->ping_nonces, &ping->nonce,
			    sizeof(ping->nonce));
		heap_remove(&ns->ping_timers, &ping->timer);
		free(ping);
		return err;
	}
	list_add_tail(&ns->pings, &ping->link);
	ns->ping_count++;
	return 0;
}

void ns_ping_tick(struct ns *ns, uint64_t now_us)
{
	while (heap_next_deadline(&ns->ping_timers) <= now_us) {
		struct heap_node *node = heap_first(&ns->ping_timers);

		finish(ns, container_of(node, struct ping, timer),
		       ERR_TIMEOUT);
	}
}

void ns_ping_dispatch(struct ns *ns)
{
	struct list *last = ns->pings_done.prev;
	bool more = !list_empty(&ns->pings_done);

	while (more) {
		struct list *link = list_pop(&ns->pings_done);
		struct ping *ping = container_of(link, struct ping, link);

		more = link != last;
		ns->ping_count--;
		ping->done(ping->user, ping->err, ping->latency_us);
		free(ping);
	}
}

void ns_ping_cancel(struct ns *ns)
{
	list_each(at, safe, &ns->pings)
		finish(ns, container_of(at, struct ping, link), ERR_CANCELED);
}
