#include "core/tailnet/wireguard/load.h"

#define FULL_US (WG_LOAD_QUEUE * WG_LOAD_SERVICE_US)

/* What does not fit is not queued: the end of a flood shows at once. */
bool wg_load_initiation(struct wg_load *load, uint64_t now_us)
{
	if (load->served_us < now_us)
		load->served_us = now_us;
	load->served_us += WG_LOAD_SERVICE_US;
	if (load->served_us - now_us > FULL_US) {
		load->served_us = now_us + FULL_US;
		load->until_us = now_us + WG_LOAD_AFTER_US;
	}
	return wg_load_now(load, now_us);
}

bool wg_load_now(const struct wg_load *load, uint64_t now_us)
{
	return now_us < load->until_us;
}
