/*
 * core/tailnet/coordinate/arena.h: memory for one decoded message.
 *
 * A protobuf message of a few bytes can decode into many objects. protobuf-c
 * allocates them here: in chunks, freed together, and never more than `cap`
 * bytes, after which its decoder fails cleanly.
 */
#ifndef TUNNELHOST_COORDINATE_ARENA_H
#define TUNNELHOST_COORDINATE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

#include "core/base/buf.h"
#include "core/base/err.h"

#define ARENA_CHUNK (16u * 1024u)
#define ARENA_MESSAGE_CAP (16u << 20)	/* memory of one decoded message */

struct arena_chunk;

struct arena {
	ProtobufCAllocator allocator;	/* its data points here */
	struct arena_chunk *chunks;
	size_t left;
	bool exceeded;			/* the cap was what failed */
};

/* Not to be copied or moved afterwards. */
void arena_init(struct arena *arena, size_t cap);
void arena_clear(struct arena *arena);

/* `count` zeroed objects, or NULL. */
void *arena_take(struct arena *arena, size_t count, size_t size);

/*
 * Decodes into the arena; `what` names the message in the error. 0 and a
 * message that lives until arena_clear(), ERR_PROTOCOL, ERR_TOO_LARGE or
 * ERR_NOMEM.
 */
int arena_decode(struct arena *arena,
		 const ProtobufCMessageDescriptor *descriptor,
		 const void *data, size_t len, const char *what,
		 ProtobufCMessage **out, struct error *error);
/* Appends the encoded message. 0, ERR_LIMIT or ERR_NOMEM. */
int message_append(const ProtobufCMessage *message, struct buf *out);

#endif
