#include "core/script/state.h"

#include <stdlib.h>
#include <string.h>

#include "core/script/app.h"
#include "core/script/failure.h"
#include "core/script/handle.h"
#include "core/script/std.h"
#include "core/script/task.h"

/* Above the cap, for what the host itself does in the state. */
#define MEMORY_RESERVE ((size_t)256 << 10)
#define LARGE_BLOCK ((size_t)16 << 10)

static const char key;

struct script *script_of(lua_State *L)
{
	struct script *script;

	lua_rawgetp(L, LUA_REGISTRYINDEX, &key);
	script = lua_touserdata(L, -1);
	lua_pop(L, 1);
	return script;
}

static void *allocate(void *user, void *block, size_t old, size_t wanted)
{
	struct script *script = user;
	size_t held = block ? old : 0;
	size_t cap = script->config.memory_cap +
		     (script->in_host ? MEMORY_RESERVE : 0);
	void *moved;

	if (wanted == 0) {
		free(block);
		script->memory -= held;
		return NULL;
	}
	if (wanted > held && (wanted - held > cap ||
			      script->memory > cap - (wanted - held)))
		return NULL;
	moved = realloc(block, wanted);
	if (!moved)
		return NULL;
	script->memory = script->memory - held + wanted;
	if (script->memory > script->memory_peak)
		script->memory_peak = script->memory;
	if (wanted >= LARGE_BLOCK)
		script_charge(script, wanted);
	return moved;
}

int script_protected(struct script *script, lua_CFunction function, void *arg,
		     struct error *error)
{
	lua_State *L = script->L;
	int err = ERR_NOMEM;
	int status;

	script->in_host++;
	if (!lua_checkstack(L, 20)) {
		script->in_host--;
		return error_set(error, ERR_NOMEM, "no memory for the script");
	}
	lua_pushcfunction(L, function);
	lua_pushlightuserdata(L, arg);
	status = lua_pcall(L, 1, 0, 0);
	if (status == LUA_OK) {
		err = 0;
	} else {
		err = status == LUA_ERRMEM ? ERR_NOMEM
					   : script_error_code(L, -1);
		error_set(error, err, "%s", lua_type(L, -1) == LUA_TSTRING
			  ? lua_tostring(L, -1) : "the script's state failed");
		lua_pop(L, 1);
	}
	script->in_host--;
	return err;
}

static void set_defaults(struct script_config *config)
{
	if (config->memory_cap == 0)
		config->memory_cap = SCRIPT_MEMORY_CAP;
	if (config->cpu_us == 0)
		config->cpu_us = SCRIPT_CPU_US;
	if (config->source_cap == 0)
		config->source_cap = SCRIPT_SOURCE_CAP;
	if (config->task_cap == 0)
		config->task_cap = SCRIPT_TASK_CAP;
	if (config->handle_cap == 0)
		config->handle_cap = SCRIPT_HANDLE_CAP;
}

static struct script *alloc_script(const struct script_config *config)
{
	struct script *script = calloc(1, sizeof(*script));

	if (!script)
		return NULL;
	script->config = *config;
	set_defaults(&script->config);
	script->lua_path = strdup(config->lua_path ? config->lua_path : "");
	list_init(&script->ready);
	list_init(&script->unheard);
	list_init(&script->calls);
	list_init(&script->cancellations);
	list_init(&script->conns);
	script->work = (struct task){ .run = script_run_ready, .user = script };
	script->slot_free = UINT32_MAX;
	if (script->lua_path && script_trees_init(script) == 0)
		return script;
	script_trees_clear(script);
	free(script->lua_path);
	free(script);
	return NULL;
}

static int set_up(lua_State *L)
{
	struct script *script = lua_touserdata(L, 1);

	lua_pushlightuserdata(L, script);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
	*script_home(script->L) = NULL;
	return script->owned ? script_open_sandbox(L) : 0;
}

int script_new(const struct script_config *config, struct script **out,
	       struct error *error)
{
	struct script *script = alloc_script(config);
	int err;

	if (!script)
		return error_set(error, ERR_NOMEM, "no memory for a script");
	script->owned = true;
	script->L = lua_newstate(allocate, script);
	if (!script->L) {
		script_free(script);
		return error_set(error, ERR_NOMEM, "no memory for a script");
	}
	err = script_protected(script, set_up, script, error);
	if (err == 0)
		err = script_std_open(script);
	if (err < 0) {
		script_free(script);
		return err;
	}
	*out = script;
	return 0;
}

int script_attach(lua_State *L, const struct script_config *config,
		  struct script **out)
{
	struct script *script = alloc_script(config);
	int err;

	if (!script)
		return ERR_NOMEM;
	lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
	script->L = lua_tothread(L, -1);
	lua_pop(L, 1);
	script->config.cpu_us = DEADLINE_NONE;
	err = script_protected(script, set_up, script, NULL);
	if (err == 0)
		err = script_std_open(script);
	if (err < 0)
		script_free(script);
	else
		*out = script;
	return err;
}

static void drop_tasks(struct script *script)
{
	for (unsigned tree = 0; tree < script->tree_count; tree++) {
		struct list *tasks = script_tree_tasks(
			script, (enum script_tree)tree);

		if (!tasks)
			continue;
		list_each(at, next, tasks) {
			struct script_task *task =
				container_of(at, struct script_task, link);

			task->heard = true;
		}
		while (!list_empty(tasks))
			script_task_drop(container_of(
				tasks->next, struct script_task, link));
	}
}

static int forget(lua_State *L)
{
	lua_pushnil(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
	return 0;
}

void script_free(struct script *script)
{
	if (script->L) {
		script->closing = true;
		script_report_unheard(script);
		drop_tasks(script);
		script_app_clear(script);
		script_handles_clear(script);
		script_std_close(script);
	}
	task_cancel(&script->work);
	timer_stop(script->config.loop, &script->again);
	timer_stop(script->config.loop, &script->report);
	if (script->L && !script->owned)
		script_protected(script, forget, NULL, NULL);
	if (script->L && script->owned)
		lua_close(script->L);
	script_trees_clear(script);
	free(script->lua_path);
	free(script->directory);
	free(script);
}

void script_stats(const struct script *script, struct script_stats *out)
{
	*out = (struct script_stats){
		.memory = script->memory,
		.memory_peak = script->memory_peak,
		.tasks = script->task_count,
		.handles = script->handle_count,
		.events_dropped = script_events_dropped(script),
	};
}
