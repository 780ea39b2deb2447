/*
 * core/tailnet/derp/derp_frame.h: frames out of and into a byte stream.
 *
 * The reader takes chunks cut anywhere. A frame that lies whole in a chunk is
 * lent out where it lies; only a frame that a chunk's end cuts in two is
 * gathered, in storage that grows with the bytes that came (never with the
 * length that was claimed) and is kept while it is small. No allocation per
 * frame. Layouts are in derp.h.
 */
#ifndef TUNNELHOST_TAILNET_DERP_DERP_FRAME_H
#define TUNNELHOST_TAILNET_DERP_DERP_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/base/cursor.h"
#include "core/base/err.h"
#include "core/base/id.h"
#include "core/tailnet/derp/derp.h"

/* `type` may be one that enum derp_type does not name. */
struct derp_frame {
	uint8_t type;
	const uint8_t *body;	/* borrowed until the next call */
	size_t len;
};

struct derp_reader {
	size_t body_cap;	/* may be changed between frames */
	uint8_t *partial;
	size_t partial_len;
	size_t partial_cap;
	size_t lent;		/* bytes of `partial` lent out by the last call */
};

void derp_reader_init(struct derp_reader *reader, size_t body_cap);
void derp_reader_clear(struct derp_reader *reader);

/*
 * Takes the next frame from the front of `*in`, which it advances. 1: `*out`
 * is a frame; call again. 0: `*in` is used up. ERR_TOO_LARGE (a body above
 * body_cap) or ERR_NOMEM: the stream is lost.
 */
int derp_reader_next(struct derp_reader *reader, struct cursor *in,
		     struct derp_frame *out, struct error *error);

static inline void derp_put_header(uint8_t *out, enum derp_type type,
				   size_t body_len)
{
	out[0] = (uint8_t)type;
	be_store(out + 1, body_len, 4);
}

/* A packet frame's first DERP_PACKET_OVERHEAD bytes; returns that number. */
static inline size_t derp_put_packet_header(uint8_t *out, enum derp_type type,
					    const struct key32 *key,
					    size_t packet_len)
{
	derp_put_header(out, type, DERP_KEY_LEN + packet_len);
	memcpy(out + DERP_HEADER_LEN, key->bytes, DERP_KEY_LEN);
	return DERP_PACKET_OVERHEAD;
}

/*
 * The in-place fast path: writes DERP_PACKET_OVERHEAD bytes at `out`, after
 * which the caller seals `packet_len` (at most DERP_PACKET_CAP) bytes right
 * behind them. Returns DERP_PACKET_OVERHEAD.
 */
static inline size_t derp_send_header(uint8_t *out, const struct key32 *dst,
				      size_t packet_len)
{
	return derp_put_packet_header(out, DERP_SEND_PACKET, dst, packet_len);
}

#endif
