#include "core/tailnet/wireguard/stamp.h"

#include <string.h>

#include "core/base/cursor.h"

#define TAI_EPOCH 0x400000000000000aull
#define STEP_NS (1u << 24)
#define NS_PER_S 1000000000u

bool wg_stamp_after(const struct wg_stamp *a, const struct wg_stamp *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) > 0;
}

static struct wg_stamp stamp_of(uint64_t seconds, uint32_t ns)
{
	struct wg_stamp stamp;

	be_store(stamp.bytes, seconds, 8);
	be_store(stamp.bytes + 8, ns, 4);
	return stamp;
}

static struct wg_stamp one_step_after(const struct wg_stamp *last)
{
	uint64_t seconds = be_load(last->bytes, 8);
	uint32_t ns = (uint32_t)be_load(last->bytes + 8, 4);

	if (ns + STEP_NS < NS_PER_S)
		return stamp_of(seconds, ns + STEP_NS);
	return stamp_of(seconds + 1, 0);
}

void wg_stamp_next(struct wg_stamp *last, int64_t wall_us)
{
	uint64_t us = wall_us > 0 ? (uint64_t)wall_us : 0;
	uint32_t ns = (uint32_t)(us % US_PER_S) * 1000;
	struct wg_stamp now = stamp_of(TAI_EPOCH + us / US_PER_S,
				       ns & ~(STEP_NS - 1));

	*last = wg_stamp_after(&now, last) ? now : one_step_after(last);
}
