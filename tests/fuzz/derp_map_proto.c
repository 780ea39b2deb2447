/* What decodes must encode, and decode to the same. */
#include <stdlib.h>

#include "core/tailnet/coordinate/derp_map_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct derp_map map = { .region_count = 0 }, again = map;
	struct buf out = { .limit = 16u << 20 };

	if (derp_map_decode(data, len, &map, NULL) < 0)
		return 0;
	if (derp_map_encode(&map, &out) < 0 ||
	    derp_map_decode(buf_data(&out), out.len, &again, NULL) < 0)
		abort();
	derp_map_clear(&map);
	derp_map_clear(&again);
	buf_clear(&out);
	return 0;
}
