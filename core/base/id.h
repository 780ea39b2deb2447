/*
 * core/base/id.h: UUIDs, keys and hex.
 *
 * UUIDs are 16 raw bytes; text by libuuid. A `struct key32` is a Curve25519
 * public or private key or a derived secret; whoever holds a private one
 * wipes it with key_wipe() on every way out.
 */
#ifndef TUNNELHOST_BASE_ID_H
#define TUNNELHOST_BASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/rng.h"

#define UUID_TEXT_CAP 37	/* with the NUL */

struct uuid {
	uint8_t bytes[16];
};

struct key32 {
	uint8_t bytes[32];
};

/* 0 or ERR_PROTOCOL; exactly 36 characters in the usual form. */
int uuid_from_text(const char *text, struct uuid *out);
void uuid_to_text(const struct uuid *uuid, char out[UUID_TEXT_CAP]);
/* Version 4 from the given source. */
void uuid_random(struct rng *rng, struct uuid *out);
bool uuid_equal(const struct uuid *a, const struct uuid *b);
bool uuid_is_nil(const struct uuid *uuid);

bool key_equal(const struct key32 *a, const struct key32 *b);
bool key_is_zero(const struct key32 *key);
void key_wipe(struct key32 *key);
/* A clamped Curve25519 private key. */
void key_private(struct rng *rng, struct key32 *out);
void key_public(const struct key32 *private_key, struct key32 *out);

/* Lowercase, NUL-terminated; `out` has 2 * len + 1 bytes. */
void hex_encode(const void *data, size_t len, char *out);
/* Exactly 2 * len digits. 0 or ERR_PROTOCOL. */
int hex_decode(const char *text, size_t text_len, void *out, size_t len);

#endif
