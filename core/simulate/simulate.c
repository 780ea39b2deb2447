#include "core/simulate/simulate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/simulate/exec.h"
#include "core/simulate/simulate_private.h"

#define RESUME_LIFETIME_S (24 * 60 * 60)
#define TOKEN_ID_LEN 10
#define TOKEN_SECRET_LEN 22

static void random_text(struct rng *rng, char *out, size_t len)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

	for (size_t i = 0; i < len; i++)
		out[i] = letters[rng_below(rng, sizeof(letters) - 1)];
	out[len] = '\0';
}

static void make_token(struct simulation *sim)
{
	if (sim->config.token) {
		snprintf(sim->token, sizeof(sim->token), "%s",
			 sim->config.token);
		return;
	}
	random_text(sim->config.rng, sim->token, TOKEN_ID_LEN);
	sim->token[TOKEN_ID_LEN] = '-';
	random_text(sim->config.rng, sim->token + TOKEN_ID_LEN + 1,
		    TOKEN_SECRET_LEN);
}

static void make_names(struct simulation *sim)
{
	struct rng *rng = sim->config.rng;

	make_token(sim);
	snprintf(sim->user_name, sizeof(sim->user_name), "%s",
		 sim->config.user_name ? sim->config.user_name : "simulated");
	uuid_random(rng, &sim->user_id);
	uuid_random(rng, &sim->organization_id);
	uuid_random(rng, &sim->deployment_id);
}

static void make_relay(struct simulation *sim)
{
	struct key32 key;

	key_private(sim->config.rng, &key);
	derp_relay_init(&sim->relay, &key, sim->config.rng);
	key_wipe(&key);
	sim->relay_deadline =
		(struct timer){ .fire = relay_deadline_fired, .user = sim };
}

static void init_lists(struct simulation *sim)
{
	list_init(&sim->workspaces);
	list_init(&sim->watchers);
	list_init(&sim->coordinate_sockets);
	list_init(&sim->relay_sockets);
	list_init(&sim->faults);
}

static bool refuse(void *context, enum sshd_kind kind, const char *name)
{
	(void)context;
	(void)kind;
	(void)name;
	return false;
}

static int refuse_start(void *context, struct sshd_channel *channel,
			const struct sshd_request *request, void **run)
{
	(void)context;
	(void)channel;
	(void)request;
	(void)run;
	return ERR_DENIED;
}

static void init_exec(struct simulation *sim)
{
	if (sim->config.no_processes)
		sim->exec = (struct sshd_handler){ .accepts = refuse,
						   .start = refuse_start };
	else
		exec_handler_init(&sim->exec, sim->config.loop);
}

int simulation_new(const struct simulation_config *config,
		   struct simulation **out, struct error *error)
{
	struct simulation *sim = calloc(1, sizeof(*sim));
	int err;

	if (!sim)
		return error_set(error, ERR_NOMEM,
				 "no memory for a deployment");
	sim->config = *config;
	sim->service.serve = sim_serve;
	init_lists(sim);
	make_names(sim);
	make_relay(sim);
	resume_tokens_init(&sim->tokens, config->rng,
			   config->resume_lifetime_s ?
				   config->resume_lifetime_s :
				   RESUME_LIFETIME_S);
	init_exec(sim);
	err = coordinator_new(config->rng, &sim->coordinator);
	if (err < 0)
		error_set(error, err, "no memory for a coordinator");
	else if (!config->no_stun)
		err = stun_open(sim, error);
	if (err < 0) {
		simulation_free(sim);
		return err;
	}
	*out = sim;
	return 0;
}

void simulation_free(struct simulation *sim)
{
	if (!sim)
		return;
	watch_drop_all(sim, 1001);
	while (!list_empty(&sim->workspaces))
		workspace_free(container_of(sim->workspaces.next,
					    struct simulation_workspace,
					    link));
	coordinate_drop_all(sim, 1001);
	relay_drop_all(sim, true, 1001);
	if (sim->stun)
		sim->stun->ops->close(sim->stun);
	timer_stop(sim->config.loop, &sim->relay_deadline);
	derp_relay_clear(&sim->relay);
	if (sim->coordinator)
		coordinator_free(sim->coordinator);
	resume_tokens_wipe(&sim->tokens);
	derp_map_clear(&sim->derp_map);
	faults_free(sim);
	explicit_bzero(sim->token, sizeof(sim->token));
	free(sim);
}

static int parse_port(const char *text, uint16_t *out)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	if (port == 0 || port > UINT16_MAX || *end)
		return ERR_MISUSE;
	*out = (uint16_t)port;
	return 0;
}

/* host[:port], or [v6][:port], to the end of the text. */
static int parse_authority(struct simulation *sim, const char *at)
{
	bool bracket = *at == '[';
	size_t len = bracket ? strcspn(++at, "]") : strcspn(at, ":/");
	const char *rest = at + len + (bracket && at[len] ? 1 : 0);

	if (len == 0)
		return ERR_MISUSE;
	if (len >= sizeof(sim->host))
		return ERR_TOO_LARGE;
	memcpy(sim->host, at, len);
	sim->host[len] = '\0';
	sim->port = sim->plain_http ? 80 : 443;
	if (*rest == '\0')
		return 0;
	return *rest == ':' ? parse_port(rest + 1, &sim->port) : ERR_MISUSE;
}

int simulation_set_url(struct simulation *sim, const char *url)
{
	int err;

	if (strlen(url) >= sizeof(sim->url))
		return ERR_TOO_LARGE;
	sim->plain_http = strncmp(url, "http://", 7) == 0;
	if (!sim->plain_http && strncmp(url, "https://", 8) != 0)
		return ERR_MISUSE;
	err = parse_authority(sim, url + (sim->plain_http ? 7 : 8));
	if (err < 0)
		return err;
	memcpy(sim->url, url, strlen(url) + 1);
	return sim_make_derp_map(sim);
}

int simulation_set_upgrade_port(struct simulation *sim, uint16_t port)
{
	if (!*sim->url || !list_empty(&sim->workspaces))
		return ERR_MISUSE;
	sim->upgrade_port = port;
	return sim_make_derp_map(sim);
}

struct service *simulation_service(struct simulation *sim)
{
	return &sim->service;
}

const char *simulation_token(const struct simulation *sim)
{
	return sim->token;
}

const char *simulation_user(const struct simulation *sim)
{
	return sim->user_name;
}

const char *simulation_url(const struct simulation *sim)
{
	return sim->url;
}

const struct derp_map *simulation_derp_map(const struct simulation *sim)
{
	return &sim->derp_map;
}

struct uuid simulation_last_peer(const struct simulation *sim)
{
	return sim->last_peer;
}

void simulation_mute_ready(struct simulation *sim, bool mute)
{
	coordinator_mute_ready(sim->coordinator, mute);
}

static size_t count(const struct list *head)
{
	size_t n = 0;

	list_each(at, next, head)
		n++;
	return n;
}

void simulation_get_stats(const struct simulation *sim,
			  struct simulation_stats *out)
{
	struct coordinator_stats coordinator;

	coordinator_stats(sim->coordinator, &coordinator);
	*out = (struct simulation_stats){
		.requests = sim->requests,
		.usage_posts = sim->usage_posts,
		.watchers = count(&sim->watchers),
		.coordinate_sockets = count(&sim->coordinate_sockets),
		.relay_sockets = count(&sim->relay_sockets),
		.update_self = coordinator.update_self,
		.add_tunnel = coordinator.add_tunnel,
		.ready_for_handshake = coordinator.ready_for_handshake,
		.disconnects = coordinator.disconnect,
		.clients = coordinator.clients,
		.stun_requests = sim->stun_requests,
		.flows = sim->flows,
		.flows_open = sim->flows_open,
	};
}

struct simulation_workspace *sim_workspace(const struct simulation *sim,
					   const struct uuid *id)
{
	list_each(at, next, &sim->workspaces) {
		struct simulation_workspace *workspace = container_of(
			at, struct simulation_workspace, link);

		if (uuid_equal(&workspace->id, id))
			return workspace;
	}
	return NULL;
}

struct agent *sim_agent(const struct simulation *sim, const struct uuid *id)
{
	list_each(at, next, &sim->workspaces) {
		struct simulation_workspace *workspace = container_of(
			at, struct simulation_workspace, link);

		for (size_t i = 0; i < workspace->agent_count; i++)
			if (uuid_equal(&workspace->agents[i]->id, id))
				return workspace->agents[i];
	}
	return NULL;
}

bool sim_has_agent_key(const struct simulation *sim, const struct key32 *key)
{
	list_each(at, next, &sim->workspaces) {
		struct simulation_workspace *workspace = container_of(
			at, struct simulation_workspace, link);

		for (size_t i = 0; i < workspace->agent_count; i++) {
			const struct node *node = workspace->agents[i]->node;

			if (node && key_equal(node_public_key(node), key))
				return true;
		}
	}
	return false;
}
