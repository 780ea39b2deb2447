#include "core/tailnet/coordinate/drpc.h"

#include <string.h>

#include "core/base/cursor.h"

#define KIND_OF(control) (((unsigned)(control) >> 1) & 0x3f)
#define BIT_DONE 0x01
#define BIT_CONTROL 0x80

void drpc_reader_init(struct drpc_reader *r,
		      int (*on_packet)(void *user,
				       const struct drpc_packet *packet),
		      void *user)
{
	*r = (struct drpc_reader){ .on_packet = on_packet, .user = user,
				   .next_stream = 1, .next_message = 1 };
	buf_init(&r->body, DRPC_PACKET_CAP);
}

void drpc_reader_clear(struct drpc_reader *r)
{
	buf_clear(&r->body);
}

/* 0 and a value, ERR_AGAIN (more bytes needed) or ERR_PROTOCOL. */
static int read_varint(struct cursor *c, uint64_t *out)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t byte = cursor_u8(c);

		if (!cursor_ok(c))
			return ERR_AGAIN;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*out = value;
			return 0;
		}
	}
	return ERR_PROTOCOL;
}

/* Whether this frame goes on with the packet under way. */
static bool continues(const struct drpc_reader *r, uint64_t stream,
		      uint64_t message)
{
	return r->in_packet && stream == r->packet.stream &&
	       message == r->packet.message;
}

static int begin_frame(struct drpc_reader *r, uint8_t control,
		       uint64_t stream, uint64_t message, struct error *error)
{
	if (stream < r->next_stream ||
	    (stream == r->next_stream && message < r->next_message))
		return error_set(error, ERR_PROTOCOL,
				 "drpc: id %llu/%llu after %llu/%llu",
				 (unsigned long long)stream,
				 (unsigned long long)message,
				 (unsigned long long)r->next_stream,
				 (unsigned long long)r->next_message);
	if (!continues(r, stream, message)) {
		buf_clear(&r->body);
		r->packet = (struct drpc_packet){ .kind = KIND_OF(control),
						  .stream = stream,
						  .message = message };
		r->in_packet = true;
	} else if (KIND_OF(control) != r->packet.kind) {
		return error_set(error, ERR_PROTOCOL,
				 "drpc: kind %u within a packet of kind %u",
				 KIND_OF(control), r->packet.kind);
	}
	r->packet.control |= (control & BIT_CONTROL) != 0;
	r->next_stream = stream;
	r->next_message = message;
	return 0;
}

/* 0 when a header is complete, ERR_AGAIN, or what is wrong with it. */
static int parse_header(struct drpc_reader *r, struct error *error)
{
	struct cursor c = cursor_of(r->header, r->header_len);
	uint8_t control = cursor_u8(&c);
	uint64_t stream, message, length;
	int err;

	err = read_varint(&c, &stream);
	if (err == 0)
		err = read_varint(&c, &message);
	if (err == 0)
		err = read_varint(&c, &length);
	if (err == ERR_PROTOCOL)
		return error_set(error, err, "drpc: varint too long");
	if (err < 0)
		return err;
	err = begin_frame(r, control, stream, message, error);
	if (err < 0)
		return err;
	if (length > DRPC_PACKET_CAP - r->body.len)
		return error_set(error, ERR_TOO_LARGE,
				 "drpc: packet of more than %llu bytes, "
				 "cap %u",
				 (unsigned long long)length, DRPC_PACKET_CAP);
	r->header_len = 0;
	r->frame_done = control & BIT_DONE;
	r->body_left = (size_t)length;
	r->in_body = true;
	return 0;
}

static int finish_frame(struct drpc_reader *r)
{
	struct drpc_packet packet = r->packet;
	int err;

	r->in_body = false;
	if (!r->frame_done)
		return 0;
	r->in_packet = false;
	r->next_message++;
	packet.len = r->body.len;
	packet.data = packet.len ? buf_data(&r->body) : NULL;
	err = r->on_packet(r->user, &packet);
	buf_clear(&r->body);
	return err;
}

static int take_body(struct drpc_reader *r, struct cursor *in,
		     struct error *error)
{
	size_t len = in->left < r->body_left ? in->left : r->body_left;

	if (buf_append(&r->body, in->at, len) < 0)
		return error_set(error, ERR_NOMEM, "drpc: no memory");
	cursor_bytes(in, len);
	r->body_left -= len;
	return r->body_left ? 0 : finish_frame(r);
}

static int take_header(struct drpc_reader *r, struct cursor *in,
		       struct error *error)
{
	int err;

	r->header[r->header_len++] = cursor_u8(in);
	if (r->header_len < 4)
		return 0;
	err = parse_header(r, error);
	if (err == ERR_AGAIN)
		return 0;
	if (err == 0 && r->body_left == 0)
		err = finish_frame(r);
	return err;
}

int drpc_in(struct drpc_reader *r, const void *data, size_t len,
	    struct error *error)
{
	struct cursor in = cursor_of(data, len);
	int err = 0;

	while (in.left && err == 0)
		err = r->in_body ? take_body(r, &in, error) :
				   take_header(r, &in, error);
	return err;
}

static void write_varint(struct writer *w, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		write_u8(w, (uint8_t)(value | 0x80));
	write_u8(w, (uint8_t)value);
}

static int append_frame(struct buf *out, uint8_t control, uint64_t stream,
			uint64_t message, const uint8_t *data, size_t len)
{
	uint8_t header[DRPC_HEADER_CAP];
	struct writer w = writer_of(header, sizeof(header));
	int err;

	write_u8(&w, control);
	write_varint(&w, stream);
	write_varint(&w, message);
	write_varint(&w, len);
	err = buf_append(out, header, w.len);
	return err < 0 ? err : buf_append(out, data, len);
}

int drpc_append(struct buf *out, enum drpc_kind kind, uint64_t stream,
		uint64_t message, const void *data, size_t len)
{
	size_t before = out->len;
	const uint8_t *at = data;
	uint8_t control = (uint8_t)(kind << 1);
	size_t part;
	int err;

	if (len > DRPC_PACKET_CAP)
		return ERR_TOO_LARGE;
	do {
		part = len < DRPC_FRAME_CAP ? len : DRPC_FRAME_CAP;
		len -= part;
		err = append_frame(out, len ? control : control | BIT_DONE,
				   stream, message, at, part);
		at = at ? at + part : NULL;
	} while (len && err == 0);
	if (err < 0)
		out->len = before;
	return err;
}
