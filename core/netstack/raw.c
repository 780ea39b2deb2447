/* Next headers that the owner handles itself: TSMP. */
#include <string.h>

#include "core/netstack/internal.h"

static struct raw *find(struct ns *ns, uint8_t next_header)
{
	for (int i = 0; i < NS_RAW_CAP; i++)
		if (ns->raws[i].receive &&
		    ns->raws[i].next_header == next_header)
			return &ns->raws[i];
	return NULL;
}

static struct raw *find_free(struct ns *ns)
{
	for (int i = 0; i < NS_RAW_CAP; i++)
		if (!ns->raws[i].receive)
			return &ns->raws[i];
	return NULL;
}

int ns_set_raw(struct ns *ns, uint8_t next_header, ns_raw *receive,
	       void *user)
{
	struct raw *raw = find(ns, next_header);

	if (next_header == NS_HEADER_TCP || next_header == NS_HEADER_UDP ||
	    next_header == NS_HEADER_ICMPV6)
		return ERR_MISUSE;
	if (!raw && !receive)
		return 0;
	if (!raw)
		raw = find_free(ns);
	if (!raw)
		return ERR_LIMIT;
	*raw = (struct raw){ next_header, receive, user };
	return 0;
}

int ns_raw_send(struct ns *ns, const uint8_t dst[NS_ADDRESS_LEN],
		uint8_t next_header, const void *payload, size_t len)
{
	const uint8_t *src = ns->addresses[ns_source_for(ns, dst)];
	struct packet *packet;
	uint8_t *out;
	int err = ns_packet_new(ns, src, dst, next_header, len, &packet, &out);

	if (err < 0)
		return err;
	if (len)
		memcpy(out, payload, len);
	ns_packet_push(ns, packet, -1);
	return 0;
}

void ns_raw_in(struct ns *ns, uint8_t next_header, const uint8_t *ip,
	       const uint8_t *payload, size_t len)
{
	struct raw *raw = find(ns, next_header);

	if (!raw) {
		ns->stats.drop_protocol++;
		return;
	}
	raw->receive(raw->user, ip + 8, ip + 24, payload, len);
}
