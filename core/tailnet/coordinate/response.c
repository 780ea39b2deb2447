#include "core/tailnet/coordinate/response.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

/* Field numbers of tailnet.proto, shifted over the wire type. */
#define TAG_VARINT(field) ((field) << 3)
#define TAG_BYTES(field) ((field) << 3 | 2)

struct shared_node *shared_node_new(const void *data, size_t len)
{
	struct shared_node *node = malloc(sizeof(*node) + len);

	if (!node)
		return NULL;
	node->refs = 1;
	node->len = len;
	if (len)
		memcpy(node->data, data, len);
	return node;
}

struct shared_node *shared_node_hold(struct shared_node *node)
{
	node->refs++;
	return node;
}

void shared_node_drop(struct shared_node *node)
{
	if (node && --node->refs == 0)
		free(node);
}

bool shared_node_equal(const struct shared_node *a,
		       const struct shared_node *b)
{
	return a && b &&
	       (a == b || (a->len == b->len &&
			   memcmp(a->data, b->data, a->len) == 0));
}

static int put_varint(struct buf *out, uint64_t value)
{
	uint8_t bytes[10];
	size_t len = 0;

	for (; value >= 0x80; value >>= 7)
		bytes[len++] = (uint8_t)(value | 0x80);
	bytes[len++] = (uint8_t)value;
	return buf_append(out, bytes, len);
}

static int put_bytes(struct buf *out, unsigned field, const void *data,
		     size_t len)
{
	int err = put_varint(out, TAG_BYTES(field));

	if (err == 0)
		err = put_varint(out, len);
	return err < 0 ? err : buf_append(out, data, len);
}

static int put_update(struct buf *out, const struct uuid *id,
		      const struct shared_node *node, unsigned kind,
		      const char *reason)
{
	int err = put_bytes(out, 1, id->bytes, sizeof(id->bytes));

	if (err == 0 && node)
		err = put_bytes(out, 2, node->data, node->len);
	if (err == 0)
		err = put_varint(out, TAG_VARINT(3));
	if (err == 0)
		err = put_varint(out, kind);
	if (err == 0 && reason[0])
		err = put_bytes(out, 4, reason, strlen(reason));
	return err;
}

int response_update(struct buf *out, const struct uuid *id,
		    const struct shared_node *node, unsigned kind,
		    const char *reason)
{
	struct buf update = { .limit = RESPONSE_CAP };
	int err = put_update(&update, id, node, kind, reason);

	if (err == 0)
		err = put_bytes(out, 1, buf_data(&update), update.len);
	buf_clear(&update);
	return err;
}

int response_error(struct buf *out, const char *text)
{
	return put_bytes(out, 2, text, strlen(text));
}
