/*
 * core/base/time.h: units of time.
 *
 * Monotonic time is a uint64_t in microseconds (`now_us`), from a clock that
 * goes on counting in sleep (CLOCK_BOOTTIME). Protocol objects never read
 * it: it is handed in. A deadline is an absolute now_us, or DEADLINE_NONE.
 */
#ifndef TUNNELHOST_BASE_TIME_H
#define TUNNELHOST_BASE_TIME_H

#include <stdint.h>

#define US_PER_MS 1000ull
#define US_PER_S 1000000ull
#define DEADLINE_NONE UINT64_MAX

static inline uint64_t deadline_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

#endif
