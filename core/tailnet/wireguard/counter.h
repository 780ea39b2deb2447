/*
 * core/tailnet/wireguard/counter.h: which data counters have been seen.
 *
 * The bitmap ring of RFC 6479: 8,192 bits, of which one word is always the
 * one being cleared, so a counter may be 8,128 behind the greatest. Facts as
 * the kernel's and wireguard-go's. A zeroed struct has seen nothing.
 */
#ifndef TUNNELHOST_TAILNET_WIREGUARD_COUNTER_H
#define TUNNELHOST_TAILNET_WIREGUARD_COUNTER_H

#include <stdbool.h>
#include <stdint.h>

#define WG_COUNTER_WORDS 128
#define WG_COUNTER_WINDOW ((WG_COUNTER_WORDS - 1) * 64)

struct wg_counter {
	uint64_t greatest;
	uint64_t words[WG_COUNTER_WORDS];
};

/*
 * Whether `counter` is fresh, which marks it as seen. Call only after the
 * packet authenticated. From WG_REJECT_AFTER_MESSAGES on: never.
 */
bool wg_counter_accept(struct wg_counter *window, uint64_t counter);

#endif
