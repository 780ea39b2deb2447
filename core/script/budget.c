#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/script/failure.h"
#include "core/script/task.h"

/*
 * Theory of operation. The count hook comes every HOOK_COUNT instructions,
 * a few microseconds of work. In the first millisecond of a slice it only
 * looks at the monotonic clock, which costs no system call; from then on the
 * thread's CPU clock counts, so that a stopped process loses nothing. A task that has spent it is latched: the hook count of all its
 * coroutines becomes 1, and the hook yields the coroutine for good wherever
 * it can yield, else raises, again and again, until it can. Letting others
 * run goes by instructions, not by time: the same seed, the same trace.
 *
 * Long C calls are seen through script_charge(), by our replacements of
 * them and by the allocator.
 */
#define HOOK_COUNT 1000
#define TICKS_PER_SLICE 100	/* about 1 ms of instructions */
#define SHORT_SLICE_NS 1000000u
#define CHARGE_LOOK ((size_t)256 << 10)
#define TRACEBACK_CAP ((size_t)8 << 10)

static uint64_t clock_ns(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void script_budget_begin(struct script *script)
{
	script->slice_mono_ns = clock_ns(CLOCK_MONOTONIC);
	script->slice_cpu_ns = 0;
	script->charge = 0;
}

/*
 * What the slice has cost. A short one counts as the time that has passed:
 * the CPU clock is a system call, and most slices are a few microseconds.
 */
static uint64_t slice_ns(struct script *script)
{
	uint64_t passed = clock_ns(CLOCK_MONOTONIC) - script->slice_mono_ns;

	if (passed < SHORT_SLICE_NS)
		return passed;
	if (script->slice_cpu_ns == 0)
		script->slice_cpu_ns =
			clock_ns(CLOCK_THREAD_CPUTIME_ID) - SHORT_SLICE_NS;
	return clock_ns(CLOCK_THREAD_CPUTIME_ID) - script->slice_cpu_ns;
}

void script_budget_end(struct script *script, struct script_task *task)
{
	task->cpu_ns += slice_ns(script);
}

bool script_overspent(struct script *script)
{
	const struct script_task *task = script->current;
	uint64_t cap = script->config.cpu_us * 1000;

	if (!task || task->blocked || script->config.cpu_us == DEADLINE_NONE)
		return false;
	if (task->killed)
		return true;
	return task->cpu_ns + slice_ns(script) >= cap;
}

void script_charge(struct script *script, size_t amount)
{
	struct script_task *task = script->current;

	script->charge += amount;
	if (script->charge < CHARGE_LOOK)
		return;
	script->charge = 0;
	if (script_overspent(script) && task->depth)
		lua_sethook(task->frames[task->depth - 1].L, script_hook,
			    LUA_MASKCOUNT, 1);
}

/* Latches the kill in every coroutine that the task is in. */
static void latch(lua_State *L, struct script_task *task)
{
	const char *text;

	task->killed = true;
	for (unsigned i = 0; i < task->depth; i++)
		lua_sethook(task->frames[i].L, script_hook, LUA_MASKCOUNT, 1);
	if (!lua_checkstack(L, 10))
		return;
	luaL_traceback(L, L, NULL, 1);
	text = lua_tostring(L, -1);
	free(task->traceback);
	task->traceback = strndup(text ? text : "", TRACEBACK_CAP);
	lua_pop(L, 1);
}

void script_kill(lua_State *L, struct script *script)
{
	if (!script->current->killed)
		latch(L, script->current);
}

static void let_others_run(lua_State *L, struct script *script)
{
	if (++script->slice_ticks < TICKS_PER_SLICE)
		return;
	script->slice_ticks = 0;
	if (script->nested || !script_scheduled(script, L) ||
	    !lua_isyieldable(L))
		return;
	script->yield = SCRIPT_YIELD_PREEMPT;
	lua_yield(L, 0);
}

void script_hook(lua_State *L, lua_Debug *ar)
{
	struct script *script = script_of(L);
	struct script_task *task = script->current;

	(void)ar;
	if (!task || !task->depth)
		return;
	if (!script_overspent(script)) {
		if (lua_gethookcount(L) != HOOK_COUNT)
			lua_sethook(L, script_hook, LUA_MASKCOUNT, HOOK_COUNT);
		let_others_run(L, script);
		return;
	}
	script_kill(L, script);
	lua_sethook(L, script_hook, LUA_MASKCOUNT, 1);
	if (script_scheduled(script, L) && lua_isyieldable(L)) {
		script->yield = SCRIPT_YIELD_KILLED;
		lua_yield(L, 0);
		return;
	}
	script_raise(L, ERR_LIMIT, "killed: too much CPU without a wait");
}
