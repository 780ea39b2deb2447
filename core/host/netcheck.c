#include "core/host/netcheck.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/time.h"

#define PATIENCE_US (6 * US_PER_S)

struct netcheck {
	struct netcheck_config config;
	struct login login;
	struct rest rest;
	struct rest_call *call;
	struct node *node;
	uint8_t address[1][16];
	struct task finish;
	struct timer deadline;
	uint64_t began_us;
	struct netcheck_result result;
};

static void free_netcheck(struct netcheck *self)
{
	rest_cancel(self->call);
	task_cancel(&self->finish);
	timer_stop(self->config.loop, &self->deadline);
	node_free(self->node);
	derp_map_clear(&self->result.derp_map);
	login_clear(&self->login);
	free(self);
}

void netcheck_cancel(struct netcheck *self)
{
	free_netcheck(self);
}

static void fail(struct netcheck *self, const struct error *error)
{
	netcheck_done *done = self->config.done;
	void *user = self->config.user;
	struct error copy = *error;

	free_netcheck(self);
	done(user, NULL, &copy);
}

static void finish(struct netcheck *self)
{
	node_report(self->node, &self->result.report);
	self->config.done(self->config.user, &self->result, NULL);
	free_netcheck(self);
}

static void run_finish(struct task *task)
{
	finish(task->user);
}

static void deadline_fired(struct timer *timer)
{
	finish(timer->user);
}

/* The node may not be freed in its own callback. */
static void on_turn(void *user)
{
	struct netcheck *self = user;

	if (!self->node)
		return;
	node_report(self->node, &self->result.report);
	if (self->result.report.surveyed && self->result.report.home_up)
		task_post(self->config.loop, &self->finish);
}

static const struct node_events events = { .on_turn = on_turn };

/* As a tunnel's own: in Tailscale's prefix, the rest random. */
static void make_address(struct netcheck *self)
{
	static const uint8_t prefix[6] = { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0 };

	rng_bytes(self->config.rng, self->address[0], 16);
	memcpy(self->address[0], prefix, sizeof(prefix));
}

static int start_node(struct netcheck *self, struct error *error)
{
	const struct node_config config = {
		.loop = self->config.loop,
		.network = self->config.network,
		.rng = self->config.rng,
		.log = self->config.log,
		.addresses = self->address,
		.address_count = 1,
		.derp_map = &self->result.derp_map,
		.home_region = derp_map_first_home(&self->result.derp_map),
		.force_websockets = self->result.force_websockets,
		.events = &events,
		.user = self,
	};

	make_address(self);
	return node_new(&config, &self->node, error);
}

static void on_connection(void *user, const struct error *error,
			  struct rest_connection *connection)
{
	struct netcheck *self = user;
	uint64_t now_us = loop_now_us(self->config.loop);
	struct error failure;

	self->call = NULL;
	if (error) {
		fail(self, error);
		return;
	}
	self->result.derp_map = connection->derp_map;
	connection->derp_map = (struct derp_map){ .region_count = 0 };
	self->result.direct_disabled = connection->disable_direct_connections;
	self->result.force_websockets = connection->derp_force_websockets;
	self->result.rest_us = now_us - self->began_us;
	if (start_node(self, &failure) < 0)
		fail(self, &failure);
	else
		timer_set(self->config.loop, &self->deadline,
			  now_us + PATIENCE_US);
}

int netcheck_start(const struct netcheck_config *config, struct netcheck **out,
		   struct error *error)
{
	struct netcheck *self = calloc(1, sizeof(*self));
	int err;

	if (!self)
		return error_set(error, ERR_NOMEM, "no memory for a netcheck");
	self->config = *config;
	self->login = *config->login;
	self->config.login = &self->login;
	self->began_us = loop_now_us(config->loop);
	self->finish = (struct task){ .run = run_finish, .user = self };
	self->deadline = (struct timer){ .fire = deadline_fired,
					 .user = self };
	self->rest = (struct rest){
		.network = config->network,
		.url = self->login.url,
		.token = self->login.token,
		.headers = config->headers,
		.header_count = config->header_count,
	};
	err = rest_get_connection(&self->rest, NULL, on_connection, self,
				  &self->call, error);
	if (err < 0) {
		self->call = NULL;
		free_netcheck(self);
		return err;
	}
	*out = self;
	return 0;
}
