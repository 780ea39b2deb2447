/*
 * core/tunnel/tsmp.h: Tailscale's ping inside the tunnel.
 *
 * IPv6 next header 99. A ping is 'p' and 8 bytes; the answer 'o', the same
 * 8 bytes and a port (u16, 0 here). Other types are ignored. Facts:
 * tailscale.com net/packet/tsmp.go.
 */
#ifndef TUNNELHOST_TUNNEL_TSMP_H
#define TUNNELHOST_TUNNEL_TSMP_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define TSMP_NEXT_HEADER 99
#define TSMP_DATA_LEN 8
#define TSMP_PING_LEN 9
#define TSMP_PONG_LEN 11

static inline void tsmp_ping(const uint8_t data[TSMP_DATA_LEN],
			     uint8_t out[TSMP_PING_LEN])
{
	out[0] = 'p';
	memcpy(out + 1, data, TSMP_DATA_LEN);
}

static inline bool tsmp_is_ping(const uint8_t *payload, size_t len)
{
	return len >= TSMP_PING_LEN && payload[0] == 'p';
}

static inline void tsmp_pong(const uint8_t *ping, uint8_t out[TSMP_PONG_LEN])
{
	memset(out, 0, TSMP_PONG_LEN);
	out[0] = 'o';
	memcpy(out + 1, ping + 1, TSMP_DATA_LEN);
}

static inline bool tsmp_is_pong(const uint8_t *payload, size_t len)
{
	return len >= TSMP_PONG_LEN && payload[0] == 'o';
}

#endif
