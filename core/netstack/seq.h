/*
 * core/netstack/seq.h: comparing TCP sequence numbers, RFC 9293 3.4.
 */
#ifndef TUNNELHOST_NETSTACK_SEQ_H
#define TUNNELHOST_NETSTACK_SEQ_H

#include <stdbool.h>
#include <stdint.h>

static inline bool seq_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline bool seq_le(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

#endif
