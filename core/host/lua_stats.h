/*
 * core/host/lua_stats.h: what is known of a tunnel, as Lua tables.
 *
 * lua/tunnel/meta.lua names the fields (tunnel.stats, tunnel.network).
 * Seconds and bytes; what is not known is nil.
 */
#ifndef TUNNELHOST_HOST_LUA_STATS_H
#define TUNNELHOST_HOST_LUA_STATS_H

#include <lua.h>

#include "core/host/timeline.h"
#include "core/tunnel/tunnel.h"

/* Pushes {path=, phases=, candidates=, network=, handshakes=, …}. */
void lua_push_stats(lua_State *L, const struct tunnel *tunnel);
/* Pushes {udp=, ipv4=, ipv6=, mapping=, endpoints=, regions=, …}. */
void lua_push_network(lua_State *L, const struct node_report *report,
		      const struct derp_map *map);
/* Pushes {{state=, at=}, …}, `at` on the clock of now(). */
void lua_push_timeline(lua_State *L, const struct timeline *line);

#endif
