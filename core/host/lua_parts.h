/*
 * core/host/lua_parts.h: what the binding files share.
 *
 * lua_open.c		tunnel.open, and where it goes
 * lua_netcheck.c	tunnel.netcheck
 * lua_tunnel.c		the handle that it gives
 * lua_simulate.c	tunnel.simulate and the simulation's handle
 * lua_workspace.c	a simulated workspace
 * lua_serve.c		its handlers in Lua: ports
 * lua_exec.c		and SSH requests
 * lua_fault.c		a fault
 */
#ifndef TUNNELHOST_HOST_LUA_PARTS_H
#define TUNNELHOST_HOST_LUA_PARTS_H

#include "core/host/lua_host.h"
#include "core/host/session.h"
#include "core/script/handle.h"
#include "core/script/script.h"
#include "core/simulate/serve.h"

/* --- a tunnel ------------------------------------------------------------- */

struct lua_sim;

struct lua_tunnel {
	struct script *script;
	struct session *session;
	struct script_guest *guest;	/* until there is a session */
	struct list link;		/* in lua_sim->tunnels, or nowhere */
	struct list waiters;
	int ref;			/* keeps the handle until the exit */
};

extern const struct script_handle_type lua_tunnel_type;
/* Pushes a new one, still without a session. */
struct lua_tunnel *lua_tunnel_push(lua_State *L);
/* It is on top of the stack and has a session: not to be collected now. */
void lua_tunnel_keep(lua_State *L, struct lua_tunnel *self);
/* session_config's on_change. */
void lua_tunnel_changed(void *user);
/*
 * tunnel.open(options) and sim:open(options): the table at `index`. `sim`
 * NULL: what is signed in to, or the workspace's own deployment.
 */
int lua_open(lua_State *L, struct lua_host *host, struct lua_sim *sim,
	     int index);

/*
 * With which token: the simulation's, or the person's, which is not sent to a
 * place of the script's choice. `url` may be NULL. `out` is to be cleared.
 */
int lua_sign_in(const struct lua_host *host, const struct lua_sim *sim,
		const char *url, struct login *out, struct error *error);
/* tunnel.netcheck(options) and sim:netcheck(options). */
int lua_netcheck(lua_State *L, struct lua_host *host, struct lua_sim *sim,
		 int index);

/* --- a simulation --------------------------------------------------------- */

struct lua_sim {
	struct script *script;
	struct lua_host *host;
	struct simulate_server *server;	/* NULL once closed */
	enum script_tree tree;		/* of its handlers' tasks */
	unsigned users;			/* its handle and its workspaces' */
	struct list tunnels;
	struct list workspaces;
	struct list faults;
	unsigned names;			/* given so far */
	int ref;
};

extern const struct script_handle_type lua_sim_type;
/* Keeps, or lets go; its last user frees it. */
void lua_sim_unref(struct lua_sim *sim);

struct lua_workspace {
	struct lua_sim *sim;
	struct simulation_workspace *workspace;	/* NULL: it is gone */
	struct list link;		/* in sim->workspaces */
	struct list ports;
	struct list jobs;		/* calls of handlers under way */
	struct sshd_handler handler;
	int on_exec;			/* a reference, or LUA_NOREF */
	unsigned users;			/* the simulation and its handle */
	struct rest_workspace_ref ref;
	char name[SIMULATION_NAME_CAP];
	char id[UUID_TEXT_CAP];
};

extern const struct script_handle_type lua_workspace_type;
/* sim:workspace(options) */
int lua_workspace_new(lua_State *L, struct lua_sim *sim, int index);
/* Its deployment is gone. */
void lua_workspace_detach(struct lua_workspace *self);

/* lua_serve.c */
struct lua_exec;
struct script_call;

/* A handler's call under way; freed with the call. */
struct lua_job {
	struct list link;		/* in workspace->jobs */
	int function;			/* borrowed reference, or LUA_NOREF */
	struct stream *stream;		/* of a port, until it is taken */
	struct lua_exec *exec;		/* or NULL: a port, or it is gone */
	struct log *log;
};

/* NULL: no memory. */
struct lua_job *lua_job_new(struct lua_workspace *workspace, int function);
/* Takes the job, also on failure. */
int lua_job_run(struct lua_workspace *workspace, struct lua_job *job,
		lua_CFunction body, script_done *done);
/* In a body. */
struct lua_job *lua_job_of(lua_State *L);
void lua_job_log(const struct lua_job *job,
		 const struct script_result *result);

/* lua_exec.c */
void lua_serve_exec(struct lua_workspace *self);
void lua_exec_forget_job(struct lua_exec *exec);

/* The functions of the table at `index`, by port; raises what is wrong. */
void lua_serve_ports(lua_State *L, struct lua_workspace *self, int index);
/* No handler is called any more; while the workspace is still there. */
void lua_serve_end(struct lua_workspace *self);

/* lua_fault.c: pushes a handle, or nil, err for NULL. */
int lua_fault_push(lua_State *L, struct lua_sim *sim,
		   const struct simulation_fault *fault);
void lua_faults_detach(struct lua_sim *sim);

#endif
