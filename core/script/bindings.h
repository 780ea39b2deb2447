/*
 * core/script/bindings.h: what each binding file gives to core.c and to its
 * neighbours. Each adds its functions to the table on top of the stack.
 */
#ifndef TUNNELHOST_SCRIPT_BINDINGS_H
#define TUNNELHOST_SCRIPT_BINDINGS_H

#include "core/script/handle.h"
#include "core/script/state.h"

void script_add_task(lua_State *L);	/* spawn */
void script_add_group(lua_State *L);	/* group */
void script_add_timing(lua_State *L);	/* sleep, now, with_timeout */
void script_add_channel(lua_State *L);	/* channel */
void script_add_mutex(lua_State *L);	/* mutex */
void script_add_local(lua_State *L);	/* listen, connect, stdio */
void script_add_splice(lua_State *L);	/* splice */
void script_add_log(lua_State *L);	/* log */
void script_add_json(lua_State *L);	/* json */
void script_add_misc(lua_State *L);	/* uuid, env, version */
void script_add_fsm(lua_State *L);	/* fsm */

#define SCRIPT_JSON_CAP ((size_t)1 << 20)

/*
 * One operation of the host's that a task waits for: a userdata on its
 * stack, which `done` fills and wakes. Collected or abandoned: cancelled.
 */
struct script_pending {
	struct script *script;
	void *op;			/* NULL: not under way */
	void (*cancel)(struct script_pending *pending);
	void (*clear)(struct script_pending *pending);	/* its answer */
	void *owner;			/* for cancel */
	struct list waiter;
	struct list link;		/* of those on one connection */
	struct stream *stream;		/* an answer not yet taken */
	struct error error;
	bool done;
};
/* Pushes it, zeroed, `size` bytes with what follows; not under way yet. */
void *script_pending_new(lua_State *L, size_t size);
void script_pending_done(struct script_pending *pending,
			 const struct error *error);
void script_pending_connected(void *pending, struct stream *stream,
			      const struct error *error);
/* Waits until it is done or the deadline is there; `k` then. */
int script_pending_wait(lua_State *L, struct script_pending *pending,
			const char *what, uint64_t deadline_us,
			lua_KContext ctx, lua_KFunction k);
/* In k: true when there is an answer; else nil, err has been pushed. */
bool script_pending_answer(lua_State *L, struct script_pending *pending,
			   const char *what);

/* conn.c: the object behind a connection's handle. */
struct script_conn_object;
struct script_conn_object *script_conn_check(lua_State *L, int index);
int script_conn_closed(lua_State *L);	/* nil, err */
/*
 * Begins to dial; pushes the pending. False: nil, err has been pushed.
 */
bool script_conn_dial(lua_State *L, struct script_conn_object *self,
		      uint16_t port, uint64_t deadline_us);

int script_conn_ssh(lua_State *L);	/* ssh.c */
/* lua_datagram.c: pushes a handle; the datagram is taken unless it raises. */
void script_datagram_push(lua_State *L, struct script_datagram *datagram);

#endif
