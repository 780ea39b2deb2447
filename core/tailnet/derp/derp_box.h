/*
 * core/tailnet/derp/derp_box.h: the two sealed JSON objects of a handshake.
 *
 * Client info and server info are NaCl boxes between the node's and the
 * relay's keys, nonce first. Private to this room.
 */
#ifndef TUNNELHOST_TAILNET_DERP_DERP_BOX_H
#define TUNNELHOST_TAILNET_DERP_DERP_BOX_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/id.h"
#include "core/base/rng.h"

#define DERP_BOX_OVERHEAD (24 + 16)	/* nonce and authenticator */

/* What either side says about itself; unknown members are ignored. */
struct derp_info {
	int version;			/* 0 when absent */
	uint64_t rate_bytes_per_s;	/* server: 0, no limit stated */
	uint64_t rate_burst_bytes;
};

/* The shared key; wipe it. ERR_PROTOCOL for a public key of low order. */
int derp_box_key(const struct key32 *private_key,
		 const struct key32 *public_key, struct key32 *out);
/* Writes text_len + DERP_BOX_OVERHEAD bytes to `out`. */
void derp_box_seal(const struct key32 *shared, struct rng *rng,
		   const char *text, size_t text_len, uint8_t *out);
/* 0, or ERR_PROTOCOL: short, forged, or no JSON object inside. */
int derp_box_open_info(const struct key32 *shared, const uint8_t *box,
		       size_t len, struct derp_info *out, struct error *error);

#endif
