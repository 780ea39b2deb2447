/* What decodes must encode, and decode to the same. */
#include <stdlib.h>
#include <string.h>

#include "core/tailnet/coordinate/node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct coord_node node, again;
	struct buf out = { .limit = NODE_ENCODED_CAP };

	if (coord_node_decode(data, len, &node, NULL) < 0)
		return 0;
	if (coord_node_encode(&node, &out) < 0 ||
	    coord_node_decode(buf_data(&out), out.len, &again, NULL) < 0 ||
	    memcmp(&node, &again, sizeof(node)) != 0)
		abort();
	buf_clear(&out);
	return 0;
}
