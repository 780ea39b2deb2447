#include "core/simulate/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "core/base/memory_network.h"
#include "core/io/tls_test_ca.h"

#define LISTEN_DEFAULT "127.0.0.1:0"
#define HOST_CAP 128

struct simulate_server {
	struct simulate_serve_config config;
	struct memory_network *memory;	/* the agents' way to the relay */
	struct simulation *sim;
	struct simulation_workspace *workspace;
	struct simulation_dialer dialer;
	struct io_server *http;
	struct io_server *upgrade;
	char directory[64];		/* of the certificates; "": none */
	struct tls_test_ca ca;
	struct simulate_facts facts;
};

static int dial(void *context, const char *address, uint64_t timeout_us,
		simulation_dialed *done, void *user, void **op,
		struct error *error)
{
	struct io_connect_op *connecting;
	int err = io_connect(context, address, timeout_us, done, user,
			     &connecting, error);

	if (err == 0)
		*op = connecting;
	return err;
}

static void cancel_dial(void *context, void *op)
{
	(void)context;
	io_connect_cancel(op);
}

static int make_memory(struct simulate_server *server, struct error *error)
{
	const struct memory_network_config config = {
		.loop = io_loop(server->config.io),
	};

	if (memory_network_new(&config, &server->memory) < 0)
		return error_set(error, ERR_NOMEM,
				 "no memory for a deployment");
	return 0;
}

static int make_simulation(struct simulate_server *server,
			   struct error *error)
{
	const struct simulate_serve_config *config = &server->config;
	const struct simulation_config simulation = {
		.loop = io_loop(config->io),
		.network = memory_network_of(server->memory),
		.udp_network = io_network(config->io),
		.rng = config->rng,
		.log = config->log,
		.token = config->token,
		.dialer = &server->dialer,
		.ssh = config->ssh,
		.no_processes = config->no_processes,
		.no_direct = config->no_direct,
		.force_websockets = config->force_websockets,
	};
	int err = simulation_new(&simulation, &server->sim, error);

	if (err == 0)
		memory_network_set_service(server->memory,
					   simulation_service(server->sim));
	return err;
}

static int make_certificates(struct simulate_server *server,
			     struct error *error)
{
	const char *tmp = getenv("TMPDIR");
	int err;

	if (!server->config.tls)
		return 0;
	snprintf(server->directory, sizeof(server->directory),
		 "%.32s/tunnelhost-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(server->directory)) {
		*server->directory = '\0';
		return error_set(error, ERR_DENIED,
				 "no directory for certificates");
	}
	err = tls_test_ca_write(server->directory, NULL, &server->ca, error);
	if (err < 0) {
		rmdir(server->directory);
		*server->directory = '\0';
	}
	return err;
}

/* "127.0.0.1:80": the host; a wildcard becomes the loopback. */
static void host_of(const char *address, char out[HOST_CAP])
{
	const char *colon = strrchr(address, ':');
	int len = colon ? (int)(colon - address) : (int)strlen(address);

	snprintf(out, HOST_CAP, "%.*s", len, address);
	if (strcmp(out, "0.0.0.0") == 0)
		snprintf(out, HOST_CAP, "127.0.0.1");
	else if (strcmp(out, "[::]") == 0)
		snprintf(out, HOST_CAP, "[::1]");
}

static const char *cert_of(const struct simulate_server *server)
{
	return server->config.tls ? server->ca.cert_file : NULL;
}

static const char *key_of(const struct simulate_server *server)
{
	return server->config.tls ? server->ca.key_file : NULL;
}

static int listen_http(struct simulate_server *server, struct error *error)
{
	const char *address = server->config.listen ?
		server->config.listen : LISTEN_DEFAULT;
	char host[HOST_CAP];
	uint16_t port;
	int err = io_serve(server->config.io, address,
			   simulation_service(server->sim), cert_of(server),
			   key_of(server), &server->http, &port, error);

	if (err < 0)
		return err;
	host_of(address, host);
	snprintf(server->facts.url, sizeof(server->facts.url), "%s://%s:%u",
		 server->config.tls ? "https" : "http", host, port);
	err = simulation_set_url(server->sim, server->facts.url);
	return err < 0 ? error_set(error, err, "bad address: %s", address) :
			 0;
}

static int listen_upgrade(struct simulate_server *server, struct error *error)
{
	const char *address = server->config.listen ?
		server->config.listen : LISTEN_DEFAULT;
	const char *colon = strrchr(address, ':');
	char bind_to[HOST_CAP + 4];
	uint16_t port;
	int err;

	if (server->config.websockets_only || server->config.force_websockets)
		return 0;
	snprintf(bind_to, sizeof(bind_to), "%.*s:0",
		 (int)(colon ? colon - address : 0), address);
	err = io_serve_upgrade(server->config.io, bind_to,
			       simulation_service(server->sim),
			       cert_of(server), key_of(server),
			       &server->upgrade, &port, error);
	if (err < 0)
		return err;
	err = simulation_set_upgrade_port(server->sim, port);
	return err < 0 ? error_set(error, err, "no DERP map: %s",
				   err_name(err)) : 0;
}

static int add_workspace(struct simulate_server *server, struct error *error)
{
	const char *state = server->config.workspace_state;
	bool stopped = state && strcmp(state, "stopped") == 0;
	const struct simulation_workspace_config config = {
		.name = server->config.workspace_name,
		.stopped = stopped,
		.agents = server->config.agents,
		.clock = server->config.clock,
	};
	int err;

	if (state && !stopped && strcmp(state, "running") != 0)
		return error_set(error, ERR_MISUSE,
				 "a workspace is running or stopped, not %s",
				 state);
	err = simulation_add_workspace(server->sim, &config,
				       &server->workspace);
	if (err < 0)
		return error_set(error, err, "no workspace %s: %s",
				 config.name ? config.name : "",
				 err_name(err));
	return 0;
}

static void fill_facts(struct simulate_server *server)
{
	struct simulate_facts *facts = &server->facts;

	facts->token = simulation_token(server->sim);
	facts->owner = simulation_user(server->sim);
	facts->ca_file = server->config.tls ? server->ca.ca_file : "";
	if (!server->workspace)
		return;
	facts->workspace_name = simulation_workspace_name(server->workspace);
	uuid_to_text(simulation_workspace_id(server->workspace),
		     facts->workspace_id);
}

int simulate_serve(const struct simulate_serve_config *config,
		   struct simulate_server **out, struct error *error)
{
	struct simulate_server *server = calloc(1, sizeof(*server));
	int err;

	if (!server)
		return error_set(error, ERR_NOMEM,
				 "no memory for a deployment");
	server->config = *config;
	server->dialer = (struct simulation_dialer){
		.dial = dial,
		.cancel = cancel_dial,
		.context = config->io,
	};
	err = make_certificates(server, error);
	if (err == 0)
		err = make_memory(server, error);
	if (err == 0)
		err = make_simulation(server, error);
	if (err == 0)
		err = listen_http(server, error);
	if (err == 0)
		err = listen_upgrade(server, error);
	if (err == 0 && !config->no_workspace)
		err = add_workspace(server, error);
	if (err < 0) {
		simulate_server_free(server);
		return err;
	}
	fill_facts(server);
	*out = server;
	return 0;
}

const struct simulate_facts *
simulate_server_facts(const struct simulate_server *server)
{
	return &server->facts;
}

struct simulation *simulate_server_simulation(struct simulate_server *server)
{
	return server->sim;
}

struct simulation_workspace *
simulate_server_workspace(struct simulate_server *server)
{
	return server->workspace;
}

static json_t *agents_json(const struct simulate_server *server)
{
	json_t *agents = json_array();
	const struct uuid *id;

	for (size_t i = 0;
	     (id = simulation_agent_id(server->workspace, i)) != NULL; i++) {
		char text[UUID_TEXT_CAP];

		uuid_to_text(id, text);
		json_array_append_new(
			agents,
			json_pack("{s:s,s:s}", "id", text, "name",
				  simulation_agent_name(server->workspace,
							i)));
	}
	return agents;
}

int simulate_server_json(const struct simulate_server *server,
			 struct buf *out)
{
	const struct simulate_facts *facts = &server->facts;
	json_t *json = json_pack(
		"{s:s,s:s,s:s,s:s,s:s,s:o,s:i}", "url", facts->url, "token",
		facts->token, "workspace_id", facts->workspace_id,
		"workspace_name", facts->workspace_name, "owner",
		facts->owner, "agents", agents_json(server), "pid",
		(int)getpid());
	char *text;
	int err;

	if (json && *facts->ca_file)
		json_object_set_new(json, "ca_file",
				    json_string(facts->ca_file));
	text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	err = text ? buf_printf(out, "%s\n", text) : ERR_NOMEM;
	free(text);
	return err;
}

int simulate_server_exports(const struct simulate_server *server,
			    struct buf *out)
{
	const struct simulate_facts *facts = &server->facts;
	bool tls = *facts->ca_file != '\0';

	return buf_printf(out,
			  "export CODER_URL=%s CODER_SESSION_TOKEN=%s%s%s\n",
			  facts->url, facts->token,
			  tls ? " CODER_CLIENT_TLS_CA_FILE=" : "",
			  facts->ca_file);
}

void simulate_server_free(struct simulate_server *server)
{
	if (!server)
		return;
	if (server->upgrade)
		io_server_close(server->upgrade);
	if (server->http)
		io_server_close(server->http);
	simulation_free(server->sim);
	memory_network_free(server->memory);
	if (*server->directory) {
		tls_test_ca_remove(&server->ca);
		rmdir(server->directory);
	}
	free(server);
}
