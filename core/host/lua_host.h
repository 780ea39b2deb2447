/*
 * core/host/lua_host.h: what the bindings of core/host stand on, and their
 * registration: `open` and `simulate`.
 */
#ifndef TUNNELHOST_HOST_LUA_HOST_H
#define TUNNELHOST_HOST_LUA_HOST_H

#include "core/base/log.h"
#include "core/base/rng.h"
#include "core/host/login.h"
#include "core/io/io.h"
#include "core/script/script.h"

/* The owner's; outlives the scripts that it is registered with. */
struct lua_host {
	struct io *io;
	struct rng *rng;
	struct log *log;
	const char *lua_path;
	/* Who has signed in: a URL and a token, or empty for not yet. */
	const struct login *login;
	struct login_options login_options;
	const struct http_header *headers;	/* the person's own */
	size_t header_count;
	/*
	 * Scripts may do what the process may (a plain lua5.4): run commands
	 * in a simulation, send the token to a URL of their choice.
	 */
	bool trusted;
};

/* Before any load. 0 or ERR_NOMEM. */
int lua_host_register(struct script *script, struct lua_host *host);

#endif
