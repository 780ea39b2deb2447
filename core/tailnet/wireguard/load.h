/*
 * core/tailnet/wireguard/load.h: when a device is under load.
 *
 * The kernel and wireguard-go look at their queue of handshake messages:
 * beyond an eighth of it (wireguard-go: 128) they are under load, and remain
 * so for a second after. There is no queue here, each message is served as it
 * comes; so the queue is the one that there would be if a thousand were
 * served a second. That costs no more than 15 % of a core at 150 us each, and
 * the relay's return to ten thousand tunnels rarely reaches it: those are
 * responses, which cost nothing unless awaited, and are not counted. Internal
 * to the room.
 */
#ifndef TUNNELHOST_TAILNET_WIREGUARD_LOAD_H
#define TUNNELHOST_TAILNET_WIREGUARD_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#define WG_LOAD_SERVICE_US 1000
#define WG_LOAD_QUEUE 128
#define WG_LOAD_AFTER_US 1000000

/* Zeroed: idle. */
struct wg_load {
	uint64_t served_us;	/* when the queue would be empty */
	uint64_t until_us;	/* under load before this time */
};

/* An initiation with a good MAC1 came: whether the device is under load. */
bool wg_load_initiation(struct wg_load *load, uint64_t now_us);
bool wg_load_now(const struct wg_load *load, uint64_t now_us);

#endif
