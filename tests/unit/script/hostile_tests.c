/* Attacks and accidents: control is back within about 100 ms of CPU. */
#include "fixture.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__)
#define SLACK 6
#else
#define SLACK 2
#endif

static double cpu_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* The victim beside each attack: it must go on ticking. */
static const char frame[] =
	"local tunnel = require 'tunnel'\n"
	"local ticks = 0\n"
	"return { run = function()\n"
	"  local attack = tunnel.spawn(function()\n%s\nend)\n"
	"  local victim = tunnel.spawn(function()\n"
	"    for i = 1, 20 do tunnel.sleep(0.001); ticks = ticks + 1 end\n"
	"  end)\n"
	"  local ok, err = attack:wait()\n"
	"  assert(victim:wait() == nil)\n"
	"  assert(ticks == 20)\n"
	"  if ok == nil and err then return nil, err end\n"
	"  return 3\n"
	"end }\n";

struct attack {
	const char *name;
	const char *code;
	const char *expect;	/* the code of the error; NULL: any end */
};

static const struct attack attacks[] = {
	{ "loop", "while true do end", "killed" },
	{ "pcall", "while true do pcall(function() while true do end end) end",
	  "killed" },
	{ "xpcall", "while true do xpcall(error, function() while true do end "
	  "end) end", "killed" },
	{ "coroutine made before",
	  "local co = coroutine.wrap(function() while true do pcall(function() "
	  "while true do end end) end end) while true do pcall(co) end",
	  "killed" },
	{ "coroutine pool",
	  "local pool = {} for i = 1, 100 do pool[i] = coroutine.create("
	  "function() while true do end end) end "
	  "while true do for i = 1, 100 do pcall(coroutine.resume, pool[i]) "
	  "end end", "killed" },
	{ "close variable",
	  "local x <close> = setmetatable({}, {__close = function() "
	  "while true do end end}) while true do end", "killed" },
	{ "closes without end",
	  "local mt = {} mt.__close = function() local y <close> = "
	  "setmetatable({}, mt) while true do end end "
	  "local x <close> = setmetatable({}, mt) error('x')", "killed" },
	{ "sort callback",
	  "while true do pcall(table.sort, {3,2,1}, function() "
	  "while true do end end) end", "killed" },
	{ "gsub callback",
	  "while true do pcall(string.gsub, 'aaa', 'a', function() "
	  "while true do end end) end", "killed" },
	{ "coroutine in sort",
	  "table.sort({3,2,1}, function() "
	  "local co = coroutine.wrap(function() while true do end end) "
	  "while true do pcall(co) end end)", "killed" },
	{ "coroutine.close",
	  "local co = coroutine.create(function() local x <close> = "
	  "setmetatable({}, {__close = function() while true do end end}) "
	  "coroutine.yield() end) coroutine.resume(co) "
	  "while true do pcall(coroutine.close, co) end", "killed" },
	{ "stacked find", "string.find(('a'):rep(3000), ('a*'):rep(20)..'b')",
	  "killed" },
	{ "stacked find in pcall",
	  "while true do pcall(string.find, ('a'):rep(3000), "
	  "('a*'):rep(20)..'b') end", "killed" },
	{ "gsub", "while true do ('x'):rep(1000):gsub('.-b', '') end",
	  "killed" },
	{ "gmatch", "for _ in ('a'):rep(3000):gmatch(('a-'):rep(20)..'b') do "
	  "end", "killed" },
	{ "rep of nothing", "local s = (''):rep(1 << 60) error(#s)", NULL },
	{ "rep bomb", "local s = ('x'):rep(1 << 40)", NULL },
	{ "rep to the cap",
	  "while true do pcall(string.rep, 'x', 60 << 20) end", "killed" },
	{ "sort of much",
	  "local t = {} for i = 1, 300000 do t[i] = (i * 7919) % 300007 end "
	  "while true do table.sort(t) t[1], t[#t] = t[#t], t[1] end",
	  "killed" },
	{ "move", "table.move(setmetatable({}, {__index = rawlen, "
	  "__newindex = rawlen}), 1, 1 << 50, 2)", NULL },
	{ "concat", "table.concat(setmetatable({}, {__index = type}), '', 1, "
	  "1 << 60)", NULL },
	{ "insert with __len",
	  "table.insert(setmetatable({}, {__len = function() "
	  "return 1 << 60 end}), 1, 1)", NULL },
	{ "memory", "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i"
	  " end", NULL },
	{ "memory in pcall",
	  "while true do pcall(function() local t = {} for i = 1, 1e9 do "
	  "t[i] = ('x'):rep(100000) .. i end end) end", "killed" },
	{ "tables", "local t = {} while true do t = {t} end", NULL },
	{ "recursion", "local function f() return 1 + f() end f()", NULL },
	{ "recursion in pcall",
	  "local function f() pcall(f) return f() end while true do f() end",
	  NULL },
	{ "metamethods", "local t = setmetatable({}, {}) "
	  "getmetatable(t).__index = function(t, k) return t[k .. 'x'] end "
	  "local _ = t.x", NULL },
	{ "tostring", "while true do pcall(tostring, setmetatable({}, "
	  "{__tostring = function() while true do end end})) end", "killed" },
	{ "load", "while true do load(('x=1 '):rep(1000))() end", "killed" },
	{ "deep parse", "load('return ' .. ('('):rep(100000))", NULL },
	{ "big source", "assert(load(('x=1 '):rep(1 << 20)))", NULL },
	{ "reverse", "local s = ('x'):rep(1 << 22) while true do s:reverse() "
	  "end", "killed" },
	{ "plain find", "local s = ('x'):rep(1 << 24) while true do "
	  "s:find('y', 1, true) end", "killed" },
	{ "collectgarbage", "local t = {} for i = 1, 20000 do t[i] = {} end "
	  "while true do collectgarbage() end", "killed" },
	{ "gc refused", "setmetatable({}, {__gc = function() while true do end "
	  "end})", NULL },
	{ "goto", "::a:: goto a", "killed" },
	{ "resume of a task's own thread",
	  "local co = coroutine.running() tunnel.spawn(function() "
	  "assert(not coroutine.resume(co)) end):wait() "
	  "local ok = coroutine.resume(coroutine.running()) assert(not ok)",
	  NULL },
	{ "tasks", "local t = {} for i = 1, 1e6 do t[i] = tunnel.spawn("
	  "tunnel.sleep, 1000) end", NULL },
	{ "json", "local t = {} t[1] = t tunnel.json.encode(t)", NULL },
	{ "deep json", "assert(tunnel.json.decode(('['):rep(100000)))",
	  NULL },
	{ "print", "while true do pcall(print, ('x'):rep(1000)) end", NULL },
};

static void run_attack(const struct attack *attack)
{
	struct fixture f;
	struct outcome out;
	char source[4096];
	double before;
	double spent;
	bool print = strcmp(attack->name, "print") == 0;

	fixture_init(&f);
	snprintf(source, sizeof(source), frame, attack->code);
	fixture_load(&f, source, &out);
	assert_true(out.ok);
	before = cpu_ms();
	memset(&out, 0, sizeof(out));
	assert_int_equal(script_call_start(f.script, NULL, 1, outcome_set,
					   &out), 0);
	virtual_loop_run(&f.v, print ? 10000000 : FOREVER, &out.done);
	spent = cpu_ms() - before;
	if (!print)
		assert_true(out.done);
	if (attack->expect && !strstr(out.error.message, attack->expect))
		fail_msg("%s: %s", attack->name, out.error.message);
	if (attack->expect)
		assert_int_equal(out.error.code, ERR_LIMIT);
	fixture_clear(&f);
	if (spent > 100 * SLACK + 100)
		fail_msg("%s: took %.0f ms", attack->name, spent);
}

static void attacks_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++)
		run_attack(&attacks[i]);
}

static void killed_run_is_70_with_traceback(void **state)
{
	struct fixture f;
	struct outcome out;

	(void)state;
	fixture_init(&f);
	fixture_run(&f, "return { run = function() while true do end end }",
		    &out);
	assert_false(out.ok);
	assert_int_equal(out.status, SCRIPT_STATUS_FAILED);
	assert_non_null(strstr(out.traceback, "stack traceback"));
	fixture_clear(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attacks_end),
		cmocka_unit_test(killed_run_is_70_with_traceback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
