/*
 * core/simulate/simulate_private.h: what the files of the embedded
 * deployment share. Nobody else includes it.
 *
 * simulate.c life and look-ups; workspace.c builds; agent*.c agents and what
 * they offer; routes.c and json.c REST; watch_socket.c, coordinate_socket.c
 * and relay_socket.c the three kinds of sockets; stun_socket.c; faults.c.
 */
#ifndef TUNNELHOST_SIMULATE_PRIVATE_H
#define TUNNELHOST_SIMULATE_PRIVATE_H

#include <jansson.h>

#include "core/base/list.h"
#include "core/simulate/simulate.h"
#include "core/tailnet/coordinate/coordinator.h"
#include "core/tailnet/coordinate/resume_token.h"
#include "core/tailnet/derp/derp_relay.h"
#include "core/tunnel/node.h"

#define SIMULATION_VERSION "v2.99.0-simulated"
#define PORT_CAP 64		/* handlers of one workspace */
#define BUILD_HISTORY_CAP 32	/* past builds that are still told of */

struct fault_rule {
	struct list link;
	struct simulation_fault fault;
	char *path;		/* NULL: no rule, only a counter */
	int status;
	unsigned times;		/* 0: for ever */
};

struct simulation {
	struct simulation_config config;
	struct service service;
	char token[SIMULATION_TOKEN_CAP];
	char user_name[SIMULATION_NAME_CAP];
	struct uuid user_id;
	struct uuid organization_id;
	struct uuid deployment_id;
	char url[SIMULATION_URL_CAP];
	char host[DERP_MAP_HOST_CAP];
	uint16_t port;
	bool plain_http;
	uint16_t upgrade_port;	/* 0: none */
	struct derp_map derp_map;
	struct list workspaces;
	struct list watchers;
	struct list coordinate_sockets;
	struct list relay_sockets;
	struct list faults;
	struct coordinator *coordinator;
	struct resume_tokens tokens;
	struct derp_relay relay;
	struct timer relay_deadline;
	struct datagram *stun;
	uint16_t stun_port;
	struct sshd_handler exec;
	struct uuid last_peer;
	uint64_t requests;
	uint64_t usage_posts;
	uint64_t stun_requests;
	uint64_t flows;
	size_t flows_open;
};

enum agent_step { AGENT_IDLE, AGENT_CONNECTS, AGENT_STARTS };

struct agent {
	struct simulation_workspace *workspace;
	struct simulation *sim;
	struct uuid id;
	char name[16];
	uint8_t addresses[2][16];
	const char *lifecycle;
	bool connected;
	int64_t connected_wall_us;	/* 0: never */
	enum agent_step step;
	struct timer clock;
	struct node *node;		/* NULL: down */
	struct coordinator_peer *peer;
	struct sshd *sshd;		/* made with the first connection */
	struct list flows;		/* struct flow */
	uint64_t next_forward;
	struct list ptys;		/* struct pty_session */
	size_t pty_count;
	struct list udp_flows;
	size_t udp_flow_count;
	struct list lost;		/* struct lost_peer */
	struct timer lost_timer;
};

/* A TCP connection that an agent serves by itself. */
struct flow {
	struct list link;
	struct agent *agent;
	void (*close)(struct flow *flow);	/* frees it */
};

enum job_step { JOB_DONE, JOB_PENDING, JOB_RUNNING };

struct build {
	struct uuid id;
	struct uuid job_id;
	int64_t number;
	const char *transition;
	const char *status;
	const char *error;		/* or NULL */
	int64_t created_wall_us;
	json_t *parameters;		/* [{name, value}], owned */
};

struct port_handler {
	uint16_t port;
	simulation_port *handler;
	void *user;
};

struct simulation_workspace {
	struct list link;
	struct simulation *sim;
	struct uuid id;
	struct uuid template_id;
	json_t *rich_parameters;	/* owned */
	char name[SIMULATION_NAME_CAP];
	struct simulation_clock clock;
	bool fail;
	const char *ready_lifecycle;
	const struct sshd_handler *ssh;	/* never NULL */
	size_t agents_wanted;
	struct build build;		/* the latest */
	struct build history[BUILD_HISTORY_CAP];	/* newest last */
	size_t history_count;
	struct agent *agents[SIMULATION_AGENT_CAP];
	size_t agent_count;
	struct agent *leaving[SIMULATION_AGENT_CAP];	/* of the last build */
	size_t leaving_count;
	enum job_step step;
	struct timer job;
	struct port_handler ports[PORT_CAP];
	size_t port_count;
	struct task restart;
	struct simulation_fault *restart_fault;
};

static inline uint64_t sim_now(const struct simulation *sim)
{
	return loop_now_us(sim->config.loop);
}

static inline struct network *sim_udp_network(const struct simulation *sim)
{
	return sim->config.udp_network ? sim->config.udp_network :
					 sim->config.network;
}

/* workspace.c */
void workspace_free(struct simulation_workspace *workspace);
/* Watchers look again. */
void workspace_changed(struct simulation_workspace *workspace);
/* As simulation_build(); `values` is borrowed, or NULL. */
int workspace_begin_build(struct simulation_workspace *workspace,
			  const char *transition, json_t *values);
bool workspace_runs(const struct simulation_workspace *workspace);
const struct build *workspace_build(const struct simulation_workspace *,
				    const struct uuid *id);
const struct port_handler *
workspace_port(const struct simulation_workspace *workspace, uint16_t port);

/* agent.c */
int agent_new(struct simulation_workspace *workspace, size_t number,
	      struct agent **out);
/* Connects now (0) or by the workspace's clock. */
void agent_begin(struct agent *agent, bool at_once);
void agent_restart(struct agent *agent);
/* In order: clients hear DISCONNECTED. */
void agent_free(struct agent *agent);

/* agent_peer.c: its place at the coordinator. */
int agent_join(struct agent *agent);
void agent_announce(struct agent *agent);
void agent_leave(struct agent *agent, bool in_order);

/* agent_ports.c */
int agent_listen(struct agent *agent);
void agent_flows_close(struct agent *agent);
void flow_begin(struct flow *flow, struct agent *agent,
		void (*close)(struct flow *flow));
void flow_end(struct flow *flow);	/* unlinks, does not free */
/* agent_forward.c: to 127.0.0.1 and ::1 by the dialler. */
int forward_begin(struct agent *agent, const struct ns_held *held);
bool forward_accept(struct agent *agent, uint64_t id, struct stream *stream);
/* agent_udp.c */
void agent_udp_listen(struct agent *agent);
void agent_udp_close(struct agent *agent);
/* agent_pty.c: the sessions outlive their connections. */
void agent_pty_serve(struct agent *agent, struct stream *stream);
void agent_ptys_close(struct agent *agent);
/* agent_speedtest.c, agent_api.c: take the stream. */
void speedtest_serve(struct agent *agent, struct stream *stream);
void agent_api_serve(struct agent *agent, struct stream *stream);

/* parameters.c: old values with new ones in their places; owned. */
json_t *parameters_merge(json_t *old, json_t *values);

/* derp_maps.c */
int sim_make_derp_map(struct simulation *sim);
json_t *derp_map_json(const struct derp_map *map);

/* json.c: each a new reference, or NULL without memory. */
json_t *user_json(const struct simulation *sim);
json_t *agent_json(const struct agent *agent, const struct uuid *resource);
json_t *build_json(const struct simulation_workspace *workspace,
		   const struct build *build);
json_t *workspace_json(const struct simulation_workspace *workspace);
json_t *connection_json(const struct simulation *sim);

/* routes.c */
void sim_serve(struct service *service, struct exchange *exchange,
	       const struct server_request *request);

/* One request on its way through the routes. */
struct route_call {
	struct simulation *sim;
	struct exchange *exchange;
	const struct server_request *request;
	char captures[2][128];
	struct simulation_workspace *workspace;
	struct agent *agent;
};
/* Takes `body`; NULL: 500. */
void route_answer(struct route_call *call, int status, json_t *body);
void route_error(struct route_call *call, int status, const char *message,
		 const char *detail);
#define ROUTE_NOT_FOUND                                                   \
	"Resource not found or you do not have access to this resource"
/* The first capture as an id; false: answered. */
bool route_id(struct route_call *call, struct uuid *id);
/* True, and answered with 426, unless it asks for a WebSocket. */
bool route_wants_upgrade(struct route_call *call);

/* watch_socket.c, coordinate_socket.c, relay_socket.c */
void watch_route(struct route_call *call);
void watch_look(struct simulation_workspace *workspace);
unsigned watch_emit(struct simulation_workspace *workspace, const char *json);
void watch_forget(struct simulation_workspace *workspace);
unsigned watch_drop_all(struct simulation *sim, int code);
void coordinate_route(struct route_call *call);
unsigned coordinate_drop_all(struct simulation *sim, int code);
void relay_route(struct route_call *call);
unsigned relay_drop_all(struct simulation *sim, bool agents, int code);
void relay_deadline_fired(struct timer *timer);

/* stun_socket.c */
int stun_open(struct simulation *sim, struct error *error);

/* faults.c: whether a rule answered. */
bool fault_answers(struct route_call *call);
void faults_free(struct simulation *sim);

/* simulate.c */
struct simulation_workspace *sim_workspace(const struct simulation *sim,
					   const struct uuid *id);
struct agent *sim_agent(const struct simulation *sim, const struct uuid *id);
bool sim_has_agent_key(const struct simulation *sim, const struct key32 *key);

#endif
