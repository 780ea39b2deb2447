/*
 * core/script/lua_stream.h: streams as handles, and types built on them.
 *
 * A type that is a stream and more (an SSH channel) embeds struct
 * script_stream as its first member, uses script_stream_methods and is named
 * in is_stream().
 */
#ifndef TUNNELHOST_SCRIPT_LUA_STREAM_H
#define TUNNELHOST_SCRIPT_LUA_STREAM_H

#include "core/base/buf.h"
#include "core/script/handle.h"

#define SCRIPT_SEND_CAP ((size_t)4 << 20)
#define SCRIPT_LINE_CAP ((size_t)64 << 10)
#define SCRIPT_ALL_CAP ((size_t)8 << 20)

enum script_receive {
	SCRIPT_RECEIVE_COUNT,
	SCRIPT_RECEIVE_ANY,
	SCRIPT_RECEIVE_LINE,
	SCRIPT_RECEIVE_FULL_LINE,	/* with its end */
	SCRIPT_RECEIVE_ALL,
};

struct script_stream {
	struct script *script;
	struct stream *stream;		/* NULL once closed */
	/* Gives the stream back; NULL: stream_close(). */
	void (*give_back)(struct script_stream *self);
	/* Frees the object, once it is closed and no task is inside. */
	void (*dispose)(struct script_stream *self);
	bool closed;			/* by us, or with what carried it */
	bool released;			/* no handle any more */
	bool reading;			/* a task waits inside */
	bool writing;
	bool receive_ended;		/* shutdown("both") */
	struct list readers;
	struct list writers;
	struct buf in;			/* of the receive under way */
	enum script_receive want;
	size_t want_len;		/* of COUNT; else the most */
	uint64_t read_deadline_us;
	size_t sent;			/* of the send under way */
	uint64_t write_deadline_us;
	struct script_splice *splice;
};

extern const struct script_handle_type script_stream_type;
extern const luaL_Reg script_stream_methods[];

/* Takes over on_change. */
void script_stream_init(struct script_stream *self, struct script *script,
			struct stream *stream);
/* A type's close: closes the stream, and disposes when nobody is inside. */
void script_stream_release(void *object);
/* A task has left: disposes of what is released and empty. */
void script_stream_leave(struct script_stream *self);
/* What carried the stream is gone, and the stream with it. */
void script_stream_detach(struct script_stream *self);
/* Pushes a handle of the usual type, which takes `stream` unless it raises. */
void script_stream_push(lua_State *L, struct stream *stream);
struct script_stream *script_stream_check(lua_State *L, int index);
int script_stream_tostring(lua_State *L);

/*
 * For bindings: a receive with its arguments from `index` on ("l", 5,
 * {timeout=}); it must be the last thing done.
 */
int script_stream_receive(lua_State *L, struct script_stream *self,
			  enum script_receive want, size_t len,
			  uint64_t deadline_us);
/* Sends the string at index 2, likewise. */
int script_stream_send(lua_State *L, struct script_stream *self,
		       uint64_t deadline_us);
/* stream_receive.c, stream_send.c */
int script_stream_method_receive(lua_State *L);
int script_stream_method_receive_any(lua_State *L);
int script_stream_method_lines(lua_State *L);
int script_stream_method_send(lua_State *L);
int script_stream_method_flush(lua_State *L);
/* lua_splice.c: the stream is being closed. */
void script_splice_stop(struct script_splice *splice);
void script_stream_watch(struct script_stream *self);

#endif
