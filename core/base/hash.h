/*
 * core/base/hash.h: a hash table from short byte keys to pointers.
 *
 * Keys are copied (at most HASH_KEY_CAP bytes: addresses, public keys,
 * indices); values are borrowed. The hash is SipHash-2-4 under a key drawn
 * at init, so that a hostile peer cannot choose collisions. Lookup cost does
 * not depend on the number of entries.
 */
#ifndef TUNNELHOST_BASE_HASH_H
#define TUNNELHOST_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/rng.h"

#define HASH_KEY_CAP 40

struct hash_slot;

struct hash {
	struct hash_slot *slots;
	size_t len;
	size_t used;		/* with tombstones */
	size_t cap;		/* a power of two, or 0 */
	uint8_t key[16];
};

void hash_init(struct hash *hash, struct rng *rng);
void hash_clear(struct hash *hash);
/* Replaces what was there. 0 or ERR_NOMEM. `value` is not NULL. */
int hash_put(struct hash *hash, const void *key, size_t len, void *value);
void *hash_get(const struct hash *hash, const void *key, size_t len);
/* Returns the value that was there, or NULL. */
void *hash_remove(struct hash *hash, const void *key, size_t len);
/*
 * Walks the values: start with *position 0; NULL at the end. The table may
 * not grow during a walk; removing the entry just returned is allowed.
 */
void *hash_next(const struct hash *hash, size_t *position);

#endif
