#include <stdlib.h>
#include <string.h>

#include "core/host/lua_parts.h"
#include "core/host/lua_stats.h"
#include "core/host/netcheck.h"
#include "core/script/bindings.h"
#include "core/script/failure.h"
#include "core/script/options.h"
#include "core/script/task.h"

/* tunnel.netcheck{url=, timeout=} and sim:netcheck{timeout=}. */

#define NETCHECK_S 30

struct check {
	struct script_pending pending;
	struct netcheck_result *result;	/* owned */
	char url[LOGIN_URL_CAP];
};

static void clear(struct script_pending *pending)
{
	struct check *check = container_of(pending, struct check, pending);

	if (check->result)
		derp_map_clear(&check->result->derp_map);
	free(check->result);
	check->result = NULL;
}

static void cancel(struct script_pending *pending)
{
	netcheck_cancel(pending->op);
	pending->op = NULL;
}

/* The map is kept for the names of the regions. */
static int keep(struct check *check, const struct netcheck_result *result)
{
	check->result = malloc(sizeof(*result));
	if (!check->result)
		return ERR_NOMEM;
	*check->result = *result;
	check->result->derp_map = (struct derp_map){ .region_count = 0 };
	return derp_map_copy(&result->derp_map, &check->result->derp_map);
}

static void checked(void *user, const struct netcheck_result *result,
		    const struct error *error)
{
	struct check *check = user;
	struct error failure;

	if (result && keep(check, result) < 0) {
		error_set(&failure, ERR_LIMIT, "no memory for a netcheck");
		error = &failure;
	}
	script_pending_done(&check->pending, error);
}

static void push_result(lua_State *L, const struct check *check)
{
	const struct netcheck_result *result = check->result;

	luaL_checkstack(L, 10, "netcheck");
	lua_push_network(L, &result->report, &result->derp_map);
	lua_pushstring(L, check->url);
	lua_setfield(L, -2, "deployment");
	lua_pushnumber(L, (lua_Number)result->rest_us / 1e6);
	lua_setfield(L, -2, "deployment_latency");
	lua_pushboolean(L, !result->direct_disabled);
	lua_setfield(L, -2, "direct_allowed");
	lua_pushboolean(L, result->force_websockets);
	lua_setfield(L, -2, "websockets_only");
}

static int checked_k(lua_State *L, int status, lua_KContext ctx)
{
	struct check *check = lua_touserdata(L, -1);

	(void)status;
	(void)ctx;
	script_woken(L);
	if (!script_pending_answer(L, &check->pending, "netcheck"))
		return 2;
	push_result(L, check);
	return 1;
}

static int start(struct check *check, struct lua_host *host,
		 struct lua_sim *sim, const char *url, struct error *error)
{
	struct login login = { .url = "" };
	const struct netcheck_config config = {
		.loop = io_loop(host->io),
		.network = io_network(host->io),
		.rng = host->rng,
		.log = host->log,
		.login = &login,
		.headers = host->headers,
		.header_count = host->header_count,
		.done = checked,
		.user = check,
	};
	struct netcheck *netcheck;
	int err = lua_sign_in(host, sim, url, &login, error);

	if (err == 0)
		err = netcheck_start(&config, &netcheck, error);
	if (err == 0) {
		check->pending.op = netcheck;
		check->pending.cancel = cancel;
		memcpy(check->url, login.url, sizeof(check->url));
	}
	login_clear(&login);
	return err;
}

int lua_netcheck(lua_State *L, struct lua_host *host, struct lua_sim *sim,
		 int index)
{
	uint64_t deadline = script_deadline_default(L, NETCHECK_S);
	const char *url = NULL;
	const struct script_option options[] = {
		{ "timeout", SCRIPT_OPTION_TIMEOUT, &deadline },
		{ "url", SCRIPT_OPTION_STRING, &url },
	};
	struct check *check;
	struct error error;

	script_options(L, index, options, sim ? 1 : 2);
	script_may_wait(L, "netcheck");
	if (sim && !sim->server)
		return luaL_error(L, "the simulation is closed");
	check = script_pending_new(L, sizeof(*check));
	check->pending.clear = clear;
	if (start(check, host, sim, url, &error) < 0)
		return script_fail_with(L, &error);
	return script_pending_wait(L, &check->pending, "netcheck", deadline, 0,
				   checked_k);
}
