/*
 * core/tailnet/derp/derp.h: DERP version 2 on the wire.
 *
 * Constants and layouts, nothing else. DERP carries sealed packets between
 * nodes named by their public keys over one ordered byte stream (an upgraded
 * HTTP connection, or the payload of binary WebSocket messages, whose
 * boundaries mean nothing). Facts from tailscale.com v1.102.5: derp/derp.go,
 * derp/derp_client.go, derp/derpserver/derpserver.go.
 *
 *	frame   | type u8 | length u32 | body: length bytes |
 *
 *	01 server key      | "DERP🔑" 8 | server key 32 | more, ignored |
 *	02 client info     | client key 32 | nonce 24 | box of JSON |
 *	03 server info     | nonce 24 | box of JSON |
 *	04 send            | destination key 32 | packet |
 *	05 receive         | source key 32 | packet |
 *	06 keepalive       | |
 *	07 note preferred  | u8: 1 when this is the client's home relay |
 *	08 peer gone       | peer key 32 | reason u8 (absent in old ones) |
 *	12 ping            | 8 bytes | more, ignored |
 *	13 pong            | the ping's 8 bytes | more, ignored |
 *	14 health          | text; empty: healthy again |
 *	15 restarting      | reconnect in, ms u32 | try for, ms u32 |
 *
 * The server speaks first (01), the client answers 02 and may send at once;
 * 03 confirms. Frames of other types are skipped by both sides.
 */
#ifndef TUNNELHOST_TAILNET_DERP_DERP_H
#define TUNNELHOST_TAILNET_DERP_DERP_H

#include <stdint.h>

#include "core/base/time.h"

#define DERP_VERSION 2
#define DERP_MAGIC "DERP\xf0\x9f\x94\x91"
#define DERP_MAGIC_LEN 8
#define DERP_HEADER_LEN 5
#define DERP_KEY_LEN 32
#define DERP_PING_LEN 8

/* Sealed bytes in one send or receive frame. */
#define DERP_PACKET_CAP (64 * 1024)
/* What goes in front of a packet: header and key. */
#define DERP_PACKET_OVERHEAD (DERP_HEADER_LEN + DERP_KEY_LEN)
/* The longest body that is read; one header more is the longest frame. */
#define DERP_BODY_CAP (DERP_PACKET_CAP + DERP_KEY_LEN)
/* Before a client has proved its key, and for pings: little is believed. */
#define DERP_CLIENT_INFO_CAP 4096
#define DERP_PING_BODY_CAP 1000

#define DERP_HANDSHAKE_TIMEOUT_US (10 * US_PER_S)
#define DERP_KEEPALIVE_US (60 * US_PER_S)
#define DERP_KEEPALIVE_JITTER_US (5 * US_PER_S)
#define DERP_SILENCE_US (120 * US_PER_S)
#define DERP_WRITE_TIMEOUT_US (2 * US_PER_S)

enum derp_type {
	DERP_SERVER_KEY = 0x01,
	DERP_CLIENT_INFO = 0x02,
	DERP_SERVER_INFO = 0x03,
	DERP_SEND_PACKET = 0x04,
	DERP_RECV_PACKET = 0x05,
	DERP_KEEPALIVE = 0x06,
	DERP_NOTE_PREFERRED = 0x07,
	DERP_PEER_GONE = 0x08,
	DERP_PING = 0x12,
	DERP_PONG = 0x13,
	DERP_HEALTH = 0x14,
	DERP_RESTARTING = 0x15,
};

enum derp_gone_reason {
	DERP_GONE_DISCONNECTED = 0x00,	/* it had sent to us, and left */
	DERP_GONE_NOT_HERE = 0x01,	/* we sent to it; nobody knows it */
};

#endif
