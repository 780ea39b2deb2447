#include <stdlib.h>
#include <string.h>

#include "core/host/lua_parts.h"
#include "core/script/failure.h"

/* A fault: `fired` says how often it has happened; it outlives its cause. */

struct fault {
	struct list link;		/* in sim->faults */
	const struct simulation_fault *fault;	/* NULL: the end was seen */
	unsigned fired;
};

static void release(void *object)
{
	struct fault *self = object;

	list_remove(&self->link);
	free(self);
}

static int fault_index(lua_State *L);

static const luaL_Reg methods[] = {
	{ NULL, NULL },
};

static const struct script_handle_type fault_type = {
	.name = "fault",
	.metatable = "tunnel.fault",
	.close = release,
	.methods = methods,
	.index = fault_index,
	.lasting = true,
};

static unsigned fired(const struct fault *self)
{
	return self->fault ? self->fault->fired : self->fired;
}

static int fault_index(lua_State *L)
{
	struct fault *self = script_handle_check(L, 1, &fault_type);

	if (strcmp(luaL_checkstring(L, 2), "fired") == 0)
		lua_pushinteger(L, fired(self));
	else
		lua_pushnil(L);
	return 1;
}

int lua_fault_push(lua_State *L, struct lua_sim *sim,
		   const struct simulation_fault *fault)
{
	struct fault *self;

	if (!fault)
		return script_fail(L, ERR_NOMEM, "no memory for a fault");
	script_handle_new(L, &fault_type, 0);
	self = calloc(1, sizeof(*self));
	if (!self)
		return script_raise(L, ERR_LIMIT, "no memory for a fault");
	self->fault = fault;
	list_add_tail(&sim->faults, &self->link);
	script_handle_set(L, -1, self);
	return 1;
}

void lua_faults_detach(struct lua_sim *sim)
{
	struct list *link;

	while ((link = list_pop(&sim->faults)) != NULL) {
		struct fault *self = container_of(link, struct fault, link);

		self->fired = fired(self);
		self->fault = NULL;
	}
}
