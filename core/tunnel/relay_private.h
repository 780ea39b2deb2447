/*
 * core/tunnel/relay_private.h: what relay.c (the connection), relay_heard.c
 * (what is said in it), relay_target.c (whom to dial) and relay_send.c (packets
 * out) share. Nobody else includes it.
 */
#ifndef TUNNELHOST_TUNNEL_RELAY_PRIVATE_H
#define TUNNELHOST_TUNNEL_RELAY_PRIVATE_H

#include "core/base/backoff.h"
#include "core/tailnet/derp/derp_client.h"
#include "core/tunnel/relay.h"

/* A WebSocket's header must fit beside it into one TLS record of 16 KB. */
#define RELAY_SLAB_LEN (16 * 1024 - 16)
#define RELAY_URL_CAP (DERP_MAP_HOST_CAP + 32)

/* One way to reach one node of the region. */
struct relay_target {
	char url[RELAY_URL_CAP];
	char address[DERP_MAP_NAME_CAP];	/* numeric; "": by the name */
	char cert_name[DERP_MAP_HOST_CAP];	/* "": the host's */
	bool by_websocket;	/* it refused the upgrade, or all must */
};

struct relay_targets {
	struct relay_target *list;	/* owned */
	size_t count;
	size_t at;		/* the one in use, or to be tried next */
};

/* What the relay asks us to keep to; rate 0: nothing. */
struct relay_bucket {
	uint64_t rate;		/* bytes a second */
	uint64_t burst;
	uint64_t tokens;	/* bytes */
	uint64_t filled_us;
};

struct relay {
	struct relay_config config;
	int64_t region_id;
	struct key32 private_key;
	struct relay_targets targets;
	struct channel *channel;
	bool open;		/* the channel is */
	bool ready;		/* the relay knows us */
	bool starved;		/* reserve said no: owes an on_writable */
	bool stalled;		/* and has for a while */
	struct derp_client derp;
	uint8_t *slab;		/* while it holds something */
	size_t slab_len;
	struct relay_bucket bucket;
	struct relay_stats stats;
	struct timer redial;
	struct timer deadline;	/* of the DERP client */
	struct timer probe;
	struct timer stall;	/* runs while there is no room */
	struct timer refill;	/* the bucket has something again */
	uint64_t full_us;	/* since when there is none */
	uint64_t probe_us;	/* what comes later is a sign of life */
	bool pinged;		/* and a pong is one, too */
	uint64_t up_us;		/* when it came up, while ready */
	uint64_t down_us;	/* since when it is not ready */
	uint64_t restart_us;	/* the relay said: wait so long, once */
	uint64_t restart_until_us;	/* and then insist until then */
	struct backoff backoff;
};

static inline uint64_t relay_now(const struct relay *relay)
{
	return loop_now_us(relay->config.loop);
}

static inline struct relay_target *relay_target(struct relay *relay)
{
	return &relay->targets.list[relay->targets.at];
}

/* relay.c */
/* Every way down. Dials again, now or later. */
void relay_lost(struct relay *relay, const struct error *error);

/* relay_heard.c */
extern const struct derp_client_events relay_derp_events;

/* relay_target.c */
/* 0, ERR_UNREACHABLE (none), ERR_TOO_LARGE or ERR_NOMEM. */
int relay_targets_make(const struct derp_map_region *region,
		       bool by_websocket, struct relay_targets *out);
bool relay_target_equal(const struct relay_target *a,
			const struct relay_target *b);

/* relay_send.c */
void relay_send_init(struct relay *relay);
/* The connection is gone, and what waited to leave with it. */
void relay_send_reset(struct relay *relay);
/* Control frames that the DERP client has made. */
void relay_send_control(struct relay *relay);
/* The channel has room again. */
void relay_send_writable(struct relay *relay);
/* Pings now; no answer within that is the end. */
void relay_send_probe(struct relay *relay, uint64_t within_us);

#endif
