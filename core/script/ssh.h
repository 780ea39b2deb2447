/*
 * core/script/ssh.h: SSH sessions and channels as handles.
 */
#ifndef TUNNELHOST_SCRIPT_SSH_H
#define TUNNELHOST_SCRIPT_SSH_H

#include "core/conn/sshc.h"
#include "core/script/lua_stream.h"

struct script_ssh {
	struct script *script;
	struct sshc *sshc;		/* NULL once closed */
	bool ready;
	bool released;			/* no handle any more */
	bool opening;			/* a task waits for `ready` */
	struct error end;		/* code 0: it lives */
	struct list waiters;
	struct list channels;
};

/* stderr of a channel; a stream of its own. */
struct script_ssh_stderr {
	struct script_stream base;
	struct script_channel *channel;	/* NULL once that is gone */
};

struct script_channel {
	struct script_stream base;	/* first: it is a stream */
	struct script_ssh *ssh;
	struct sshc_channel *channel;	/* NULL once closed */
	struct list link;
	struct script_ssh_stderr *err;
	bool opened;
	bool exited;
	int status;
	char signal[32];
	struct error failure;
	struct list waiters;
};

extern const struct script_handle_type script_ssh_type;
extern const struct script_handle_type script_channel_type;

/*
 * Pushes a channel handle (user value 1: its stderr, 2: the session at
 * index 1) and begins to open it. False: nil, err has been pushed.
 */
bool script_channel_open(lua_State *L, const struct sshc_request *request);
/* Closes the channel beneath; the handle stays. */
void script_channel_end(struct script_channel *self);
/* The session at index 1 is closed or ended: all channels are gone. */
int script_ssh_gone(lua_State *L, const struct script_ssh *self);

/* ssh_exec.c */
int script_ssh_exec(lua_State *L);
/* ssh_request.c */
struct script_request {
	struct sshc_request request;
	struct sshc_pty pty;
	struct sshc_env env[SSHC_ENV_CAP];
};
/*
 * Reads env= (a table at `env`, 0: none) and pty= (true or a table at
 * `pty`, 0: none). The strings are borrowed from those tables.
 */
void script_request_read(lua_State *L, struct script_request *out, int env,
			 int pty);
/* Pushes the command at `index`: a string, or a table that is quoted. */
const char *script_request_command(lua_State *L, int index);

#endif
