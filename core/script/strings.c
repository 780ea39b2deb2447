#include <string.h>

#include "core/script/failure.h"
#include "core/script/pattern.h"
#include "core/script/std.h"
#include "core/script/task.h"

static bool overspent(void *user)
{
	return script_overspent(user);
}

static void prepare(lua_State *L, struct pattern *m, int pattern)
{
	size_t source_len;
	size_t len;

	*m = (struct pattern){ .overspent = overspent, .user = script_of(L) };
	m->source = luaL_checklstring(L, 1, &source_len);
	m->source_end = m->source + source_len;
	m->end = luaL_checklstring(L, pattern, &len) + len;
}

/* Raises what stopped the matcher, if anything did. */
static void check(lua_State *L, struct pattern *m)
{
	if (m->error)
		luaL_error(L, "%s", m->error);
	if (!m->spent)
		return;
	script_kill(L, script_of(L));
	luaL_error(L, "killed: too much CPU in one pattern");
}

static const char *try(lua_State *L, struct pattern *m, const char *s,
		       const char *p)
{
	const char *end = pattern_match(m, s, p);

	if (!end)
		check(L, m);
	return end;
}

static void push_capture(lua_State *L, struct pattern *m, int at,
			 const char *s, const char *e)
{
	const struct pattern_capture *capture = &m->captures[at];

	if (at >= m->level) {
		if (at > 0)
			luaL_error(L, "invalid capture index %%%d", at + 1);
		lua_pushlstring(L, s, (size_t)(e - s));
		return;
	}
	switch (capture->kind) {
	case PATTERN_CAPTURE_OPEN:
		luaL_error(L, "unfinished capture");
		return;
	case PATTERN_CAPTURE_POSITION:
		lua_pushinteger(L, capture->start - m->source + 1);
		return;
	case PATTERN_CAPTURE_CLOSED:
		lua_pushlstring(L, capture->start, capture->len);
		return;
	}
}

/* All captures, or the whole match when there are none and `whole`. */
static int push_captures(lua_State *L, struct pattern *m, const char *s,
			 const char *e, bool whole)
{
	int count = m->level == 0 && whole ? 1 : m->level;

	luaL_checkstack(L, count, "too many captures");
	for (int i = 0; i < count; i++)
		push_capture(L, m, i, s, e);
	return count;
}

/* The start of a search from `init`, or NULL when it lies behind the end. */
static const char *start_at(lua_State *L, const struct pattern *m, int index)
{
	lua_Integer len = m->source_end - m->source;
	lua_Integer init = luaL_optinteger(L, index, 1);

	if (init < 0)
		init = init < -len ? 1 : len + init + 1;
	else if (init == 0)
		init = 1;
	return init > len + 1 ? NULL : m->source + init - 1;
}

static int find_plain(lua_State *L, const struct pattern *m, const char *s,
		      const char *p)
{
	size_t len = (size_t)(m->end - p);
	const char *found = memmem(s, (size_t)(m->source_end - s), p, len);

	script_charge(script_of(L), (size_t)(m->source_end - s));
	if (!found) {
		lua_pushnil(L);
		return 1;
	}
	lua_pushinteger(L, found - m->source + 1);
	lua_pushinteger(L, found - m->source + (lua_Integer)len);
	return 2;
}

static int search(lua_State *L, bool find)
{
	struct pattern m;
	const char *p = luaL_checkstring(L, 2);
	const char *s;
	const char *e;
	bool anchor;

	prepare(L, &m, 2);
	s = start_at(L, &m, 3);
	if (!s) {
		lua_pushnil(L);
		return 1;
	}
	if (find && (lua_toboolean(L, 4) ||
		     (size_t)(m.end - p) == strcspn(p, "^$*+?.([%-")))
		return find_plain(L, &m, s, p);
	anchor = p < m.end && *p == '^';
	for (p += anchor; s <= m.source_end; s++) {
		e = try(L, &m, s, p);
		if (e && find) {
			lua_pushinteger(L, s - m.source + 1);
			lua_pushinteger(L, e - m.source);
			return push_captures(L, &m, s, e, false) + 2;
		}
		if (e)
			return push_captures(L, &m, s, e, true);
		if (anchor)
			break;
	}
	script_charge(script_of(L), m.steps);
	lua_pushnil(L);
	return 1;
}

static int str_find(lua_State *L)
{
	return search(L, true);
}

static int str_match(lua_State *L)
{
	return search(L, false);
}

struct walk {
	size_t at;		/* where the next match may begin */
	size_t last;		/* where the last one ended, SIZE_MAX: none */
};

static int gmatch_next(lua_State *L)
{
	struct walk *walk = lua_touserdata(L, lua_upvalueindex(3));
	struct pattern m;
	const char *p;

	lua_settop(L, 0);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushvalue(L, lua_upvalueindex(2));
	prepare(L, &m, 2);
	p = lua_tostring(L, 2);
	for (const char *s = m.source + walk->at; s <= m.source_end; s++) {
		const char *e = try(L, &m, s, p);

		if (!e || (size_t)(e - m.source) == walk->last)
			continue;
		walk->at = walk->last = (size_t)(e - m.source);
		return push_captures(L, &m, s, e, true);
	}
	return 0;
}

static int str_gmatch(lua_State *L)
{
	struct pattern m;
	struct walk *walk;
	const char *s;

	prepare(L, &m, 2);
	s = start_at(L, &m, 3);
	lua_settop(L, 2);
	walk = lua_newuserdatauv(L, sizeof(*walk), 0);
	walk->at = s ? (size_t)(s - m.source) :
		       (size_t)(m.source_end - m.source) + 1;
	walk->last = SIZE_MAX;
	lua_pushcclosure(L, gmatch_next, 3);
	return 1;
}

/* Adds the replacement string with its %0 … %9. */
static void add_string(lua_State *L, luaL_Buffer *out, struct pattern *m,
		       const char *s, const char *e)
{
	size_t len;
	const char *with = lua_tolstring(L, 3, &len);
	const char *end = with + len;

	for (; with < end; with++) {
		if (*with != '%') {
			luaL_addchar(out, *with);
			continue;
		}
		with++;
		if (with < end && *with == '%') {
			luaL_addchar(out, '%');
		} else if (with < end && *with == '0') {
			luaL_addlstring(out, s, (size_t)(e - s));
		} else if (with < end && *with > '0' && *with <= '9') {
			push_capture(L, m, *with - '1', s, e);
			luaL_tolstring(L, -1, NULL);
			lua_remove(L, -2);
			luaL_addvalue(out);
		} else {
			luaL_error(L, "invalid use of '%%' in replacement "
				   "string");
		}
	}
}

/* Adds the replacement; whether anything was replaced. */
static void add(lua_State *L, luaL_Buffer *out, struct pattern *m,
		const char *s, const char *e)
{
	int type = lua_type(L, 3);

	if (type == LUA_TFUNCTION) {
		lua_pushvalue(L, 3);
		lua_call(L, push_captures(L, m, s, e, true), 1);
	} else if (type == LUA_TTABLE) {
		push_capture(L, m, 0, s, e);
		lua_gettable(L, 3);
	} else {
		add_string(L, out, m, s, e);
		return;
	}
	if (!lua_toboolean(L, -1)) {
		lua_pop(L, 1);
		lua_pushlstring(L, s, (size_t)(e - s));
	} else if (!lua_isstring(L, -1)) {
		luaL_error(L, "invalid replacement value (a %s)",
			   luaL_typename(L, -1));
	}
	luaL_addvalue(out);
}

static int str_gsub(lua_State *L)
{
	struct pattern m;
	const char *p = luaL_checkstring(L, 2);
	int type = lua_type(L, 3);
	lua_Integer most;
	lua_Integer count = 0;
	const char *s;
	const char *last = NULL;
	luaL_Buffer out;
	bool anchor;

	prepare(L, &m, 2);
	luaL_argexpected(L, type == LUA_TNUMBER || type == LUA_TSTRING ||
			 type == LUA_TFUNCTION || type == LUA_TTABLE, 3,
			 "string/function/table");
	most = luaL_optinteger(L, 4, m.source_end - m.source + 1);
	anchor = p < m.end && *p == '^';
	p += anchor;
	s = m.source;
	luaL_buffinit(L, &out);
	while (count < most) {
		const char *e = try(L, &m, s, p);

		if (e && e != last) {
			count++;
			add(L, &out, &m, s, e);
			s = last = e;
		} else if (s < m.source_end) {
			luaL_addchar(&out, *s);
			s++;
		} else {
			break;
		}
		if (anchor)
			break;
	}
	luaL_addlstring(&out, s, (size_t)(m.source_end - s));
	luaL_pushresult(&out);
	lua_pushinteger(L, count);
	return 2;
}

/* Fills `out` with `len` bytes of repetitions of its first `unit` bytes. */
static void repeat(char *out, size_t unit, size_t len)
{
	size_t done = unit;

	while (done < len) {
		size_t more = done < len - done ? done : len - done;

		memcpy(out + done, out, more);
		done += more;
	}
}

/* Lua's own copies piece by piece, and counts out the repetition of nothing. */
static int str_rep(lua_State *L)
{
	size_t len;
	size_t separator;
	const char *text = luaL_checklstring(L, 1, &len);
	lua_Integer count = luaL_checkinteger(L, 2);
	const char *between = luaL_optlstring(L, 3, "", &separator);
	size_t unit = len + separator;
	luaL_Buffer out;
	char *room;

	if (count <= 0 || unit == 0) {
		lua_pushliteral(L, "");
		return 1;
	}
	if (unit > script_of(L)->config.memory_cap / (size_t)count)
		return luaL_error(L, "resulting string too large");
	room = luaL_buffinitsize(L, &out, unit * (size_t)count);
	memcpy(room, text, len);
	memcpy(room + len, between, separator);
	repeat(room, unit, unit * (size_t)count);
	luaL_pushresultsize(&out, unit * (size_t)count - separator);
	return 1;
}

void script_open_strings(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "find", str_find },
		{ "match", str_match },
		{ "gmatch", str_gmatch },
		{ "gsub", str_gsub },
		{ "rep", str_rep },
		{ NULL, NULL },
	};

	lua_getglobal(L, LUA_STRLIBNAME);
	luaL_setfuncs(L, functions, 0);
	lua_pushnil(L);
	lua_setfield(L, -2, "dump");
	lua_pop(L, 1);
}
