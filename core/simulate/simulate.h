/*
 * core/simulate/simulate.h: the embedded deployment.
 *
 * A whole small Coder deployment in the process: REST, watch, coordinator,
 * DERP relay, STUN and workspaces whose agents are tailnet nodes with an SSH
 * server and forwarded ports. It answers as a `struct service` (server.h),
 * which core/io serves on real sockets (serve.h) and
 * core/base/memory_network.h in memory; it opens nothing itself but the
 * agents' relay connections and the STUN socket, through the network handed
 * in. All time comes from the loop, all randomness from rng: the same seed
 * gives the same trace. Shapes, statuses and rules are those of Coder as
 * tests/interop shows them (deployment.go, serve.go, watch.go).
 *
 * Order: simulation_new(); simulation_set_url() (and, where there is one,
 * simulation_set_upgrade_port()); then workspaces.
 */
#ifndef TUNNELHOST_SIMULATE_SIMULATE_H
#define TUNNELHOST_SIMULATE_SIMULATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/derp_map.h"
#include "core/base/err.h"
#include "core/base/id.h"
#include "core/base/log.h"
#include "core/base/loop.h"
#include "core/base/network.h"
#include "core/base/rng.h"
#include "core/base/server.h"
#include "core/base/stream.h"
#include "core/simulate/sshd.h"

#define SIMULATION_AGENT_CAP 16		/* of one workspace */
#define SIMULATION_NAME_CAP 33		/* Coder's 32, with the NUL */
#define SIMULATION_TOKEN_CAP 34		/* xxxxxxxxxx-22 characters */
#define SIMULATION_URL_CAP 512
#define SIMULATION_UPGRADE_REGION 998	/* lowest: clients choose it */
#define SIMULATION_REGION 999

struct simulation;
struct simulation_workspace;

/*
 * How an agent reaches 127.0.0.1 of "its machine": core/io's io_connect() in
 * real life. `done` once, from the loop, never from inside dial(): an owned
 * stream, or NULL and why. `op` is for cancel(), after which `done` does not
 * come.
 */
typedef void simulation_dialed(void *user, struct stream *stream,
			       const struct error *error);
struct simulation_dialer {
	int (*dial)(void *context, const char *address, uint64_t timeout_us,
		    simulation_dialed *done, void *user, void **op,
		    struct error *error);
	void (*cancel)(void *context, void *op);
	void *context;
};

struct simulation_config {
	struct loop *loop;
	struct network *network;	/* agents' way to their relay */
	struct rng *rng;
	struct log *log;
	/* All below may be left zero. */
	/* STUN, direct paths and forwarded UDP; NULL: `network`. */
	struct network *udp_network;
	const char *user_name;		/* "simulated"; copied */
	const char *token;		/* else random; copied */
	/* NULL: ports without a handler refuse. Outlives the simulation. */
	const struct simulation_dialer *dialer;
	/* Serves SSH requests; NULL: child processes (exec.h). Outlives. */
	const struct sshd_handler *ssh;
	/* SSH requests without a handler and terminals are refused. */
	bool no_processes;
	bool force_websockets;		/* the deployment says so */
	bool refuse_upgrade;		/* `Upgrade: DERP` gets a 426 */
	bool no_stun;
	bool no_direct;			/* the deployment says so, and agents */
	int64_t resume_lifetime_s;	/* 24 h */
};

/* 0 or ERR_NOMEM, or what STUN's socket had. */
int simulation_new(const struct simulation_config *config,
		   struct simulation **out, struct error *error);
/* Closes every socket (1001), stops the agents. Not from a callback. */
void simulation_free(struct simulation *simulation);

/* "http://127.0.0.1:8080", no path. 0, ERR_MISUSE or ERR_TOO_LARGE. */
int simulation_set_url(struct simulation *simulation, const char *url);
/*
 * The relay is also reached by `Upgrade: DERP` at this port of the URL's
 * host: a second region, where agents live and clients prefer to. The
 * embedded region then asks not to be a home (Avoid). Before workspaces.
 */
int simulation_set_upgrade_port(struct simulation *simulation, uint16_t port);

struct service *simulation_service(struct simulation *simulation);
const char *simulation_token(const struct simulation *simulation);
const char *simulation_user(const struct simulation *simulation);
const char *simulation_url(const struct simulation *simulation);
/* As clients get it. */
const struct derp_map *simulation_derp_map(const struct simulation *);

struct simulation_clock {
	uint64_t pending_us;	/* 100 ms */
	uint64_t running_us;	/* 300 ms */
	uint64_t connect_us;	/* 100 ms: until an agent is connected */
	uint64_t ready_us;	/* 100 ms: from starting to ready */
};

struct simulation_workspace_config {
	const char *name;	/* "workspace" */
	bool stopped;		/* else it runs, agents up and ready */
	size_t agents;		/* 0: 1. "main", "agent1", … */
	const struct simulation_clock *clock;	/* NULL: as above */
	bool fail;		/* builds end "failed" */
	const char *lifecycle;	/* instead of "ready"; static */
	/* Its SSH requests; NULL: the deployment's. Outlives the workspace. */
	const struct sshd_handler *ssh;
};

/* 0, ERR_MISUSE (no URL yet, a bad name), ERR_CONFLICT, ERR_LIMIT, ERR_NOMEM.
 * Owned by the simulation. */
int simulation_add_workspace(struct simulation *simulation,
			     const struct simulation_workspace_config *config,
			     struct simulation_workspace **out);
const struct uuid *
simulation_workspace_id(const struct simulation_workspace *workspace);
const char *
simulation_workspace_name(const struct simulation_workspace *workspace);
/* While the latest build is start and succeeded; else 0. */
size_t
simulation_agent_count(const struct simulation_workspace *workspace);
/* NULL beyond the count. */
const struct uuid *
simulation_agent_id(const struct simulation_workspace *workspace, size_t at);
const char *
simulation_agent_name(const struct simulation_workspace *workspace, size_t at);

/* TCP connections to this port of every agent; takes `stream`. */
typedef void simulation_port(void *user, struct stream *stream);
/* Replaces; NULL takes it away. 0, ERR_MISUSE (ports 1 … 4, 22), ERR_LIMIT. */
int simulation_set_port(struct simulation_workspace *workspace, uint16_t port,
			simulation_port *handler, void *user);

/*
 * The template's parameters, a JSON array as Coder's rich-parameters. 0, or
 * ERR_PROTOCOL. What a build gives is kept for the next that names none.
 */
int simulation_set_parameters(struct simulation_workspace *workspace,
			      const char *json);

/* "start", "stop", "delete". 0, ERR_MISUSE, or ERR_CONFLICT: one is active. */
int simulation_build(struct simulation_workspace *workspace,
		     const char *transition);

/*
 * Faults. Each is a handle that lives as long as the simulation; `fired`
 * says how often it has happened.
 */
struct simulation_fault {
	unsigned fired;
};

enum simulation_socket {
	SIMULATION_WATCH,
	SIMULATION_COORDINATE,
	SIMULATION_DERP,	/* clients' relay connections */
	SIMULATION_AGENT_DERP,	/* and the agents' */
};

/* Each NULL without memory. Closes them all now; fired: how many. */
const struct simulation_fault *
simulation_drop(struct simulation *simulation, enum simulation_socket kind);
/* The next `times` (0: all) requests whose path contains `path`. */
const struct simulation_fault *simulation_fail(struct simulation *simulation,
					       const char *path, int status,
					       unsigned times);
/* One JSON object to all watchers of the workspace, newline added. */
const struct simulation_fault *
simulation_emit(struct simulation_workspace *workspace, const char *json);
/* Same id, new keys; everything open to it is lost. All agents. */
const struct simulation_fault *
simulation_restart_agents(struct simulation_workspace *workspace);
/* READY_FOR_HANDSHAKE is swallowed (or no longer). */
void simulation_mute_ready(struct simulation *simulation, bool mute);

struct simulation_stats {
	uint64_t requests;
	uint64_t usage_posts;
	size_t watchers;
	size_t coordinate_sockets;
	size_t relay_sockets;
	uint64_t update_self;
	uint64_t add_tunnel;
	uint64_t ready_for_handshake;
	uint64_t disconnects;
	size_t clients;		/* at the coordinator now */
	uint64_t stun_requests;
	uint64_t flows;		/* TCP connections that agents accepted */
	size_t flows_open;
};
void simulation_get_stats(const struct simulation *simulation,
			  struct simulation_stats *out);
/* Peer id of the newest coordinate socket; nil: none yet. */
struct uuid simulation_last_peer(const struct simulation *simulation);

#endif
