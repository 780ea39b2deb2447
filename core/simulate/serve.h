/*
 * core/simulate/serve.h: the embedded deployment on real sockets.
 *
 * Ties a simulation with one workspace to a `struct io`: HTTP and WebSockets
 * on one port, `Upgrade: DERP` on another, STUN by UDP, TLS under a
 * throw-away CA if wanted. Its agents reach the relay in memory, whatever
 * the clients use, and forward ports to this machine's loopback. For
 * `tunnelhost simulate` and `--simulate`.
 */
#ifndef TUNNELHOST_SIMULATE_SERVE_H
#define TUNNELHOST_SIMULATE_SERVE_H

#include "core/base/buf.h"
#include "core/io/io.h"
#include "core/simulate/simulate.h"

struct simulate_serve_config {
	struct io *io;
	struct rng *rng;
	struct log *log;
	/* All below may be left zero. */
	const char *listen;		/* "127.0.0.1:0" */
	const char *workspace_state;	/* "running", or "stopped" */
	const char *workspace_name;
	const char *token;
	bool no_workspace;		/* none yet */
	bool no_processes;
	size_t agents;			/* 1 */
	const struct simulation_clock *clock;
	const struct sshd_handler *ssh;
	bool tls;
	bool no_direct;			/* relays alone */
	bool websockets_only;		/* no port for upgrades */
	bool force_websockets;		/* and the deployment says so */
};

/* As text, and as it was at the beginning. */
struct simulate_facts {
	char url[SIMULATION_URL_CAP];
	const char *token;
	const char *owner;
	const char *workspace_name;
	char workspace_id[UUID_TEXT_CAP];
	const char *ca_file;		/* "" without TLS */
};

struct simulate_server;

/* 0, ERR_MISUSE (an unknown state), ERR_CONFLICT (a port in use) … */
int simulate_serve(const struct simulate_serve_config *config,
		   struct simulate_server **out, struct error *error);
/* Borrowed until simulate_server_free(). */
const struct simulate_facts *
simulate_server_facts(const struct simulate_server *server);
struct simulation *simulate_server_simulation(struct simulate_server *server);
struct simulation_workspace *
simulate_server_workspace(struct simulate_server *server);
/* One line for a program, as `peer serve` prints it. 0 or ERR_NOMEM. */
int simulate_server_json(const struct simulate_server *server,
			 struct buf *out);
/* One line for a shell: "export CODER_URL=… …". */
int simulate_server_exports(const struct simulate_server *server,
			    struct buf *out);
/* Before io_free(). */
void simulate_server_free(struct simulate_server *server);

#endif
