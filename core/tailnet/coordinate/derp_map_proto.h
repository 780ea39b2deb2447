/*
 * core/tailnet/coordinate/derp_map_proto.h: the DERP map as StreamDERPMaps
 * sends it (tailnet.proto DERPMap). The struct is core/base/derp_map.h's, the
 * REST form of it core/rest's.
 */
#ifndef TUNNELHOST_COORDINATE_DERP_MAP_PROTO_H
#define TUNNELHOST_COORDINATE_DERP_MAP_PROTO_H

#include <stddef.h>

#include "core/base/buf.h"
#include "core/base/derp_map.h"
#include "core/base/err.h"

/*
 * 0 and an owned map with regions in rising order, ERR_PROTOCOL,
 * ERR_TOO_LARGE or ERR_NOMEM.
 */
int derp_map_decode(const void *data, size_t len, struct derp_map *out,
		    struct error *error);
/* Appends the protobuf. 0, ERR_LIMIT or ERR_NOMEM. */
int derp_map_encode(const struct derp_map *map, struct buf *out);

#endif
