#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/host/lua_parts.h"
#include "core/script/failure.h"
#include "core/script/options.h"

/* tunnel.open(options): which workspace, with which application. */

#define TIMEOUT_S 600
#define SHUTDOWN_S 5

struct opening {
	struct lua_host *host;
	struct lua_sim *sim;
	int workspace;		/* stack indices; 0: not given */
	int app;
	int args;
	int reconnect;
	int direct;
	const char *agent;
	const char *starter;
	const char *url;
	bool no_autostart;
	bool no_wait_for_scripts;
	bool force_relay;
	uint64_t timeout;	/* deadlines */
	uint64_t shutdown_timeout;
	struct rest_workspace_ref ref;
	struct login login;
};

static void read_options(lua_State *L, struct opening *opening, int index)
{
	const struct script_option options[] = {
		{ "workspace", SCRIPT_OPTION_VALUE, &opening->workspace },
		{ "agent", SCRIPT_OPTION_STRING, &opening->agent },
		{ "app", SCRIPT_OPTION_VALUE, &opening->app },
		{ "args", SCRIPT_OPTION_VALUE, &opening->args },
		{ "starter", SCRIPT_OPTION_STRING, &opening->starter },
		{ "url", SCRIPT_OPTION_STRING, &opening->url },
		{ "no_autostart", SCRIPT_OPTION_BOOLEAN,
		  &opening->no_autostart },
		{ "no_wait_for_scripts", SCRIPT_OPTION_BOOLEAN,
		  &opening->no_wait_for_scripts },
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &opening->timeout },
		{ "shutdown_timeout", SCRIPT_OPTION_TIMEOUT,
		  &opening->shutdown_timeout },
		{ "reconnect", SCRIPT_OPTION_VALUE, &opening->reconnect },
		{ "direct", SCRIPT_OPTION_VALUE, &opening->direct },
	};

	luaL_checktype(L, index, LUA_TTABLE);
	script_options(L, index, options,
		       sizeof(options) / sizeof(options[0]));
	if (opening->reconnect && lua_toboolean(L, opening->reconnect))
		luaL_error(L, "option 'reconnect' is not there yet: open "
			   "another tunnel when this one has ended");
	if (opening->direct && !lua_isboolean(L, opening->direct))
		luaL_error(L, "option 'direct' must be a boolean");
	opening->force_relay = opening->direct &&
			       !lua_toboolean(L, opening->direct);
	if (opening->args && !opening->app)
		luaL_error(L, "option 'args' needs an 'app' that takes them");
}

static void set_agent(lua_State *L, struct opening *opening)
{
	struct rest_workspace_ref *ref = &opening->ref;

	if (!opening->agent)
		return;
	if (strlen(opening->agent) >= sizeof(ref->agent))
		luaL_error(L, "'%s' is no name of an agent", opening->agent);
	if (ref->agent[0] && strcmp(ref->agent, opening->agent) != 0)
		luaL_error(L, "which agent: '%s' or '%s'?", ref->agent,
			   opening->agent);
	snprintf(ref->agent, sizeof(ref->agent), "%s", opening->agent);
}

static void read_workspace(lua_State *L, struct opening *opening)
{
	struct lua_workspace *workspace;
	struct error error;

	if (!opening->workspace)
		luaL_error(L, "option 'workspace' is missing: which one?");
	workspace = script_handle_test(L, opening->workspace,
				       &lua_workspace_type);
	if (workspace) {
		if (opening->sim && opening->sim != workspace->sim)
			luaL_error(L, "workspace %s is another simulation's",
				   workspace->name);
		opening->sim = workspace->sim;
		opening->ref = workspace->ref;
	} else if (lua_type(L, opening->workspace) != LUA_TSTRING) {
		luaL_error(L, "option 'workspace' must be a name or a "
			   "simulated workspace, not a %s",
			   luaL_typename(L, opening->workspace));
	} else if (rest_parse_workspace(lua_tostring(L, opening->workspace),
					&opening->ref, &error) < 0) {
		luaL_error(L, "%s", error.message);
	}
	if (opening->sim && !opening->sim->server)
		luaL_error(L, "the simulation is closed");
	set_agent(L, opening);
}

/* --- who asks ------------------------------------------------------------- */

static bool same_url(const char *a, const char *b)
{
	size_t a_len = strlen(a);
	size_t b_len = strlen(b);

	while (a_len && a[a_len - 1] == '/')
		a_len--;
	while (b_len && b[b_len - 1] == '/')
		b_len--;
	return a_len == b_len && memcmp(a, b, a_len) == 0;
}

static void use_simulation(const struct lua_sim *sim, struct login *out)
{
	const struct simulate_facts *facts = simulate_server_facts(sim->server);

	snprintf(out->url, sizeof(out->url), "%s", facts->url);
	snprintf(out->token, sizeof(out->token), "%s", facts->token);
}

/* Unless the script could read the token anyway (docs/trust.md). */
int lua_sign_in(const struct lua_host *host, const struct lua_sim *sim,
		const char *url, struct login *out, struct error *error)
{
	struct login_options options = host->login_options;
	int err = 0;

	if (sim)
		use_simulation(sim, out);
	else if (host->trusted && url)
		options.url = url;
	if (!sim && host->login && host->login->url[0])
		*out = *host->login;
	else if (!sim)
		err = login_load(&options, out, error);
	if (err == ERR_MISUSE)
		err = error->code = ERR_DENIED;
	if (err < 0 || !url || same_url(url, out->url))
		return err;
	return error_set(error, ERR_DENIED, "the session is one of %s: its "
			 "token is not sent to %s", out->url, url);
}

/* --- the tunnel ----------------------------------------------------------- */

static uint64_t left(const struct lua_tunnel *self, uint64_t deadline)
{
	uint64_t now = loop_now_us(self->script->config.loop);

	if (deadline == DEADLINE_NONE)
		return (uint64_t)1000000000 * US_PER_S;
	return deadline > now ? deadline - now : 0;
}

static int start(struct lua_tunnel *self, struct opening *opening)
{
	const struct session_config config = {
		.host = opening->host,
		.script = self->script,
		.guest = self->guest,
		.ref = opening->ref,
		.login = &opening->login,
		.starter = opening->starter,
		.fsm = { .no_autostart = opening->no_autostart,
			 .no_wait_for_scripts =
				 opening->no_wait_for_scripts },
		.force_relay = opening->force_relay,
		.timeout_us = left(self, opening->timeout),
		.shutdown_timeout_us = left(self, opening->shutdown_timeout),
		.on_change = lua_tunnel_changed,
		.user = self,
	};
	int err = session_new(&config, &self->session);

	if (err < 0)
		return err;
	self->guest = NULL;
	if (opening->sim)
		list_add_tail(&opening->sim->tunnels, &self->link);
	return 0;
}

int lua_open(lua_State *L, struct lua_host *host, struct lua_sim *sim,
	     int index)
{
	struct opening opening = {
		.host = host,
		.sim = sim,
		.timeout = script_deadline_default(L, TIMEOUT_S),
		.shutdown_timeout = script_deadline_default(L, SHUTDOWN_S),
	};
	struct lua_tunnel *self;
	struct error error;
	int err;

	read_options(L, &opening, index);
	read_workspace(L, &opening);
	self = lua_tunnel_push(L);
	if (opening.app)
		self->guest = script_guest_new(L, opening.app, opening.args);
	/* From here to its wiping nothing may raise: there is a token. */
	err = lua_sign_in(host, opening.sim, opening.url, &opening.login, &error);
	if (err == 0 && start(self, &opening) < 0)
		err = error_set(&error, ERR_NOMEM, "no memory for a tunnel");
	login_clear(&opening.login);
	if (err == 0) {
		lua_tunnel_keep(L, self);
		return 1;
	}
	script_handle_close(L, -1, &lua_tunnel_type);
	return script_fail_with(L, &error);
}
