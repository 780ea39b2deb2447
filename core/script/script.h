/*
 * core/script/script.h: the Lua host, as core/host sees it.
 *
 * One `struct script` is one Lua 5.4 state with one application or starter
 * in it: its tasks, its budgets, its handles. The room follows
 * docs/lua-api.md to the letter. It never opens a socket, reads a clock or
 * knows a tunnel: loop, randomness, streams and the connection are handed in
 * as the small interfaces below, which tests fill with pipes.
 *
 * Everything that runs Lua runs it as a task from the loop: a call returns
 * at once, and its `done` comes exactly once, from the loop, unless
 * script_free() comes first. Pointers inside what is handed to a callback
 * are borrowed for the callback.
 */
#ifndef TUNNELHOST_SCRIPT_SCRIPT_H
#define TUNNELHOST_SCRIPT_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/id.h"
#include "core/base/log.h"
#include "core/base/loop.h"
#include "core/base/rng.h"
#include "core/base/stream.h"

struct lua_State;
struct luaL_Reg;
struct script;

/* Exit statuses that the room itself decides (docs/cli.md). */
#define SCRIPT_STATUS_USAGE 64
#define SCRIPT_STATUS_UNREACHABLE 69
#define SCRIPT_STATUS_FAILED 70
#define SCRIPT_STATUS_DENIED 77
#define SCRIPT_STATUS_UNREADABLE 78
#define SCRIPT_STATUS_TIMEOUT 124

/*
 * Whose task and handle it is. LOAD lives until script_free(): the main
 * chunk, init, on_state and its kin, on_down, a starter. TUNNEL is what
 * start, run and close made; script_cancel_tasks() ends it.
 */
enum script_tree {
	SCRIPT_TREE_LOAD,
	SCRIPT_TREE_TUNNEL,
	SCRIPT_TREE_COUNT,
};

/* Exactly one of stream (taken) and error is not NULL. */
typedef void script_connected(void *user, struct stream *stream,
			      const struct error *error);

/* Local sockets: core/io by script_local_io(), or a test's own. */
struct script_local {
	/* Begins; 0 and *op, or a negative enum err without callback. */
	int (*connect)(struct script_local *local, const char *address,
		       uint64_t timeout_us, script_connected *done, void *user,
		       void **op, struct error *error);
	void (*connect_cancel)(struct script_local *local, void *op);
	/* on_accept comes once a stream, which it takes; never an error. */
	int (*listen)(struct script_local *local, const char *address,
		      script_connected *on_accept, void *user, void **listener,
		      char bound[STREAM_ADDRESS_CAP], struct error *error);
	void (*listen_close)(struct script_local *local, void *listener);
};

struct script_config {
	struct loop *loop;
	struct rng *rng;
	struct log *log;		/* NULL: silent */
	struct script_local *local;	/* NULL: listen, connect: denied */
	/*
	 * Reads the process's stdin, writes its stdout; and its stderr.
	 * Borrowed; the script takes over on_change. NULL: none.
	 */
	struct stream *stdio;
	struct stream *diagnostics;
	const char *lua_path;		/* the lua/ directory; copied */
	size_t memory_cap;		/* 0: 64 MiB */
	uint64_t cpu_us;		/* between two waits; 0: 100 ms */
	size_t source_cap;		/* of one file; 0: 1 MiB */
	unsigned task_cap;		/* 0: 10000 */
	unsigned handle_cap;		/* 0: 4096 */
	/* Specs get the whole standard library (busted needs debug). */
	bool trusted;
};

/* 0, ERR_NOMEM, or what is wrong with the installation (lua_path). */
int script_new(const struct script_config *config, struct script **out,
	       struct error *error);
/* Ends everything at once, without callbacks; closes all handles. */
void script_free(struct script *script);

/* What a hook of on_down's kind decided. */
enum script_verdict {
	SCRIPT_VERDICT_NONE,
	SCRIPT_VERDICT_EXIT,
	SCRIPT_VERDICT_RECONNECT,
};

struct script_result {
	bool ok;
	int status;		/* exit status by docs/lua-api.md's rules */
	struct error error;	/* where !ok */
	const char *traceback;	/* of a Lua error without a code, or NULL */
	const char *text;	/* help or usage, from script_parse_args() */
	enum script_verdict verdict;
	uint64_t delay_us;	/* of SCRIPT_VERDICT_RECONNECT */
};
typedef void script_done(void *user, const struct script_result *result);

/*
 * 0; or ERR_NOMEM or ERR_LIMIT without callback, from each call with a done.
 * A done may start the next call, or script_free().
 */

/*
 * Reads an application, runs its main chunk (which may wait) and checks its
 * fields. A file that cannot be read or parsed: status 78.
 */
int script_load_app(struct script *script, const char *path,
		    script_done *done, void *user);
/*
 * The same with the source in memory (`run -e`). `name` for messages: "=app",
 * or "@" and a path, whose directory require() then searches first.
 */
int script_load_app_source(struct script *script, const char *source,
			   size_t len, const char *name, script_done *done,
			   void *user);
/*
 * Checks the arguments against the application's `options` and keeps them
 * for init, start and run. `--help`: ok, status 0, text is the help; then
 * nothing more is to be called. Wrong: status 64, text is the usage.
 */
int script_parse_args(struct script *script, const char *program, int argc,
		      char *const *argv, script_done *done, void *user);

bool script_is_job(const struct script *script);	/* it has `run` */
bool script_has(const struct script *script, const char *field);

/*
 * The connection of a tunnel: the host implements it on core/tunnel and
 * embeds this struct. It outlives script_conn_end() or script_free().
 */
struct script_conn;
struct lua_State;

struct script_ping {
	uint64_t latency_us;
	bool direct;
	char endpoint[64];
	char derp_region[64];
};
typedef void script_pinged(void *user, const struct script_ping *ping,
			   const struct error *error);

/*
 * A datagram "connection" to one port. Set by the script: on_receive. Like
 * the streams of dial it stays valid, if dead, after script_conn_end(),
 * until it is closed.
 */
struct script_datagram;
struct script_datagram_ops {
	int (*send)(struct script_datagram *datagram, const void *data,
		    size_t len);
	void (*close)(struct script_datagram *datagram);
};
struct script_datagram {
	const struct script_datagram_ops *ops;
	/* From the loop; data NULL: it has failed with `err`, for good. */
	void (*on_receive)(void *user, const uint8_t *data, size_t len,
			   int err);
	void *user;
};

struct script_conn_ops {
	/*
	 * Each begins: 0 and *op, and its callback comes once from the loop
	 * unless cancelled; or a negative enum err without callback.
	 */
	int (*dial)(struct script_conn *conn, uint16_t port,
		    uint64_t timeout_us, script_connected *done, void *user,
		    void **op);
	int (*ping)(struct script_conn *conn, uint64_t timeout_us,
		    script_pinged *done, void *user, void **op);
	void (*cancel)(struct script_conn *conn, void *op);
	int (*dial_udp)(struct script_conn *conn, uint16_t port,
			struct script_datagram **out);
	/* conn.tunnel:shutdown{status=}; status -1: not given. */
	void (*shutdown)(struct script_conn *conn, int status);
	/* The tunnel's state, a name of docs/fsm.md. */
	const char *(*state)(struct script_conn *conn);
	/* Pushes what conn:stats() gives, a table. */
	void (*push_stats)(struct script_conn *conn, struct lua_State *L);
};

struct script_conn {
	const struct script_conn_ops *ops;
	struct uuid agent_id;
	const char *agent_name;		/* borrowed for the life of the conn */
	const char *address;		/* the agent's, in the tailnet */
};

struct script_reason {
	/* signal stopped deleted build_failed replaced tailnet_lost … */
	const char *kind;
	const char *message;
	int code;			/* enum err, 0: none */
};

/* Hooks. A field that the application lacks: done with ok, at once. */
int script_call_init(struct script *script, script_done *done, void *user);
/* start or run, with `conn` (NULL: no tunnel) and the attempt from 1. */
int script_call_start(struct script *script, struct script_conn *conn,
		      unsigned attempt, script_done *done, void *user);
int script_call_close(struct script *script,
		      const struct script_reason *reason, script_done *done,
		      void *user);
int script_call_down(struct script *script,
		     const struct script_reason *reason, script_done *done,
		     void *user);
/* Queued for on_state, on_log, on_path; the oldest are dropped and counted. */
void script_post_state(struct script *script, const char *from,
		       const char *to);
void script_post_log(struct script *script, const char *source,
		     const char *line);
void script_post_path(struct script *script, const char *path);

/*
 * The tunnel is gone: pending operations end with `closed`, later calls
 * answer `closed`; `conn` is not touched any more.
 */
void script_conn_end(struct script *script, struct script_conn *conn);
/*
 * Cancels every task of the tree; those still there after the 2 s that
 * <close> may wait are dropped. Its handles are closed then. `done` with ok.
 */
int script_cancel_tasks(struct script *script, enum script_tree tree,
			script_done *done, void *user);

/* Starters. */
struct script_parameter {
	const char *name;
	const char *value;
};

struct script_build {
	char id[UUID_TEXT_CAP];
	int64_t number;
	char status[32];		/* of the job: pending, running … */
	char transition[16];
	char template_version_id[UUID_TEXT_CAP];
};

struct script_build_request {
	const char *transition;		/* "start" unless said otherwise */
	const char *template_version_id;	/* NULL: the last build's */
	const struct script_parameter *parameters;
	size_t parameter_count;
};

/* Exactly one of items and error is not NULL (items of none: count 0). */
typedef void script_builds(void *user, const struct script_build *items,
			   size_t count, const struct error *error);
typedef void script_parameters(void *user,
			       const struct script_parameter *items,
			       size_t count, const struct error *error);

struct script_workspace;
struct script_workspace_ops {
	/* As in script_conn_ops. 409: ERR_CONFLICT, 403: ERR_DENIED. */
	int (*build)(struct script_workspace *workspace,
		     const struct script_build_request *request,
		     script_builds *done, void *user, void **op);
	int (*builds)(struct script_workspace *workspace, script_builds *done,
		      void *user, void **op);
	int (*build_parameters)(struct script_workspace *workspace,
				script_parameters *done, void *user,
				void **op);
	void (*cancel)(struct script_workspace *workspace, void *op);
	void (*log)(struct script_workspace *workspace, const char *line);
};

/*
 * Borrowed until script_start_workspace()'s done, or until script_free().
 * A starter that must stop early: script_cancel_tasks(SCRIPT_TREE_LOAD).
 */
struct script_workspace {
	const struct script_workspace_ops *ops;
	const char *id;
	const char *name;
	const char *owner;
	const char *template_id;
	const char *active_version_id;	/* of its template, or NULL */
	struct script_build latest_build;
	bool interactive;
	const struct script_parameter *overrides;
	size_t override_count;
};

int script_load_starter(struct script *script, const char *path,
			script_done *done, void *user);
int script_start_workspace(struct script *script,
			   struct script_workspace *workspace,
			   script_done *done, void *user);

/*
 * The host's own functions, into the table that `require "tunnel"` gives
 * (open, simulate …). Each finds `user` as a light userdata in upvalue 1 and
 * the script by script_of(L). Before any load.
 */
int script_register(struct script *script, const struct luaL_Reg *functions,
		    void *user);

struct script_stats {
	size_t memory;
	size_t memory_peak;
	unsigned tasks;
	unsigned handles;
	uint64_t events_dropped;
};
void script_stats(const struct script *script, struct script_stats *out);

#endif
