#include "core/base/hash.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

#define HASH_FIRST 8

struct hash_slot {
	void *value;		/* NULL: free or, with len, a tombstone */
	uint8_t len;
	uint8_t key[HASH_KEY_CAP];
};

void hash_init(struct hash *hash, struct rng *rng)
{
	*hash = (struct hash){ .slots = NULL };
	rng_bytes(rng, hash->key, sizeof(hash->key));
}

void hash_clear(struct hash *hash)
{
	free(hash->slots);
	hash->slots = NULL;
	hash->len = hash->used = hash->cap = 0;
}

static size_t slot_of(const struct hash *hash, const void *key, size_t len)
{
	uint8_t digest[crypto_shorthash_BYTES];
	uint64_t value;

	crypto_shorthash(digest, key, len, hash->key);
	memcpy(&value, digest, sizeof(value));
	return (size_t)value & (hash->cap - 1);
}

static struct hash_slot *find(const struct hash *hash, const void *key,
			      size_t len)
{
	if (hash->cap == 0)
		return NULL;
	for (size_t i = slot_of(hash, key, len);; i = (i + 1) & (hash->cap - 1)) {
		struct hash_slot *slot = &hash->slots[i];

		if (!slot->value && slot->len == 0)
			return NULL;
		if (slot->value && slot->len == len &&
		    memcmp(slot->key, key, len) == 0)
			return slot;
	}
}

static void insert(struct hash *hash, const void *key, size_t len, void *value)
{
	size_t i = slot_of(hash, key, len);

	while (hash->slots[i].value)
		i = (i + 1) & (hash->cap - 1);
	if (hash->slots[i].len == 0)
		hash->used++;
	hash->slots[i].value = value;
	hash->slots[i].len = (uint8_t)len;
	memcpy(hash->slots[i].key, key, len);
	hash->len++;
}

static int rebuild(struct hash *hash)
{
	struct hash bigger = *hash;

	bigger.cap = HASH_FIRST;
	while (bigger.cap < 4 * (hash->len + 1))
		bigger.cap *= 2;
	bigger.len = bigger.used = 0;
	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		return ERR_NOMEM;
	for (size_t i = 0; i < hash->cap; i++)
		if (hash->slots[i].value)
			insert(&bigger, hash->slots[i].key, hash->slots[i].len,
			       hash->slots[i].value);
	free(hash->slots);
	*hash = bigger;
	return 0;
}

int hash_put(struct hash *hash, const void *key, size_t len, void *value)
{
	struct hash_slot *slot;

	assert(len > 0 && len <= HASH_KEY_CAP && value);
	slot = find(hash, key, len);
	if (slot) {
		slot->value = value;
		return 0;
	}
	if (4 * (hash->used + 1) > 3 * hash->cap && rebuild(hash) < 0)
		return ERR_NOMEM;
	insert(hash, key, len, value);
	return 0;
}

void *hash_get(const struct hash *hash, const void *key, size_t len)
{
	struct hash_slot *slot = find(hash, key, len);

	return slot ? slot->value : NULL;
}

void *hash_remove(struct hash *hash, const void *key, size_t len)
{
	struct hash_slot *slot = find(hash, key, len);
	void *value;

	if (!slot)
		return NULL;
	value = slot->value;
	slot->value = NULL;
	hash->len--;
	return value;
}

void *hash_next(const struct hash *hash, size_t *position)
{
	while (*position < hash->cap) {
		void *value = hash->slots[(*position)++].value;

		if (value)
			return value;
	}
	return NULL;
}
