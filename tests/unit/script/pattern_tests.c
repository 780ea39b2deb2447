/* The budgeted matcher beside Lua's own, on random patterns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "core/base/rng.h"
#include "core/script/pattern.h"

#define ROUNDS 60000

static bool never(void *user)
{
	(void)user;
	return false;
}

static size_t random_text(struct rng *rng, const char *letters, uint32_t most,
			  char *out)
{
	size_t len = rng_below(rng, most + 1);

	for (size_t i = 0; i < len; i++)
		out[i] = letters[rng_below(rng, (uint32_t)strlen(letters))];
	out[len] = '\0';
	return len;
}

/* "error", "nil" or "start end capture…", as string.match would see it. */
static void ours(const char *s, size_t len, const char *p, size_t p_len,
		 char *out, size_t cap)
{
	struct pattern m = { .overspent = never, .source = s,
			     .source_end = s + len, .end = p + p_len };
	bool anchor = p_len && *p == '^';
	size_t used;

	snprintf(out, cap, "nil");
	for (const char *at = s; at <= m.source_end; at++) {
		const char *end = pattern_match(&m, at, p + anchor);

		if (m.error)
			break;
		if (end) {
			snprintf(out, cap, "%d %d", (int)(at - s + 1),
				 (int)(end - s));
			break;
		}
		if (anchor)
			break;
	}
	for (int i = 0; !m.error && i < m.level && strcmp(out, "nil"); i++) {
		struct pattern_capture *c = &m.captures[i];

		used = strlen(out);
		if (c->kind == PATTERN_CAPTURE_OPEN)
			m.error = "unfinished capture";
		else if (c->kind == PATTERN_CAPTURE_POSITION)
			snprintf(out + used, cap - used, " %d",
				 (int)(c->start - s + 1));
		else
			snprintf(out + used, cap - used, " %.*s", (int)c->len,
				 c->start);
	}
	if (m.error)
		snprintf(out, cap, "error");
}

static void theirs(lua_State *L, const char *s, size_t len, const char *p,
		   size_t p_len, char *out, size_t cap)
{
	lua_settop(L, 1);
	lua_pushvalue(L, 1);
	lua_pushlstring(L, s, len);
	lua_pushlstring(L, p, p_len);
	if (lua_pcall(L, 2, LUA_MULTRET, 0) != LUA_OK) {
		snprintf(out, cap, "error");
		return;
	}
	if (lua_isnil(L, 2)) {
		snprintf(out, cap, "nil");
		return;
	}
	out[0] = '\0';
	for (int i = 2; i <= lua_gettop(L); i++) {
		size_t used = strlen(out);

		snprintf(out + used, cap - used, "%s%s", i > 2 ? " " : "",
			 lua_tostring(L, i));
	}
}

static void agrees_with_lua(void **state)
{
	const uint64_t seed = 20250101;
	lua_State *L = luaL_newstate();
	struct rng rng;
	unsigned errors = 0;
	unsigned matches = 0;

	(void)state;
	rng_seeded(&rng, seed);
	luaL_openlibs(L);
	lua_getglobal(L, "string");
	lua_getfield(L, -1, "find");
	lua_remove(L, -2);
	for (int i = 0; i < ROUNDS; i++) {
		char s[16];
		char p[20];
		char a[256];
		char b[256];
		size_t len = random_text(&rng, "ab()1-]", 8, s);
		size_t p_len = random_text(&rng, "ab%%()[]^$*+-?.1fbw", 10, p);

		if (p_len == strcspn(p, "^$*+?.([%-"))
			continue;	/* find() would not take it as one */
		ours(s, len, p, p_len, a, sizeof(a));
		theirs(L, s, len, p, p_len, b, sizeof(b));
		if (strcmp(a, b) != 0)
			fail_msg("seed %llu, round %d: '%s' in '%s': %s, "
				 "Lua: %s", (unsigned long long)seed, i, p, s,
				 a, b);
		errors += strcmp(a, "error") == 0;
		matches += a[0] >= '0' && a[0] <= '9';
	}
	if (errors < 5000 || matches < 2000)
		fail_msg("%u errors, %u matches", errors, matches);
	lua_close(L);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_lua),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
