#include "core/script/guest.h"

#include <stdlib.h>
#include <string.h>

#include "core/script/app.h"
#include "core/script/call.h"
#include "core/script/failure.h"

#define ARGS_CAP 1024

struct script_guest {
	struct script *script;
	unsigned users;			/* its owner, and calls under way */
	bool gone;			/* the owner has freed it */
	char *path;			/* NULL: it came as a table */
	char **argv;
	int argc;
	int table;			/* references */
	int args;
	enum script_tree tree;
	struct script_queue *queue;
};

static struct script_guest *alloc_guest(struct script *script,
					const char *path)
{
	struct script_guest *guest = calloc(1, sizeof(*guest));

	if (!guest)
		return NULL;
	guest->script = script;
	guest->users = 1;
	guest->table = guest->args = LUA_NOREF;
	guest->path = path ? strdup(path) : NULL;
	if ((path && !guest->path) ||
	    script_tree_new(script, &guest->tree) < 0) {
		free(guest->path);
		free(guest);
		return NULL;
	}
	return guest;
}

static void free_memory(struct script_guest *guest)
{
	for (int i = 0; i < guest->argc; i++)
		free(guest->argv[i]);
	free(guest->argv);
	free(guest->path);
	free(guest);
}

/* How many words there are; raises when they are none. */
static int check_words(lua_State *L, int args)
{
	lua_Integer count;

	if (!args)
		return 0;
	luaL_checktype(L, args, LUA_TTABLE);
	count = (lua_Integer)lua_rawlen(L, args);
	if (count > ARGS_CAP)
		script_raise(L, ERR_LIMIT, "more than %d arguments", ARGS_CAP);
	for (lua_Integer i = 1; i <= count; i++) {
		if (lua_rawgeti(L, args, i) != LUA_TSTRING &&
		    lua_type(L, -1) != LUA_TNUMBER)
			luaL_error(L, "args[%d] must be a string, not a %s",
				   (int)i, luaL_typename(L, -1));
		lua_pop(L, 1);
	}
	return (int)count;
}

static bool copy_words(lua_State *L, struct script_guest *guest, int args,
		       int count)
{
	guest->argv = calloc((size_t)count + 1, sizeof(*guest->argv));
	for (int i = 0; guest->argv && i < count; i++) {
		lua_rawgeti(L, args, i + 1);
		guest->argv[i] = strdup(lua_tostring(L, -1));
		lua_pop(L, 1);
		if (!guest->argv[i])
			return false;
		guest->argc++;
	}
	return guest->argv != NULL;
}

struct script_guest *script_guest_new(lua_State *L, int app, int args)
{
	const char *path = lua_type(L, app) == LUA_TSTRING
			   ? lua_tostring(L, app) : NULL;
	int table = LUA_NOREF;
	struct script_guest *guest;
	int words = check_words(L, args);

	if (!path && !lua_istable(L, app))
		luaL_error(L, "`app` must be a table or the path of a file, "
			   "not a %s", luaL_typename(L, app));
	if (!path) {
		lua_pushvalue(L, app);
		table = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	guest = alloc_guest(script_of(L), path);
	if (guest && copy_words(L, guest, args, words)) {
		guest->table = table;
		return guest;
	}
	if (guest) {
		script_tree_end(guest->script, guest->tree);
		free_memory(guest);
	}
	luaL_unref(L, LUA_REGISTRYINDEX, table);
	script_raise(L, ERR_LIMIT, "no memory for an application");
	return NULL;
}

static int forget(lua_State *L)
{
	struct script_guest *guest = lua_touserdata(L, 1);

	luaL_unref(L, LUA_REGISTRYINDEX, guest->table);
	luaL_unref(L, LUA_REGISTRYINDEX, guest->args);
	guest->table = guest->args = LUA_NOREF;
	return 0;
}

/* Calls under way go on as tasks being cancelled; nobody hears of them. */
static void drop_calls(struct script_guest *guest)
{
	list_each(at, next, &guest->script->calls) {
		struct script_call *call =
			container_of(at, struct script_call, link);

		if (call->guest == guest)
			call->done = NULL;
	}
}

void script_guest_free(struct script_guest *guest)
{
	if (!guest)
		return;
	guest->gone = true;
	drop_calls(guest);
	script_queue_free(guest->queue);
	script_tree_end(guest->script, guest->tree);
	script_protected(guest->script, forget, guest, NULL);
	script_guest_unref(guest);
}

void script_guest_unref(struct script_guest *guest)
{
	if (guest && --guest->users == 0)
		free_memory(guest);
}

/* Keeps the value on top, unless it comes too late. */
static void keep(lua_State *L, const struct script_guest *guest, int *ref)
{
	luaL_unref(L, LUA_REGISTRYINDEX, *ref);
	*ref = LUA_NOREF;
	if (guest->gone)
		lua_pop(L, 1);
	else
		*ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* --- the stack ------------------------------------------------------------ */

bool script_guest_push(lua_State *L, const struct script_guest *guest)
{
	if (guest->table == LUA_NOREF)
		return false;
	lua_rawgeti(L, LUA_REGISTRYINDEX, guest->table);
	return true;
}

void script_guest_set_app(lua_State *L, struct script_guest *guest)
{
	keep(L, guest, &guest->table);
}

void script_guest_set_args(lua_State *L, struct script_guest *guest)
{
	keep(L, guest, &guest->args);
}

void script_guest_args(lua_State *L, const struct script_guest *guest)
{
	if (guest->args == LUA_NOREF)
		lua_newtable(L);
	else
		lua_rawgeti(L, LUA_REGISTRYINDEX, guest->args);
}

bool script_guest_hook(lua_State *L, const struct script_guest *guest,
		       const char *field)
{
	if (!script_guest_push(L, guest)) {
		lua_pushnil(L);
		return false;
	}
	lua_pushstring(L, field);
	lua_rawget(L, -2);
	lua_remove(L, -2);
	return lua_isfunction(L, -1);
}

struct question {
	const struct script_guest *guest;
	const char *field;
	bool answer;
};

static int ask(lua_State *L)
{
	struct question *question = lua_touserdata(L, 1);

	question->answer = script_guest_hook(L, question->guest,
					     question->field);
	return 0;
}

bool script_guest_has(struct script_guest *guest, const char *field)
{
	struct question question = { guest, field, false };

	script_protected(guest->script, ask, &question, NULL);
	return question.answer;
}

enum script_tree script_guest_tree(const struct script_guest *guest)
{
	return guest->tree;
}

struct script_queue **script_guest_queue(struct script_guest *guest)
{
	return &guest->queue;
}

/* --- the calls ------------------------------------------------------------ */

static int run(struct script_guest *guest, struct script_call *call,
	       lua_CFunction body)
{
	if (!call)
		return ERR_NOMEM;
	call->guest = guest;
	guest->users++;
	return script_call_run(call, guest->tree, body);
}

int script_guest_load(struct script_guest *guest, script_done *done,
		      void *user)
{
	struct script_call *call = script_call_new(guest->script, done, user);

	if (!call)
		return ERR_NOMEM;
	call->name = strdup(guest->path ? guest->path : "the application");
	return run(guest, call, script_body_load);
}

int script_guest_parse_args(struct script_guest *guest, script_done *done,
			    void *user)
{
	return run(guest, script_call_args(guest->script,
					   guest->path ? guest->path : "app",
					   guest->argc, guest->argv, done,
					   user),
		   script_body_args);
}

int script_guest_init(struct script_guest *guest, script_done *done,
		      void *user)
{
	return run(guest, script_call_new(guest->script, done, user),
		   script_body_init);
}

bool script_guest_is_job(struct script_guest *guest)
{
	return script_guest_has(guest, "run");
}

int script_guest_start(struct script_guest *guest, struct script_conn *conn,
		       unsigned attempt, script_done *done, void *user)
{
	struct script_call *call = script_call_new(guest->script, done, user);

	if (call) {
		call->conn = conn;
		call->attempt = attempt;
	}
	return run(guest, call, script_body_start);
}

int script_guest_close(struct script_guest *guest,
		       const struct script_reason *reason, script_done *done,
		       void *user)
{
	return run(guest, script_call_reason(guest->script, reason, done,
					     user), script_body_close);
}

void script_guest_post_state(struct script_guest *guest, const char *from,
			     const char *to)
{
	script_queue_post(guest->script, guest, "on_state", from, to);
}

int script_guest_end_tasks(struct script_guest *guest, script_done *done,
			   void *user)
{
	return script_cancel_tasks(guest->script, guest->tree, done, user);
}
