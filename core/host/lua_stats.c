#include "core/host/lua_stats.h"

#include <lauxlib.h>

static void set_text(lua_State *L, const char *name, const char *text)
{
	if (!text || !*text)
		return;
	lua_pushstring(L, text);
	lua_setfield(L, -2, name);
}

static void set_seconds(lua_State *L, const char *name, uint64_t us)
{
	if (!us)
		return;
	lua_pushnumber(L, (lua_Number)us / 1e6);
	lua_setfield(L, -2, name);
}

static void set_count(lua_State *L, const char *name, uint64_t count)
{
	lua_pushinteger(L, (lua_Integer)count);
	lua_setfield(L, -2, name);
}

static void set_flag(lua_State *L, const char *name, bool flag)
{
	lua_pushboolean(L, flag);
	lua_setfield(L, -2, name);
}

static void set_endpoint(lua_State *L, const char *name,
			 const struct endpoint *endpoint)
{
	char text[ENDPOINT_TEXT_CAP];

	endpoint_format(endpoint, text);
	set_text(L, name, text);
}

static void push_path(lua_State *L, const struct tunnel_path *path)
{
	lua_createtable(L, 0, 8);
	set_flag(L, "direct", path->direct);
	set_text(L, "endpoint", path->endpoint);
	set_text(L, "derp_region", path->derp_name);
	set_seconds(L, "latency", path->latency_us);
	set_count(L, "direct_received", path->direct_rx_bytes);
	set_count(L, "direct_sent", path->direct_tx_bytes);
	set_count(L, "relay_received", path->relay_rx_bytes);
	set_count(L, "relay_sent", path->relay_tx_bytes);
}

static void set_phase(lua_State *L, const char *name, uint64_t start_us,
		      uint64_t at_us)
{
	if (!at_us)
		return;
	lua_pushnumber(L, (lua_Number)(at_us - start_us) / 1e6);
	lua_setfield(L, -2, name);
}

static void push_phases(lua_State *L, const struct tunnel_timeline *at)
{
	lua_createtable(L, 0, 6);
	set_phase(L, "coordinate", at->started_us, at->coordinate_us);
	set_phase(L, "relay", at->started_us, at->relay_us);
	set_phase(L, "peer", at->started_us, at->peer_us);
	set_phase(L, "session", at->started_us, at->session_us);
	set_phase(L, "up", at->started_us, at->up_us);
	set_phase(L, "direct", at->started_us, at->direct_us);
}

static void push_candidates(lua_State *L, const struct tunnel *tunnel)
{
	struct tunnel_candidate candidate;

	lua_newtable(L);
	for (size_t i = 0; tunnel_candidate(tunnel, i, &candidate); i++) {
		lua_createtable(L, 0, 3);
		set_endpoint(L, "endpoint", &candidate.endpoint);
		set_seconds(L, "latency", candidate.latency_us);
		set_flag(L, "used", candidate.used);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
}

static void push_regions(lua_State *L, const struct node_report *report,
			 const struct derp_map *map)
{
	lua_createtable(L, (int)report->region_count, 0);
	for (size_t i = 0; i < report->region_count; i++) {
		const struct node_report_region *region = &report->regions[i];
		const struct derp_map_region *known =
			derp_map_region(map, region->region);

		lua_createtable(L, 0, 5);
		set_count(L, "id", (uint64_t)region->region);
		set_text(L, "name", known ? known->name : NULL);
		set_seconds(L, "latency", region->latency_us);
		set_seconds(L, "latency_ipv4", region->latency4_us);
		set_seconds(L, "latency_ipv6", region->latency6_us);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
}

static void push_endpoints(lua_State *L, const struct node_report *report)
{
	char text[ENDPOINT_TEXT_CAP];

	lua_createtable(L, (int)report->endpoint_count, 0);
	for (size_t i = 0; i < report->endpoint_count; i++) {
		endpoint_format(&report->endpoints[i], text);
		lua_pushstring(L, text);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
}

void lua_push_network(lua_State *L, const struct node_report *report,
		      const struct derp_map *map)
{
	const struct derp_map_region *home =
		derp_map_region(map, report->home_region);

	lua_createtable(L, 0, 10);
	set_flag(L, "direct_allowed", report->enabled);
	set_flag(L, "udp", report->udp);
	if (report->has_reflexive4)
		set_endpoint(L, "ipv4", &report->reflexive4);
	if (report->has_reflexive6)
		set_endpoint(L, "ipv6", &report->reflexive6);
	if (report->nat_known)
		set_text(L, "mapping", report->nat_hard ? "hard" : "easy");
	if (report->port)
		set_count(L, "port", report->port);
	set_count(L, "home", (uint64_t)report->home_region);
	set_text(L, "home_name", home ? home->name : NULL);
	set_flag(L, "home_up", report->home_up);
	push_endpoints(L, report);
	lua_setfield(L, -2, "endpoints");
	push_regions(L, report, map);
	lua_setfield(L, -2, "regions");
}

/* The report is too large for a stack that scripts can deepen. */
static void set_network(lua_State *L, const struct tunnel *tunnel)
{
	struct node_report *report = lua_newuserdatauv(L, sizeof(*report), 0);

	tunnel_report(tunnel, report);
	lua_push_network(L, report, tunnel_derp_map(tunnel));
	lua_setfield(L, -3, "network");
	lua_pop(L, 1);
}

void lua_push_stats(lua_State *L, const struct tunnel *tunnel)
{
	struct tunnel_path path;

	luaL_checkstack(L, 10, "stats");
	tunnel_path(tunnel, &path);
	lua_createtable(L, 0, 6);
	push_path(L, &path);
	lua_setfield(L, -2, "path");
	push_phases(L, tunnel_timeline(tunnel));
	lua_setfield(L, -2, "phases");
	push_candidates(L, tunnel);
	lua_setfield(L, -2, "candidates");
	set_network(L, tunnel);
	set_count(L, "handshakes", path.handshakes);
	set_seconds(L, "last_handshake", path.last_handshake_us);
}

void lua_push_timeline(lua_State *L, const struct timeline *line)
{
	luaL_checkstack(L, 4, "timeline");
	lua_createtable(L, (int)line->count, 0);
	for (size_t i = 0; i < line->count; i++) {
		lua_createtable(L, 0, 2);
		set_text(L, "state", line->steps[i].state);
		lua_pushnumber(L, (lua_Number)line->steps[i].at_us / 1e6);
		lua_setfield(L, -2, "at");
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
}
