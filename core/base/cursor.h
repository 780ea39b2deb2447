/*
 * core/base/cursor.h: reading and writing wire layouts within bounds.
 *
 * A cursor is a borrowed range of bytes. A read past its end sets `failed`,
 * returns zero (or NULL) and consumes nothing more, so a decoder reads a
 * whole layout and asks cursor_ok() once. A writer is the same for output
 * into a caller's array. All integers are big-endian unless named le.
 */
#ifndef TUNNELHOST_BASE_CURSOR_H
#define TUNNELHOST_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cursor {
	const uint8_t *at;
	size_t left;
	bool failed;
};

static inline struct cursor cursor_of(const void *data, size_t len)
{
	return (struct cursor){ .at = data, .left = len };
}

static inline bool cursor_ok(const struct cursor *c)
{
	return !c->failed;
}

/* The next `len` bytes, borrowed, or NULL. */
static inline const uint8_t *cursor_bytes(struct cursor *c, size_t len)
{
	const uint8_t *at = c->at;

	if (c->failed || c->left < len) {
		c->failed = true;
		return NULL;
	}
	c->at += len;
	c->left -= len;
	return at;
}

static inline void cursor_copy(struct cursor *c, void *out, size_t len)
{
	const uint8_t *at = cursor_bytes(c, len);

	if (at)
		memcpy(out, at, len);
	else
		memset(out, 0, len);
}

/* Unrolled, a constant length becomes one load or store. */
static inline uint64_t be_load(const uint8_t *at, size_t len)
{
	uint64_t value = 0;

#pragma GCC unroll 8
	for (size_t i = 0; i < len; i++)
		value = value << 8 | at[i];
	return value;
}

static inline uint64_t le_load(const uint8_t *at, size_t len)
{
	uint64_t value = 0;

#pragma GCC unroll 8
	for (size_t i = len; i > 0; i--)
		value = value << 8 | at[i - 1];
	return value;
}

static inline uint8_t cursor_u8(struct cursor *c)
{
	const uint8_t *at = cursor_bytes(c, 1);

	return at ? at[0] : 0;
}

static inline uint16_t cursor_u16(struct cursor *c)
{
	const uint8_t *at = cursor_bytes(c, 2);

	return at ? (uint16_t)be_load(at, 2) : 0;
}

static inline uint32_t cursor_u32(struct cursor *c)
{
	const uint8_t *at = cursor_bytes(c, 4);

	return at ? (uint32_t)be_load(at, 4) : 0;
}

static inline uint64_t cursor_u64(struct cursor *c)
{
	const uint8_t *at = cursor_bytes(c, 8);

	return at ? be_load(at, 8) : 0;
}

static inline uint32_t cursor_u32le(struct cursor *c)
{
	const uint8_t *at = cursor_bytes(c, 4);

	return at ? (uint32_t)le_load(at, 4) : 0;
}

static inline uint64_t cursor_u64le(struct cursor *c)
{
	const uint8_t *at = cursor_bytes(c, 8);

	return at ? le_load(at, 8) : 0;
}

struct writer {
	uint8_t *at;
	size_t left;
	size_t len;		/* written so far */
	bool failed;		/* did not fit; nothing more is written */
};

static inline struct writer writer_of(void *out, size_t cap)
{
	return (struct writer){ .at = out, .left = cap };
}

static inline uint8_t *write_space(struct writer *w, size_t len)
{
	uint8_t *at = w->at;

	if (w->failed || w->left < len) {
		w->failed = true;
		return NULL;
	}
	w->at += len;
	w->left -= len;
	w->len += len;
	return at;
}

static inline void write_bytes(struct writer *w, const void *data, size_t len)
{
	uint8_t *at = write_space(w, len);

	if (at && len)
		memcpy(at, data, len);
}

static inline void be_store(uint8_t *at, uint64_t value, size_t len)
{
#pragma GCC unroll 8
	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)(value >> 8 * (len - 1 - i));
}

static inline void le_store(uint8_t *at, uint64_t value, size_t len)
{
#pragma GCC unroll 8
	for (size_t i = 0; i < len; i++, value >>= 8)
		at[i] = (uint8_t)value;
}

static inline void write_be(struct writer *w, uint64_t value, size_t len)
{
	uint8_t *at = write_space(w, len);

	if (at)
		be_store(at, value, len);
}

static inline void write_le(struct writer *w, uint64_t value, size_t len)
{
	uint8_t *at = write_space(w, len);

	if (at)
		le_store(at, value, len);
}

static inline void write_u8(struct writer *w, uint8_t value)
{
	write_be(w, value, 1);
}

static inline void write_u16(struct writer *w, uint16_t value)
{
	write_be(w, value, 2);
}

static inline void write_u32(struct writer *w, uint32_t value)
{
	write_be(w, value, 4);
}

static inline void write_u64(struct writer *w, uint64_t value)
{
	write_be(w, value, 8);
}

#endif
