/*
 * core/tailnet/wireguard/stamp.h: TAI64N stamps of initiations.
 *
 * Eight bytes of seconds and four of nanoseconds, big-endian, so that byte
 * order is time order (white paper, 5.4.2). The nanoseconds are rounded down
 * to a multiple of 2^24, the kernel's whitening: about the shortest interval
 * of initiations, and nothing of the clock's finer state gets out.
 */
#ifndef TUNNELHOST_TAILNET_WIREGUARD_STAMP_H
#define TUNNELHOST_TAILNET_WIREGUARD_STAMP_H

#include <stdbool.h>

#include "core/tailnet/wireguard/messages.h"

/* Zeroed: before all others. */
struct wg_stamp {
	uint8_t bytes[WG_TIMESTAMP_LEN];
};

bool wg_stamp_after(const struct wg_stamp *a, const struct wg_stamp *b);
/*
 * Moves `last` to the stamp of the wall clock, or where that would not be
 * later, one step ahead. wall_us before 1970 counts as 1970.
 */
void wg_stamp_next(struct wg_stamp *last, int64_t wall_us);

#endif
