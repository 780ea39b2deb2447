/*
 * core/tailnet/coordinate/drpc.h: DRPC packets in a byte stream.
 *
 * The packet layer of storj.io/drpc 0.0.34 (drpcwire/packet.go, reader.go,
 * varint.go), without streams or calls. A frame:
 *
 *   control u8: bit 0 done, bits 1-6 kind, bit 7 control
 *   stream varint, message varint, length varint, `length` bytes
 *
 * Frames with one (stream, message) make a packet; the last has the done
 * bit. Ids never fall, and a message id is used once.
 */
#ifndef TUNNELHOST_COORDINATE_DRPC_H
#define TUNNELHOST_COORDINATE_DRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/err.h"

#define DRPC_PACKET_CAP (4u << 20)
#define DRPC_FRAME_CAP (64u * 1024u)	/* body of one frame we send */
#define DRPC_HEADER_CAP (1 + 3 * 10)

enum drpc_kind {
	DRPC_INVOKE = 1,	/* body: the path of the RPC */
	DRPC_MESSAGE = 2,
	DRPC_ERROR = 3,		/* body: u64 code, text */
	DRPC_CANCEL = 4,
	DRPC_CLOSE = 5,
	DRPC_CLOSE_SEND = 6,
	DRPC_INVOKE_METADATA = 7,
};

#define DRPC_CODE_UNIMPLEMENTED 12

/* `data` is borrowed for the callback. Unknown kinds come only as control. */
struct drpc_packet {
	unsigned kind;		/* enum drpc_kind, or unknown */
	bool control;		/* unknown kinds with this bit are ignored */
	uint64_t stream;
	uint64_t message;
	const uint8_t *data;
	size_t len;
};

struct drpc_reader {
	/* Return 0 to go on; anything else stops and is drpc_in()'s result. */
	int (*on_packet)(void *user, const struct drpc_packet *packet);
	void *user;
	/* the reader's own */
	uint8_t header[DRPC_HEADER_CAP];
	size_t header_len;
	size_t body_left;
	bool in_body;
	bool frame_done;
	bool in_packet;
	struct drpc_packet packet;
	uint64_t next_stream;	/* ids below these are refused */
	uint64_t next_message;
	struct buf body;
};

void drpc_reader_init(struct drpc_reader *reader,
		      int (*on_packet)(void *user,
				       const struct drpc_packet *packet),
		      void *user);
void drpc_reader_clear(struct drpc_reader *reader);
/* 0, ERR_PROTOCOL, ERR_TOO_LARGE, ERR_NOMEM, or what on_packet returned. */
int drpc_in(struct drpc_reader *reader, const void *data, size_t len,
	    struct error *error);

/*
 * Appends one packet, in frames of at most DRPC_FRAME_CAP. 0, ERR_TOO_LARGE
 * beyond DRPC_PACKET_CAP, ERR_LIMIT or ERR_NOMEM (then `out` is unchanged).
 */
int drpc_append(struct buf *out, enum drpc_kind kind, uint64_t stream,
		uint64_t message, const void *data, size_t len);

#endif
