#include "core/script/app.h"

#include <stdlib.h>
#include <string.h>

#include "core/script/call.h"
#include "core/script/failure.h"
#include "core/script/guest.h"
#include "core/script/std.h"
#include "core/script/task.h"

/* The application's table stands in the registry. */
static const char app_key;

static const char *const hooks[] = { "init", "start", "run", "close",
				     "on_state", "on_log", "on_path",
				     "on_down" };
static const char *const tables[] = { "options", "needs" };
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Pushes app[field]; whether it is a function. */
bool script_push_hook(lua_State *L, const char *field)
{
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &app_key) == LUA_TTABLE) {
		lua_getfield(L, -1, field);
		lua_remove(L, -2);
	}
	return lua_isfunction(L, -1);
}

/* The same of the application that the call is for. */
static bool push_hook(lua_State *L, const struct script_call *call,
		      const char *field)
{
	return call->guest ? script_guest_hook(L, call->guest, field)
			   : script_push_hook(L, field);
}

static void push_args(lua_State *L, const struct script_call *call)
{
	if (call->guest)
		script_guest_args(L, call->guest);
	else
		script_push_args(L);
}

struct question {
	const char *field;
	bool answer;
};

static int ask(lua_State *L)
{
	struct question *question = lua_touserdata(L, 1);

	question->answer = script_push_hook(L, question->field);
	return 0;
}

bool script_has(const struct script *script, const char *field)
{
	struct question question = { .field = field };

	script_protected((struct script *)(uintptr_t)script, ask, &question,
			 NULL);
	return question.answer;
}

bool script_is_job(const struct script *script)
{
	return script_has(script, "run");
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Whether b is a slip of the pen away from a (edit distance of at most 2). */
static bool similar(const char *a, const char *b)
{
	size_t row[32];
	size_t len = strlen(b);

	if (len >= COUNT(row) || strlen(a) >= COUNT(row))
		return false;
	for (size_t j = 0; j <= len; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= len; j++) {
			size_t above = row[j];

			row[j] = least(diagonal + (a[i - 1] != b[j - 1]),
				       least(above, row[j - 1]) + 1);
			diagonal = above;
		}
	}
	return row[len] <= 2;
}

static bool known(const char *field)
{
	for (size_t i = 0; i < COUNT(hooks); i++)
		if (strcmp(hooks[i], field) == 0)
			return true;
	for (size_t i = 0; i < COUNT(tables); i++)
		if (strcmp(tables[i], field) == 0)
			return true;
	return false;
}

static void warn_of_typo(struct script *script, const char *field)
{
	const char *meant = NULL;

	if (known(field))
		return;
	for (size_t i = 0; i < COUNT(hooks); i++)
		if (similar(field, hooks[i]))
			meant = hooks[i];
	for (size_t i = 0; i < COUNT(tables); i++)
		if (similar(field, tables[i]))
			meant = tables[i];
	if (meant)
		log_warn(script->config.log, "script",
			 "the application's field '%s' is unknown: is '%s' "
			 "meant?", field, meant);
}

static void check_type(lua_State *L, const char *field, int type)
{
	int is = lua_getfield(L, 2, field);

	if (is != LUA_TNIL && is != type)
		luaL_error(L, "the application's field '%s' must be a %s, not "
			   "a %s", field, lua_typename(L, type),
			   lua_typename(L, is));
	lua_pop(L, 1);
}

/* No capability can be granted yet: the safe part is what there is. */
static void check_needs(lua_State *L)
{
	if (lua_getfield(L, 2, "needs") == LUA_TTABLE &&
	    lua_rawgeti(L, -1, 1) == LUA_TSTRING)
		script_raise(L, ERR_DENIED, "the application needs '%s', which "
			     "is not granted", lua_tostring(L, -1));
	lua_settop(L, 2);
}

/* The table at index 2 is the application. */
static void check_app(lua_State *L)
{
	struct script *script = script_of(L);

	for (size_t i = 0; i < COUNT(hooks); i++)
		check_type(L, hooks[i], LUA_TFUNCTION);
	for (size_t i = 0; i < COUNT(tables); i++)
		check_type(L, tables[i], LUA_TTABLE);
	lua_getfield(L, 2, "run");
	lua_getfield(L, 2, "start");
	if (lua_isnil(L, -1) == lua_isnil(L, -2))
		luaL_error(L, "an application has either `run` or `start`");
	lua_settop(L, 2);
	lua_pushnil(L);
	while (lua_next(L, 2)) {
		lua_pop(L, 1);
		if (lua_type(L, -1) == LUA_TSTRING)
			warn_of_typo(script, lua_tostring(L, -1));
	}
	check_needs(L);
}

/* Stack: 1 the call, 2 what the chunk returned. */
static int loaded(lua_State *L, int status, lua_KContext ctx)
{
	struct script_call *call = lua_touserdata(L, 1);

	(void)status;
	(void)ctx;
	call->unreadable = true;
	if (!lua_istable(L, 2))
		return luaL_error(L, "%s must return a table, not a %s",
				  call->name, luaL_typename(L, 2));
	if (call->workspace == NULL && !call->hook)
		check_app(L);
	call->unreadable = false;
	lua_pushvalue(L, 2);
	if (call->guest)
		script_guest_set_app(L, call->guest);
	else
		lua_rawsetp(L, LUA_REGISTRYINDEX, &app_key);
	return 0;
}

int script_body_load(lua_State *L)
{
	struct script_call *call = lua_touserdata(L, 1);

	call->unreadable = true;
	if (call->guest && script_guest_push(L, call->guest))
		return loaded(L, LUA_OK, 0);
	if (call->source)
		script_load_text(L, call->source, call->source_len,
				 call->name);
	else
		script_load_file(L, call->name);
	call->unreadable = false;
	lua_callk(L, 0, 1, 0, loaded);
	return loaded(L, LUA_OK, 0);
}

static char *directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static int load(struct script_call *call, const char *name)
{
	struct script *script = call->script;

	call->name = strdup(name);
	if (call->source && (*name == '@' || *name == '='))
		name++;
	if (!script->directory)
		script->directory = directory_of(name);
	return script_call_run(call, SCRIPT_TREE_LOAD, script_body_load);
}

int script_load_app(struct script *script, const char *path,
		    script_done *done, void *user)
{
	struct script_call *call = script_call_new(script, done, user);

	return call ? load(call, path) : ERR_NOMEM;
}

int script_load_starter(struct script *script, const char *path,
			script_done *done, void *user)
{
	struct script_call *call = script_call_new(script, done, user);

	if (!call)
		return ERR_NOMEM;
	call->hook = "start_workspace";
	return load(call, path);
}

int script_load_app_source(struct script *script, const char *source,
			   size_t len, const char *name, script_done *done,
			   void *user)
{
	struct script_call *call = script_call_new(script, done, user);

	if (!call)
		return ERR_NOMEM;
	call->source = malloc(len + 1);
	if (call->source)
		memcpy(call->source, source, len);
	call->source_len = len;
	return load(call, name);
}

/* Stack: 1 the call, 2 what the hook returned. */
static int hook_done(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	script_call_read(L, lua_touserdata(L, 1), 1);
	return 0;
}

static int call_hook(lua_State *L, int arguments)
{
	lua_callk(L, arguments, LUA_MULTRET, 0, hook_done);
	return hook_done(L, LUA_OK, 0);
}

int script_body_init(lua_State *L)
{
	struct script_call *call = lua_touserdata(L, 1);

	if (!push_hook(L, call, "init"))
		return 0;
	push_args(L, call);
	return call_hook(L, 1);
}

/* A hook that is not there is done at once. */
static int call_if_there(struct script_call *call, enum script_tree tree,
			 const char *hook, lua_CFunction body)
{
	if (!call)
		return ERR_NOMEM;
	if (script_has(call->script, hook))
		return script_call_run(call, tree, body);
	script_call_finish(call);
	return 0;
}

int script_call_init(struct script *script, script_done *done, void *user)
{
	return call_if_there(script_call_new(script, done, user),
			     SCRIPT_TREE_LOAD, "init", script_body_init);
}

int script_body_start(lua_State *L)
{
	struct script_call *call = lua_touserdata(L, 1);

	if (!push_hook(L, call, "run")) {
		lua_pop(L, 1);
		push_hook(L, call, "start");
	}
	script_push_conn(L, call->conn);
	push_args(L, call);
	lua_pushinteger(L, call->attempt);
	return call_hook(L, 3);
}

int script_call_start(struct script *script, struct script_conn *conn,
		      unsigned attempt, script_done *done, void *user)
{
	struct script_call *call = script_call_new(script, done, user);

	if (!call)
		return ERR_NOMEM;
	call->conn = conn;
	call->attempt = attempt;
	return script_call_run(call, SCRIPT_TREE_TUNNEL, script_body_start);
}

static void push_reason(lua_State *L, const struct script_call *call)
{
	lua_createtable(L, 0, 3);
	lua_pushstring(L, call->kind);
	lua_setfield(L, -2, "kind");
	lua_pushstring(L, call->message);
	lua_setfield(L, -2, "message");
	if (call->reason.code) {
		lua_pushstring(L, err_name(call->reason.code));
		lua_setfield(L, -2, "code");
	}
}

int script_body_close(lua_State *L)
{
	struct script_call *call = lua_touserdata(L, 1);

	if (!push_hook(L, call, "close"))
		return 0;
	push_reason(L, call);
	return call_hook(L, 1);
}

struct script_call *script_call_reason(struct script *script,
				       const struct script_reason *reason,
				       script_done *done, void *user)
{
	struct script_call *call = script_call_new(script, done, user);

	if (!call)
		return NULL;
	call->reason.code = reason->code;
	call->kind = strdup(reason->kind ? reason->kind : "");
	call->message = strdup(reason->message ? reason->message : "");
	return call;
}

int script_call_close(struct script *script,
		      const struct script_reason *reason, script_done *done,
		      void *user)
{
	return call_if_there(script_call_reason(script, reason, done, user),
			     SCRIPT_TREE_TUNNEL, "close", script_body_close);
}

/* "exit", or "reconnect", delay. */
static int down_done(lua_State *L, int status, lua_KContext ctx)
{
	struct script_call *call = lua_touserdata(L, 1);
	struct script_result *result = &call->result;
	const char *verdict;

	(void)status;
	(void)ctx;
	lua_settop(L, 3);
	if (lua_isnil(L, 2))
		return 0;
	verdict = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
	if (strcmp(verdict, "exit") == 0) {
		result->verdict = SCRIPT_VERDICT_EXIT;
	} else if (strcmp(verdict, "reconnect") == 0) {
		double delay = lua_isnumber(L, 3) ? lua_tonumber(L, 3) : 0;

		result->verdict = SCRIPT_VERDICT_RECONNECT;
		result->delay_us = delay > 0 && delay < 1e9
				   ? (uint64_t)(delay * 1e6) : 0;
	} else {
		return luaL_error(L, "on_down must return \"exit\" or "
				  "\"reconnect\", delay");
	}
	return 0;
}

static int down_body(lua_State *L)
{
	script_push_hook(L, "on_down");
	push_reason(L, lua_touserdata(L, 1));
	lua_callk(L, 1, LUA_MULTRET, 0, down_done);
	return down_done(L, LUA_OK, 0);
}

int script_call_down(struct script *script,
		     const struct script_reason *reason, script_done *done,
		     void *user)
{
	return call_if_there(script_call_reason(script, reason, done, user),
			     SCRIPT_TREE_LOAD, "on_down", down_body);
}

void script_app_clear(struct script *script)
{
	script_calls_clear(script);
	script_events_clear(script);
	script_cancellations_clear(script);
}
