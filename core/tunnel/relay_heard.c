/* What a relay says, beyond bytes: who it is, how it fares, what it wishes. */
#include "core/tunnel/relay_private.h"
#include "core/tunnel/text.h"

/* What a relay that restarts may ask of us. */
#define RESTART_MOST_US (60 * US_PER_S)

static void on_ready(void *user)
{
	struct relay *relay = user;

	if (relay->config.home)
		(void)derp_client_note_preferred(&relay->derp, true);
	relay->bucket = (struct relay_bucket){
		.rate = relay->derp.rate_bytes_per_s,
		.burst = relay->derp.rate_burst_bytes,
		.tokens = relay->derp.rate_burst_bytes,
		.filled_us = relay_now(relay),
	};
	/* Less than a frame at once would let none pass, ever. */
	if (relay->bucket.burst < RELAY_SLAB_LEN)
		relay->bucket.burst = RELAY_SLAB_LEN;
	log_debug(relay->config.log, "derp", "relay %lld is up by %s",
		  (long long)relay->region_id,
		  relay_target(relay)->by_websocket ? "WebSocket" : "upgrade");
}

static void on_packet(void *user, const struct key32 *from,
		      const uint8_t *data, size_t len)
{
	struct relay *relay = user;

	relay->config.events->on_packet(relay->config.user, relay, from, data,
					len);
}

static void on_peer_gone(void *user, const struct key32 *peer, uint8_t reason)
{
	struct relay *relay = user;

	(void)reason;
	relay->config.events->on_peer_gone(relay->config.user, relay, peer);
}

static void on_health(void *user, const char *text, size_t len)
{
	struct relay *relay = user;
	char clean[TEXT_CLEAN_CAP];

	text_clean(text, len, clean);
	if (len)
		log_warn(relay->config.log, "derp", "relay %lld says: %s",
			 (long long)relay->region_id, clean);
	else
		log_info(relay->config.log, "derp", "relay %lld is well again",
			 (long long)relay->region_id);
}

static void on_restarting(void *user, uint32_t reconnect_in_ms,
			  uint32_t try_for_ms)
{
	struct relay *relay = user;

	relay->restart_us = deadline_min(reconnect_in_ms * US_PER_MS,
					 RESTART_MOST_US);
	relay->restart_until_us = relay_now(relay) + relay->restart_us +
				  deadline_min(try_for_ms * US_PER_MS,
					       RESTART_MOST_US);
	log_info(relay->config.log, "derp",
		 "relay %lld restarts: back in %u ms, for %u ms",
		 (long long)relay->region_id, reconnect_in_ms, try_for_ms);
}

const struct derp_client_events relay_derp_events = {
	.on_ready = on_ready,
	.on_packet = on_packet,
	.on_peer_gone = on_peer_gone,
	.on_health = on_health,
	.on_restarting = on_restarting,
};
