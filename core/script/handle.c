#include "core/script/handle.h"

#include <assert.h>
#include <stdlib.h>

#include "core/script/failure.h"
#include "core/script/task.h"

#define NO_SLOT UINT32_MAX

struct script_slot {
	void *object;			/* NULL: not open */
	const struct script_handle_type *type;
	uint32_t generation;
	uint32_t next_free;
	enum script_tree tree;
};

struct handle {
	uint32_t index;
	uint32_t generation;
};

static struct script_slot *slot_of(struct script *script,
				   const struct handle *handle)
{
	struct script_slot *slot;

	if (handle->index >= script->slot_count)
		return NULL;
	slot = &script->slots[handle->index];
	return slot->generation == handle->generation ? slot : NULL;
}

static bool grow(struct script *script)
{
	uint32_t count = script->slot_count ? script->slot_count * 2 : 16;
	struct script_slot *slots =
		realloc(script->slots, count * sizeof(*slots));

	if (!slots)
		return false;
	for (uint32_t i = script->slot_count; i < count; i++)
		slots[i] = (struct script_slot){
			.generation = 1,
			.next_free = i + 1 < count ? i + 1 : NO_SLOT,
		};
	script->slot_free = script->slot_count;
	script->slot_count = count;
	script->slots = slots;
	return true;
}

static void release(struct script *script, uint32_t index)
{
	struct script_slot *slot = &script->slots[index];

	if (!slot->type->lasting)
		script->handle_count--;
	slot->object = NULL;
	slot->type = NULL;
	slot->generation++;
	slot->next_free = script->slot_free;
	script->slot_free = index;
}

static void close_slot(struct script *script, uint32_t index)
{
	struct script_slot *slot = &script->slots[index];
	const struct script_handle_type *type = slot->type;
	void *object = slot->object;

	release(script, index);
	if (object)
		type->close(object);
}

static const struct script_handle_type *type_of(lua_State *L)
{
	return lua_touserdata(L, lua_upvalueindex(1));
}

static int handle_close(lua_State *L)
{
	script_handle_close(L, 1, type_of(L));
	lua_pushboolean(L, 1);
	return 1;
}

static int handle_gc(lua_State *L)
{
	struct script *script = script_of(L);
	struct handle *handle = lua_touserdata(L, 1);

	if (script && slot_of(script, handle))
		close_slot(script, handle->index);
	handle->generation = 0;
	return 0;
}

static int handle_tostring(lua_State *L)
{
	const struct script_handle_type *type = type_of(L);
	struct handle *handle = luaL_checkudata(L, 1, type->metatable);
	bool open = slot_of(script_of(L), handle) != NULL;

	lua_pushfstring(L, "%s #%d%s", type->name, (int)handle->index + 1,
			open ? "" : " (closed)");
	return 1;
}

static void set_function(lua_State *L, const char *name,
			 lua_CFunction function,
			 const struct script_handle_type *type)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)type);
	lua_pushcclosure(L, function, 1);
	lua_setfield(L, -2, name);
}

/* __index: the methods first, then what the type computes. */
static int handle_index(lua_State *L)
{
	const struct script_handle_type *type =
		lua_touserdata(L, lua_upvalueindex(2));

	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
		return 1;
	lua_settop(L, 2);
	return type->index(L);
}

static void new_metatable(lua_State *L, const struct script_handle_type *type)
{
	lua_CFunction close = type->close_method ? type->close_method
						 : handle_close;

	lua_newtable(L);
	if (type->methods)
		luaL_setfuncs(L, type->methods, 0);
	set_function(L, "close", close, type);
	if (type->index) {
		lua_pushlightuserdata(L, (void *)(uintptr_t)type);
		lua_pushcclosure(L, handle_index, 2);
	}
	lua_setfield(L, -2, "__index");
	set_function(L, "__close", close, type);
	set_function(L, "__gc", handle_gc, type);
	set_function(L, "__tostring",
		     type->tostring ? type->tostring : handle_tostring, type);
	lua_pushstring(L, type->name);
	lua_setfield(L, -2, "__metatable");
}

void script_handle_new(lua_State *L, const struct script_handle_type *type,
		       int user_values)
{
	struct script *script = script_of(L);
	struct handle *handle;
	struct script_slot *slot;

	if (!type->lasting && script->handle_count >= script->config.handle_cap)
		script_raise(L, ERR_LIMIT, "too many open handles (%u)",
			     script->handle_count);
	handle = lua_newuserdatauv(L, sizeof(*handle), user_values);
	*handle = (struct handle){ 0 };
	if (luaL_newmetatable(L, type->metatable))
		new_metatable(L, type);
	lua_setmetatable(L, -2);
	if (script->slot_free == NO_SLOT && !grow(script))
		script_raise(L, ERR_LIMIT, "no memory for a %s", type->name);
	handle->index = script->slot_free;
	slot = &script->slots[handle->index];
	script->slot_free = slot->next_free;
	slot->type = type;
	slot->tree = script_current_tree(script);
	handle->generation = slot->generation;
	if (!type->lasting)
		script->handle_count++;
}

void script_handle_set(lua_State *L, int index, void *object)
{
	struct script *script = script_of(L);
	struct script_slot *slot = slot_of(script, lua_touserdata(L, index));

	assert(slot && !slot->object);
	slot->object = object;
}

void *script_handle_peek(lua_State *L, int index,
			 const struct script_handle_type *type)
{
	struct handle *handle = luaL_checkudata(L, index, type->metatable);
	struct script_slot *slot = slot_of(script_of(L), handle);

	return slot ? slot->object : NULL;
}

void *script_handle_test(lua_State *L, int index,
			 const struct script_handle_type *type)
{
	if (!luaL_testudata(L, index, type->metatable))
		return NULL;
	return script_handle_peek(L, index, type);
}

void *script_handle_check(lua_State *L, int index,
			  const struct script_handle_type *type)
{
	void *object = script_handle_peek(L, index, type);

	if (!object)
		luaL_error(L, "the %s is closed", type->name);
	return object;
}

void script_handle_close(lua_State *L, int index,
			 const struct script_handle_type *type)
{
	struct script *script = script_of(L);
	struct handle *handle = luaL_checkudata(L, index, type->metatable);

	if (slot_of(script, handle))
		close_slot(script, handle->index);
}

uint32_t script_handle_index(lua_State *L, int index)
{
	return ((struct handle *)lua_touserdata(L, index))->index + 1;
}

void script_handles_end(struct script *script, enum script_tree tree)
{
	for (uint32_t i = 0; i < script->slot_count; i++) {
		struct script_slot *slot = &script->slots[i];

		if (slot->type && !slot->type->lasting && slot->tree == tree)
			close_slot(script, i);
	}
}

void script_handles_clear(struct script *script)
{
	for (uint32_t i = 0; i < script->slot_count; i++)
		if (script->slots[i].type)
			close_slot(script, i);
	free(script->slots);
	script->slots = NULL;
	script->slot_count = 0;
	script->slot_free = NO_SLOT;
}
