#include "core/tailnet/derp/derp_frame.h"

#include <stdlib.h>

#define PARTIAL_FIRST 2048
/* Storage for cut frames up to this is kept; a WireGuard packet fits. */
#define PARTIAL_KEEP 4096

void derp_reader_init(struct derp_reader *reader, size_t body_cap)
{
	*reader = (struct derp_reader){ .body_cap = body_cap };
}

static void drop_partial(struct derp_reader *reader)
{
	free(reader->partial);
	reader->partial = NULL;
	reader->partial_cap = 0;
	reader->partial_len = 0;
}

void derp_reader_clear(struct derp_reader *reader)
{
	drop_partial(reader);
	reader->lent = 0;
}

static int reserve(struct derp_reader *reader, size_t need)
{
	size_t cap = reader->partial_cap ? reader->partial_cap : PARTIAL_FIRST;
	uint8_t *storage;

	if (need <= reader->partial_cap)
		return 0;
	while (cap < need)
		cap *= 2;
	storage = realloc(reader->partial, cap);
	if (!storage)
		return ERR_NOMEM;
	reader->partial = storage;
	reader->partial_cap = cap;
	return 0;
}

static void take_back(struct derp_reader *reader)
{
	if (!reader->lent)
		return;
	reader->lent = 0;
	reader->partial_len = 0;
	if (reader->partial_cap > PARTIAL_KEEP)
		drop_partial(reader);
}

/* Moves bytes of `in` to `partial` until it has `want`, or `in` is empty. */
static int gather(struct derp_reader *reader, struct cursor *in, size_t want)
{
	size_t len = want - reader->partial_len;
	int err;

	if (len > in->left)
		len = in->left;
	if (len == 0)
		return 0;
	err = reserve(reader, reader->partial_len + len);
	if (err < 0)
		return err;
	cursor_copy(in, reader->partial + reader->partial_len, len);
	reader->partial_len += len;
	return 0;
}

static int body_len(const struct derp_reader *reader, const uint8_t *header,
		    size_t *out, struct error *error)
{
	*out = (size_t)be_load(header + 1, 4);
	if (*out > reader->body_cap)
		return error_set(error, ERR_TOO_LARGE,
				 "DERP frame type 0x%02x of %zu bytes, "
				 "at most %zu are allowed",
				 header[0], *out, reader->body_cap);
	return 0;
}

static void lend(struct derp_frame *out, const uint8_t *frame, size_t len)
{
	out->type = frame[0];
	out->body = frame + DERP_HEADER_LEN;
	out->len = len;
}

/* Continues the frame that earlier chunks began. */
static int next_gathered(struct derp_reader *reader, struct cursor *in,
			 struct derp_frame *out, struct error *error)
{
	size_t len;
	int err = 0;

	if (reader->partial_len < DERP_HEADER_LEN)
		err = gather(reader, in, DERP_HEADER_LEN);
	if (err < 0)
		return error_set(error, err, "no memory for a DERP frame");
	if (reader->partial_len < DERP_HEADER_LEN)
		return 0;
	err = body_len(reader, reader->partial, &len, error);
	if (err < 0)
		return err;
	err = gather(reader, in, DERP_HEADER_LEN + len);
	if (err < 0)
		return error_set(error, err, "no memory for a DERP frame");
	if (reader->partial_len < DERP_HEADER_LEN + len)
		return 0;
	reader->lent = reader->partial_len;
	lend(out, reader->partial, len);
	return 1;
}

int derp_reader_next(struct derp_reader *reader, struct cursor *in,
		     struct derp_frame *out, struct error *error)
{
	size_t len;
	int err;

	take_back(reader);
	if (reader->partial_len > 0 || in->left < DERP_HEADER_LEN)
		return next_gathered(reader, in, out, error);
	err = body_len(reader, in->at, &len, error);
	if (err < 0)
		return err;
	if (in->left - DERP_HEADER_LEN < len)
		return next_gathered(reader, in, out, error);
	lend(out, cursor_bytes(in, DERP_HEADER_LEN + len), len);
	return 1;
}
